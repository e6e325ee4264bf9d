"""`draw`: any view as lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workbench.drawing.bars import draw_bars
from workbench.drawing.check import mismatch
from workbench.drawing.heatmap import DrawnMap
from workbench.drawing.layout import footnote, heading, joined, paragraph
from workbench.drawing.look import NO_LOOK, Look
from workbench.drawing.plots import draw_histogram, draw_lines, draw_scatter
from workbench.drawing.scalars import draw_scalars
from workbench.drawing.style import DARK, Line, Style
from workbench.drawing.table import draw_table
from workbench.drawing.tokens import draw_tokens
from workbench.views import AnyView, Bars, Heatmap, Histogram, Lines, Scalars, Scatter, Table, Text, Tokens

LEAST_CELLS = 20
"""narrower drawings are cut off"""


def draw(view: AnyView, width: int, height: int | None = None, style: Style = DARK, look: Look = NO_LOOK) -> list[Line]:
    """A view as lines of at most `width` cells: its title, its drawing, its note; `look` is where the reader is in it.

    With `height` the drawing keeps to that many lines where its kind can be made shorter (rows are left out and said
    to be). A view whose parts do not fit together (a crafted file) becomes a sentence that says so.
    """
    cells = max(LEAST_CELLS, width)
    title = heading(view.title, cells, style)
    problem = mismatch(view)
    if problem:
        return _clipped([*title, *paragraph(f"this view cannot be drawn: {problem}", width, style, "dim")], width)
    if isinstance(view, Heatmap) and view.values.size:
        room = None if height is None else max(1, height - len(title))
        return _clipped([*title, *DrawnMap(view, cells, room, style, look).lines(look.cell)], width)
    room = None if height is None else max(1, height - len(title) - len(footnote(view.note, cells, style)))
    lines, more = _drawing(view, cells, room, style, look)
    note = footnote(joined(view.note, more), cells, style)
    excess = len(title) + len(lines) + len(note) - (height or 0)
    if room is not None and more and excess > 0:
        lines, more = _drawing(view, cells, max(1, room - excess), style, look)
        note = footnote(joined(view.note, more), cells, style)
    return _clipped([*title, *lines, *note], width)


def _drawing(view: AnyView, cells: int, height: int | None, style: Style, look: Look) -> tuple[list[Line], str]:
    if isinstance(view, Table):
        return draw_table(view, cells, height, style, look)
    if isinstance(view, Scalars):
        return draw_scalars(view, cells, height, style, look)
    return _DRAWN[type(view)](view, cells, height, style)


def _clipped(lines: list[Line], cells: int) -> list[Line]:
    if cells < LEAST_CELLS:
        for line in lines:
            line.truncate(max(0, cells))
    return lines


def _draw_empty_map(view: Heatmap, cells: int, height: int | None, style: Style) -> tuple[list[Line], str]:
    return [], "nothing to show"


def _draw_text(view: Text, cells: int, height: int | None, style: Style) -> tuple[list[Line], str]:
    lines = paragraph(view.text, cells, style)
    if height is not None and len(lines) > height:
        return lines[:height], f"{len(lines) - height} more lines"
    return lines, "" if view.text else "no text"


_DRAWN: dict[type, Callable[[Any, int, int | None, Style], tuple[list[Line], str]]] = {
    Tokens: draw_tokens,
    Lines: draw_lines,
    Bars: draw_bars,
    Histogram: draw_histogram,
    Scatter: draw_scatter,
    Heatmap: _draw_empty_map,
    Text: _draw_text,
}
