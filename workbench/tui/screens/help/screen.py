"""What this screen is, its keys with the names to set them by, and how units are written."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from workbench.text import fit, width
from workbench.tui import keys
from workbench.tui.page import Page
from workbench.tui.theme import ink
from workbench.tui.widgets.frame import key_word

_GROUPS = {
    "Workbench": ("Home", "fields"),
    "Prompt": ("Prompt", "results", "fields"),
    "Why": ("Why", "lists", "fields"),
    "Timeline": ("Timeline", "lists", "results"),
    "Edits": ("edits", "lists", "fields"),
    "Compare": ("results",),
}


class Scroller(VerticalScroll, can_focus=True):
    BINDINGS = [
        ("j", "scroll_down", ""),
        ("k", "scroll_up", ""),
        ("ctrl+d", "page_down", ""),
        ("ctrl+u", "page_up", ""),
        ("g", "scroll_home", ""),
        ("G", "scroll_end", ""),
    ]


class Help(Page):
    NAME = "Help"
    ABOUT = "This page: what the screen you came from is, and its keys. Esc leads back."
    AUTO_FOCUS = "Scroller"
    DEFAULT_CSS = """
    Help Scroller { height: 1fr; padding: 1 2; }
    Help Scroller Static { height: auto; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._of: Page = self

    def body(self) -> ComposeResult:
        with Scroller():
            yield Static("", id="text")

    def details(self) -> str:
        return f" · {self._of.NAME}"

    def rest(self) -> Widget:
        return self.query_one(Scroller)

    def describe(self, page: Page) -> None:
        self._of = page
        if self.is_mounted:
            self._tell()

    def on_mount(self) -> None:
        self._tell()

    def on_resize(self) -> None:
        self._tell()

    def _tell(self) -> None:
        self.query_one(Scroller).scroll_home(animate=False)
        colors, text = ink(self.app), Text()
        text.append(self._of.ABOUT + "\n", colors.plain)
        for name in (*_GROUPS.get(self._of.NAME, ()), "everywhere"):
            text.append(f"\n{name}\n", colors.strong)
            self._keys(text, name)
        text.append("\nunits and edits\n", colors.strong)
        text.append(_units(), colors.quiet)
        text.append("\nOther keys: the settings file takes [keys] with the names on the right, ", colors.quiet)
        text.append("such as help = 'f1,question_mark'.", colors.quiet)
        self.query_one("#text", Static).update(text)

    def _keys(self, text: Text, name: str) -> None:
        colors, cells = ink(self.app), max(60, self.size.width - 6)
        given = [self.app._keymap.get(binding.id or "", binding.key) for binding in keys.ALL[name]]
        words = [" ".join(key_word(key.strip()) for key in one.split(",")) for one in given]
        # No column is wider than what is in it: in a narrow terminal the words in the middle need the room.
        first = min(20, max(map(width, words)) + 2)
        last = max(width(binding.id or "") for binding in keys.ALL[name]) + 2
        for keys_of, binding in zip(words, keys.ALL[name], strict=True):
            text.append("  " + fit(keys_of, first), colors.accent)
            tip = fit(binding.tooltip, cells - 2 - first - last)
            text.append(tip, colors.plain)
            text.append(fit(f"  {binding.id}", max(0, cells - 2 - first - width(tip))) + "\n", colors.quiet)


def _units() -> str:
    from workbench import units

    # The module's own grammar table, without its first line: one place says what can be written.
    grammar = (units.__doc__ or "").strip().partition("\n")[2]
    return "\n".join(f"  {line}" for line in grammar.strip().splitlines()) + "\n"
