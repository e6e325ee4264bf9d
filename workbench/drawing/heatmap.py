"""Heatmaps: shaded cells, with texts in them where there are any (a logit lens), both ends of the scale labelled."""

from __future__ import annotations

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
"""Rows drawn where nobody says how many."""


def draw_heatmap(view: Heatmap, cells: int, height: int | None, style: Style) -> tuple[list[Line], str]:
    """The map, its axes and its scale; what the note must add."""
    values = np.atleast_2d(np.asarray(view.values, dtype=float))
    n_rows, n_columns = values.shape if values.size else (0, 0)
    if not n_rows:
        return [], "nothing to show"
    scale = Scale([values], style, view.signed)
    picked = _pick(n_rows, (MAX_ROWS if height is None else max(1, height - 3)))
    order = picked[::-1] if view.first_row_low else picked
    labels = [style.clean_text(_at(view.row_labels, row)) for row in range(n_rows)]
    margin = min(max(width(labels[row]) for row in order), max(3, cells // 4))
    room = max(1, cells - margin - 1)
    names = [style.clean_text(_at(view.column_labels, column)) for column in range(n_columns)]
    if view.texts:
        texts = [[_cell_text(text, style) for text in row] for row in view.texts]
        each = _text_cells(texts, names, room)
        gap = (each + 1) * n_columns <= room  # a space between shade and text, where there is room for it
        each += gap
    else:
        wanted = min(_LABELLED_MAX, max(map(width, names), default=0) + 1)
        texts, gap, each = None, False, max(1, min(max(_CELL_MAX, wanted), room // n_columns))
    shown = min(n_columns, max(1, room // each))
    first = n_columns - shown
    columns = range(first, n_columns)
    lines = []
    if texts:
        header = plain(" " * (margin + 1))
        for column in columns:
            header.append(" " + style.fit(" " * gap + names[column].strip(" "), each - 2) + " ", "dim")
        header.rstrip()
        header.truncate(cells)
        lines.append(header)
    for row in order:
        line = plain(style.fit(labels[row], margin, right=True) + " ", "dim")
        for column in columns:
            value = float(values[row, column])
            if texts is None:
                line.append(scale.shade(value) * each, scale.ink(value))
                continue
            text = texts[row][column] if row < len(texts) and column < len(texts[row]) else ""
            line.append(scale.shade(value), scale.ink(value))
            line.append(style.fit(" " * gap + text, each - 2), scale.ground(value))
            line.append(" ")
        if texts and columns[-1] == n_columns - 1 and line.cell_len + _FIGURE <= cells:
            line.append(style.clean_text(number(float(values[row, -1]), 2)), "dim")
        line.rstrip()
        lines.append(line)
    if not texts:
        lines.append(_column_axis([names[column] for column in columns], each, margin, cells, style))
    lines.append(scale.legend(view.low_label, view.high_label, "shade", cells))
    rows_axis, columns_axis = style.clean_text(view.row_axis), style.clean_text(view.column_axis)
    return lines, joined(
        f"{rows_axis} down, {columns_axis} across" if rows_axis and columns_axis else "",
        f"{columns_axis or 'column'}s {first} to {n_columns - 1} of {count(n_columns)}" if first else "",
        f"{count(len(picked))} of {count(n_rows)} rows shown" if len(picked) < n_rows else "",
    )


def _at(labels: list[str], index: int) -> str:
    return labels[index] if index < len(labels) else str(index)


def _pick(n_rows: int, most: int) -> list[int]:
    """At most `most` rows, evenly spread, the first and the last among them."""
    if n_rows <= most:
        return list(range(n_rows))
    if most == 1:
        return [n_rows - 1]
    return sorted({round(at * (n_rows - 1) / (most - 1)) for at in range(most)})


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


def _column_axis(names: list[str], each: int, margin: int, cells: int, style: Style) -> Line:
    """As many column names as fit under their columns."""
    line = plain(" " * (margin + 1))
    end = margin + 1
    for at, name in enumerate(names):
        start = margin + 1 + at * each
        if start < end or start + min(width(name), 8) > cells:
            continue
        text = style.shorten(name, min(12, cells - start))
        line.append(" " * (start - end) + text, "dim")
        end = start + width(text) + 1
        line.append(" ")
    line.rstrip()
    return line
