"""The one place that talks to plotext: its state is global, so every plot is drawn alone, start to end.

plotext draws the canvas and the frame. Ticks, labels and legends are ours: it measures text in characters,
and tokens may be wide.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.drawing.layout import plain
from workbench.drawing.style import Line, Style
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


@dataclass
class Trace:
    """What one series puts on a canvas. `x` and `y` [point]; nan breaks a line."""

    x: np.ndarray
    y: np.ndarray
    rich_style: str
    marker: str = "braille"
    """a plotext marker, or one character"""
    joined: bool = True
    filled: bool = False


def canvas_height(height: int | None, above: int) -> int:
    """Lines for canvas and ticks: what `height` leaves beside `above` lines of legend and the axis' name."""
    return HEIGHT - 2 if height is None else max(_LEAST, height - above - 1)


def marker(index: int, style: Style, points: bool = False) -> str:
    """The marker of the series at `index`: series differ in more than their colour where there is none."""
    if style.ascii or (index and not style.color):
        return PLAIN_MARKERS[index % len(PLAIN_MARKERS)]
    return "dot" if points else "braille"


def _sample(name: str) -> str:
    """How a marker looks in a legend."""
    return {"braille": "⠒⠒", "dot": "•"}.get(name, name)


def draw_canvas(
    traces: list[Trace],
    cells: int,
    height: int,
    style: Style,
    *,
    x_limits: tuple[float, float],
    y_limits: tuple[float, float],
    x_ticks: Ticks,
    y_ticks: Ticks,
    x_label: str,
) -> list[Line]:
    """Plot lines with both axes; `height` counts the canvas, its ticks' row and the axis."""
    names = [style.clean_text(name) for name in y_ticks.names]
    margin = max([1, *(width(name) for name in names)])
    canvas_cells = max(4, cells - margin - _AXIS)
    rows = max(2, height - 2)
    built = _build(traces, canvas_cells, rows, x_limits, y_limits)
    labels = _y_rows(y_ticks.at, names, rows, y_limits)
    lines = []
    for row, ansi in enumerate(built):
        name = labels.get(row, "")
        line = plain(style.fit(name, margin, right=True), "dim")
        line.append(style.glyphs("┤", "+") if name else style.glyphs("│", "|"), "dim")
        _append_colours(line, ansi, traces)
        line.rstrip()
        lines.append(line)
    lines += _x_axis(x_ticks, x_limits, x_label, margin, canvas_cells, style)
    return lines


def _build(
    traces: list[Trace], cells: int, rows: int, x_limits: tuple[float, float], y_limits: tuple[float, float]
) -> list[str]:
    """The bare canvas from plotext, `rows` strings with escape codes; trace `i` has the colour (0, 0, i + 1)."""
    import plotext

    with _LOCK:
        plotext.clear_figure()
        plotext.theme("clear")
        plotext.limitsize(False, False)
        plotext.plotsize(cells, rows)
        plotext.frame(False)
        plotext.xaxes(False, False)
        plotext.yaxes(False, False)
        plotext.xlim(*x_limits)
        plotext.ylim(*y_limits)
        plotext.xticks([])
        plotext.yticks([])
        for at, trace in enumerate(traces):
            for x, y in _pieces(trace):
                draw = plotext.plot if trace.joined else plotext.scatter
                more: dict[str, Any] = {"fillx": True} if trace.filled else {}
                draw(x, y, marker=trace.marker, color=(0, 0, at + 1), **more)
        text = str(plotext.build())
        plotext.clear_figure()
    lines = text.split("\n")[:rows]
    return lines + [""] * (rows - len(lines))


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


def _append_colours(line: Line, ansi: str, traces: list[Trace]) -> None:
    at, rich_style = 0, ""
    for match in _ANSI.finditer(ansi):
        line.append(ansi[at : match.start()], rich_style)
        codes = match.group(1).split(";")
        index = int(codes[-1]) - 1 if codes[:2] == ["38", "2"] else -1
        rich_style = traces[index].rich_style if 0 <= index < len(traces) else ""
        at = match.end()
    line.append(ansi[at:], rich_style)


def _y_rows(at: list[float], names: list[str], rows: int, limits: tuple[float, float]) -> dict[int, str]:
    """Row of the canvas (0 on top) → its tick's name."""
    low, high = limits
    span = (high - low) or 1.0
    return {
        rows - 1 - round((value - low) / span * (rows - 1)): name
        for value, name in zip(at, names, strict=True)
        if low <= value <= high
    }


def _x_axis(ticks: Ticks, limits: tuple[float, float], label: str, margin: int, cells: int, style: Style) -> list[Line]:
    low, high = limits
    span = (high - low) or 1.0
    label = style.shorten(style.clean_text(label), cells)
    axis = [style.glyphs("─", "-")] * cells
    row = plain(" " * (margin + _AXIS))
    used = 0
    places = [(round((at - low) / span * (cells - 1)), name) for at, name in zip(ticks.at, ticks.names, strict=True)]
    for column, name in places:
        if not 0 <= column < cells:
            continue
        axis[column] = style.glyphs("┬", "+")
        name = style.shorten(style.clean_text(name), max(4, cells // 6))
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


def legend(y_label: str, names: list[str], cells: int, style: Style) -> list[Line]:
    """The vertical axis' name, then each series with its marker, on as many lines as that takes."""
    lines = [plain(style.shorten(style.clean_text(y_label), cells), "dim")]
    for index, name in enumerate(names if any(names) else []):
        rich_style = style.series(index)
        entry = plain("   " if lines[-1].plain else "")
        entry.append(f"{_sample(marker(index, style))} {style.shorten(style.clean_text(name), cells // 2)}", rich_style)
        if lines[-1].cell_len + entry.cell_len > cells:
            lines.append(entry)
        else:
            lines[-1].append_text(entry)
    return lines
