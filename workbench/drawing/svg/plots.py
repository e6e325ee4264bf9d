"""Lines, bars, histograms and scatters on a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.drawing.annotate import Flag, place_flags
from workbench.drawing.plot_cells import spread_rows
from workbench.drawing.plots import drawable, logarithm
from workbench.drawing.scale import signed_number
from workbench.drawing.svg.page import CELL, DASHES, FONT, LINE, QUIET, SMALL, Page, color, label, name_of_axis
from workbench.drawing.ticks import Ticks, limits, log_ticks, named_ticks, nice_ticks, number_ticks, power_ticks
from workbench.text import count, number, width
from workbench.views import Bars, Histogram, Lines, Scatter, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEIGHT = 0.42
"""of a plot, as a share of a two-column page's width; narrow ones are taller than that"""
_NAME = 28
"""cells of a series' or a bar's name"""
_MOST_ROWS = 40
"""bars one below the other; more become columns"""
_SETTINGS: dict[str, Any] = {"fontsize": SMALL, "annotation_clip": False}


def _height(page: Page) -> float:
    return max(150.0, page.width * _HEIGHT)


def _ticks(axis: Any, ticks: Ticks, cells: int = 14) -> None:
    axis.set_ticks(ticks.at, [label(name, cells) for name in ticks.names])


def _even(ends: tuple[float, float], most: int) -> Ticks:
    """Round numbers on an axis whose ends matplotlib chose."""
    return nice_ticks(float(ends[0]), float(ends[1]), most)


def _room(page: Page) -> int:
    """Characters below a plot's x axis."""
    return int((page.width - 50) / (SMALL * CELL))


def _empty(page: Page, why: str = "nothing to draw") -> Figure:
    page.notes.append(why)
    return page.figure(10)


def lines_figure(view: Lines, page: Page) -> Figure:
    x = np.asarray(view.x, dtype=float)
    series = [drawable(s, view.log_y) for s in view.series]
    levels = [(logarithm(level.y) if view.log_y else level.y, level.label) for level in view.levels]
    values = [part for s in series for part in (s.y, s.low, s.high) if part is not None]
    y_limits = limits(values) and limits([*values, np.array([y for y, _ in levels])])
    x_limits = limits([x], margin=0.01)
    if y_limits is None or x_limits is None:
        return _empty(page)
    banded = any(s.low is not None and s.high is not None for s in series)
    page.notes += ["shaded: the interval"] if banded else []
    figure, axes = page.plot(_height(page))
    axes.set_xlim(*x_limits)
    axes.set_ylim(*y_limits)
    for index, s in enumerate(series):
        if s.low is not None and s.high is not None:
            axes.fill_between(x, s.low, s.high, color=color(index), alpha=0.18, linewidth=0)
    for index, s in enumerate(series):
        alone = np.isfinite(s.y) & ~np.isfinite(np.append(s.y[1:], np.nan)) & ~np.isfinite(np.append(np.nan, s.y[:-1]))
        axes.plot(x, s.y, color=color(index), linestyle=DASHES[index % len(DASHES)], label=label(s.name, _NAME))
        axes.plot(x[alone], s.y[alone], "o", color=color(index), markersize=2.5)
    for y, name in levels:
        if not np.isfinite(y):
            continue
        axes.axhline(y, color=QUIET, linewidth=0.7, linestyle=(0, (3, 2)), zorder=0.5)
        where: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
        axes.annotate(
            label(name, 40), (1, y), xytext=(-2, 2), ha="right", va="bottom", color=QUIET, **where,
            **_SETTINGS,
        )  # fmt: skip
    _ticks(axes.yaxis, power_ticks(*y_limits) if view.log_y else nice_ticks(*y_limits, 6))
    room = _room(page)
    _ticks(axes.xaxis, named_ticks(x, view.x_ticks, room) if view.x_ticks else number_ticks(x, x_limits, room))
    axes.set_xlabel(name_of_axis(view.x_label, room))
    axes.set_ylabel(name_of_axis(f"{view.y_label}, log scale" if view.log_y else view.y_label, 40))
    names = [s.name for s in series]
    if any(names) and names != [view.y_label]:
        _names(axes, series, y_limits, page)
    return figure


def _names(axes: Axes, series: Sequence[Series], y_limits: tuple[float, float], page: Page) -> None:
    """The series' names at their lines' right ends where there is room, else in a legend."""
    names = [label(s.name, _NAME) for s in series]
    ends = [s.y[np.isfinite(s.y)][-1:] for s in series]
    bottom, top = y_limits
    if 2 <= len(series) <= 6 and all(len(end) for end in ends) and max(map(width, names)) * CELL * SMALL < 90:
        rows = int(_height(page) * 0.75 / (SMALL * LINE))
        placed = spread_rows([round((top - float(end[0])) / (top - bottom) * (rows - 1)) for end in ends], 0, rows - 1)
        for index, row in enumerate(placed or []):
            axes.annotate(
                names[index], (1, 1 - row / (rows - 1)), xytext=(4, 0), xycoords="axes fraction",
                textcoords="offset points", ha="left", va="center", color=color(index), **_SETTINGS,
            )  # fmt: skip
        if placed:
            return
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=max(1, min(len(series), int(page.width // 110))),
                borderaxespad=0.2, handlelength=2.4)  # fmt: skip


def bars_figure(view: Bars, page: Page) -> Figure:
    values = [np.asarray(s.y, dtype=float) for s in view.series]
    bounds = limits([np.zeros(1), *values], margin=0.0)
    if not view.labels or bounds is None or not any(np.isfinite(part).any() for part in values):
        return _empty(page)
    banded = any(s.low is not None and s.high is not None for s in view.series)
    page.notes += ["thin lines: the interval"] if banded else []
    return (_bar_rows if len(view.labels) * len(view.series) <= _MOST_ROWS else _bar_columns)(view, page)


def _finite(values: np.ndarray) -> np.ndarray:
    """With 0 where there is no length to draw."""
    return np.asarray(np.nan_to_num(values, posinf=0.0, neginf=0.0))


def _errors(series: Series) -> np.ndarray | None:
    """Distances to both ends [2, bar], for matplotlib; nan where there are none."""
    if series.low is None or series.high is None:
        return None
    y = np.asarray(series.y, dtype=float)
    ends = [y - np.asarray(series.low, dtype=float), np.asarray(series.high, dtype=float) - y]
    return np.asarray(np.abs(np.stack(ends)))


def _bar_rows(view: Bars, page: Page) -> Figure:
    n, several = len(view.labels), len(view.series)
    figure, axes = page.plot(n * several * FONT * 1.45 + 40)
    thick = 0.8 / several
    places = np.arange(n, dtype=float)
    signed = any(bool((np.asarray(s.y) < 0).any()) for s in view.series)
    write = signed_number if signed else number
    for index, s in enumerate(view.series):
        y = np.asarray(s.y, dtype=float)
        at = places + (index - (several - 1) / 2) * thick
        errors = _errors(s)
        axes.barh(at, _finite(y), thick * 0.9, color=color(index), label=label(s.name, _NAME), alpha=0.9)
        reach = y.copy()
        if errors is not None:
            axes.errorbar(y, at, xerr=_finite(errors), fmt="none", ecolor="#1a1a1a", elinewidth=0.8, capsize=2)
            reach = np.where(y < 0, y - _finite(errors[0]), y + _finite(errors[1]))
        for place, value, end in zip(at, y, reach, strict=True):
            if np.isfinite(value):
                side = -1 if value < 0 else 1
                axes.annotate(
                    write(float(value)), (float(end), place), xytext=(3 * side, 0), textcoords="offset points",
                    ha="right" if side < 0 else "left", va="center", **_SETTINGS,
                )  # fmt: skip
    axes.axvline(0, color=QUIET, linewidth=0.6)
    axes.margins(x=0.14)
    axes.set_ylim(n - 0.5, -0.5)
    axes.set_yticks(places, [label(name, _NAME) for name in view.labels])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    _ticks(axes.xaxis, _even(axes.get_xlim(), 6))
    axes.set_xlabel(name_of_axis(view.y_label, _room(page)))
    if several > 1:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=several, borderaxespad=0.2, handlelength=1)
    return figure


def _bar_columns(view: Bars, page: Page) -> Figure:
    n, several = len(view.labels), len(view.series)
    page.notes.append(f"n {count(n)} bars")
    figure, axes = page.plot(_height(page))
    thick = 0.86 / several
    for index, s in enumerate(view.series):
        at = np.arange(n) + (index - (several - 1) / 2) * thick
        errors = _errors(s)
        y = _finite(np.asarray(s.y, dtype=float))
        axes.bar(at, y, thick, color=color(index), label=label(s.name, _NAME))
        if errors is not None:
            axes.errorbar(at, y, yerr=_finite(errors), fmt="none", ecolor="#1a1a1a", elinewidth=0.6)
    axes.axhline(0, color=QUIET, linewidth=0.6)
    axes.set_xlim(-0.7, n - 0.3)
    _ticks(axes.xaxis, named_ticks(np.arange(n, dtype=float), view.labels, _room(page)))
    _ticks(axes.yaxis, _even(axes.get_ylim(), 6))
    axes.set_ylabel(name_of_axis(view.y_label, 40))
    if several > 1:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=several, borderaxespad=0.2, handlelength=1)
    return figure


def histogram_figure(view: Histogram, page: Page) -> Figure:
    edges = np.asarray(view.edges, dtype=float)
    fine = len(edges) > 1 and np.isfinite(edges).all() and edges[-1] > edges[0] and bool(view.series)
    if not fine or (view.log_x and edges[0] <= 0):
        return _empty(page)
    x = np.log10(edges) if view.log_x else edges
    place = (lambda value: float(np.log10(value)) if value > 0 else float(x[0])) if view.log_x else float
    cells = _room(page)
    flags = []
    if view.band is not None:
        low, high = (min(max(place(value), float(x[0])), float(x[-1])) for value in view.band)
        middle = "" if view.median is None else f"median {number(view.median)} "
        text = f"{view.series[0].name} {middle}(5–95 %: {number(view.band[0])}–{number(view.band[1])})".strip()
        strip = (_cell(low, x, cells), _cell(low, x, cells), _cell(high, x, cells))
        flags.append(Flag(strip[0], label(text, 200), color(0), False, strip))
    for mark in view.marks:
        if np.isfinite(mark.x) and x[0] <= place(mark.x) <= x[-1]:
            flags.append(Flag(_cell(place(mark.x), x, cells), label(f"{mark.label} {number(mark.x)}", 200)))
        else:
            page.notes.append(f"{mark.label} at {number(mark.x)}, outside of the axis")
    placed = place_flags(flags, cells)
    page.notes += placed.words("shaded:", "line:")
    figure, axes = page.plot(_height(page), len(placed.rows) + 1)
    counts = [_finite(np.asarray(s.y, dtype=float)) for s in view.series]
    drawn = [np.log10(part + 1) if view.log_counts else part for part in counts]
    top = max(float(part.max(initial=0)) for part in drawn) or 1.0
    axes.set_xlim(float(x[0]), float(x[-1]))
    axes.set_ylim(0, top * 1.04)
    if view.band is not None:
        axes.axvspan(low, high, color=color(0), alpha=0.12, linewidth=0)
        if view.median is not None:
            axes.axvline(place(view.median), color=color(0), linewidth=0.8, linestyle=(0, (4, 2)))
    for index, part in enumerate(drawn):
        name = label(f"{view.series[index].name} n {count(counts[index].sum())}".strip(), _NAME + 12)
        if index == 0:
            axes.stairs(part, x, fill=True, color=color(0), alpha=0.55, label=name)
        else:
            axes.stairs(part, x, color=color(index), linewidth=1.2, linestyle=DASHES[0], label=name)
    _put_flags(axes, placed.rows, x, cells)
    _ticks(axes.xaxis, power_ticks(float(x[0]), float(x[-1]), cells // 9) if view.log_x else _even(axes.get_xlim(), 7))
    _ticks(axes.yaxis, log_ticks(top) if view.log_counts else nice_ticks(0, top, 5))
    axes.set_xlabel(name_of_axis(f"{view.x_label}, log scale" if view.log_x else view.x_label, _room(page)))
    axes.set_ylabel("count, log scale" if view.log_counts else "count")
    above = 1 + len(placed.rows) * SMALL * LINE / (_height(page) * 0.75)
    axes.legend(loc="lower left", bbox_to_anchor=(0, above), ncols=len(counts), borderaxespad=0.2, handlelength=1.2)
    return figure


def _cell(value: float, x: np.ndarray, cells: int) -> int:
    return round((value - float(x[0])) / float(x[-1] - x[0]) * (cells - 1))


def _put_flags(axes: Axes, rows: Sequence[Sequence[tuple[int, Flag]]], x: np.ndarray, cells: int) -> None:
    """Labels above the axes, their lines down to the x axis."""
    for up, row in enumerate(reversed(rows)):
        for start, flag in row:
            at = float(x[0]) + flag.column / (cells - 1) * float(x[-1] - x[0])
            height = up * SMALL * LINE + 2
            right = start < flag.column
            edge = flag.strip[2] if flag.strip and not right else flag.column
            text_at = float(x[0]) + edge / (cells - 1) * float(x[-1] - x[0])
            ink = "#1a1a1a" if flag.lined else flag.ink
            axes.annotate(
                flag.text, (text_at, 1), xytext=(-3 if right else 3, height), xycoords=("data", "axes fraction"),
                textcoords="offset points", ha="right" if right else "left", va="bottom", color=ink, **_SETTINGS,
            )  # fmt: skip
            if flag.lined:
                axes.axvline(at, color=ink, linewidth=0.9)
                axes.annotate(
                    "", (at, 1), xytext=(0, height + SMALL), xycoords=("data", "axes fraction"),
                    textcoords="offset points", annotation_clip=False,
                    arrowprops={"arrowstyle": "-", "color": ink, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0},
                )  # fmt: skip


def scatter_figure(view: Scatter, page: Page) -> Figure:
    x, y = np.asarray(view.x, dtype=float), np.asarray(view.y, dtype=float)
    fine = np.isfinite(x) & np.isfinite(y)
    x_limits, y_limits = limits([x[fine]]), limits([y[fine]])
    if x_limits is None or y_limits is None:
        return _empty(page)
    n = int(fine.sum())
    page.notes.append(f"n {count(n)}")
    figure, axes = page.plot(max(_height(page), page.width * 0.55))
    many = n > 5000  # as a picture: a paper's reader opens no file with 100,000 shapes
    axes.scatter(x[fine], y[fine], s=6 if n < 2000 else 2, color=color(0), alpha=0.6, linewidths=0, rasterized=many)
    axes.set_xlim(*x_limits)
    axes.set_ylim(*y_limits)
    for line, (low, high) in ((axes.axvline, x_limits), (axes.axhline, y_limits)):
        if low < 0 < high:
            line(0, color="#d0d0d0", linewidth=0.6, zorder=0)
    if view.labels:
        at = np.flatnonzero(fine)
        for point in sorted({int(at[k]) for k in (x[at].argmin(), x[at].argmax(), y[at].argmin(), y[at].argmax())}):
            left = x[point] > (x_limits[0] + x_limits[1]) / 2
            axes.annotate(
                label(view.labels[point], _NAME) if point < len(view.labels) else "", (x[point], y[point]),
                xytext=(-3 if left else 3, 3), textcoords="offset points", ha="right" if left else "left",
                color=QUIET, **_SETTINGS,
            )  # fmt: skip
    _ticks(axes.xaxis, nice_ticks(*x_limits, 7))
    _ticks(axes.yaxis, nice_ticks(*y_limits, 6))
    axes.set_xlabel(name_of_axis(view.x_label, _room(page)))
    axes.set_ylabel(name_of_axis(view.y_label, 40))
    return figure
