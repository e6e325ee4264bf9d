"""Bars: one line a bar where there are few, columns over an axis where there are many."""

from __future__ import annotations

import math

import numpy as np

from workbench.drawing.canvas import Trace, canvas_height, draw_canvas, legend, marker
from workbench.drawing.layout import joined, plain
from workbench.drawing.scale import signed_number
from workbench.drawing.style import Line, Style
from workbench.drawing.ticks import limits, named_ticks, nice_ticks
from workbench.text import number, width
from workbench.views import Bars, Series

_FEW = 24
"""Bars drawn one a line where no height is given."""


def draw_bars(view: Bars, cells: int, height: int | None, style: Style) -> tuple[list[Line], str]:
    """The bars, clean beside edited; what the note must add."""
    bounds = limits([np.asarray(series.y, dtype=float) for series in view.series], margin=0.0)
    if bounds is None or not view.labels:
        return [], "nothing to draw"
    if len(view.labels) * len(view.series) <= (_FEW if height is None else height - 1):
        return _rows(view, cells, style)
    return _columns(view, cells, height, style)


def _rows(view: Bars, cells: int, style: Style) -> tuple[list[Line], str]:
    """A line for each bar: its label, its number, the bar; below zero it goes to the left."""
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
    room = max(1, cells - margin - named - figure - 4 - (spread + 1 if spread else 0))
    finite = [float(v) for part in values for v in part if math.isfinite(v)]
    top, bottom = max(0.0, *finite), min(0.0, *finite)
    zero = round(room * -bottom / ((top - bottom) or 1.0))
    lines = [plain(style.shorten(style.clean_text(view.y_label), cells), "dim")] if view.y_label else []
    for at, label in enumerate(labels):
        for index in range(len(view.series)):
            line = plain(style.fit(label if index == 0 else "", margin))
            if several:
                line.append(" " + style.fit(names[index], named - 1), style.series(index))
            line.append("  " + style.fit(figures[index][at], figure, right=True))
            if spread:
                line.append(" " + style.fit(ranges[index][at], spread), "dim")
            line.append("  " + _bar(float(values[index][at]), top - bottom, room, zero, style), style.series(index))
            line.rstrip()
            line.truncate(cells)
            lines.append(line)
    return lines, ""


def _range(series: Series, at: int, style: Style) -> str:
    if series.low is None or series.high is None:
        return ""
    return style.clean_text(f"({number(float(series.low[at]))} to {number(float(series.high[at]))})")


def _bar(value: float, span: float, room: int, zero: int, style: Style) -> str:
    if not math.isfinite(value) or span == 0:
        return ""
    size = round(abs(value) / span * room)
    if value < 0:
        size = min(size, zero)
        return " " * (zero - size) + (style.glyphs("▇", "-") * size or style.glyphs("▏", ""))
    return " " * zero + (style.glyphs("▇", "#") * size or (style.glyphs("▏", "") if value > 0 else ""))


def _columns(view: Bars, cells: int, height: int | None, style: Style) -> tuple[list[Line], str]:
    """Columns over an axis: the first series filled, the others as outlines."""
    n = len(view.labels)
    x = np.repeat(np.arange(n + 1) - 0.5, 2)[1:-1]
    traces = []
    for index, series in enumerate(view.series):
        y = np.nan_to_num(np.asarray(series.y, dtype=float))[:n]
        traces.append(Trace(x, np.repeat(y, 2), style.series(index), marker(index, style), filled=index == 0))
    low, high = limits([np.zeros(1), *(trace.y for trace in traces)], margin=0.0) or (0.0, 1.0)
    lines = legend(view.y_label, [s.name for s in view.series], cells, style)
    lines += draw_canvas(
        traces,
        cells,
        canvas_height(height, len(lines)),
        style,
        x_limits=(-0.5, n - 0.5),
        y_limits=(low, high),
        x_ticks=named_ticks(np.arange(n, dtype=float), view.labels, cells),
        y_ticks=nice_ticks(low, high, 4),
        x_label="",
    )
    return lines, joined(f"n {n} bars")
