"""What the Why screen asks of the worker and the session: the question, trials with units off, pins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from textual.worker import Worker

from workbench.errors import UserError
from workbench.tui.feed import NothingYet
from workbench.tui.latest import Following
from workbench.tui.screens.why.finding import EXPERIMENT, TRIAL, Finding, Trial, read_finding

if TYPE_CHECKING:
    from workbench.edits import Edit
    from workbench.session.reader import SessionReader
    from workbench.tui.context import Context
    from workbench.tui.page import Page

CONTROLS = 64
"""matched controls of a trial"""


class Desk:
    """Belongs to one screen. What is shown is what the file says; here is only which step, and what is switched off."""

    def __init__(self, screen: Page, changed: Callable[[], None], asked: Callable[[], None]) -> None:
        """`changed` is called when something else is to be shown, `asked` when a question has become a step."""
        self.screen, self._changed, self._is_asked = screen, changed, asked
        self.step: int | None = None
        self.finding: Finding | None = None
        self.off = False
        """the chosen units are switched off: the trial is shown"""
        self.pending = False
        """a question is on its way to the worker"""
        self._fresh = True
        """the session was not looked into yet: its newest question is shown, if it has one"""
        self._own: list[str] | None = None
        """the user's own set; None is what the search picked"""
        self._sending: Worker[None] | None = None
        self._reads = Following(screen, self._read, lambda sentence: screen.trouble(self, sentence))

    @property
    def app(self) -> Context:
        return self.screen.workbench

    @property
    def chosen(self) -> list[str]:
        """What 0 switches off."""
        if self._own is not None:
            return self._own
        return list(self.finding.picked) if self.finding else []

    @property
    def is_pick(self) -> bool:
        return self.finding is not None and frozenset(self.chosen) == frozenset(self.finding.picked)

    @property
    def trial(self) -> Trial | None:
        """The step that shows the chosen units off, while they are."""
        return self.finding.trial(self.chosen) if self.off and self.finding else None

    @property
    def running(self) -> int | None:
        """A step of this screen that has not ended: the trial's, or the question's."""
        for snapshot in (self.trial.snapshot if self.trial else None, self.finding.snapshot if self.finding else None):
            if snapshot is not None and not snapshot.finished:
                return snapshot.record.id
        return None

    # --- what is shown ---

    def show(self, step: int | None) -> None:
        """This step from now on, with nothing switched off."""
        self.step, self.finding, self.off, self._own = step, None, False, None
        self._fresh = step is None
        self.reread()

    def reread(self) -> None:
        """The file may have something newer."""
        self._reads.ask()

    async def _read(self) -> None:
        before, step = self.finding, self.step
        live = self.app.link is not None
        adopt = self._fresh or not self.screen.typing  # nobody's typing is taken away by a step from elsewhere

        def look(reader: SessionReader) -> Finding | None:
            asked = reader.last_of(EXPERIMENT) if step is None and adopt else step
            finding = None if asked is None else read_finding(reader, asked, before)
            if step is None and live and finding is not None and not finding.is_readable:
                return None  # opened for what is asked next; the Timeline leads to what an old session has
            return finding

        try:
            found = await self.app.feed.read(look)
        except NothingYet:
            found = None
        if step != self.step:
            self.reread()
            return
        self._fresh = False
        if found is not None:
            self.step = found.record.id
        if found != before or found is None:
            self.finding = found
            self._changed()

    # --- asking ---

    def _do(self, work: Coroutine[Any, Any, None], group: str) -> Worker[None]:
        """Runs what needs the worker; what is wrong is said in place."""

        async def guarded() -> None:
            try:
                await work
            except UserError as error:
                self.screen.say(str(error), bad=True)
            finally:
                if group == "ask" and self.pending:
                    self.pending = False
                    self._changed()

        worker: Worker[None] = self.screen.run_worker(guarded(), group=group, exclusive=group == "ask")
        return worker

    def ask(self, params: dict[str, Any], edits: Sequence[Edit], parent: int | None = None, seed: int = 0) -> None:
        """A new step with this question; the screen shows it from its first view on."""
        self.pending = True
        self.screen.say("")
        self._sending = self._do(self._ask(params, edits, parent, seed), "ask")

    async def _ask(self, params: dict[str, Any], edits: Sequence[Edit], parent: int | None, seed: int) -> None:
        checked = await asyncio.to_thread(_checked, params)
        step = await self.app.submit(EXPERIMENT, checked, edits, seed=seed, parent=parent)
        self.pending = False
        self.app.remember_prompt(checked["prompt"])
        self.show(step)
        self._is_asked()

    def take_back(self) -> bool:
        """A question that has not reached the worker; True if there was one."""
        if not self.pending or self._sending is None:
            return False
        self._sending.cancel()
        self.pending = False
        return True

    def again(self) -> None:
        """The same question, edits and seed, as a branch of this step."""
        if self.finding is not None:
            record = self.finding.record
            try:
                self.ask(record.params, self.finding.base(), record.id, record.seed)
            except UserError as error:
                self.screen.say(str(error), bad=True)

    # --- switching off ---

    def flip(self, unit: str) -> None:
        """Into the set that 0 switches off, or out of it."""
        own = list(self.chosen)
        if unit in own:
            own.remove(unit)
        else:
            own.append(unit)
        self._own, self.off = own, False

    def use_pick(self) -> None:
        self._own, self.off = None, False

    def toggle(self) -> None:
        """The chosen units off, as a logged step, or on again; what was tried before is shown at once."""
        finding = self.finding
        if self.off or finding is None:
            self.off = False
            return
        known = finding.trial(self.chosen)
        if known is not None and known.snapshot.record.status in ("done", "running", "queued"):
            self.off = True
        elif self.app.link is None:
            self.screen.say("this is a replay, and these were not switched off in it: `workbench` alone has a model")
        else:
            self.off = True
            self._do(self._try(finding, list(self.chosen)), "try")

    async def _try(self, finding: Finding, units: list[str]) -> None:
        from workbench.edits import parse_edits

        try:
            given = {
                name: finding.params[name] for name in ("prompt", "answer", "foil", "chat") if finding.params[name]
            }
            edits = [*finding.base(), *parse_edits([finding.off_text(units)], self.app.model_info)]
            record = finding.record
            await self.app.submit(TRIAL, {**given, "controls": CONTROLS}, edits, seed=record.seed, parent=record.id)
        except UserError:
            self.off = False
            self._changed()
            raise
        self.reread()

    # --- pins ---

    def pin(self, unit: str) -> None:
        """Into the basket, or out of it."""
        self._do(self._pin(unit), "pin")

    async def _pin(self, unit: str) -> None:
        from workbench.worker.protocol import Pin

        out = self.finding is not None and unit in self.finding.pins
        await self.app.request(Pin(session=str(self.app.session_path()), unit=unit, remove=out))
        self.app.feed.hint()
        self.screen.say(f"{unit} {'taken out of' if out else 'put into'} the basket")


def _checked(params: dict[str, Any]) -> dict[str, Any]:
    """Validated, as plain data. Raises UserError naming the field."""
    from workbench.experiments import experiment
    from workbench.params import make_params, params_builtins

    made = make_params(experiment(EXPERIMENT).params, params)
    if not made.prompt:
        raise UserError("a prompt is needed: the text the model reads, for example 'The capital of France is'")
    return params_builtins(made)
