"""Plots in cells: plotext draws the curves, we draw what stands around them (grounds, marks, labels, axes, ticks).

plotext's state is global, so every plot is drawn alone, start to end; it measures text in characters, and tokens may
be wide, so it gets no text.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.drawing.layout import plain
from workbench.drawing.plot_cells import PlotCells
from workbench.drawing.style import Line, Style, mix, readable_on
from workbench.drawing.ticks import Ticks
from workbench.text import width

_LOCK = threading.Lock()
_ANSI = re.compile(r"\x1b\[([0-9;]*)m")
HEIGHT = 14
"""lines of a plot where no height is given"""
_LEAST = 7
_AXIS = 1
"""cells of the vertical axis' line"""
PLAIN_MARKERS = ("*", "o", "+", "x", "@", "=")
"""in ASCII, and for further series where there is no colour"""
_COLUMNS = " ▁▂▃▄▅▆▇█"
_HANGING = " ▔▀▀▀▀▀██"
"""blocks that fill a cell from the top know halves only"""
AREA, _FILL = 0.25, 0.75
"""how far from the ground to a series' colour: of its band, of its columns"""


@dataclass
class Trace:
    """What one series puts on a canvas. `x` and `y` [point]; nan breaks a line."""

    x: np.ndarray
    y: np.ndarray
    rich_style: str
    marker: str = "braille"
    """a plotext marker, or one character"""
    joined: bool = True


@dataclass
class Area:
    """A filled part of the plot around a curve. `x`, `low`, `high` [point]; nan is a gap."""

    x: np.ndarray
    low: np.ndarray
    high: np.ndarray
    color: str
    """of the series it belongs to; empty where there are no colours"""


@dataclass
class Columns:
    """Filled columns from 0 on: bars of a histogram. `x` [point] ascending, `y` [point] height at it, as steps."""

    x: np.ndarray
    y: np.ndarray
    color: str


@dataclass
class Frame:
    """The part of a plot between its axes: `rows` × `columns` cells over these limits."""

    rows: int
    columns: int
    x_limits: tuple[float, float]
    y_limits: tuple[float, float]
    above: int = 0
    """rows of labels on top of them"""

    def column(self, x: float) -> int:
        """The cell that holds `x`; outside of the plot where `x` is outside of the limits."""
        low, high = self.x_limits
        return _nearest((x - low) / ((high - low) or 1.0) * (self.columns - 1))

    def row(self, y: float) -> int:
        """The cell that holds `y`; the uppermost row of labels is 0."""
        low, high = self.y_limits
        return self.above + self.rows - 1 - _nearest((y - low) / ((high - low) or 1.0) * (self.rows - 1))

    def centres(self) -> np.ndarray:
        """x in the middle of each cell [column]."""
        return np.linspace(*self.x_limits, self.columns)


def _nearest(place: float) -> int:
    """Halves upwards, as plotext has them: `round` would put every other one of evenly spaced ticks a cell lower."""
    return math.floor(place + 0.5)


def canvas_height(height: int | None, above: int) -> int:
    """Lines for canvas and ticks: what `height` leaves beside `above` lines of legend and the axis' name."""
    return HEIGHT - 2 if height is None else max(_LEAST, height - above - 1)


def marker(index: int, style: Style, points: bool = False) -> str:
    """The marker of the series at `index`: series differ in more than their colour where there is none."""
    if style.ascii or (index and not style.color):
        return PLAIN_MARKERS[index % len(PLAIN_MARKERS)]
    return "dot" if points else "braille"


def sample(name: str) -> str:
    """How a marker looks in a legend."""
    return {"braille": "⠒⠒", "dot": "•"}.get(name, name)


def paint(frame: Frame, style: Style, traces: Sequence[Trace], columns: Columns | None = None) -> PlotCells:
    """The cells between the axes, and those of labels above: columns, then curves."""
    cells = PlotCells(frame.above + frame.rows, frame.columns)
    if columns is not None:
        _fill_columns(cells, columns, frame, style)
    if traces:
        _put_traces(cells, _build(traces, frame), traces, frame.above)
    return cells


def shade(cells: PlotCells, area: Area, frame: Frame, style: Style) -> None:
    """An area as a ground where colours can be mixed, else as light shade in cells where nothing stands."""
    tint = mix(style.background, area.color, AREA) if area.color and style.rgb else ""
    covered = _covered(area, frame)
    upper, lower = covered[0::2], covered[1::2]
    for place in zip(*np.nonzero(upper | lower), strict=True):
        row, column = int(place[0]) + frame.above, int(place[1])
        empty = cells.blank(row, column, column + 1)
        if not tint:
            if empty:
                cells.put(row, column, style.glyphs("░", ":"), f"dim {area.color}".strip())
        elif cells.fills[row][column]:
            continue
        elif cells.grounds[row][column]:
            cells.grounds[row][column] = mix(cells.grounds[row][column], tint, 0.5)  # where two areas meet
        elif not empty or (upper[place] and lower[place]):
            cells.grounds[row][column] = tint
        else:
            cells.put(row, column, style.glyphs("▀" if upper[place] else "▄", ":"), tint)


def _covered(area: Area, frame: Frame) -> np.ndarray:
    """Which halves of cells lie in the area [2 × row, column], the first row on top."""
    at = frame.centres()
    with np.errstate(invalid="ignore"):
        low, high = np.interp(at, area.x, area.low), np.interp(at, area.x, area.high)
        outside = (at < np.nanmin(area.x)) | (at > np.nanmax(area.x)) if len(area.x) > 1 else np.zeros(len(at), bool)
        low[outside] = high[outside] = np.nan
        span = (frame.x_limits[1] - frame.x_limits[0]) or 1.0
        places = np.round((area.x - frame.x_limits[0]) / span * (frame.columns - 1)).astype(int)
        places = places.clip(0, frame.columns - 1)
        np.fmin.at(low, places, area.low)  # many points in one cell: as far as they reach
        np.fmax.at(high, places, area.high)
        bottom, top = frame.y_limits
        # The middle of the lowest cell is the lower limit, as plotext has it.
        scale = 2 * (frame.rows - 1) / ((top - bottom) or 1.0)
        first, last = (low - bottom) * scale + 1, (high - bottom) * scale + 1
        halves = np.arange(2 * frame.rows)[::-1, None] + 0.5
        return np.asarray((halves >= np.minimum(first, last - 0.5)) & (halves <= np.maximum(last, first + 0.5)))


def _fill_columns(cells: PlotCells, columns: Columns, frame: Frame, style: Style) -> None:
    """Columns in eighths of a cell, from 0 upwards or downwards."""
    heights = _heights(columns, frame)
    bottom, top = frame.y_limits
    unit = frame.rows * 8 / ((top - bottom) or 1.0)
    below = min(frame.rows, round(-bottom * unit / 8))  # whole cells: both sides begin at a cell's edge
    ink = mix(style.background, columns.color, _FILL) if columns.color and style.rgb else columns.color
    for column, height in enumerate(heights.tolist()):
        size = 0 if math.isnan(height) else round(abs(height) * unit)
        if height and not size and not math.isnan(height):
            size = 1  # something is there
        size = min(size, 8 * (frame.rows - below if height > 0 else below))
        row = frame.above + frame.rows - below - (1 if height > 0 else 0)
        while size > 0:
            eighths = min(8, size)
            glyph = (_COLUMNS if height > 0 else _HANGING)[eighths]
            cells.put(row, column, "#" if style.ascii and eighths > 4 else "." if style.ascii else glyph, ink)
            if eighths == 8 and ink and style.rgb:
                cells.fills[row][column] = ink
            size -= 8
            row += -1 if height > 0 else 1


def _heights(columns: Columns, frame: Frame) -> np.ndarray:
    """The height in each cell: of the steps in it the one farthest from zero [column]."""
    low, high = frame.x_limits
    borders = np.linspace(low, high, frame.columns + 1)
    first = np.clip(np.searchsorted(columns.x, borders[:-1], side="right") - 1, 0, len(columns.y) - 1)
    last = np.clip(np.searchsorted(columns.x, borders[1:], side="left") - 1, first, len(columns.y) - 1)
    if (last == first).all():
        return np.asarray(columns.y[first])
    # A bin that only touches the cell's edge is its neighbour's.
    parts = (columns.y[a : b + 1] for a, b in zip(first, np.maximum(first, last), strict=True))
    return np.array([part[np.argmax(np.abs(part))] for part in parts])


def _build(traces: Sequence[Trace], frame: Frame) -> list[str]:
    """The bare canvas from plotext, a string with escape codes a row; trace `i` has the colour (0, 0, i + 1)."""
    import plotext

    with _LOCK:
        plotext.clear_figure()
        plotext.theme("clear")
        plotext.limitsize(False, False)
        plotext.plotsize(frame.columns, frame.rows)
        plotext.frame(False)
        plotext.xaxes(False, False)
        plotext.yaxes(False, False)
        plotext.xlim(*frame.x_limits)
        plotext.ylim(*frame.y_limits)
        plotext.xticks([])
        plotext.yticks([])
        for at, trace in enumerate(traces):
            for x, y in _pieces(trace):
                alone = len(x) == 1 and trace.marker == "braille"  # one dot is easily missed
                draw = plotext.plot if trace.joined else plotext.scatter
                draw(x, y, marker="dot" if alone else trace.marker, color=(0, 0, at + 1))
        text = str(plotext.build())
        plotext.clear_figure()
    return text.split("\n")[: frame.rows]


def _pieces(trace: Trace) -> list[tuple[list[float], list[float]]]:
    """The trace without its nans: one piece between each two of them."""
    x, y = np.asarray(trace.x, dtype=float), np.asarray(trace.y, dtype=float)
    fine = np.isfinite(x) & np.isfinite(y)
    if not trace.joined:
        return [(x[fine].tolist(), y[fine].tolist())] if fine.any() else []
    edges = np.flatnonzero(np.diff(fine.astype(int))) + 1
    starts = [0, *edges.tolist()]
    ends = [*edges.tolist(), len(fine)]
    return [(x[a:b].tolist(), y[a:b].tolist()) for a, b in zip(starts, ends, strict=True) if b > a and fine[a]]


def _put_traces(cells: PlotCells, built: Sequence[str], traces: Sequence[Trace], above: int) -> None:
    for row, ansi in enumerate(built, above):
        at, column, ink = 0, 0, ""
        for match in [*_ANSI.finditer(ansi), None]:
            for character in ansi[at : match.start() if match else len(ansi)]:
                if character != " " and column < cells.columns:
                    cells.put(row, column, character, _over(ink, cells.fills[row][column]))
                column += 1
            if match:
                codes = match.group(1).split(";")
                index = int(codes[-1]) - 1 if codes[:2] == ["38", "2"] else -1
                ink = traces[index].rich_style if 0 <= index < len(traces) else ""
                at = match.end()


def _over(ink: str, ground: str) -> str:
    """A curve's colour where it crosses a column: nearer to black or white, to be told from the column's."""
    return mix(ink, readable_on(ground), 0.75) if ink and ground else ink


def margin_of(y_ticks: Ticks, style: Style) -> int:
    """Cells left of the canvas: the ticks' names and the axis."""
    return max([1, *(width(style.clean_text(name)) for name in y_ticks.names)]) + _AXIS


def with_axes(
    cells: PlotCells, frame: Frame, style: Style, *, x_ticks: Ticks, y_ticks: Ticks, x_label: str
) -> list[Line]:
    """The plot's lines with both axes; rows of labels above it have none."""
    margin = margin_of(y_ticks, style) - _AXIS
    labels = {
        frame.row(at): style.clean_text(name)
        for at, name in zip(y_ticks.at, y_ticks.names, strict=True)
        if frame.y_limits[0] <= at <= frame.y_limits[1]
    }
    lines = []
    for row in range(cells.rows):
        name = labels.get(row, "")
        line = plain(style.fit(name, margin, right=True), "dim")
        line.append(style.glyphs("┤", "+") if name else " " if row < frame.above else style.glyphs("│", "|"), "dim")
        line.append_text(cells.line(row))
        lines.append(line)
    return lines + _x_axis(x_ticks, frame, x_label, margin, style)


def _x_axis(ticks: Ticks, frame: Frame, label: str, margin: int, style: Style) -> list[Line]:
    cells = frame.columns
    label = style.shorten(style.clean_text(label), cells)
    axis = [style.glyphs("─", "-")] * cells
    row = plain(" " * (margin + _AXIS))
    used = 0
    for at, name in zip(ticks.at, ticks.names, strict=True):
        column = frame.column(at)
        if not 0 <= column < cells:
            continue
        axis[column] = style.glyphs("┬", "+")
        name = style.shorten(style.clean_text(name), max(4, cells // min(6, len(ticks.at))))
        start = min(max(column - width(name) // 2, 0), cells - width(name))
        if start < used or start < 0:
            continue
        row.append(" " * (start - (used - 1 if used else 0)) + name, "dim")
        used = start + width(name) + 1
    lines = [plain(" " * margin + style.glyphs("└", "+") + "".join(axis), "dim"), row]
    free = cells - used
    if width(label) + 2 <= free:
        row.append(" " * (cells - width(label) - max(0, used - 1)) + label, "dim")
    elif label:
        lines.append(plain(" " * (margin + _AXIS + max(0, (cells - width(label)) // 2)) + label, "dim"))
    return lines


def legend(y_label: str, names: Sequence[str], cells: int, style: Style, filled: bool = False) -> list[Line]:
    """The vertical axis' name, then each series with its marker, on as many lines as that takes.

    `filled`: the first series is drawn in columns.
    """
    lines = [plain(style.shorten(style.clean_text(y_label), cells), "dim")]
    for index, name in enumerate(names if any(names) else []):
        glyph = style.glyphs("█", "#") if filled and not index else sample(marker(index, style))
        entry = plain("   " if lines[-1].plain else "")
        entry.append(f"{glyph} {style.shorten(style.clean_text(name), cells // 2)}", style.series(index))
        if lines[-1].cell_len + entry.cell_len > cells:
            lines.append(plain(entry.plain.lstrip(), style.series(index)))
        else:
            lines[-1].append_text(entry)
    return lines
