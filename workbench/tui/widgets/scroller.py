"""Running text that is longer than the screen."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType
from textual.containers import VerticalScroll

from workbench.tui import keys


class Scroller(VerticalScroll, can_focus=True, inherit_bindings=False):
    BINDINGS: ClassVar[list[BindingType]] = list(keys.SCROLL)
    DEFAULT_CSS = """
    Scroller { height: 1fr; padding: 1 2; }
    Scroller Static { height: auto; }
    """
