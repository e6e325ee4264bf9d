"""Any experiment: its parameters as a form, how far it is, its result, and what could be asked next."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.widget import Widget
from textual.worker import Worker

from workbench.errors import UserError
from workbench.params import PROMPT_SET, STORED, Field
from workbench.text import safe, shorten
from workbench.tui.glossary import PROMPT, Glossary
from workbench.tui.page import Page
from workbench.tui.pages import page_of
from workbench.tui.screens.run.forked import forked
from workbench.tui.screens.run.form import Form
from workbench.tui.screens.run.parameters import (
    EXPECT,
    OF_EVERY_RUN,
    SEED,
    TRANSFER,
    checked_params,
    cost_of,
    experiments_of,
    fields_of,
    invitation,
    names_of_sets,
    read_prompt_sets,
    read_seed,
)
from workbench.tui.widgets.choice import Choice
from workbench.tui.widgets.frame import Rule
from workbench.tui.widgets.result import ResultPane
from workbench.tui.widgets.words import marked
from workbench.tui.worker_words import free_memory, ready, stage, trouble

if TYPE_CHECKING:
    from workbench.experiment import Experiment
    from workbench.report import NextStep
    from workbench.session.records import StepRecord


class Runner(Page):
    """What Run and Prompt have in common."""

    SCREEN: ClassVar[str]
    """as `workbench.tui.pages` names it"""
    FIRST: ClassVar[str]
    """the experiment that is chosen at first"""
    FIELDS: ClassVar[int] = 5
    """of the form, shown at once"""
    DEFAULT_CSS = """
    Runner #experiments { margin: 1 0 0 1; width: 1fr; }
    Runner.low #experiments { margin: 0 0 0 1; }
    Runner #form-rule { padding: 0 1; margin: 0 0 1 0; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.experiment = self.FIRST
        self._about = ""
        """what the shown result was asked about"""
        self._forked_from: int | None = None
        """the step whose parameters are in the form: the next run is its branch"""
        self._fork_remarks: list[str] = []
        """what is written differently in the form than in that step"""
        self._form_values: dict[str, Any] = {}
        """values for the form, until it is built"""
        self._pending: Worker[None] | None = None
        self._ready = asyncio.Event()

    def glossary(self) -> Glossary:
        return PROMPT

    def body(self) -> ComposeResult:
        yield from self.above()
        yield Choice([self.experiment], self.experiment, id="experiments")
        yield Form(self.FIELDS)
        yield Rule("", id="form-rule")
        yield ResultPane()

    # --- what a screen with more than a form adds ---

    def above(self) -> Iterable[Widget]:
        """What stands above the experiments."""
        return ()

    def in_form(self, fields: Sequence[Field]) -> list[Field]:
        """Those of an experiment's parameters that the form asks for; the screen itself asks for the others."""
        return list(fields)

    def screen_values(self, fields: Sequence[Field], prompt_set: bool) -> dict[str, Any]:
        """Values of the parameters that the screen itself asks for. `prompt_set`: there is a set of prompts too."""
        return {}

    def take_screen_values(self, fields: Sequence[Field], params: dict[str, Any]) -> None:
        """Shows the values that the screen itself asks for, and removes them from `params`."""

    def parent_of_run(self) -> int | None:
        """The parent of the step that is run next."""
        return self._forked_from

    def submitted(self, step: int) -> None:
        """Called when the worker has made step `step` of a run."""
        self._forked_from = None

    # --- what it says ---

    @property
    def form(self) -> Form:
        return self.query_one(Form)

    @property
    def result(self) -> ResultPane:
        return self.query_one(ResultPane)

    def field_keys(self) -> list[tuple[str, str]]:
        return [("Enter", "run"), ("Tab", "next field"), ("F3", "edits"), ("F2", "commands"), ("Esc", "result")]

    def default_focus(self) -> Widget:
        return self.result

    async def on_mount(self) -> None:
        await self._build()
        self._ready.set()
        self._update_rule()

    async def _build(self) -> None:
        """The form of the experiment, filled with `_form_values`."""
        shown = await asyncio.to_thread(experiments_of, self.SCREEN)
        choice = self.query_one("#experiments", Choice)
        choice.words = list(shown)
        choice.value = self.experiment if self.experiment in shown else choice.words[0]
        self.experiment = choice.value
        choice.refresh(layout=True)
        values, self._form_values = self._form_values, {}
        await self.form.show(self._form_fields(shown[choice.value]), values)
        if self.result.step is None and not self._pending:
            self.result.show_message(partial(invitation, shown[choice.value]))
        self._update_rule()

    def _form_fields(self, experiment: Experiment) -> list[Field]:
        """The experiment's own, then what every run takes."""
        from workbench.params import fields

        form_fields = self.in_form(fields(experiment.params))
        return [
            *(field for field in form_fields if not field.more),
            EXPECT,
            *(field for field in form_fields if field.more),
            SEED,
            TRANSFER,
        ]

    def on_resize(self) -> None:
        self.set_class(self.size.height >= 30, "tall")
        self.set_class(self.size.height < 24, "low")

    def worker_changed(self) -> None:
        if self._pending:
            self._say_pending()
        self.result.restate()

    def session_changed(self) -> None:
        if self.is_mounted:
            self.result.reread()

    def session_swapped(self) -> None:
        self._forked_from = None
        if self.is_mounted:
            self.result.show(None)

    def on_descendant_focus(self) -> None:
        super().on_descendant_focus()
        self._update_rule()

    def _update_rule(self) -> None:
        self.query_one("#form-rule", Rule).update(self.form.help_of(self.focused) or self._rule_words())

    def _rule_words(self) -> str:
        if self.focused is self.query_one("#experiments"):
            return "which experiment: ← → turn it, [ ] from anywhere outside a field"
        more = "m: more fields" if self.form.has_more and not self.form.more else ""
        return " · ".join(filter(None, (self._cost(), more)))

    def _cost(self) -> str:
        """What a run would take, where its experiment says so: `about 16 s: 214 passes of 6 tokens`."""
        info = self.workbench.model_info
        if info is None or not self._ready.is_set():
            return ""
        typed = {name: text for name, text in self.form.values().items() if name not in OF_EVERY_RUN}
        screen_values = self.screen_values(fields_of(self.experiment), False)
        return cost_of(self.experiment, typed, screen_values, info, free_memory(self.workbench.link))

    # --- its keys ---

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "more" and not self.form.has_more:
            return False
        return super().check_action(action, parameters)

    def action_write(self) -> None:
        self.form.enter()

    async def action_experiment(self, by: int) -> None:
        self.query_one("#experiments", Choice).action_turn(by)

    async def action_more(self) -> None:
        self.form.more = not self.form.more
        await self._build()

    @on(Choice.Changed, "#experiments")
    async def _turned(self, event: Choice.Changed) -> None:
        event.stop()
        self.experiment = event.value
        self._forked_from = None
        self.result.show(None)
        await self._build()
        self.refresh_frame()

    @on(Form.Submitted)
    def _entered(self) -> None:
        self.action_run()

    # --- running ---

    def ask(self, step: NextStep, parent: int | None) -> None:
        """This experiment with these parameters, at once."""
        self.run_worker(self._load(step, parent, True), group="take", exclusive=True)

    def offer(self, step: NextStep) -> None:
        """This experiment with these parameters in its form, to be completed."""
        self.run_worker(self._load(step, None, False), group="take", exclusive=True)

    def fill(self, record: StepRecord) -> None:
        """The fields as they were in this step; what is run next is forked from it."""
        from workbench.report import NextStep

        params, self._fork_remarks = record.params, []
        try:
            params, edits, self._fork_remarks = forked(record)
            self.workbench.edits.use(edits)
        except UserError as error:
            self.say(str(error), bad=True)
        step = NextStep(label="", experiment=record.experiment, params=params)
        self._form_values = {SEED.name: record.seed} if record.seed else {}
        self.run_worker(self._load(step, record.id, False), group="take", exclusive=True)

    async def _load(self, step: NextStep, parent: int | None, run: bool) -> None:
        await self._ready.wait()
        if run:
            self.result.focus()  # a key pressed from now on is not part of the question's text
        params = dict(step.params)
        self.experiment = step.experiment
        self.form.clear()
        try:
            self.take_screen_values(await asyncio.to_thread(fields_of, step.experiment), params)
            self._form_values = {**self._form_values, **params, **names_of_sets(params)}
            if step.edits is not None:
                from workbench.edits import parse_edits

                self.workbench.edits.use(parse_edits(step.edits, self.workbench.model_info))
            await self._build()
        except UserError as error:
            self.result.show_message(partial(marked, str(error)))
            return
        self.refresh_frame()
        if run:
            self._submit(parent, params)
        else:
            self._forked_from = parent
            self.filled(parent)
            branch = f"as in step {parent}: change what you like, Enter runs it as a branch of that step"
            remarks, self._fork_remarks = self._fork_remarks, []
            said = branch if parent is not None else "filled in: change what you like, Enter runs it"
            self.say(" · ".join([said, *remarks]))
            self.action_write()

    def filled(self, step: int | None) -> None:
        """Called when the fields hold the parameters of step `step`, which is forked."""

    def action_run(self) -> None:
        self._submit(None, {})

    def _submit(self, parent: int | None, row_values: dict[str, Any]) -> None:
        """`row_values` are values that no field can hold: the rows of a set of prompts."""
        if self._pending:
            self._pending.cancel()
        self.say("")
        self._pending = self.run_worker(self._send(parent, row_values), group="send", exclusive=True)

    async def _send(self, parent: int | None, row_values: dict[str, Any]) -> None:
        workbench = self.workbench
        try:
            typed: dict[str, Any] = dict(self.form.values())
            expected, seed = typed.pop(EXPECT.name, ""), read_seed(typed.pop(SEED.name, "0"))
            transfer = typed.pop(TRANSFER.name, "off") == "on"
            fields = await asyncio.to_thread(fields_of, self.experiment)
            sets = [field.name for field in fields if field.kind is PROMPT_SET]
            named = [field.name for field in fields if field.kind in STORED]
            rows = {name: row_values[name] for name in named if row_values.get(name)}
            shown = names_of_sets(rows)
            # A field that still has the name of what came with the question stands for that.
            typed = {name: text for name, text in typed.items() if not text or text != shown.get(name)}
            names: dict[str, str] = dict(shown)
            if any(map(typed.get, named)):
                session = workbench.session_path()
                typed, read = await asyncio.to_thread(read_prompt_sets, self.experiment, typed, session)
                names |= read
            rows = {name: value for name, value in rows.items() if name not in typed}
            values = self.screen_values(fields, any(name in rows or typed.get(name) for name in sets))
            params, self._about = await asyncio.to_thread(checked_params, self.experiment, {**values, **typed, **rows})
            self._say_pending()
            self.result.focus()
            step = await workbench.submit(
                self.experiment,
                params,
                workbench.edits.on(),
                seed=seed,
                expected=expected,
                parent=self.parent_of_run() if parent is None else parent,
                names=names,
                transfer=transfer,
            )
        except UserError as error:
            self._pending = None
            self.result.show_message(partial(marked, str(error)))
            return
        finally:
            self._pending = None
        self.submitted(step)
        self.form.forget(EXPECT.name)
        self.result.show(step)
        screen = page_of(self.experiment)
        if screen != self.SCREEN and workbench.page_now is self:
            workbench.show(screen).show_step(step)

    def _say_pending(self) -> None:
        """What was asked waits: for what, and how long."""
        link = self.workbench.link
        words = "asking the worker"
        if link and trouble(link):
            words = f"waiting: {trouble(link)}"
        elif link and not ready(link):
            words = f"queued: {stage(link)} · Ctrl+C takes it back"
        about = f" '{shorten(safe(self._about), 60)}'" if self._about else ""
        title = f"{self.experiment}{about}\n"
        self.result.show_message(lambda colors: Text.assemble((title, colors.strong), (words, colors.second)))

    def cancel_page_work(self) -> bool:
        if self._pending:
            self._pending.cancel()
            self._pending = None
            self.result.show_message(lambda colors: Text("taken back before it was asked", colors.second))
            return True
        snapshot = self.result.snapshot
        if snapshot is not None and not snapshot.finished:
            self.run_worker(self.workbench.cancel(snapshot.record.id))
            return True
        return False

    # --- showing ---

    def show_step(self, step: int) -> None:
        """A step of the session, to look at."""
        self._pending = None
        self.result.show(step)

    @on(ResultPane.Shown)
    def _shown(self, event: ResultPane.Shown) -> None:
        self.refresh_frame()
        self.shown(event)

    def shown(self, event: ResultPane.Shown) -> None:
        """The pane shows something newer."""
