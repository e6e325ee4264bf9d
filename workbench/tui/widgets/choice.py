"""A word out of a few: on or off, or which experiment. All are seen where there is room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual.binding import BindingType
from textual.events import Click
from textual.geometry import Size
from textual.message import Message
from textual.widget import Widget

from workbench.tui import keys
from workbench.tui.theme import ink


class Choice(Widget, can_focus=True):
    """← → or Space turn it; the chosen word is bold and marked."""

    DEFAULT_CSS = "Choice { height: 1; width: auto; }"
    BINDINGS: ClassVar[list[BindingType]] = list(keys.CHOICE)

    class Changed(Message):
        def __init__(self, choice: Choice, value: str) -> None:
            super().__init__()
            self.choice, self.value = choice, value

        @property
        def control(self) -> Choice:
            return self.choice

    def __init__(self, words: Sequence[str], value: str, **options: Any) -> None:
        super().__init__(**options)
        self.words = list(words)
        self.value = value

    def set(self, value: str, notify: bool = False) -> None:
        """The chosen word."""
        if value in self.words and value != self.value:
            self.value = value
            self.refresh(layout=True)
            if notify:
                self.post_message(self.Changed(self, value))

    def action_turn(self, by: int) -> None:
        at = self.words.index(self.value) if self.value in self.words else 0
        self.set(self.words[(at + by) % len(self.words)], notify=True)

    def on_click(self, event: Click) -> None:
        self.action_turn(1)

    def render(self) -> Text:
        colors = ink(self.app)
        text = Text(no_wrap=True)
        first, last = self._window(self.size.width)
        text.append("… " if first else "", colors.quiet)
        for at, word in enumerate(self.words[first:last]):
            chosen = word == self.value
            text.append("  " if at else "")
            text.append("▌" if chosen else " ", colors.accent)
            text.append(word, colors.strong if chosen else colors.quiet)
        text.append(" …" if last < len(self.words) else "", colors.quiet)
        if self.has_focus:
            text.stylize(colors.cursor)
            text.append(" ← →", colors.quiet)
        return text

    def _window(self, cells: int) -> tuple[int, int]:
        """Which words are shown: the chosen one, and its neighbours for as long as there is room."""
        if self._natural_width() <= cells or self.value not in self.words:
            return 0, len(self.words)
        first = self.words.index(self.value)
        last, cells_left = first + 1, cells - len(self.value) - 12
        while True:
            before = len(self.words[first - 1]) + 3 if first else cells_left + 1
            after = len(self.words[last]) + 3 if last < len(self.words) else cells_left + 1
            if min(before, after) > cells_left:
                return first, last
            if before <= cells_left:
                first, cells_left = first - 1, cells_left - before
            else:
                last, cells_left = last + 1, cells_left - after

    def get_content_width(self, container: Size, viewport: Size) -> int:
        return self._natural_width()

    def _natural_width(self) -> int:
        return sum(len(word) + 3 for word in self.words) + 4
