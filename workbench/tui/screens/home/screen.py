"""What do you want to know? The questions these experiments answer, and the sessions there are."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input, Static

from workbench.errors import UserError
from workbench.questions import QUESTIONS
from workbench.tui import keys
from workbench.tui.latest import Following
from workbench.tui.page import Page
from workbench.tui.renaming import rename_session
from workbench.tui.screens.home.blanks import Blanks
from workbench.tui.screens.home.findings import Findings
from workbench.tui.screens.home.question_line import BlankField, QuestionLine
from workbench.tui.screens.home.question_list import Questions
from workbench.tui.screens.home.session_list import SessionList
from workbench.tui.suggest import suggester
from workbench.tui.theme import ink
from workbench.tui.widgets.field import Field
from workbench.tui.widgets.frame import Rule
from workbench.tui.worker_words import model_name, ready, stage, trouble

if TYPE_CHECKING:
    from workbench.session.records import SessionSummary


_QUIET = 1.0
"""seconds between two looks into the folders of sessions, however often something changes"""


LOW = 28
"""lines under which every one is needed: no space between the parts"""
_REST, _LOW_REST = 11, 6
"""lines that the questions leave to the frame, the field that filters and three sessions"""
TALL = 48
"""lines from which there is room between the groups of questions, and for the session's last findings"""


class Home(Page):
    NAME = "Workbench"
    ABOUT = (
        "Home asks what you want to know. Each line is a question with one or two blanks that are filled already: "
        "Enter asks it as it stands, Tab goes into the blanks. Typing narrows the list by words; words that fit no "
        "question are taken as the prompt. Below are the sessions: everything ever asked, to look at again without "
        "a model."
    )
    AUTO_FOCUS = "#filter"
    DEFAULT_CSS = """
    #ask { height: 1; margin: 1 0 1 0; padding: 0 2; }
    #ask Static { width: auto; text-style: bold; }
    #filter { width: 1fr; margin-left: 2; }
    #ask #matches { width: 20; color: $quiet; text-style: none; text-align: right; }
    #sessions-rule { margin: 1 0 0 0; padding: 0 2; }
    Home.low #ask, Home.low #sessions-rule { margin: 0; }
    Home.tall QuestionLine.apart { margin-top: 1; }
    #findings { display: none; }
    Home.tall #findings { display: block; }
    #sessions-empty { height: auto; padding: 0 2; color: $quiet; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*keys.HOME, *keys.HOME_LIST]

    def __init__(self) -> None:
        super().__init__()
        self.blanks = Blanks()
        self.values = self.blanks.values
        self._cursor = 0
        self._in_sessions = False
        suggest = partial(suggester, self)
        self.questions = Questions([QuestionLine(question, self.values, suggest) for question in QUESTIONS.values()])
        self._sessions_read = Following(
            self, self._read_sessions, lambda sentence: self.trouble(self._sessions_read, sentence)
        )

    # --- what is on it ---

    def body(self) -> ComposeResult:
        with Horizontal(id="ask"):
            yield Static("What do you want to know?")
            yield Field(id="filter", placeholder="type words to narrow the list")
            yield Static("", id="matches")
        yield self.questions
        yield Rule("sessions", id="sessions-rule")
        yield Static("", id="sessions-empty")
        yield SessionList(id="sessions")
        yield Findings(id="findings")

    def heading(self) -> tuple[Text, Text]:
        app, colors = self.workbench, ink(self.app)
        right = Text(model_name(app.link), colors.quiet)
        if app.link and not ready(app.link):
            right.append(f" · {stage(app.link)}", colors.second)
        left = Text(self.NAME, colors.strong)
        if app.feed.path:
            left.append(f" · session {app.session_title}", colors.quiet)
        if words := app.edits.words():
            left.append(f" · {words}", colors.second)
        return left, right

    def state_words(self) -> Text:
        link = self.workbench.link
        if link and not ready(link) and not trouble(link) and not self.workbench.running:
            return Text("what is asked now waits for the model; sessions don't", ink(self.app).quiet)
        return super().state_words()

    @property
    def sessions(self) -> SessionList:
        return self.query_one(SessionList)

    @property
    def findings(self) -> Findings:
        return self.query_one(Findings)

    def field_keys(self) -> list[tuple[str, str]]:
        return [("Enter", "ask"), ("Tab", "fill in"), ("F2", "commands"), ("Esc", "keys")]

    def default_focus(self) -> Widget:
        return self.questions

    def on_mount(self) -> None:
        self._filter.on_text_change = self._narrow
        self._mark()

    def on_resize(self) -> None:
        height = self.size.height
        self.set_class(height < LOW, "low")
        self.set_class(height >= TALL, "tall")
        self.questions.styles.max_height = max(3, height - (_LOW_REST if height < LOW else _REST))
        self._align()
        self._share_height()

    def _share_height(self) -> None:
        """A long list of sessions leaves room for the last findings; a short one takes no more than it needs."""
        most = max(3, self.size.height // 5)
        self.sessions.styles.height = max(1, min(self.sessions.count, most)) if self.has_class("tall") else "1fr"

    def worker_changed(self) -> None:
        self.refresh_frame()

    def session_changed(self) -> None:
        self.refresh_frame()
        if self.workbench.begun:
            self._sessions_read.ask()
            self.findings.read_again()

    async def _read_sessions(self) -> None:
        from workbench.session.places import list_sessions

        self.show_sessions(await asyncio.to_thread(list_sessions))
        await asyncio.sleep(_QUIET)

    def show_sessions(self, sessions: list[SessionSummary]) -> None:
        self._fill_sessions(sessions)
        self._mark()

    def _fill_sessions(self, sessions: list[SessionSummary]) -> None:
        """Lists those that contain the typed words; where there are none, says why."""
        self.sessions.fill(sessions, "" if self.blanks.typed_prompt else self._filter.value)
        self._share_height()
        empty = self.query_one("#sessions-empty", Static)
        empty.display = not self.sessions.count
        if not sessions:
            from workbench.paths import sessions_dir
            from workbench.tui.screens.home.session_list import short_path

            where = short_path(str(sessions_dir()))
            empty.update(Text(f"none yet: the first question begins one, as a single file in {where}"))
        elif not self.sessions.count:
            empty.update(Text(f"none of {len(sessions)} has these words"))
        if self._in_sessions and not self.sessions.count:
            self._in_sessions = False

    # --- the cursor, over questions and sessions alike ---

    @property
    def _filter(self) -> Field:
        return self.query_one("#filter", Field)

    @property
    def current(self) -> QuestionLine | None:
        """The question under the cursor."""
        return None if self._in_sessions or not self.questions.shown else self.questions.shown[self._cursor]

    def _mark(self) -> None:
        for at, line in enumerate(self.questions.shown):
            under = at == self._cursor and not self._in_sessions
            if under != line.under_cursor:
                line.under_cursor = under
                line.refresh()
                if under and self.default_focus().max_scroll_y:
                    line.scroll_visible(animate=False)
        if self.sessions.active != self._in_sessions:
            self.sessions.active = self._in_sessions
            self.sessions.forget_all()

    async def action_move(self, by: int) -> None:
        await self._close_blanks()
        if self._in_sessions:
            if by < 0 and self.sessions.cursor == 0 and self.questions.shown:
                self._in_sessions = False
                self._cursor = len(self.questions.shown) - 1
            else:
                self.sessions.action_move(by)
        elif by > 0 and self._cursor == len(self.questions.shown) - 1 and self.sessions.count:
            self._in_sessions = True
            self.sessions.move_to(0)
        else:
            self._cursor = max(0, min(self._cursor + by, len(self.questions.shown) - 1))
        self._mark()

    async def action_page(self, by: int) -> None:
        if self._in_sessions:
            self.sessions.action_page(by)
        else:
            await self.action_edge(by)

    async def action_edge(self, side: int) -> None:
        await self._close_blanks()
        if self._in_sessions:
            self.sessions.action_edge(side)
        else:
            self._cursor = 0 if side < 0 else max(0, len(self.questions.shown) - 1)
        self._mark()

    # --- filtering ---

    def action_filter(self) -> None:
        self._filter.focus()

    def _narrow(self) -> None:
        chosen, typed = self.current, self._filter.value
        words = typed.strip()
        fitting = self.questions.narrow(words)
        self.blanks.type_prompt("" if fitting else typed)
        # A prompt's first letters may have fitted a question; once they are a prompt, it is what comes after it.
        self._cursor = self.questions.shown.index(chosen) if fitting and chosen in fitting else 0
        self._in_sessions = False
        self._fill_sessions(self.sessions.sessions)
        matches = f"{len(self.questions.shown)} of {len(self.questions.lines)}" if words else ""
        self.query_one("#matches", Static).update(Text(matches if fitting else "taken as the prompt"), layout=False)
        self._align()
        self._mark()

    def _align(self) -> None:
        self.questions.align(self.size.width)

    # --- filling in ---

    async def action_next_place(self) -> None:
        await self._step(1)

    async def action_previous_place(self) -> None:
        await self._step(-1)

    async def _step(self, by: int) -> None:
        """Tab's round: the field that filters, the blanks of the question under the cursor, the sessions."""
        line, focused = self.current, self.focused
        if isinstance(focused, BlankField) and line:
            fields = line.fields()
            at = fields.index(focused) + by
            if 0 <= at < len(fields):
                fields[at].focus()
                return
            await self._close_blanks()
            if by < 0 or not self.sessions.count:
                self._filter.focus()
            else:
                self._to_sessions()
        elif line and (by > 0 or focused is not self._filter or not self.sessions.count):
            await line.open(0 if by > 0 else -1)
        elif line:
            self._to_sessions()
        else:
            self._in_sessions = False
            self._mark()
            if by > 0:
                self._filter.focus()
            elif self.current:
                await self.current.open(-1)

    def _to_sessions(self) -> None:
        self._in_sessions = True
        self.default_focus().focus()
        self._mark()

    async def _close_blanks(self) -> None:
        for line in self.questions.lines:
            if line.is_open:
                if isinstance(self.focused, BlankField):
                    self.default_focus().focus()
                await line.close()
                self._align()  # what was filled in stands in the other questions too

    @on(Input.Changed, "BlankField")
    def _keep_value(self, event: Input.Changed) -> None:
        assert isinstance(event.input, BlankField)
        self.values[event.input.blank] = event.value

    async def leave_field(self) -> None:
        await self._close_blanks()
        self.default_focus().focus()

    def leave(self) -> bool:
        if words := self._filter.value:
            self._filter.value = ""
            self.removed(f"filter '{words}' removed", f"filter '{words}'", partial(self._filter.fill, words))
            return True
        return False

    # --- asking ---

    @on(Input.Submitted)
    async def _submitted(self) -> None:
        await self.action_ask()

    async def action_ask(self) -> None:
        line = self.current
        if line is None:
            if self.sessions.count:
                self.open_session(self.sessions.shown[self.sessions.cursor])
            return
        try:
            step = line.question.ask(self.values)
        except UserError as error:
            self.say(str(error), bad=True)
            return
        self.say("")
        await self._close_blanks()
        if self.blanks.typed_prompt:
            self.blanks.keep_typed_prompt()
            self._filter.value = ""
        self.workbench.ask(step)

    @on(SessionList.Opened)
    def _opened(self, event: SessionList.Opened) -> None:
        self.open_session(self.sessions.shown[event.index])

    def open_session(self, session: SessionSummary) -> None:
        if session.problem:
            self.say(session.problem, bad=True)
        else:
            self.say("")
            self.workbench.open_session(session.path)

    def on_click(self, event: object) -> None:
        widget = getattr(event, "widget", None)
        if isinstance(widget, QuestionLine) and widget in self.questions.shown:
            if widget is self.current:
                self.run_worker(self.action_ask())
            self._in_sessions, self._cursor = False, self.questions.shown.index(widget)
            self._mark()

    def action_prompt(self) -> None:
        self.workbench.show("prompt")

    async def action_rename(self) -> None:
        """The session under the cursor; on a question the one that is in use."""
        feed = self.workbench.feed
        path, title = str(feed.path) if feed.exists() else "", self.workbench.session_title
        if self._in_sessions:
            session = self.sessions.shown[self.sessions.cursor]
            if session.problem:
                self.say(session.problem, bad=True)
                return
            path, title = session.path, session.title
        if path:
            await rename_session(self, path, title)
        else:
            self.say("this session begins with its first question: it can be renamed then")

    def action_new_session(self) -> None:
        self.workbench.new_session()
        self.say("the next question begins a new session")

    def use_prompt(self, prompt: str) -> None:
        """What was last asked elsewhere fills the blanks here."""
        if self.blanks.offer_prompt(prompt):
            self._align()

    def use_direction(self, direction: str) -> None:
        """The session's newest, in blanks that nobody filled otherwise."""
        if self.blanks.offer_direction(direction):
            self._align()
