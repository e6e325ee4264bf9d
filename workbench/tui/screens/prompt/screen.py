"""One text, one experiment: what it does with it, live, with what could be asked next."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widget import Widget
from textual.widgets import TextArea
from textual.worker import Worker

from workbench.errors import UserError
from workbench.text import number, safe, shorten
from workbench.tui import keys
from workbench.tui.page import Page
from workbench.tui.screens.prompt.form import EXPECT, Form
from workbench.tui.screens.prompt.look import Look
from workbench.tui.screens.prompt.prompt_area import PromptArea
from workbench.tui.screens.prompt.token_line import TokenLine
from workbench.tui.widgets.choice import Choice
from workbench.tui.widgets.frame import Rule
from workbench.tui.widgets.result import ResultPane
from workbench.tui.widgets.words import marked
from workbench.tui.worker_words import ready, stage, trouble

if TYPE_CHECKING:
    from workbench.experiment import Experiment
    from workbench.params import Field
    from workbench.report import NextStep
    from workbench.session.records import StepRecord
    from workbench.tui.theme import Ink
    from workbench.tui.widgets.result.snapshot import Snapshot

SEED = "seed"


class Prompt(Page):
    NAME = "Prompt"
    ABOUT = (
        "Prompt runs an experiment on a text. Enter runs it; the answer leads with its sentence and its main view, "
        "the other views are folded below. Every run is a step of the session, with the edits that are on (e). "
        "1, 2 and 3 take the next steps that a result suggests; the line after $ is what it stands for in a shell."
    )
    AUTO_FOCUS = "PromptArea"
    DEFAULT_CSS = """
    Prompt PromptArea { margin: 0 0 0 1; }
    Prompt.tall PromptArea { margin: 1 0 0 1; }
    Prompt TokenLine { margin: 0 0 0 1; }
    Prompt.tall TokenLine { margin: 0 0 1 1; }
    Prompt.low TokenLine { display: none; }
    Prompt #experiments { margin: 0 0 0 1; width: 1fr; }
    Prompt #form-rule { padding: 0 1; margin: 0 0 1 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = list(keys.PROMPT)

    def __init__(self) -> None:
        super().__init__()
        self.experiment = "predict"
        self.chat = False
        self._asked_prompt = ""
        """what the shown result was asked about"""
        self._base: tuple[str, int] | None = None
        """the prompt that is being investigated, and the step that began with it: variations hang there"""
        self._given: dict[str, Any] = {}
        """values for the form, until it is built"""
        self._pending: Worker[None] | None = None
        self._look = Look(self)
        self._ready = asyncio.Event()

    def body(self) -> ComposeResult:
        yield PromptArea(id="prompt")
        yield TokenLine()
        yield Choice([self.experiment], self.experiment, id="experiments")
        yield Form()
        yield Rule("", id="form-rule")
        yield ResultPane()

    # --- what it says ---

    def details(self) -> str:
        words = [f" · chat template {'on' if self.chat else 'off'}"]
        snapshot = self.result.snapshot if self.is_mounted else None
        if snapshot is not None and (found := tokenization(snapshot)):
            words.append(found)
        return " · ".join(words)

    @property
    def area(self) -> PromptArea:
        return self.query_one(PromptArea)

    @property
    def form(self) -> Form:
        return self.query_one(Form)

    @property
    def result(self) -> ResultPane:
        return self.query_one(ResultPane)

    def field_keys(self) -> list[tuple[str, str]]:
        return [("Enter", "run"), ("Tab", "next field"), ("F3", "edits"), ("F2", "commands"), ("Esc", "result")]

    def rest(self) -> Widget:
        return self.result

    async def on_mount(self) -> None:
        await self._build()
        self._ready.set()

    async def _build(self) -> None:
        """The form of the experiment, filled with what was given."""
        found = await asyncio.to_thread(_experiments)
        choice = self.query_one("#experiments", Choice)
        choice.words = list(found)
        choice.value = self.experiment if self.experiment in found else choice.words[0]
        choice.refresh(layout=True)
        given, self._given = self._given, {}
        await self.form.show(_form_fields(found[choice.value]), given)
        if self.result.step is None and not self._pending:
            self.result.say(partial(self._invitation, found[choice.value]))

    @staticmethod
    def _invitation(experiment: Experiment, colors: Ink) -> Text:
        text = Text.assemble(
            (f"Enter runs {experiment.name}", colors.strong),
            (f": {_lower(experiment.summary)}.", colors.plain),
        )
        rest = experiment.help.partition("\n")[2].strip()
        if rest:
            text.append("\n\n" + re.sub(r"(?<!\n)\n(?!\n)", " ", rest), colors.quiet)
        return text

    def on_resize(self) -> None:
        self.set_class(self.size.height >= 30, "tall")
        self.set_class(self.size.height < 24, "low")
        self._follow()

    @on(TextArea.Changed)
    def _follow(self) -> None:
        """The line of tokens is of what is written."""
        if self.is_mounted:
            self.query_one(TokenLine).follow("" if self.has_class("low") else self.area.text, self.chat)

    def worker_changed(self) -> None:
        self._follow()
        if self._pending:
            self._say_pending()
        self.result.restate()

    def session_changed(self) -> None:
        if self.is_mounted:
            self.result.reread()

    def session_swapped(self) -> None:
        self._base = None
        if self.is_mounted:
            self.result.show(None)

    def on_descendant_focus(self) -> None:
        super().on_descendant_focus()
        self.query_one("#form-rule", Rule).update(self.form.help_of(self.focused) or self._rule_words())

    def _rule_words(self) -> str:
        if self.focused is self.query_one("#experiments"):
            return "which experiment: ← → turn it, [ ] from anywhere outside a field"
        return "m: more fields" if self.form.has_more and not self.form.more else ""

    # --- its keys ---

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "more" and not self.form.has_more:
            return False
        return super().check_action(action, parameters)

    def action_write(self) -> None:
        self.area.focus()

    async def action_experiment(self, by: int) -> None:
        self.query_one("#experiments", Choice).action_turn(by)

    async def action_more(self) -> None:
        self.form.more = not self.form.more
        self._given = dict(self.form.values())
        await self._build()

    def action_chat(self) -> None:
        self.chat = not self.chat
        self._follow()
        self.refresh_frame()

    @on(Choice.Changed, "#experiments")
    async def _turned(self, event: Choice.Changed) -> None:
        event.stop()
        self.experiment = event.value
        self.result.show(None)
        await self._build()

    @on(PromptArea.Submitted)
    @on(Form.Submitted)
    def _entered(self) -> None:
        self.action_run()

    # --- running ---

    def ask(self, step: NextStep, parent: int | None) -> None:
        """This experiment with these parameters, at once."""
        self.run_worker(self._take(step, parent, True), group="take", exclusive=True)

    def fill(self, record: StepRecord) -> None:
        """The fields as they were in this step; what is run next is forked from it."""
        from workbench.edits import Edit
        from workbench.report import NextStep
        from workbench.views import from_builtins

        step = NextStep(label="", experiment=record.experiment, params=record.params)
        try:
            self.workbench.edits.use(from_builtins(record.edits, as_type=list[Edit]))
        except ValueError:
            self.say(f"the edits of step {record.id} can't be taken over: they came from a notebook", bad=True)
        self._given = {SEED: str(record.seed)} if record.seed else {}
        self.run_worker(self._take(step, record.id, False), group="take", exclusive=True)

    async def _take(self, step: NextStep, parent: int | None, run: bool) -> None:
        await self._ready.wait()
        if run:
            self.result.focus()  # a key that comes now is none of the question's text
        params = dict(step.params)
        prompt = params.pop("prompt", "")
        self.area.set_text(prompt if isinstance(prompt, str) else "")
        self.chat = bool(params.pop("chat", False))
        self.experiment = step.experiment
        rows = params.pop("prompts", None)
        self.form.clear()
        self._given = {**self._given, **params}
        try:
            if step.edits is not None:
                from workbench.edits import parse_edits

                self.workbench.edits.use(parse_edits(step.edits, self.workbench.model_info))
            await self._build()
        except UserError as error:
            self.result.say(partial(marked, str(error)))
            return
        self._follow()
        self.refresh_frame()
        if run:
            self._submit(parent, rows)
        else:
            self._base = (self.area.text, parent) if parent else None
            self.say(f"as in step {parent}: change what you like, Enter runs it as a branch of that step")
            self.area.focus()

    def action_run(self) -> None:
        self._submit(None, None)

    def _submit(self, parent: int | None, rows: list[Any] | None) -> None:
        if self._pending:
            self._pending.cancel()
        self.say("")
        self._pending = self.run_worker(self._send(parent, rows), group="send", exclusive=True)

    async def _send(self, parent: int | None, rows: list[Any] | None) -> None:
        from workbench.worker.protocol import Submit

        app = self.workbench
        prompt = self.area.text
        try:
            values: dict[str, Any] = dict(self.form.values())
            expected, seed = values.pop(EXPECT, ""), values.pop(SEED, "0")
            params = await asyncio.to_thread(_params, self.experiment, values, prompt, self.chat, rows)
            if parent is None and self._base and self._base[0] == prompt:
                parent = self._base[1]
            self._asked_prompt = prompt
            self._say_pending()
            self.result.focus()
            submit = Submit(
                session=str(app.session_path()), experiment=self.experiment, params=params, edits=app.edits.on(),
                seed=_seed(seed), expected=expected, parent=parent, origin="tui",
            )  # fmt: skip
            answer = await app.request(submit)
        except UserError as error:
            self._pending = None
            self.result.say(partial(marked, str(error)))
            return
        finally:
            self._pending = None
        if self._base is None or self._base[0] != prompt:
            self._base = (prompt, answer.step)
        app.remember_prompt(prompt)
        for field in self.form.fields:
            if field.field.name == EXPECT:
                field.set("")
        self.result.show(answer.step)
        if self.experiment == "why" and app.screen is self:
            app.show("why").show_step(answer.step)  # it has a screen of its own
        app.feed.hint()

    def _say_pending(self) -> None:
        """What was asked waits: for what, and how long."""
        link = self.workbench.link
        words = "asking the worker"
        if link and trouble(link):
            words = f"waiting: {trouble(link)}"
        elif link and not ready(link):
            words = f"queued: {stage(link)} · Ctrl+C takes it back"
        asked = shorten(safe(self._asked_prompt), 60)
        what = f"{self.experiment} '{asked}'\n"
        self.result.say(lambda colors: Text.assemble((what, colors.strong), (words, colors.second)))

    def cancel_own(self) -> bool:
        if self._pending:
            self._pending.cancel()
            self._pending = None
            self.result.say(lambda colors: Text("taken back before it was asked", colors.second))
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
        self._look.after(event.snapshot)


def _experiments() -> dict[str, Experiment]:
    from workbench.experiments import experiments

    return experiments()


def _form_fields(experiment: Experiment) -> list[Field]:
    """The experiment's own, then what every run takes."""
    from workbench.params import Field, fields

    expect = Field(
        name=EXPECT, type="str", default="", example="Paris, clearly", more=False,
        help="what you expect, written before the result: the timeline shows both",
    )  # fmt: skip
    seed = Field(name=SEED, type="int", default=0, help="for what is random: sampling, controls", more=True)
    own = list(fields(experiment.params))
    return [*[field for field in own if not field.more], expect, *[field for field in own if field.more], seed]


def _params(name: str, values: dict[str, Any], prompt: str, chat: bool, rows: list[Any] | None) -> dict[str, Any]:
    """Validated, as plain data. Raises UserError naming the field."""
    from pathlib import Path

    from workbench.datasets.prompts import read_prompts
    from workbench.experiments import experiment
    from workbench.params import fields, make_params, params_builtins

    found = experiment(name)
    known = {field.name: field for field in fields(found.params)}
    for key, field in known.items():
        if field.type == "list" and isinstance(values.get(key), str):
            values[key] = [part.strip() for part in values[key].split(",") if part.strip()]
        if field.type == "bool" and isinstance(values.get(key), str):
            values[key] = values[key] == "on"
    if "prompts" in values:
        values["prompts"] = read_prompts(Path(values["prompts"]).expanduser())
    elif rows:
        values["prompts"] = rows
    if "prompt" in known and not values.get("prompts"):
        values["prompt"] = prompt
    if "chat" in known:
        values["chat"] = chat
    return params_builtins(make_params(found.params, values))


def _seed(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UserError(f"seed: a whole number is expected, such as {number(1)}, not {text!r}") from None


def tokenization(snapshot: Snapshot) -> str:
    """`6 tokens (no BOS)`, as the experiment noted it under its views."""
    for shown in snapshot.views:
        note = getattr(shown.view, "note", "")
        if match := re.match(r"[\d,]+ tokens?\b[^;·]*", note):
            return safe(match[0].strip())
    return ""


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
