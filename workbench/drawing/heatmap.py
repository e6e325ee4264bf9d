"""Heatmaps: shaded cells, with texts in them where there are any (a logit lens), both ends of the scale labelled."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from workbench.drawing.layout import joined, plain
from workbench.drawing.scale import Scale
from workbench.drawing.style import Line, Style
from workbench.text import count, number, width
from workbench.views import Heatmap

_TEXT_MIN, _TEXT_MAX = 6, 16
_CELL_MAX = 4
_LABELLED_MAX = 10
"""cells of a column without texts, where there is room to name each"""
_FIGURE = 7
"""cells of the number after the last column"""
MAX_ROWS = 120
"""Rows drawn where no height is given."""
_NUMBERED = re.compile(r"(\D*)\d+")


@dataclass(frozen=True)
class Grid:
    """Where the cells of a map are: `margin` cells of row labels, then `column_cells` cells a column."""

    rows: list[range]
    """the view's rows that each line stands for, from the top"""
    columns: range
    margin: int
    column_cells: int


def grid(view: Heatmap, cells: int, height: int | None, style: Style) -> Grid:
    """The places of a map without texts, as `draw_heatmap` draws it. Rows that have no line of their own share one."""
    n_rows, n_columns = np.atleast_2d(view.values).shape
    rows = _shared(n_rows, _lines_for(height))
    if view.first_row_low:
        rows = rows[::-1]
    margin = min(max(width(style.clean_text(_label(view.row_labels, part))) for part in rows), max(3, cells // 4))
    room = max(1, cells - margin - 1)
    names = [style.clean_text(_at(view.column_labels, column)) for column in range(n_columns)]
    labelled = min(_LABELLED_MAX, max(map(width, names), default=0) + 1)
    column_cells = max(1, min(max(_CELL_MAX, labelled), room // n_columns))
    return Grid(rows, range(n_columns - min(n_columns, max(1, room // column_cells)), n_columns), margin, column_cells)


def strongest(values: np.ndarray, rows: range, column: int, signed: bool) -> int:
    """The row among `rows` that their common line shows: farthest from zero, or highest where not signed."""
    part = values[rows.start : rows.stop, column]
    if len(part) == 1 or not np.isfinite(part).any():
        return rows.start
    return rows.start + int(np.nanargmax(np.abs(part) if signed else part))


def _lines_for(height: int | None) -> int:
    return MAX_ROWS if height is None else max(1, height - 3)


def _shared(n_rows: int, most: int) -> list[range]:
    """At most `most` parts of as many rows each, in order; the last may have fewer."""
    size = -(-n_rows // most)
    return [range(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]


def _label(labels: list[str], rows: range) -> str:
    """`L4`, `L4–7`."""
    low, high = _at(labels, rows[0]), _at(labels, rows[-1])
    if low == high:
        return low
    matches = _NUMBERED.fullmatch(low), _NUMBERED.fullmatch(high)
    same = matches[0] and matches[1] and matches[0][1] == matches[1][1]
    return f"{low}–{high[len(matches[0][1]) :] if same and matches[0] else high}"


def draw_heatmap(view: Heatmap, cells: int, height: int | None, style: Style) -> tuple[list[Line], str]:
    """The map, its axes and its scale; what the note must add."""
    values = np.atleast_2d(np.asarray(view.values, dtype=float))
    n_rows, n_columns = values.shape if values.size else (0, 0)
    if not n_rows:
        return [], "nothing to show"
    scale = Scale([values], style, view.signed)
    names = [style.clean_text(_at(view.column_labels, column)) for column in range(n_columns)]
    if view.texts:
        rows = _every(n_rows, _lines_for(height))
        rows = rows[::-1] if view.first_row_low else rows
        margin = min(max(width(style.clean_text(_label(view.row_labels, part))) for part in rows), max(3, cells // 4))
        room = max(1, cells - margin - 1)
        texts = [[_cell_text(text, style) for text in row] for row in view.texts]
        column_cells = _text_cells(texts, names, room)
        gap = (column_cells + 1) * n_columns <= room  # a space between shade and text, where there is room for it
        column_cells += gap
        shown = min(n_columns, max(1, room // column_cells))
        columns = range(n_columns - shown, n_columns)
    else:
        places = grid(view, cells, height, style)
        rows, columns, margin, column_cells = places.rows, places.columns, places.margin, places.column_cells
        texts, gap = None, False
    first = columns.start
    lines = []
    if texts:
        header = plain(" " * (margin + 1))
        for column in columns:
            header.append(" " + style.fit(" " * gap + names[column].strip(" "), column_cells - 2) + " ", "dim")
        header.rstrip()
        header.truncate(cells)
        lines.append(header)
    for part in rows:
        line = plain(style.fit(style.clean_text(_label(view.row_labels, part)), margin, right=True) + " ", "dim")
        for column in columns:
            row = strongest(values, part, column, view.signed)
            value = float(values[row, column])
            if texts is None:
                line.append(scale.shade(value) * column_cells, scale.ink(value))
                continue
            text = texts[row][column] if row < len(texts) and column < len(texts[row]) else ""
            line.append(scale.shade(value), scale.ink(value))
            line.append(style.fit(" " * gap + text, column_cells - 2), scale.ground(value))
            line.append(" ")
        if texts and columns[-1] == n_columns - 1 and line.cell_len + _FIGURE <= cells:
            line.append(style.clean_text(number(float(values[part[-1], -1]), 2)), "dim")
        line.rstrip()
        lines.append(line)
    if not texts:
        lines.append(_column_axis([names[column] for column in columns], column_cells, margin, cells, style))
    lines.append(scale.legend(view.low_label, view.high_label, "shade", cells))
    shared = max(map(len, rows))
    rows_axis, columns_axis = style.clean_text(view.row_axis), style.clean_text(view.column_axis)
    return lines, joined(
        f"{rows_axis} down, {columns_axis} across" if rows_axis and columns_axis else "",
        f"{columns_axis or 'column'}s {first} to {n_columns - 1} of {count(n_columns)}" if first else "",
        f"{count(len(rows))} of {count(n_rows)} rows shown" if texts and len(rows) < n_rows else "",
        f"each line the strongest of {shared}" if shared > 1 else "",
    )


def _at(labels: list[str], index: int) -> str:
    return labels[index] if index < len(labels) else str(index)


def _every(n_rows: int, most: int) -> list[range]:
    """At most `most` single rows at even steps, the last among them."""
    step = -(-n_rows // most)
    return [range(row, row + 1) for row in range((n_rows - 1) % step, n_rows, step)]


def _text_cells(texts: list[list[str]], names: list[str], room: int) -> int:
    """Cells for one column: its shade, its text, a space. All of every text if there is room, else nearly all."""
    widths = sorted([width(text) + 2 for row in texts for text in row] + [width(name) + 2 for name in names]) or [1]
    whole = min(widths[-1], _TEXT_MAX)
    if whole * len(names) > room:
        whole = max(widths[int(0.95 * (len(widths) - 1))], room // len(names))  # no room is left unused
    return min(room, max(_TEXT_MIN, min(_TEXT_MAX, whole)))


def _cell_text(text: str, style: Style) -> str:
    """A cell's text without the space it begins with; what is only space is shown."""
    return style.clean_text(text.strip(" ") or text.replace(" ", "_" if style.ascii else "·"))


def _column_axis(names: list[str], column_cells: int, margin: int, cells: int, style: Style) -> Line:
    """As many column names as fit under their columns."""
    line = plain(" " * (margin + 1))
    end = margin + 1
    for at, name in enumerate(names):
        start = margin + 1 + at * column_cells
        if start < end or start + min(width(name), 8) > cells:
            continue
        text = style.shorten(name, min(12, cells - start))
        line.append(" " * (start - end) + text, "dim")
        end = start + width(text) + 1
        line.append(" ")
    line.rstrip()
    return line
