"""One line to type into, above the lower one: a filter, an address, a factor; with completions and errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.events import Key
from textual.widget import Widget
from textual.widgets import Input

from workbench.errors import GrammarError, UserError
from workbench.index.completion import Completion
from workbench.text import fit, safe, shorten, width
from workbench.tui import keys
from workbench.tui.theme import ink
from workbench.tui.widgets.field import Field
from workbench.tui.widgets.words import MakeText, Words

if TYPE_CHECKING:
    from workbench.tui.page import Page

SHOWN_AT_ONCE = 7
"""completions shown at once"""


def _nothing(text: str) -> list[Completion]:
    return []


def _silence(text: str) -> str:
    return ""


class InputRequest(NamedTuple):
    """What the user is asked to type. `done` is called with it; its UserError is shown, and the line stays open."""

    label: str
    done: Callable[[str], None]
    value: str = ""
    hint: str = ""
    complete: Callable[[str], Sequence[Completion]] = _nothing
    check: Callable[[str], str] = _silence
    """words about what is typed so far; raises GrammarError"""
    must_choose: bool = False
    """Enter takes the completion under the cursor, not what is typed"""
    select: bool = False
    """the first key typed replaces `value`"""


def _indented(words: str, style_name: str) -> MakeText:
    return lambda colors: Text("  " + words, getattr(colors, style_name))


class Completions(Widget):
    """The completions, and above them the caret or the words about what is typed."""

    DEFAULT_CSS = "Completions { height: auto; }"

    def __init__(self) -> None:
        super().__init__()
        self.items: list[Completion] = []
        self.cursor = 0
        self._make_text: MakeText | None = None

    def show(self, make_text: MakeText | None, items: Sequence[Completion]) -> None:
        self._make_text, self.items, self.cursor = make_text, list(items), 0
        self.refresh(layout=True)

    def move(self, by: int) -> None:
        if self.items:
            self.cursor = max(0, min(self.cursor + by, len(self.items) - 1))
            self.refresh()

    def render(self) -> Text:
        colors = ink(self.app)
        lines = [self._make_text(colors)] if self._make_text else []
        first = max(0, min(self.cursor - SHOWN_AT_ONCE // 2, len(self.items) - SHOWN_AT_ONCE))
        names = max((width(completion.shown) for completion in self.items), default=0)
        for at, completion in enumerate(self.items[first : first + SHOWN_AT_ONCE], first):
            under_cursor = at == self.cursor
            line = Text.assemble(
                ("▌ " if under_cursor else "  ", colors.accent),
                (fit(safe(completion.shown), min(names, 40)), colors.strong if under_cursor else colors.plain),
                (f"  {safe(completion.help)}" if completion.help else "", colors.quiet),
            )
            if at == first + SHOWN_AT_ONCE - 1 and first + SHOWN_AT_ONCE < len(self.items):
                line.append("  …", colors.quiet)
            line.truncate(self.size.width or 80, overflow="ellipsis")
            lines.append(line)
        return Text("\n").join(lines)


class AskField(Field):
    """Over a slow line many keys come at once. Keys that Textual had already queued for this field when an Enter closed
    it are forwarded to the widget that has the focus then, before any later key."""

    async def _on_key(self, event: Key) -> None:
        ask: Ask = self.parent.parent  # type: ignore[union-attr, assignment]
        if ask.is_open and event.key != "enter":
            await super()._on_key(event)
            return
        event.stop()
        event.prevent_default()
        if ask.is_open:
            ask.submit()
        elif not await self.app._check_bindings(event.key, priority=True):  # as the app does with a key
            focused = self.screen.focused
            if focused not in (None, self):
                focused._forward_event(Key(event.key, event.character))


class Ask(Vertical):
    """Hidden until there is a request; Enter answers, Esc leaves."""

    DEFAULT_CSS = """
    Ask { height: auto; dock: bottom; margin-bottom: 1; padding: 0 1; display: none; background: $background; }
    Ask.open { display: block; }
    Ask > Horizontal { height: 1; }
    Ask Static { width: auto; height: 1; color: $quiet; }
    Ask Field { width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = list(keys.ASK)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.request: InputRequest | None = None
        self._completed_for = ""
        """what was typed when the completions were last computed"""

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Words(id="label")
            yield AskField()
        yield Completions()

    @property
    def field(self) -> Field:
        return self.query_one(Field)

    @property
    def completions(self) -> Completions:
        return self.query_one(Completions)

    @property
    def is_open(self) -> bool:
        return self.request is not None

    def ask(self, request: InputRequest) -> None:
        """Open the line for this request."""
        self.request = request
        self.query_one("#label", Words).show(lambda colors: Text(request.label + " ", colors.strong))
        self.field.placeholder = request.hint
        with self.field.prevent(Input.Changed):
            self.field.value = request.value
        self.field.cursor_position = len(request.value)
        if request.select:
            self.field.select_all()
        self.add_class("open")
        self.screen.set_focus(self.field)  # at once: `focus()` would leave the next key where it was
        self._update()

    def close(self) -> None:
        """Also returns the focus to the screen's main widget."""
        self.request = None
        self.remove_class("open")
        page: Page = self.screen  # type: ignore[assignment]
        page.set_focus(page.default_focus())
        page.refresh_frame()

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self._update()

    def _update(self) -> None:
        """Checks what is typed so far, and shows the result and the completions."""
        if self.request is None:
            return
        typed = self._completed_for = self.field.value
        items = self.request.complete(typed[: self.field.cursor_position])
        make_text: MakeText | None = None
        try:
            if words := safe(self.request.check(typed)).strip():
                make_text = _indented(words, "quiet")
        except GrammarError as error:
            unfinished = error.position >= len(typed) - len(typed.split(" ")[-1])
            make_text = None if unfinished and items else self.pointing(error, "quiet" if unfinished else "bad")
        except UserError as error:
            make_text = _indented(safe(str(error)), "bad")
        if self.request is not None:  # the check may have been the answer
            had_items, page = bool(self.completions.items), self.screen
            self.completions.show(make_text, items)
            if had_items is not bool(items):  # keys for choosing come or go
                page.refresh_frame()  # type: ignore[attr-defined]

    def pointing(self, error: GrammarError, style_name: str) -> MakeText:
        """The caret under the character, with the problem beside it."""
        before = width(self.request.label if self.request else "") + 1 + error.position
        room = max(20, self.app.size.width - 2)  # the screen's: its own is not known before it was laid out
        problem = safe(error.problem)
        text = " " * before + "^ " + problem
        if width(text) > room:  # the words get a line of their own
            text = f"{' ' * min(before, room - 1)}^\n  {shorten(problem, room - 2)}"
        return lambda colors: Text(text, getattr(colors, style_name), no_wrap=True)

    def submit(self) -> None:
        """Enter: the answer, as it stands in the field."""
        request = self.request
        if request is None:
            return
        value = self.field.value
        if value != self._completed_for:
            self._update()
        if request.must_choose and self.completions.items:
            value = self.completions.items[self.completions.cursor].text
        try:
            request.done(value)
        except GrammarError as error:
            self.completions.show(self.pointing(error, "bad"), [])
        except UserError as error:
            self.completions.show(_indented(safe(str(error)), "bad"), [])
        else:
            if self.request is request:
                self.close()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return bool(self.completions.items)

    def action_complete(self) -> None:
        """Take the completion under the cursor."""
        if self.completions.items:
            chosen = self.completions.items[self.completions.cursor].text
            rest = self.field.value[self.field.cursor_position :]
            self.field.value = chosen + rest
            self.field.cursor_position = len(chosen)

    def action_choose(self, by: int) -> None:
        self.completions.move(by)
