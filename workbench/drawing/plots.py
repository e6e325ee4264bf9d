"""Lines, histograms, scatters and bars: decimated to what can be drawn, then put on a canvas."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from workbench.drawing.canvas import Trace, canvas_height, draw_canvas, legend, marker
from workbench.drawing.layout import joined
from workbench.drawing.style import Line, Style
from workbench.drawing.ticks import limits, log_ticks, named_ticks, nice_ticks, number_ticks, power_ticks
from workbench.text import count, number
from workbench.views import Histogram, Lines, Scatter, Series

_MAX_SERIES = 12


def draw_lines(view: Lines, cells: int, height: int | None, style: Style) -> tuple[list[Line], str]:
    """Curves over a shared axis, with bands as thin lines; what the note must add."""
    x = np.asarray(view.x, dtype=float)
    shown = [_logarithms(series) if view.log_y else series for series in view.series[:_MAX_SERIES]]
    y_limits = limits([part for s in shown for part in (s.y, s.low, s.high) if part is not None])
    x_limits = limits([x], margin=0.0)
    if not len(x) or y_limits is None or x_limits is None:
        return [], "nothing to draw"
    columns = 2 * cells
    traces: list[Trace] = []
    for index, series in enumerate(shown):
        for edge in (series.low, series.high):
            if edge is not None:
                keep_x, keep_y = decimate(x, np.asarray(edge, dtype=float), columns)
                thin = "." if style.ascii else "braille" if style.color else "·"
                traces.append(Trace(keep_x, keep_y, style.band(index), thin, joined=False))
    for index, series in enumerate(shown):
        keep_x, keep_y = decimate(x, np.asarray(series.y, dtype=float), columns)
        traces.append(Trace(keep_x, keep_y, style.series(index), marker(index, style)))
    y_label = f"{view.y_label}, log scale" if view.log_y else view.y_label
    lines = legend(y_label, [s.name for s in shown], cells, style)
    lines += draw_canvas(
        traces,
        cells,
        canvas_height(height, len(lines)),
        style,
        x_limits=x_limits,
        y_limits=y_limits,
        x_ticks=named_ticks(x, view.x_ticks, cells) if view.x_ticks else number_ticks(x, x_limits, cells),
        y_ticks=power_ticks(*y_limits) if view.log_y else nice_ticks(*y_limits, 5),
        x_label=view.x_label,
    )
    hidden = len(view.series) - len(shown)
    return lines, joined(f"{hidden} more series not drawn" if hidden else "", _bands(shown))


def _logarithms(series: Series) -> Series:
    """Of ten; nan where there is none."""

    def log(values: np.ndarray | None) -> np.ndarray | None:
        if values is None:
            return None
        numbers = np.asarray(values, dtype=float)
        logarithms: np.ndarray = np.log10(numbers, out=np.full(numbers.shape, np.nan), where=numbers > 0)
        return logarithms

    return Series(name=series.name, y=np.asarray(log(series.y)), low=log(series.low), high=log(series.high))


def draw_histogram(view: Histogram, cells: int, height: int | None, style: Style) -> tuple[list[Line], str]:
    """Counts by bin, filled for the first series and as outlines for the others; what the note must add."""
    edges = np.asarray(view.edges, dtype=float)
    counts = [np.nan_to_num(np.asarray(series.y, dtype=float)) for series in view.series]
    total = [int(part.sum()) for part in counts]
    if len(edges) < 2 or not counts or not np.isfinite(edges).all() or edges[-1] <= edges[0]:
        return [], "nothing to draw"
    drawn = [np.log10(part + 1) if view.log_counts else part for part in counts]
    top = max(float(part.max(initial=0)) for part in drawn) or 1.0
    traces = []
    for index, part in enumerate(drawn):
        x, y = _steps(edges, part, 2 * cells)
        traces.append(Trace(x, y, style.series(index), marker(index, style), filled=index == 0))
    for mark in view.marks:
        if edges[0] <= mark.x <= edges[-1]:
            traces.append(Trace(np.array([mark.x, mark.x]), np.array([0.0, top]), "bold", "|" if style.ascii else "│"))
    names = [s.name for s in view.series]
    y_ticks = log_ticks(top) if view.log_counts else nice_ticks(0, top, 4)
    lines = legend("count, log scale" if view.log_counts else "count", names, cells, style)
    lines += draw_canvas(
        traces,
        cells,
        canvas_height(height, len(lines)),
        style,
        x_limits=(float(edges[0]), float(edges[-1])),
        y_limits=(0.0, top),
        x_ticks=nice_ticks(float(edges[0]), float(edges[-1]), max(2, cells // 14)),
        y_ticks=y_ticks,
        x_label=view.x_label,
    )
    bar = style.glyphs("│", "|")
    marks = ", ".join(f"{style.clean_text(mark.label)} at {number(mark.x)}" for mark in view.marks)
    return lines, joined("n " + ", ".join(map(count, total)), f"{bar} {marks}" if marks else "")


def draw_scatter(view: Scatter, cells: int, height: int | None, style: Style) -> tuple[list[Line], str]:
    """Points, one for each place that can be told apart; what the note must add."""
    x, y = np.asarray(view.x, dtype=float), np.asarray(view.y, dtype=float)
    fine = np.isfinite(x) & np.isfinite(y)
    x_limits, y_limits = limits([x[fine]]), limits([y[fine]])
    if x_limits is None or y_limits is None:
        return [], "nothing to draw"
    rows = canvas_height(height, 1)
    across = np.round((x[fine] - x_limits[0]) / (x_limits[1] - x_limits[0]) * 2 * cells)
    up = np.round((y[fine] - y_limits[0]) / (y_limits[1] - y_limits[0]) * 4 * rows)
    _, first = np.unique(across * (4 * rows + 1) + up, return_index=True)
    trace = Trace(
        x[fine][first], y[fine][first], style.series(0), marker(0, style, points=len(first) < 200), joined=False
    )
    lines = legend(view.y_label, [], cells, style)
    lines += draw_canvas(
        [trace],
        cells,
        rows,
        style,
        x_limits=x_limits,
        y_limits=y_limits,
        x_ticks=nice_ticks(*x_limits, max(2, cells // 14)),
        y_ticks=nice_ticks(*y_limits, 5),
        x_label=view.x_label,
    )
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


def _bands(series: list[Series]) -> str:
    return "thin: the interval" if any(s.low is not None or s.high is not None for s in series) else ""
