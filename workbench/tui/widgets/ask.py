"""One line to type into, above the lower one: a filter, an address, a factor; with ways to go on and what is wrong."""

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
from workbench.tui.widgets.words import Say, Words

if TYPE_CHECKING:
    from workbench.tui.page import Page

MOST = 7
"""completions shown at once"""


def _nothing(text: str) -> list[Completion]:
    return []


def _silence(text: str) -> str:
    return ""


class Wanted(NamedTuple):
    """What is asked for. `done` may raise UserError: then the line stays open and says so."""

    label: str
    done: Callable[[str], None]
    value: str = ""
    hint: str = ""
    complete: Callable[[str], Sequence[Completion]] = _nothing
    check: Callable[[str], str] = _silence
    """words about what is typed so far; raises GrammarError"""
    must_choose: bool = False
    """Enter takes the completion under the cursor, not what is typed"""
    anew: bool = False
    """the first key typed replaces `value`"""


def _indented(words: str, look: str) -> Say:
    return lambda colors: Text("  " + words, getattr(colors, look))


class Ways(Widget):
    """Ways to go on, and above them the caret or the words."""

    DEFAULT_CSS = "Ways { height: auto; }"

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Completion] = []
        self.cursor = 0
        self._say: Say | None = None

    def show(self, say: Say | None, found: Sequence[Completion]) -> None:
        self._say, self.found, self.cursor = say, list(found), 0
        self.refresh(layout=True)

    def move(self, by: int) -> None:
        if self.found:
            self.cursor = max(0, min(self.cursor + by, len(self.found) - 1))
            self.refresh()

    def render(self) -> Text:
        colors = ink(self.app)
        lines = [self._say(colors)] if self._say else []
        first = max(0, min(self.cursor - MOST // 2, len(self.found) - MOST))
        names = max((width(one.shown) for one in self.found), default=0)
        for at, one in enumerate(self.found[first : first + MOST], first):
            here = at == self.cursor
            line = Text.assemble(
                ("▌ " if here else "  ", colors.accent),
                (fit(safe(one.shown), min(names, 40)), colors.strong if here else colors.plain),
                (f"  {safe(one.help)}" if one.help else "", colors.quiet),
            )
            if at == first + MOST - 1 and first + MOST < len(self.found):
                line.append("  …", colors.quiet)
            line.truncate(self.size.width or 80, overflow="ellipsis")
            lines.append(line)
        return Text("\n").join(lines)


class AskField(Field):
    """Over a slow line many keys come at once. Those that were given to the field before an Enter had closed it go on
    to what has the focus then, before any that came later: nobody waits for a screen."""

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
    """Hidden until something is wanted; Enter answers, Esc leaves."""

    DEFAULT_CSS = """
    Ask { height: auto; dock: bottom; margin-bottom: 1; padding: 0 1; display: none; background: $background; }
    Ask.open { display: block; }
    Ask > Horizontal { height: 1; }
    Ask Static { width: auto; height: 1; color: $quiet; }
    Ask Field { width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = list(keys.ASK)

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.wanted: Wanted | None = None
        self._looked = ""
        """what was typed when the ways to go on were last looked for"""

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Words(id="label")
            yield AskField()
        yield Ways()

    @property
    def field(self) -> Field:
        return self.query_one(Field)

    @property
    def ways(self) -> Ways:
        return self.query_one(Ways)

    @property
    def is_open(self) -> bool:
        return self.wanted is not None

    def ask(self, wanted: Wanted) -> None:
        """Open the line for this."""
        self.wanted = wanted
        self.query_one("#label", Words).tell(lambda colors: Text(wanted.label + " ", colors.strong))
        self.field.placeholder = wanted.hint
        with self.field.prevent(Input.Changed):
            self.field.value = wanted.value
        self.field.cursor_position = len(wanted.value)
        if wanted.anew:
            self.field.select_all()
        self.add_class("open")
        self.screen.set_focus(self.field)  # at once: `focus()` would leave the next key where it was
        self._look()

    def close(self) -> None:
        """The focus goes back to where it rests."""
        self.wanted = None
        self.remove_class("open")
        page: Page = self.screen  # type: ignore[assignment]
        page.set_focus(page.rest())
        page.refresh_frame()

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self._look()

    def _look(self) -> None:
        """What is typed so far: right or wrong, and ways to go on."""
        if self.wanted is None:
            return
        typed = self._looked = self.field.value
        found = self.wanted.complete(typed[: self.field.cursor_position])
        say: Say | None = None
        try:
            if words := safe(self.wanted.check(typed)).strip():
                say = _indented(words, "quiet")
        except GrammarError as error:
            unfinished = error.position >= len(typed) - len(typed.split(" ")[-1])
            say = None if unfinished and found else self.pointing(error, "quiet" if unfinished else "bad")
        except UserError as error:
            say = _indented(safe(str(error)), "bad")
        if self.wanted is not None:  # the check may have been the answer
            had, page = bool(self.ways.found), self.screen
            self.ways.show(say, found)
            if had is not bool(found):  # keys for choosing come or go
                page.refresh_frame()  # type: ignore[attr-defined]

    def pointing(self, error: GrammarError, look: str) -> Say:
        """The caret under the character, with the problem beside it."""
        before = width(self.wanted.label if self.wanted else "") + 1 + error.position
        room = max(20, self.size.width - 2)
        problem = safe(error.problem)
        text = " " * before + "^ " + problem
        if width(text) > room:  # the words get a line of their own
            text = f"{' ' * min(before, room - 1)}^\n  {shorten(problem, room - 2)}"
        return lambda colors: Text(text, getattr(colors, look), no_wrap=True)

    def submit(self) -> None:
        """Enter: the answer, as it stands in the field."""
        wanted = self.wanted
        if wanted is None:
            return
        value = self.field.value
        if value != self._looked:
            self._look()
        if wanted.must_choose and self.ways.found:
            value = self.ways.found[self.ways.cursor].text
        try:
            wanted.done(value)
        except GrammarError as error:
            self.ways.show(self.pointing(error, "bad"), [])
        except UserError as error:
            self.ways.show(_indented(safe(str(error)), "bad"), [])
        else:
            if self.wanted is wanted:
                self.close()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return bool(self.ways.found)

    def action_complete(self) -> None:
        """Take the way to go on that is under the cursor."""
        if self.ways.found:
            chosen = self.ways.found[self.ways.cursor].text
            rest = self.field.value[self.field.cursor_position :]
            self.field.value = chosen + rest
            self.field.cursor_position = len(chosen)

    def action_choose(self, by: int) -> None:
        self.ways.move(by)
