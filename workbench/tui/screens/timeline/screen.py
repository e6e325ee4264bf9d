"""What was asked, in its order and with its branches; every result as it was."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Input, Static

from workbench.errors import UserError
from workbench.text import safe
from workbench.tui import keys
from workbench.tui.page import Page
from workbench.tui.pages import page_of
from workbench.tui.screens.timeline.step_list import StepList, steps_words
from workbench.tui.theme import ink
from workbench.tui.widgets.field import Field
from workbench.tui.widgets.frame import Rule
from workbench.tui.widgets.result import ResultPane

if TYPE_CHECKING:
    from textual.timer import Timer

    from workbench.session.records import StepRecord
    from workbench.worker.protocol import Message

_FOLLOW = 0.15
"""seconds that the cursor rests on a step until its result is shown"""
_ON_A_STEP = frozenset({"history", "note", "again", "fork", "compare", "copy", "save"})
_WITH_A_WORKER = frozenset({"again", "fork"})
_BESIDE = 150
"""cells from which list and result stand side by side"""


class Timeline(Page):
    NAME = "Timeline"
    ABOUT = (
        "The timeline holds every step of a session, as a tree: what was forked or followed hangs under what it came "
        "from. Up and down go through the tree, ← and → through history as it happened; below (or beside) is the "
        "result as it was, with what you expected of it. A replay is the same screen without worker or model."
    )
    AUTO_FOCUS = "StepList"
    DEFAULT_CSS = """
    Timeline #both { layout: vertical; height: 1fr; }
    Timeline.beside #both { layout: horizontal; }
    Timeline #steps { height: auto; width: 1fr; }
    Timeline #steps StepList { height: auto; max-height: 40vh; }
    Timeline ResultPane { height: 1fr; width: 1fr; padding-top: 1; }
    Timeline.beside #steps { height: 1fr; }
    Timeline.beside #steps StepList { height: 1fr; max-height: 100%; }
    Timeline.beside ResultPane { padding-top: 0; }
    Timeline.beside #between { display: none; }
    Timeline #divider { display: none; width: 1; height: 1fr; color: $line; }
    Timeline.beside #divider { display: block; }
    Timeline.zoomed #steps, Timeline.zoomed #between, Timeline.zoomed #divider { display: none; }
    Timeline .asks { display: none; height: 1; padding: 0 2; }
    Timeline .asks Static { width: auto; color: $quiet; margin-right: 1; }
    Timeline .asks Field { width: 1fr; }
    Timeline .asks.shown { display: block; layout: horizontal; }
    Timeline #unmatched { display: none; padding: 0 2; height: auto; color: $quiet; }
    Timeline #nothing { display: none; padding: 1 2; height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = list(keys.TIMELINE)

    def __init__(self) -> None:
        super().__init__()
        self._goal: int | None = None
        """a step to go to as soon as it is there"""
        self._note_step: int | None = None
        self._following: Timer | None = None

    def body(self) -> ComposeResult:
        yield Static("No step yet: Esc, then Enter asks the first question, and it begins a session.", id="nothing")
        with Horizontal(id="both"):
            with Vertical(id="steps"):
                with Horizontal(id="filter", classes="asks"):
                    yield Static("filter")
                    yield Field(placeholder="words of experiment, prompt, edits, result or notes; Esc shows all again")
                yield Static("no step has all of these words; Esc shows all again", id="unmatched")
                yield StepList()
                with Horizontal(id="note", classes="asks"):
                    yield Static("note")
                    yield Field(placeholder="what you want to remember of this step; Enter keeps it, Esc does not")
            yield Rule("", id="between")
            yield Divider(id="divider")
            yield ResultPane()

    def heading(self) -> tuple[Text, Text]:
        app, colors = self.workbench, ink(self.app)
        left = Text.assemble((self.NAME, colors.strong))
        if app.feed.path:
            left.append(
                f" · {safe(app.session_title)} · {steps_words(self.lines.steps, self.lines.total)}", colors.quiet
            )
        if app.link is None:
            return left, Text("replay, no model", colors.second)
        return left, app.subject(session=False)

    @property
    def lines(self) -> StepList:
        return self.query_one(StepList)

    @property
    def result(self) -> ResultPane:
        return self.query_one(ResultPane)

    def default_focus(self) -> Widget:
        return self.lines

    def on_mount(self) -> None:
        self._filter.on_text_change = lambda: self.lines.narrow(self._filter.value)
        self._update_empty()
        self.lines.reread()

    def on_resize(self) -> None:
        self.set_class(self.size.width >= _BESIDE, "beside")

    def worker_changed(self) -> None:
        self.result.restate()

    def session_changed(self) -> None:
        if self.is_mounted:
            self.lines.reread()
            self.result.reread()
            self._update_empty()
            self.refresh_frame()

    def session_swapped(self) -> None:
        if self.is_mounted:
            self.result.show(None)
            self.show_all()
            self.lines.restart()

    def _update_empty(self) -> None:
        """An empty timeline says how it gets its first step."""
        empty = not self.lines.count and self.workbench.feed.path is None
        if self.query_one("#nothing").display is not empty:
            self.query_one("#nothing").display = empty
            self.query_one("#both").display = not empty
        self.query_one("#unmatched").display = self._is_unmatched

    @property
    def _is_unmatched(self) -> bool:
        """Whether words narrow the list to nothing."""
        return bool(self._filter.value) and not self.lines.count

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in _ON_A_STEP and self.lines.current is None:
            return False
        if action in _WITH_A_WORKER and self.workbench.link is None:
            return False
        return super().check_action(action, parameters)

    @on(ResultPane.Shown)
    def _result_shown(self) -> None:
        self.refresh_frame()  # it has keys for what could follow

    # --- moving ---

    @on(StepList.Moved)
    def _moved(self, event: StepList.Moved) -> None:
        tree = self.lines.steps
        if self._goal is not None and self._goal in tree.place:
            goal, self._goal = self._goal, None
            self.lines.move_to(tree.place[goal], notify=False)
        if self._following:
            self._following.stop()
        # A held key goes through the list without waiting for results that nobody sees.
        wait = _FOLLOW if self.result.step is not None else 0.001
        self._following = self.set_timer(wait, lambda: self.result.show(self.lines.current))
        self._update_empty()
        self.refresh_frame()  # it counts the steps

    @on(StepList.Opened)
    def _opened(self) -> None:
        self.action_open()

    def go_to(self, step: int) -> None:
        """The cursor to this step, now or as soon as the list has read it."""
        if self.is_mounted and step in self.lines.steps.place:
            self.lines.move_to(self.lines.steps.place[step])
        else:
            self._goal = step
            if self.is_mounted:
                self.show_all()

    def action_history(self, by: int) -> None:
        import bisect

        history, step = self.lines.steps.history, self.lines.current
        if step is not None:
            at = bisect.bisect_left(history, step) + by
            if 0 <= at < len(history):
                self.lines.move_to(self.lines.steps.place[history[at]])

    def action_open(self) -> None:
        """The result alone on the screen, a `why` on its own screen; Esc brings the list back."""
        step = self.lines.current
        row = self.lines.row_of(step) if step is not None else None
        if row is not None and row.experiment == "why":
            self.workbench.show("why").show_step(row.id)
        elif step is not None:
            self.add_class("zoomed")
            self.result.focus()

    # --- narrowing ---

    @property
    def _filter(self) -> Field:
        return self.query_one("#filter Field", Field)

    def action_filter(self) -> None:
        self.query_one("#filter").add_class("shown")
        self._filter.focus()

    @on(Input.Submitted, "#filter Field")
    async def _narrowed(self, event: Input.Submitted) -> None:
        event.stop()
        await self.leave_field()

    def show_all(self) -> None:
        """No words narrow the list any more."""
        self._filter.value = ""
        self.query_one("#filter").remove_class("shown")

    def _narrow(self, words: str) -> None:
        self.query_one("#filter").add_class("shown")
        self._filter.fill(words)

    def field_keys(self) -> list[tuple[str, str]]:
        if self.focused is self._filter:
            return [("Enter", "to the list"), ("Esc", "all steps again" if self._is_unmatched else "to the list")]
        return super().field_keys()

    def leave(self) -> bool:
        in_list = not self.has_class("zoomed") and self.focused is not self.result
        if self._is_unmatched or (self._filter.value and in_list):
            words = self._filter.value
            self.show_all()
            self.removed(f"filter '{words}' removed", f"filter '{words}'", partial(self._narrow, words))
            return True
        if self.has_class("zoomed") or self.focused is self.result:
            self.remove_class("zoomed")
            self.lines.focus()
            return True
        return False

    # --- notes ---

    def action_note(self) -> None:
        if self.workbench.link is None:
            self.say("this is a replay: notes are written in the workbench itself", bad=True)
        elif self.lines.current is not None:
            self._note_step = self.lines.current
            self.query_one("#note").add_class("shown")
            self.query_one("#note Field", Field).focus()

    @on(Input.Submitted, "#note Field")
    async def _write_note(self, event: Input.Submitted) -> None:
        from workbench.worker.protocol import Note

        if event.value.strip() and await self._request(
            Note(session=str(self.workbench.feed.path), step=self._note_step, text=event.value.strip())
        ):
            self.say(f"noted on step {self._note_step}")
        event.input.value = ""
        await self.leave_field()

    async def leave_field(self) -> None:
        self.query_one("#note").remove_class("shown")
        if self.focused is self._filter and self._is_unmatched:
            self.show_all()
        if not self._filter.value:
            self.query_one("#filter").remove_class("shown")
        self.lines.focus()

    # --- again ---

    async def _request(self, message: Message) -> bool:
        try:
            await self.workbench.request(message)
        except UserError as error:
            self.say(str(error), bad=True)
            return False
        self.workbench.feed.hint()
        return True

    async def _record(self) -> StepRecord | None:
        step = self.lines.current
        if step is None:
            return None
        try:
            return await self.workbench.feed.read(lambda reader: reader.step(step))
        except UserError as error:
            self.say(str(error), bad=True)
            return None

    def action_again(self) -> None:
        self.run_worker(self._again(), group="again")

    async def _again(self) -> None:
        """The same experiment, parameters, edits and seed, as a branch of this step."""
        from workbench.edits import Edit, check_replayable
        from workbench.views import from_builtins

        record = await self._record()
        if record is None:
            return
        try:
            edits: list[Edit] = from_builtins(record.edits, as_type=list[Edit])
            check_replayable(edits)
            step = await self.workbench.submit(
                record.experiment, record.params, edits, seed=record.seed, parent=record.id, again=True
            )
        except (UserError, ValueError) as error:
            self.say(str(error), bad=True)
            return
        self.say("")
        self.go_to(step)

    async def action_fork(self) -> None:
        record = await self._record()
        if record is not None:
            self.workbench.show(page_of(record.experiment)).fill(record)

    # --- comparing ---

    def action_compare(self) -> None:
        lines, step = self.lines, self.lines.current
        if step is None:
            return
        row = lines.row_of(step)
        if lines.marked is None:
            lines.marked = step
            parent = f", or d again for step {row.parent}, where it comes from" if row and row.parent else ""
            self.say(f"step {step} is marked: go to another and press d{parent}")
        else:
            first, lines.marked = lines.marked, None
            if first == step:
                first = row.parent if row and row.parent else 0
            self.say("")
            if first:
                self.workbench.show("compare").show_steps(min(first, step), max(first, step))
        lines.forget_all()

    async def action_copy(self) -> None:
        await self.result.action_copy()

    def action_save(self) -> None:
        self.result.action_save()


class Divider(Widget):
    """The one thin line, upright."""

    def render(self) -> Text:
        return Text("\n".join("│" * self.size.height), ink(self.app).line)
