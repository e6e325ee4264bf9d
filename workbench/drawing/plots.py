"""Lines, histograms and scatters: decimated to what can be drawn, put on a canvas, with what they are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from workbench.drawing.annotate import Flag, end_rows, place_flags, put_flags, put_level
from workbench.drawing.canvas import (
    Area,
    Columns,
    Frame,
    Trace,
    canvas_height,
    legend,
    margin_of,
    marker,
    paint,
    sample,
    shade,
    with_axes,
)
from workbench.drawing.layout import joined
from workbench.drawing.style import Line, Style
from workbench.drawing.ticks import limits, log_ticks, named_ticks, nice_ticks, number_ticks, power_ticks
from workbench.text import count, number, width
from workbench.views import Histogram, Lines, Scatter, Series

_MAX_SERIES = 12
_NAMED_AT_ENDS = 5
"""cells that a plot must have for each cell of a name at its right"""


def draw_lines(view: Lines, cells: int, height: int | None, style: Style) -> tuple[list[Line], str]:
    """Curves over a shared axis, with bands and levels; what the note must add."""
    x = np.asarray(view.x, dtype=float)
    shown = [drawable(series, view.log_y) for series in view.series[:_MAX_SERIES]]
    levels = [(logarithm(level.y) if view.log_y else level.y, level) for level in view.levels]
    values = [part for s in shown for part in (s.y, s.low, s.high) if part is not None]
    y_limits = limits(values) and limits([*values, np.array([y for y, _ in levels])])
    x_limits = limits([x], margin=0.0)
    if not len(x) or y_limits is None or x_limits is None:
        return [], "nothing to draw"
    y_label = f"{view.y_label}, log scale" if view.log_y else view.y_label
    y_ticks = power_ticks(*y_limits) if view.log_y else nice_ticks(*y_limits, 5)
    names = [s.name for s in shown]
    room = canvas_height(height, 1) - 2
    ends = _names_at_ends(shown, cells - margin_of(y_ticks, style), room, style)
    lines = legend(y_label, [] if ends or names == [view.y_label] else names, cells, style)
    side = max(map(width, ends)) + 1 if ends else 0
    frame = Frame(
        max(2, canvas_height(height, len(lines)) - 2),
        max(4, cells - margin_of(y_ticks, style) - side),
        x_limits,
        y_limits,
    )
    traces = []
    for index, series in enumerate(shown):
        keep_x, keep_y = decimate(x, series.y, 2 * frame.columns)
        traces.append(Trace(keep_x, keep_y, style.series(index), marker(index, style)))
    canvas = paint(frame, style, traces[::-1])  # the first is on top
    unlabelled = [
        f"{style.clean_text(level.label)} at {number(level.y)}"
        for y, level in levels
        if not put_level(canvas, frame, y, style.clean_text(level.label), style)
    ]
    for index, series in enumerate(shown):
        if series.low is not None and series.high is not None and np.isfinite(series.low + series.high).any():
            shade(canvas, Area(x, series.low, series.high, style.series(index)), frame, style)
    x_ticks = named_ticks(x, view.x_ticks, frame.columns) if view.x_ticks else number_ticks(x, x_limits, frame.columns)
    plot = with_axes(canvas, frame, style, x_ticks=x_ticks, y_ticks=y_ticks, x_label=view.x_label)
    if ends:
        _put_names(plot, ends, shown, frame, cells - side + 1, style)
    hidden = len(view.series) - len(shown)
    return lines + plot, joined(f"{hidden} more series not drawn" if hidden else "", *unlabelled, _bands(shown, style))


def _names_at_ends(series: Sequence[Series], columns: int, rows: int, style: Style) -> list[str]:
    """What stands at each line's right end; empty where a legend above serves better."""
    if len(series) < 2 or len(series) > rows // 2 or not all(s.name for s in series):
        return []
    if not all(np.isfinite(s.y).any() for s in series):
        return []
    texts = [
        f"{sample(marker(index, style)) if not style.color else ''} {style.clean_text(s.name)}".strip()
        for index, s in enumerate(series)
    ]
    return texts if max(map(width, texts)) * _NAMED_AT_ENDS <= columns else []


def _put_names(
    plot: list[Line], names: Sequence[str], series: Sequence[Series], frame: Frame, column: int, style: Style
) -> None:
    """Each name beside its line's last value, in the line's colour."""
    rows = end_rows(frame, [float(s.y[np.flatnonzero(np.isfinite(s.y))[-1]]) for s in series])
    for index, (row, name) in enumerate(zip(rows or [], names, strict=False)):
        line = plot[row]
        line.append(" " * (column - line.cell_len) + name, style.series(index))


def drawable(series: Series, log: bool) -> Series:
    """The series with nan for what has no place on its axis; with `log` its logarithms of ten."""

    def fine(values: np.ndarray | None) -> np.ndarray | None:
        if values is None:
            return None
        numbers = np.asarray(values, dtype=float)
        places = np.isfinite(numbers) & ((numbers > 0) | (not log))
        if log:
            return np.asarray(np.log10(numbers, out=np.full(numbers.shape, np.nan), where=places))
        return np.where(places, numbers, np.nan)

    return Series(name=series.name, y=np.asarray(fine(series.y)), low=fine(series.low), high=fine(series.high))


def logarithm(value: float) -> float:
    """Of ten; nan where there is none."""
    return float(np.log10(value)) if value > 0 else float("nan")


def draw_histogram(view: Histogram, cells: int, height: int | None, style: Style) -> tuple[list[Line], str]:
    """Counts by bin, filled for the first series and as outlines for the others, the comparison drawn in; what the
    note must add.
    """
    edges = np.asarray(view.edges, dtype=float)
    counts = [np.nan_to_num(np.asarray(series.y, dtype=float)) for series in view.series]
    if view.log_x and len(edges) and edges[0] > 0:
        edges = np.log10(edges)
    elif view.log_x:
        return [], "nothing to draw: a logarithmic axis needs values above 0"
    if len(edges) < 2 or not counts or not np.isfinite(edges).all() or edges[-1] <= edges[0]:
        return [], "nothing to draw"
    drawn = [np.log10(part + 1) if view.log_counts else part for part in counts]
    top = max(float(part.max(initial=0)) for part in drawn) or 1.0
    x_limits = (float(edges[0]), float(edges[-1]))
    y_ticks = log_ticks(top) if view.log_counts else nice_ticks(0, top, 4)
    names = [f"{s.name} n {count(part.sum())}".strip() for s, part in zip(view.series, counts, strict=True)]
    lines = legend("count, log scale" if view.log_counts else "count", names, cells, style, filled=True)
    columns = max(4, cells - margin_of(y_ticks, style))
    flags, outside = _flags(view, x_limits, columns, style)
    room = canvas_height(height, len(lines)) - 2
    placed = place_flags(flags, columns, min(3, max(0, room - 4)))
    above = len(placed.rows)
    frame = Frame(max(2, room - above), columns, x_limits, (0.0, top), above)
    outlines = []
    for index, part in enumerate(drawn[1:], 1):
        x, y = _steps(edges, part, 2 * columns)
        y[(y == 0) & (np.append(y[1:], 0) == 0) & (np.append(0, y[:-1]) == 0)] = np.nan  # no line along the axis
        outlines.append(Trace(x, y, style.series(index), marker(index, style)))
    filled = Columns(edges[:-1], drawn[0], style.series(0))
    canvas = paint(frame, style, outlines, filled)
    put_flags(canvas, placed, style)
    span = _band(view, x_limits)
    if span and style.color and style.rgb:
        tall = np.array([2 * top, 2 * top])
        shade(canvas, Area(np.array(span), -tall, tall, style.series(0)), frame, style)
    most = max(2, cells // 14)
    lines += with_axes(
        canvas,
        frame,
        style,
        x_ticks=power_ticks(*x_limits, max(2, columns // 9)) if view.log_x else nice_ticks(*x_limits, most),
        y_ticks=y_ticks,
        x_label=f"{view.x_label}, log scale" if view.log_x else view.x_label,
    )
    return lines, joined(*placed.words(style.glyphs("├┿┤", "[+]"), style.glyphs("│", "|")), *outside)


def _flags(view: Histogram, x_limits: tuple[float, float], columns: int, style: Style) -> tuple[list[Flag], list[str]]:
    """Labels of the band and of the marks, the nearest to the plot first; sentences about marks outside of the axis."""
    frame = Frame(1, columns, x_limits, (0.0, 1.0))
    flags = []
    span = _band(view, x_limits)
    if span and view.band:
        name = style.clean_text(view.series[0].name)
        low, high = (number(value) for value in view.band)
        middle = "" if view.median is None else f"median {number(view.median)} "
        text = f"{name} {middle}({style.glyphs('5–95', '5-95')} %: {low}{style.glyphs('–', '-')}{high})".strip()
        first, last = (frame.column(value) for value in span)
        middle_at = float("nan") if view.median is None else _placed(view, view.median)
        at = frame.column(middle_at) if np.isfinite(middle_at) else first
        strip = (first, min(max(at, first), last), last)
        flags.append(Flag(first, style.clean_text(text), style.series(0), False, strip))
    outside = []
    for mark in view.marks:
        column = frame.column(_placed(view, mark.x)) if np.isfinite(_placed(view, mark.x)) else -1
        label = style.clean_text(mark.label)
        text = f"{label} {style.clean_text(number(mark.x))}"
        if 0 <= column < columns:
            flags.append(Flag(column, text))
        else:
            outside.append(f"{label} at {number(mark.x)}, outside of the axis")
    return flags, outside


def _placed(view: Histogram, value: float) -> float:
    return logarithm(value) if view.log_x else value


def _band(view: Histogram, x_limits: tuple[float, float]) -> tuple[float, float] | None:
    """The band's ends on the drawn axis; none where there is none, or none of it to be seen."""
    if view.band is None:
        return None
    low, high = (_placed(view, value) for value in view.band)
    low = x_limits[0] if view.log_x and not np.isfinite(low) else low
    if not low <= high or high < x_limits[0] or low > x_limits[1]:
        return None
    return max(low, x_limits[0]), min(high, x_limits[1])


def draw_scatter(view: Scatter, cells: int, height: int | None, style: Style) -> tuple[list[Line], str]:
    """Points, one for each place that can be told apart; what the note must add."""
    x, y = np.asarray(view.x, dtype=float), np.asarray(view.y, dtype=float)
    fine = np.isfinite(x) & np.isfinite(y)
    x_limits, y_limits = limits([x[fine]]), limits([y[fine]])
    if x_limits is None or y_limits is None:
        return [], "nothing to draw"
    y_ticks = nice_ticks(*y_limits, 5)
    frame = Frame(max(2, canvas_height(height, 1) - 2), max(4, cells - margin_of(y_ticks, style)), x_limits, y_limits)
    across = np.round((x[fine] - x_limits[0]) / (x_limits[1] - x_limits[0]) * 2 * frame.columns)
    up = np.round((y[fine] - y_limits[0]) / (y_limits[1] - y_limits[0]) * 4 * frame.rows)
    _, first = np.unique(across * (4 * frame.rows + 1) + up, return_index=True)
    glyph = marker(0, style, points=len(first) < 200)
    canvas = paint(frame, style, [Trace(x[fine][first], y[fine][first], style.series(0), glyph, joined=False)])
    lines = legend(view.y_label, [], cells, style)
    x_ticks = nice_ticks(*x_limits, max(2, cells // 14))
    lines += with_axes(canvas, frame, style, x_ticks=x_ticks, y_ticks=y_ticks, x_label=view.x_label)
    return lines, joined(f"n {count(int(fine.sum()))}", _extremes(view, x, y, fine))


def _extremes(view: Scatter, x: np.ndarray, y: np.ndarray, fine: np.ndarray) -> str:
    """The names of the outermost points."""
    if not view.labels or not fine.any():
        return ""
    at = np.flatnonzero(fine)
    ends = {
        "leftmost": at[x[at].argmin()],
        "rightmost": at[x[at].argmax()],
        "lowest": at[y[at].argmin()],
        "highest": at[y[at].argmax()],
    }
    return ", ".join(f"{name} {view.labels[i]}" for name, i in ends.items() if i < len(view.labels))


def decimate(x: np.ndarray, y: np.ndarray, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """At most two points for each of `columns`: the smallest and the largest, so that no peak is lost.

    `x`, `y` [point], `x` ascending; nans (breaks) are kept where a column has nothing else.
    """
    if len(x) <= 2 * columns:
        return x, y
    bounds = np.linspace(0, len(x), columns + 1).astype(int)
    keep: list[int] = []
    for start, end in pairwise(bounds.tolist()):
        part = y[start:end]
        if np.isfinite(part).any():
            keep += sorted({start + int(np.nanargmin(part)), start + int(np.nanargmax(part))})
        else:
            keep.append(int(start))
    return x[keep], y[keep]


def _steps(edges: np.ndarray, counts: np.ndarray, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """A histogram's outline: for each drawable column the largest count of the bins in it. `x`, `y` [column]."""
    n = min(columns, 400)
    x = np.linspace(edges[0], edges[-1], n)
    bins = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, len(counts) - 1)
    following = np.append(bins[1:], bins[-1])
    y = np.array([counts[a : max(a, b - 1) + 1].max() for a, b in zip(bins, following, strict=True)])
    return x, y


def _bands(series: Sequence[Series], style: Style) -> str:
    banded = any(s.low is not None or s.high is not None for s in series)
    return f"{'' if style.rgb and style.color else style.glyphs('░ ', ': ')}shaded: the interval" if banded else ""
