"""Heat maps on a page: cells in the same colours as on a light screen, their numbers or tokens where they fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.drawing.ramps import STEPS, amount_colour, signed_colour
from workbench.drawing.scale import Scale, signed_number
from workbench.drawing.style import LIGHT, readable_on
from workbench.drawing.svg.page import CELL, FONT, QUIET, SMALL, Page, label, name_of_axis
from workbench.drawing.ticks import named_ticks
from workbench.text import number, width
from workbench.views import Heatmap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEAST_FONT = 4.0
_MOST_SHAPES = 20_000
"""cells drawn as shapes; more become a picture"""
_LEAST_HEIGHT = 56.0
"""points: the scale beside the cells has its numbers"""
_MISSING = "#e4e4e4"
_NAME = 18


def heatmap_figure(view: Heatmap, page: Page) -> Figure:
    values = np.asarray(view.values, dtype=float)
    n_rows, n_columns = values.shape
    if not values.size:
        page.notes.append("nothing to show")
        return page.figure(10)
    if np.isnan(values).any():
        page.notes.append("grey: no value")
    room = page.width - 100
    across = room / n_columns
    tall = min(22.0, max(min(across, 13.0), 260.0 / n_rows if n_rows > 12 else 13.0, 2.0))
    cells = max(_LEAST_HEIGHT, min(560.0, n_rows * tall))
    figure, axes = page.plot(cells + 46)
    scale = Scale([values], LIGHT, view.signed)
    shares = np.array([[scale.share(float(value)) for value in row] for row in values])
    mapped = axes.pcolormesh(
        np.ma.masked_invalid(shares), cmap=_colours(view.signed), vmin=-1 if view.signed else 0, vmax=1,
        edgecolors="face", linewidth=0.2, rasterized=values.size > _MOST_SHAPES,
    )  # fmt: skip
    axes.set_facecolor(_MISSING)
    if not view.first_row_low:
        axes.invert_yaxis()
    _axes_names(axes, view, across, cells / n_rows)
    _cell_texts(axes, view, values, shares, across, cells / n_rows)
    _colour_bar(figure, axes, mapped, view, scale)
    return figure


def _colours(signed: bool) -> Any:
    from matplotlib.colors import ListedColormap

    if signed:
        ramp = [signed_colour(step / STEPS, False, "rgb") for step in range(-STEPS, STEPS + 1)]
    else:
        ramp = [amount_colour(step / STEPS, False, "rgb") for step in range(STEPS + 1)]
    return ListedColormap(ramp)


def _axes_names(axes: Axes, view: Heatmap, across: float, tall: float) -> None:
    n_rows, n_columns = view.values.shape
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)
    rows = named_ticks(np.arange(n_rows) + 0.5, [""] * n_rows, int(n_rows * tall / (SMALL * 1.2) * 2))
    axes.set_yticks(rows.at, [_name(view.row_labels, int(at)) for at in rows.at])
    names = [_name(view.column_labels, at) for at in range(n_columns)]
    if max(map(width, names), default=0) * CELL * SMALL <= across:
        axes.set_xticks(np.arange(n_columns) + 0.5, names)
    else:  # upright ones need only their height
        every = max(1, int(np.ceil(SMALL * 1.1 / across)))
        at = np.arange(n_columns - 1, -1, -every)[::-1]
        axes.set_xticks(at + 0.5, [names[k] for k in at], rotation=90)
    axes.set_xlabel(name_of_axis(view.column_axis, 60))
    axes.set_ylabel(name_of_axis(view.row_axis, 40))


def _name(names: list[str], at: int) -> str:
    return label(names[at].strip(" ") if at < len(names) else str(at), _NAME)


def _cell_texts(axes: Axes, view: Heatmap, values: np.ndarray, shares: np.ndarray, across: float, tall: float) -> None:
    """The tokens or numbers in the cells: in all, or in none where they would be too small to be read."""
    write = signed_number if view.signed else number
    n_rows, n_columns = values.shape
    if view.texts:
        most = max(4, int(across / (_LEAST_FONT * CELL)))
        texts = [[label(text.strip(" ") or text, most) for text in row[:n_columns]] for row in view.texts[:n_rows]]
    else:
        texts = [["" if np.isnan(v) else write(float(v), 2) for v in row] for row in values]
    longest = max((width(text) for row in texts for text in row), default=0)
    size = min(SMALL - 0.5, tall * 0.72, across * 0.94 / (max(1, longest) * CELL))
    if size < _LEAST_FONT:
        return
    colours = _colours(view.signed).colors
    for row, cells in enumerate(texts):
        for column, text in enumerate(cells):
            share = shares[row, column]
            if np.isnan(share):
                ground = _MISSING
            else:
                ground = colours[round((share + 1) / 2 * (len(colours) - 1) if view.signed else share * STEPS)]
            axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=size, color=readable_on(ground))


def _colour_bar(figure: Figure, axes: Axes, mapped: Any, view: Heatmap, scale: Scale) -> None:
    """The scale with its numbers, and what its ends mean."""
    bar = figure.colorbar(mapped, ax=axes, fraction=0.035, pad=0.02, aspect=14)
    bar.outline.set_linewidth(0.4)
    ends = [-1.0, 0.0, 1.0] if view.signed else [0.0, 0.5, 1.0]
    middle = 0.0 if view.signed else (scale.low + scale.high) / 2
    bar.set_ticks(ends, labels=[number(value) for value in (scale.low, middle, scale.high)])
    bar.ax.tick_params(labelsize=SMALL - 0.5, length=2)
    if view.value_label:
        bar.set_label(name_of_axis(view.value_label, 30), fontsize=SMALL - 0.5)
    for text, at, vertical in ((view.high_label, 1.0, "bottom"), (view.low_label, 0.0, "top")):
        bar.ax.annotate(
            label(text, 24), (1, at), xytext=(FONT, 4 if at else -4), xycoords="axes fraction",
            textcoords="offset points", ha="right", va=vertical, fontsize=SMALL - 0.5, color=QUIET,
            annotation_clip=False,
        )  # fmt: skip
