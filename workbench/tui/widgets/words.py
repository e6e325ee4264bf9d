"""Words in the theme's colours: kept is how they are said, so that another theme says them anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.text import Text
from textual.widgets import Static

from workbench.text import safe
from workbench.tui.theme import Ink, ink

Say = Callable[[Ink], Text]
"""makes the words with the colours there are now: a Text that is kept would keep the theme it was made in"""


class Words(Static):
    """A Static whose text is made whenever the theme is another one. `tell` is its `update`."""

    def __init__(self, **given: Any) -> None:
        super().__init__("", **given)
        self._say: Say = lambda colors: Text()
        self._said: Text | None = None
        self._ink: Ink | None = None

    def tell(self, say: Say, layout: bool = True) -> None:
        """Say this from now on. `layout` is False where the widget's size does not hang on it."""
        self._say, self._ink = say, ink(self.app)
        said = say(self._ink)
        if self._said is None or not same_text(said, self._said):  # what says nothing new repaints nothing
            self._said = said
            self.update(said, layout=layout)

    def notify_style_update(self) -> None:
        super().notify_style_update()
        if self._ink is not None and self._ink is not ink(self.app):
            self.tell(self._say)


def same_text(one: Text, other: Text) -> bool:
    """Nothing that is seen differs."""
    return one.plain == other.plain and one.spans == other.spans and one.style == other.style


def marked(sentence: str, colors: Ink) -> Text:
    """`! what went wrong`, as an error stands where a result would."""
    return Text("! ", colors.bad) + Text(safe(sentence, newlines=True), colors.plain)
