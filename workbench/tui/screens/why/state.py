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
from workbench.tui.unit_actions import toggle_pin

if TYPE_CHECKING:
    from workbench.edits import Edit
    from workbench.session.reader import SessionReader
    from workbench.tui.context import Context
    from workbench.tui.page import Page

CONTROLS = 64
"""matched controls of a trial"""


class WhyState:
    """Belongs to one screen. Results are in the session file; this holds only the step and the units switched off."""

    def __init__(self, screen: Page, changed: Callable[[], None], submitted: Callable[[], None]) -> None:
        """`changed` is called when something else is to be shown, `submitted` when a question has become a step."""
        self.screen, self._changed, self._submitted = screen, changed, submitted
        self.step: int | None = None
        self.finding: Finding | None = None
        self.off = False
        """the chosen units are switched off: the trial is shown"""
        self.pending = False
        """a question is on its way to the worker"""
        self._session_unread = True
        """the session was not looked into yet: its newest question is shown, if it has one"""
        self._user_set: list[str] | None = None
        """the user's own set; None is what the search picked"""
        self._sending: Worker[None] | None = None
        self._reads = Following(screen, self._read, lambda sentence: screen.trouble(self, sentence))

    @property
    def app(self) -> Context:
        return self.screen.workbench

    @property
    def chosen(self) -> list[str]:
        """What 0 switches off."""
        if self._user_set is not None:
            return self._user_set
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
        self.step, self.finding, self.off, self._user_set = step, None, False, None
        self._session_unread = step is None
        self.reread()

    def reread(self) -> None:
        """The file may have something newer."""
        self._reads.ask()

    async def _read(self) -> None:
        before, step = self.finding, self.step
        live = self.app.link is not None
        adopt = self._session_unread or not self.screen.typing  # a step from elsewhere does not interrupt typing

        def read(reader: SessionReader) -> Finding | None:
            shown_step = reader.last_of(EXPERIMENT) if step is None and adopt else step
            finding = None if shown_step is None else read_finding(reader, shown_step, before)
            if step is None and live and finding is not None and not finding.is_readable:
                return None  # opened for what is asked next; the Timeline leads to what an old session has
            return finding

        try:
            finding = await self.app.feed.read(read)
        except NothingYet:
            finding = None
        if step != self.step:
            self.reread()
            return
        self._session_unread = False
        if finding is not None:
            self.step = finding.record.id
        if finding != before or finding is None:
            self.finding = finding
            self._changed()

    # --- asking ---

    def _run_reporting(self, work: Coroutine[Any, Any, None], group: str) -> Worker[None]:
        """Runs `work`, which needs the worker; its UserError is shown on the screen."""

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
        self._sending = self._run_reporting(self._ask(params, edits, parent, seed), "ask")

    async def _ask(self, params: dict[str, Any], edits: Sequence[Edit], parent: int | None, seed: int) -> None:
        checked = await asyncio.to_thread(_checked, params)
        step = await self.app.submit(EXPERIMENT, checked, edits, seed=seed, parent=parent)
        self.pending = False
        self.app.remember_prompt(checked["prompt"])
        self.show(step)
        self._submitted()

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
        chosen = list(self.chosen)
        if unit in chosen:
            chosen.remove(unit)
        else:
            chosen.append(unit)
        self.choose(chosen)

    def choose(self, units: list[str]) -> None:
        """These are what 0 switches off."""
        self._user_set, self.off = units, False

    def use_pick(self) -> list[str] | None:
        """What the search picked, again; returns what was chosen instead of it."""
        own, self._user_set, self.off = self._user_set, None, False
        return own

    def toggle(self) -> None:
        """The chosen units off, as a logged step, or on again; what was tried before is shown at once."""
        finding = self.finding
        if self.off or finding is None:
            self.off = False
            return
        trial = finding.trial(self.chosen)
        if trial is not None and trial.snapshot.record.status in ("done", "running", "queued"):
            self.off = True
        elif self.app.link is None:
            self.screen.say("this is a replay, and these were not switched off in it: `workbench` alone has a model")
        else:
            self.off = True
            self._run_reporting(self._try(finding, list(self.chosen)), "try")

    async def _try(self, finding: Finding, units: list[str]) -> None:
        from workbench.edits import parse_edits

        try:
            params = {
                name: finding.params[name] for name in ("prompt", "answer", "foil", "chat") if finding.params[name]
            }
            edits = [*finding.base(), *parse_edits([finding.off_text(units)], self.app.model_info)]
            record = finding.record
            await self.app.submit(TRIAL, {**params, "controls": CONTROLS}, edits, seed=record.seed, parent=record.id)
        except UserError:
            self.off = False
            self._changed()
            raise
        self.reread()

    # --- pins ---

    def pin(self, unit: str) -> None:
        """Into the basket, or out of it."""
        self._run_reporting(toggle_pin(self.app, unit), "pin")


def _checked(params: dict[str, Any]) -> dict[str, Any]:
    """Validated, as plain data. Raises UserError naming the field."""
    from workbench.experiments import experiment
    from workbench.params import make_params, params_builtins

    checked = make_params(experiment(EXPERIMENT).params, params)
    if not checked.prompt:
        raise UserError("a prompt is needed: the text the model reads, for example 'The capital of France is'")
    return params_builtins(checked)
