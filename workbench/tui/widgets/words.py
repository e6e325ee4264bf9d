"""Text in the theme's colours: a widget keeps the function that makes it, and calls that again for another theme."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.text import Text
from textual.widgets import Static

from workbench.text import safe
from workbench.tui.theme import Ink, ink

MakeText = Callable[[Ink], Text]
"""makes the words with the colours there are now: a Text that is kept would keep the theme it was made in"""


class Words(Static):
    """A Static whose text is made again when the theme changes. `show` takes the place of `update`."""

    def __init__(self, **options: Any) -> None:
        super().__init__("", **options)
        self._make_text: MakeText = lambda colors: Text()
        self._shown: Text | None = None
        self._ink: Ink | None = None

    def show(self, make_text: MakeText, layout: bool = True) -> None:
        """Shows this text from now on. `layout` is False where the widget's size does not depend on it."""
        self._make_text, self._ink = make_text, ink(self.app)
        text = make_text(self._ink)
        if self._shown is None or not same_text(text, self._shown):  # the same text repaints nothing
            self._shown = text
            self.update(text, layout=layout)

    def notify_style_update(self) -> None:
        super().notify_style_update()
        if self._ink is not None and self._ink is not ink(self.app):
            self.show(self._make_text)


def same_text(text: Text, other: Text) -> bool:
    """Nothing that is seen differs."""
    return text.plain == other.plain and text.spans == other.spans and text.style == other.style


def marked(sentence: str, colors: Ink) -> Text:
    """`! what went wrong`, as an error stands where a result would."""
    return Text("! ", colors.bad) + Text(safe(sentence, newlines=True), colors.plain)
