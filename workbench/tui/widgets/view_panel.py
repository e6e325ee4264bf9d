"""A view, drawn off the key path: in a thread, only the newest, again when the width or the theme changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

from workbench.text import safe
from workbench.tui.latest import Latest
from workbench.tui.theme import drawing_style, ink

if TYPE_CHECKING:
    from workbench.drawing.style import Style
    from workbench.views import AnyView

# plotext draws on a figure that belongs to its module: one drawing at a time.
_DRAWING = ThreadPoolExecutor(1, "drawing")

MakeStrips = Callable[[], tuple[list[Strip], object]]
"""draws, in the drawing thread: the lines, and what the panel needs to know of them"""


class ViewPanel(Widget):
    """Draws `view` at its own width; its height follows from the drawing."""

    DEFAULT_CSS = "ViewPanel { height: auto; width: 1fr; }"

    def __init__(self, lines: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._lines = lines
        """as many at most"""
        self.view: AnyView | None = None
        self._problem = ""
        self._strips: list[Strip] = []
        self._drawn: tuple[object, ...] = ()
        self._drawing = Latest(self, self._draw, self._failed)

    def show(self, view: AnyView | None, problem: str = "") -> None:
        """This view from now on; what is there stays until the new drawing is."""
        self.view, self._problem = view, problem
        self._drawing.ask()

    def set_lines(self, lines: int) -> None:
        """As many at most from now on."""
        if lines != self._lines:
            self._lines = lines
            self._drawing.ask()

    @property
    def drawn(self) -> bool:
        """What is seen is the newest."""
        return not self._drawing.busy and self._drawn == self._drawing_key()

    def _drawing_key(self) -> tuple[object, ...]:
        return (id(self.view), self._problem, self.size.width, self._lines, self.app.theme)

    async def _draw(self) -> None:
        key, cells, view = self._drawing_key(), self.size.width, self.view
        if key == self._drawn or cells == 0:
            return
        if view is None or self._problem:
            problem = safe(self._problem, newlines=True)
            source: object = None
            lines = [Text(line, ink(self.app).bad) for line in problem.split("\n")] if problem else []
            strips = as_strips(lines, self.app.console)
        else:
            strips, source = await asyncio.get_running_loop().run_in_executor(_DRAWING, self._maker(view, cells))
        self._drawn = key
        self._take(strips, source)

    def _maker(self, view: AnyView, cells: int) -> MakeStrips:
        return partial(_drawing, view, cells, self._lines, drawing_style(self.app), self.app.console)

    def _take(self, strips: list[Strip], source: object) -> None:
        """These lines from now on."""
        height, self._strips = len(self._strips), strips
        self.refresh(layout=len(strips) != height)

    def _failed(self, sentence: str) -> None:
        self._problem = sentence
        self._drawing.ask()

    def on_mount(self) -> None:
        self._drawing.ask()

    def on_resize(self) -> None:
        self._drawing.ask()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._drawing.ask()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return max(1, len(self._strips))

    def render_line(self, y: int) -> Strip:
        if y >= len(self._strips):
            return Strip.blank(self.size.width, self.rich_style)
        return self._strips[y].adjust_cell_length(self.size.width).apply_style(self.rich_style)

    def render(self) -> Text:
        return Text("")


def _drawing(
    view: AnyView, cells: int, lines: int | None, style: Style, console: Console
) -> tuple[list[Strip], object]:
    """In the drawing thread, which is also where plotext is imported. The panel's own heading is the title."""
    import msgspec

    from workbench.drawing.view import draw

    return as_strips(draw(msgspec.structs.replace(view, title=""), cells, lines, style), console), None


def as_strips(lines: list[Text], console: Console) -> list[Strip]:
    """Drawn lines as the screen takes them."""
    strips = []
    for line in lines:
        line.end, line.no_wrap = "", True
        strips.append(Strip(line.render(console)))
    return strips
