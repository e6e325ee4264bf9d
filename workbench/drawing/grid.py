"""Where the cells of a heat map are: which rows each line stands for, which columns are shown, how wide they are."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from workbench.drawing.look import Look
from workbench.drawing.style import Style
from workbench.text import MINUS, count, width
from workbench.views import Heatmap

MAX_LINES = 120
"""lines of cells where no height is given"""
_TEXT_MIN, _TEXT_MAX = 6, 17
"""cells of a column with texts, the space before them included"""
_NAME_MAX = 12
"""cells of a column's name at most"""
_COARSEST = 0.12
"""the last digit of a value in a cell is worth at most this share of the largest value"""
_NUMBERED = re.compile(r"(\D*)\d+")


@dataclass(frozen=True)
class Figures:
    """How the values of one map are written: all with as many decimals, in units of 10 to the `exponent`."""

    exponent: int
    decimals: int

    def text(self, value: float) -> str:
        """`.77`, `−1.2`, `12`, `0` for exactly 0; `∞`."""
        if math.isinf(value):
            return "∞" if value > 0 else MINUS + "∞"
        if value == 0:
            return "0"
        text = f"{abs(value) / 10.0**self.exponent:.{self.decimals}f}"
        text = text[1:] if text.startswith("0.") else text
        return MINUS + text if value < 0 and text.strip("0.") else text


@dataclass(frozen=True)
class Grid:
    """The places of a map: `margin` cells of row labels, a space, then `column_cells` cells a column."""

    lines: tuple[tuple[range, ...], ...]
    """[line]: the view's rows that it stands for, from the top; two groups of rows where it is made of half blocks"""
    columns: range
    """the view's columns that are shown"""
    margin: int
    column_cells: int
    top: int
    """lines above the first one with cells"""
    figures: Figures | None
    """how values are written in the cells; None where there is no room for them"""

    @property
    def groups(self) -> list[range]:
        """The view's rows in the groups that are told apart, from the top."""
        return [group for line in self.lines for group in line]

    @property
    def is_halved(self) -> bool:
        return any(len(line) > 1 for line in self.lines)

    def line_of(self, row: int) -> int | None:
        """The line, among those with cells, that shows this row of the view."""
        return next((at for at, line in enumerate(self.lines) if any(row in group for group in line)), None)

    def start(self, column: int) -> int:
        """The first terminal cell of a column of the view."""
        return self.margin + 1 + (column - self.columns.start) * self.column_cells

    def under(self, x: int, y: int) -> tuple[tuple[range, ...], int] | None:
        """The rows (one group, or two halves) and the column at terminal cell `x` of line `y`; None beside the map."""
        at, column = y - self.top, self.columns.start + (x - self.margin - 1) // self.column_cells
        return (self.lines[at], column) if 0 <= at < len(self.lines) and column in self.columns else None


def make_grid(view: Heatmap, cells: int, lines: int, style: Style, look: Look) -> Grid:
    """The places of a map in `cells` terminal cells and `lines` lines of cells at most.

    Rows that have no line of their own are drawn as half blocks, two a line, where there are colours for that; beyond
    that they share one. Columns that do not fit are left out: the first ones, or with a cursor those far from it.
    """
    n_rows, n_columns = view.values.shape
    halved = not view.texts and n_rows > lines and style.color and style.rgb and not style.ascii
    groups = _every(n_rows, lines) if view.texts else _shared(n_rows, lines * 2 if halved else lines)
    groups = groups[::-1] if view.first_row_low else groups
    halves = 2 if halved else 1
    rows = tuple(tuple(groups[at : at + halves]) for at in range(0, len(groups), halves))
    labels = [style.clean_text(rows_label(view, line)) for line in rows]
    margin = min(max(map(width, labels)), max(3, cells // 4))
    room = max(1, cells - margin - 2)  # a space before the first column, and one for the cursor behind the last
    names = [column_name(view, column, style) for column in range(n_columns)]
    column_cells, figures = (
        _text_cells(view, names, room, style) if view.texts else _value_cells(view, names, room, halved)
    )
    return Grid(
        rows, _window(n_columns, room // column_cells, look), margin, column_cells, 1 if view.texts else 0, figures
    )


def strongest(values: np.ndarray, signed: bool) -> np.ndarray:
    """Of each column of `values` [row, column] the row that stands for all: farthest from 0, or highest; int [column].

    The first one where there is no number.
    """
    strength = np.abs(values) if signed else values
    return np.asarray(np.argmax(np.where(np.isnan(strength), -np.inf, strength), axis=0))


def label(labels: list[str], index: int) -> str:
    """The name of a row or column, or its number where it has none."""
    return labels[index] if index < len(labels) else str(index)


def rows_label(view: Heatmap, groups: tuple[range, ...]) -> str:
    """`L4`, `L4–7`."""
    indices = [row for group in groups for row in (group[0], group[-1])]
    low, high = label(view.row_labels, min(indices)), label(view.row_labels, max(indices))
    if low == high:
        return low
    matches = _NUMBERED.fullmatch(low), _NUMBERED.fullmatch(high)
    same = matches[0] and matches[1] and matches[0][1] == matches[1][1]
    return f"{low}–{high[len(matches[0][1]) :] if same and matches[0] else high}"


def column_name(view: Heatmap, column: int, style: Style) -> str:
    return cell_text(label(view.column_labels, column), style)


def cell_text(text: str, style: Style) -> str:
    """A text without the spaces around it; what is only space is shown."""
    return style.clean_text(text.strip(" ") or text.replace(" ", "_" if style.ascii else "·"))


def needs_digits(style: Style) -> bool:
    """Colours alone do not tell the values apart."""
    return not style.color or style.depth == "16" or style.ascii


def _shared(n_rows: int, most: int) -> list[range]:
    """At most `most` groups of as many rows each, in order; the last may have fewer."""
    size = -(-n_rows // most)
    return [range(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]


def _every(n_rows: int, most: int) -> list[range]:
    """At most `most` single rows at even steps, the last among them."""
    step = -(-n_rows // most)
    return [range(row, row + 1) for row in range((n_rows - 1) % step, n_rows, step)]


def _window(n_columns: int, shown: int, look: Look) -> range:
    """The columns that are shown: the last ones; with a cursor those that were, or new ones around it."""
    shown = max(1, min(n_columns, shown))
    start = n_columns - shown
    if look.cell is not None:
        column, start = look.cell[1], max(0, min(look.first_column, n_columns - shown))
        if not start <= column < start + shown:
            start = column - (3 * shown // 4 if column < start else shown // 4)
            start = max(0, min(start, n_columns - shown))
    return range(start, start + shown)


def _figures(values: np.ndarray, cells: int) -> Figures | None:
    """How values [row, column] are written in at most `cells` terminal cells: with up to three digits of the largest.

    None where no text of that width tells them apart well enough.
    """
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    top = max(-low, high)
    size = math.floor(math.log10(top)) if top > 0 else 0
    exponent = 0 if -3 < size < 4 else size
    whole = not exponent and bool((finite == np.round(finite)).all())
    for decimals in (0,) if whole else range(max(0, 2 - size + exponent), -1, -1):
        figures = Figures(exponent, decimals)
        told_apart = whole or 10.0 ** (exponent - decimals) <= _COARSEST * top
        if told_apart and max(width(figures.text(low)), width(figures.text(high))) <= cells:
            return figures
    return None


def _value_cells(view: Heatmap, names: list[str], room: int, halved: bool) -> tuple[int, Figures | None]:
    """Cells for one column: its name and its values with a space before them, where there is room for all columns."""
    most = max(1, room // len(names))
    whole = _figures(view.values, most - 1)
    wide = next(cells for cells in range(1, 40) if _figures(view.values, cells) == whole) if whole else 1
    names_wide = min(_NAME_MAX, max(map(width, names)))
    column_cells = min(most, max(wide, names_wide, 3) + 1)
    return column_cells, None if halved else whole


def _text_cells(view: Heatmap, names: list[str], room: int, style: Style) -> tuple[int, Figures | None]:
    """Cells for one column: a space, its text, and its value where there is room for all of all texts."""
    texts = [width(cell_text(text, style)) for row in view.texts or [] for text in row]
    widths = sorted(texts + [width(name) for name in names])
    most, mark = room // len(names), 3 if needs_digits(style) else 1
    whole = min(_TEXT_MAX, widths[-1] + mark)
    for value_cells in (4, 3, 2):
        figures = _figures(view.values, value_cells)
        text_cells = max(_TEXT_MIN - 1, min(_TEXT_MAX, widths[-1] + 1))
        if figures and text_cells + 1 + value_cells <= most and not _are_values(view):
            return text_cells + 1 + value_cells, figures
    if whole > most:
        whole = max(widths[int(0.95 * (len(widths) - 1))] + mark, most)  # no room is left unused
    return min(room, max(_TEXT_MIN, min(_TEXT_MAX, whole))), None


def _are_values(view: Heatmap) -> bool:
    """The texts are the values already."""
    rows = zip(view.texts or [], view.values.tolist(), strict=False)
    pairs = [pair for texts, row in rows for pair in zip(texts, row, strict=False)]
    return all(math.isfinite(value) and text == count(value) for text, value in pairs)
