"""What this screen is, the keys that work on it with the names to set them by, and how units are written."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widget import Widget

from workbench.methods import section
from workbench.text import fit, width
from workbench.tui import keys
from workbench.tui.glossary import Glossary
from workbench.tui.page import Page
from workbench.tui.screens.help.active_keys import Group, KeyLine, active_keys
from workbench.tui.theme import Ink
from workbench.tui.widgets.scroller import Scroller
from workbench.tui.widgets.words import Words

WORDS = "words and numbers here"


class Help(Page):
    NAME = "Help"
    ABOUT = "This page: what the screen you came from is, and its keys. Esc leads back."
    AUTO_FOCUS = "Scroller"
    BINDINGS: ClassVar[list[BindingType]] = list(keys.HELP)

    def __init__(self) -> None:
        super().__init__()
        self._described: Page = self
        self._typing = False
        """it was called from inside a field"""
        self._groups: list[Group] = []
        self._glossary = Glossary()

    def body(self) -> ComposeResult:
        with Scroller():
            yield Words(id="text")

    def details(self) -> str:
        return f" · {self._described.NAME}"

    def default_focus(self) -> Widget:
        return self.query_one(Scroller)

    def describe(self, page: Page) -> None:
        """`page` as it is now, before this one covers it."""
        self._described, self._typing, self._groups = page, page.typing, active_keys(page)
        self._glossary = page.glossary()
        if self.is_mounted:
            self._show_text()

    def action_methods(self) -> None:
        self.workbench.show("methods")

    def on_mount(self) -> None:
        self._show_text()

    def on_resize(self) -> None:
        self._show_text()

    def _show_text(self) -> None:
        self.query_one(Scroller).scroll_home(animate=False)
        self.query_one("#text", Words).show(self._text)

    def _text(self, colors: Ink) -> Text:
        text = Text()
        text.append(self._described.ABOUT + "\n", colors.plain)
        if self._typing:
            text.append(
                "\nA field takes every letter for itself: Esc leaves it, then letters are keys.\n", colors.plain
            )
        for group in self._groups:
            text.append(f"\n{group.title}\n", colors.strong)
            self._keys(text, group.lines, colors)
        self._words(text, colors)
        text.append("\nunits and edits\n", colors.strong)
        text.append(_units(), colors.quiet)
        text.append("\nOther keys: the settings file takes [keys] with the names on the right, ", colors.quiet)
        return text.append("such as help = 'f1,question_mark'.", colors.quiet)

    def _words(self, text: Text, colors: Ink) -> None:
        """What the words on the screen mean, and where they are defined in full."""
        from workbench.drawing.layout import wrap  # brings numpy, which no other screen waits for

        text.append(f"\n{WORDS}\n", colors.strong)
        cells = max(60, self.size.width - 6)
        margin = max((width(word) for word, _ in self._glossary.words), default=0) + 2
        for word, meaning in self._glossary.words:
            text.append("  " + fit(word, margin), colors.accent)
            text.append(f"\n{' ' * (2 + margin)}".join(wrap(meaning, cells - 2 - margin)) + "\n", colors.plain)
        text.append("  m on this page: how each number is defined, and in which paper\n", colors.quiet)
        for name in self._glossary.sections:
            sources = [paragraph for paragraph in section(name).paragraphs if paragraph.startswith("Source: ")]
            for line in wrap(" · ".join([name, *sources]), cells - 4):
                text.append(f"    {line}\n", colors.quiet)

    def _keys(self, text: Text, lines: list[KeyLine], colors: Ink) -> None:
        from workbench.drawing.layout import wrap  # brings numpy, which no other screen waits for

        cells = max(60, self.size.width - 6)
        # No column is wider than what is in it: in a narrow terminal the words in the middle need the room.
        first = min(20, max(width(line.keys) for line in lines) + 2)
        last = max(width(line.name) for line in lines) + 2
        for line in lines:
            key_text = fit(line.keys, max(first, width(line.keys) + 2))  # rather out of line than cut
            text.append("  " + key_text, colors.accent)
            room = cells - 2 - width(key_text) - last
            tip, *further = wrap(line.does, room)
            text.append(fit(tip, room), colors.plain)
            text.append(f"  {line.name}\n", colors.quiet)
            for part in further:
                text.append(" " * (2 + width(key_text)) + part + "\n", colors.plain)


def _units() -> str:
    from workbench.units import written_forms

    return "\n".join(f"  {line}" for line in written_forms()) + "\n"
