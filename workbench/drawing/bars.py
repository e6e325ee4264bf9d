"""Bars: one line a bar where there are few, columns over an axis where there are many."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from workbench.drawing.canvas import (
    Columns,
    Frame,
    Trace,
    canvas_height,
    legend,
    margin_of,
    marker,
    paint,
    with_axes,
)
from workbench.drawing.layout import joined, plain
from workbench.drawing.scale import signed_number
from workbench.drawing.style import Line, Style
from workbench.drawing.ticks import limits, named_ticks, nice_ticks
from workbench.text import number, width
from workbench.views import Bars, Series

_FEW = 24
"""Bars drawn one a line where no height is given."""
_ROOMY = 24
"""cells of the longest bar below which the intervals' numbers go: they are drawn too"""


def draw_bars(view: Bars, cells: int, height: int | None, style: Style) -> tuple[list[Line], str]:
    """The bars, clean beside edited; what the note must add."""
    bounds = limits([np.asarray(series.y, dtype=float) for series in view.series], margin=0.0)
    if bounds is None or not view.labels:
        return [], "nothing to draw"
    if len(view.labels) * len(view.series) <= (_FEW if height is None else height - 1):
        return _rows(view, cells, style)
    return _columns(view, cells, height, style)


@dataclass
class _Ruler:
    """Places on the bars' common axis: `cells` from `low` to `high`, 0 among them."""

    low: float
    high: float
    cells: int

    def place(self, value: float) -> int:
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return min(self.cells - 1, max(0, round(share * (self.cells - 1))))


def _rows(view: Bars, cells: int, style: Style) -> tuple[list[Line], str]:
    """A line for each bar: its label, its number, its interval, the bar; below zero it goes to the left."""
    several = len(view.series) > 1
    labels = [style.clean_text(label) for label in view.labels]
    names = [style.shorten(style.clean_text(series.name), 10) for series in view.series]
    margin = min(max(map(width, labels)), max(6, cells // 3))
    named = max(map(width, names)) + 1 if several else 0
    values = [np.asarray(series.y, dtype=float) for series in view.series]
    signed = any(bool((part < 0).any()) for part in values)
    write = signed_number if signed else number
    figures = [[style.clean_text(write(float(y))) for y in part] for part in values]
    ranges = [[_range(series, at, style) for at in range(len(labels))] for series in view.series]
    figure = max(width(text) for row in figures for text in row)
    spread = max(width(text) for row in ranges for text in row)
    room = cells - margin - named - figure - 4
    banded = spread > 0
    if spread and room - spread - 1 < _ROOMY:
        spread = 0
    room = max(1, room - (spread + 1 if spread else 0))
    parts = [part for s in view.series for part in (s.y, s.low, s.high) if part is not None]
    finite = [float(v) for part in parts for v in np.asarray(part, dtype=float) if math.isfinite(v)]
    ruler = _Ruler(min(0.0, *finite), max(0.0, *finite), room)
    lines = [plain(style.shorten(style.clean_text(view.y_label), cells), "dim")] if view.y_label else []
    for at, label in enumerate(labels):
        for index, series in enumerate(view.series):
            line = plain(style.fit(label if index == 0 else "", margin))
            if several:
                line.append(" " + style.fit(names[index], named - 1), style.series(index))
            line.append("  " + style.fit(figures[index][at], figure, right=True))
            if spread:
                line.append(" " + style.fit(ranges[index][at], spread), "dim")
            line.append("  ")
            line.append_text(_bar(series, at, ruler, index, style))
            line.rstrip()
            line.truncate(cells)
            lines.append(line)
    return lines, f"{style.glyphs('├┿┤', '[+]')} the value and its interval" if banded else ""


def _interval(series: Series, at: int) -> tuple[float, float] | None:
    if series.low is None or series.high is None:
        return None
    low, high = float(series.low[at]), float(series.high[at])
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def _range(series: Series, at: int, style: Style) -> str:
    ends = _interval(series, at)
    return style.clean_text(f"({number(ends[0])} to {number(ends[1])})") if ends else ""


def _bar(series: Series, at: int, ruler: _Ruler, index: int, style: Style) -> Line:
    """The bar from the zero line on, its interval over it."""
    value, zero = float(series.y[at]), ruler.place(0.0)
    cells, inks = [" "] * ruler.cells, [""] * ruler.cells
    cells[zero], inks[zero] = style.glyphs("│", "|"), "dim"
    if math.isfinite(value):
        end = ruler.place(value)
        for cell in range(min(zero + 1, end), max(zero, end + 1)) if end != zero else ():
            cells[cell], inks[cell] = style.glyphs("▇", "#"), style.series(index)
    ends = _interval(series, at)
    if ends:
        first, last = sorted(map(ruler.place, ends))
        for cell in range(first, last + 1):
            cells[cell] = style.glyphs("─", "-")
            inks[cell] = "bold"
        cells[first], cells[last] = style.glyphs("├", "["), style.glyphs("┤", "]")
        if math.isfinite(value):
            cells[ruler.place(value)] = style.glyphs("┿", "+")
            inks[ruler.place(value)] = "bold"
    line = plain("")
    for text, ink in zip(cells, inks, strict=True):
        line.append(text, ink)
    return line


def _columns(view: Bars, cells: int, height: int | None, style: Style) -> tuple[list[Line], str]:
    """Columns over an axis: the first series filled, the others as outlines."""
    n = len(view.labels)
    values = [np.nan_to_num(np.asarray(series.y, dtype=float))[:n] for series in view.series]
    low, high = limits([np.zeros(1), *values], margin=0.0) or (0.0, 1.0)
    y_ticks = nice_ticks(low, high, 4)
    lines = legend(view.y_label, [s.name for s in view.series], cells, style, filled=True)
    rows = max(2, canvas_height(height, len(lines)) - 2)
    frame = Frame(rows, max(4, cells - margin_of(y_ticks, style)), (-0.5, n - 0.5), (low, high))
    edges = np.repeat(np.arange(n + 1) - 0.5, 2)[1:-1]
    outlines = [
        Trace(edges, np.repeat(part, 2), style.series(index), marker(index, style))
        for index, part in enumerate(values[1:], 1)
    ]
    canvas = paint(frame, style, outlines, Columns(np.arange(n) - 0.5, values[0], style.series(0)))
    lines += with_axes(
        canvas,
        frame,
        style,
        x_ticks=named_ticks(np.arange(n, dtype=float), view.labels, frame.columns),
        y_ticks=y_ticks,
        x_label="",
    )
    return lines, joined(f"n {n} bars")
