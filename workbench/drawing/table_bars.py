"""Bars in a table's rows: of one column, or of two on the same scale; from zero to both sides where signed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from workbench.drawing.layout import plain
from workbench.drawing.style import Line, Style
from workbench.drawing.table_cells import Cells, is_number
from workbench.text import width

_LEAST, MOST = 8, 32
"""cells of a bar"""
_NAME = 14
"""cells of a name in a bar's legend, where there is no room for more"""
_KINDS = ("probability", "signed")
_LINE, _LEFT_HALF, _RIGHT_HALF = "━", "╺", "╸"
_FULL, _UPPER, _LOWER, _AXIS = "█", "▀", "▄", "│"


def barred(columns: Sequence[Cells]) -> list[int]:
    """Indices of the columns that bars are drawn of: the first of shares or effects, and its partner.

    That is the same number under the edits, or another one of the same quantity. None where there is one row.
    """
    if max((len(cells.values) for cells in columns), default=0) < 2:
        return []
    first = next((at for at, cells in enumerate(columns) if cells.kind in _KINDS), None)
    if first is None:
        return []
    column = columns[first].column
    for at, cells in enumerate(columns):
        other = cells.column
        if at <= first or other.kind != column.kind:
            continue
        edited = other.edited and not column.edited and other.key == (column.key and f"{column.key}_edited")
        if edited or (other.quantity and other.quantity == column.quantity):
            return [first, at]
    return [first]


def least_cells(columns: Sequence[Cells], style: Style) -> int:
    """Of bars of these columns: what their legend needs, one name on a line."""
    return max([_LEAST, *(2 + min(_NAME, width(name)) for _, name in _samples(columns, style))])


class Bars:
    """`legend` above, `draw` in each row; on one scale, whose zero is a line where there are numbers below it."""

    def __init__(self, columns: Sequence[Cells], style: Style, cells: int) -> None:
        self._columns, self._style = columns, style
        self._values = [[_finite(value) for value in column.values] for column in columns]
        numbers = [value for values in self._values for value in values]
        low, high = min([0.0, *numbers]), max([0.0, *numbers])
        self._has_axis = low < 0
        room = cells - self._has_axis
        self._scale = room / ((high - low) or 1.0)
        self._left = math.ceil(-low * self._scale) if high > 0 else room if low < 0 else 0
        # Whole cells on both sides of the line: the same number takes as many on either.
        if self._has_axis and high > 0:
            self._left = max(1, min(room - 1, self._left))
            self._scale = min(self._left / -low, (room - self._left) / high)
        self._cells = cells

    @property
    def _is_effect(self) -> bool:
        """One signed column: both of its sides have a colour."""
        return len(self._columns) == 1 and self._columns[0].kind == "signed"

    def legend(self) -> list[Line]:
        """The names, each after its glyph in its colour: on one line, or on one each."""
        samples = _samples(self._columns, self._style)
        together = sum(2 + width(name) for _, name in samples) + 2 * (len(samples) - 1)
        lines = [plain("")]
        for at, (glyph, name) in enumerate(samples):
            if at and together > self._cells:
                lines.append(plain(""))
            line = lines[-1]
            line.append("  " if line.plain else "")
            if self._is_effect and self._style.color:
                line.append(glyph, self._colour(at, below=True))
            line.append(glyph, "" if at == 2 else self._colour(at))
            line.append(" " + self._style.shorten(name, self._cells - line.cell_len - 1), "dim")
        return lines

    def draw(self, line: Line, row: int) -> None:
        """Appends this row's bar."""
        sizes = [abs(values[row]) * self._scale for values in self._values]
        signs = [values[row] < 0 for values in self._values]
        if not self._has_axis:
            self._append(line, sizes, False)
            return
        part = plain("")
        self._append(part, [size if below else 0 for size, below in zip(sizes, signs, strict=True)], True)
        line.append(" " * (self._left - part.cell_len))
        line.append_text(part)
        line.append(self._style.glyphs(_AXIS, "|"), "dim")
        self._append(line, [0 if below else size for size, below in zip(sizes, signs, strict=True)], False)

    def _append(self, line: Line, sizes: list[float], leftwards: bool) -> None:
        style = self._style
        if len(sizes) == 1:
            line.append(self._single(sizes[0], leftwards), self._colour(0, leftwards))
            return
        first, second = (math.ceil(size - 0.5) if size >= 0.5 else 0 for size in sizes)
        both, longer = min(first, second), abs(first - second)
        colours = self._colour(0), self._colour(1)
        over = f"{colours[0]} on {colours[1]}" if style.color else ""
        pieces = [
            (style.glyphs(_UPPER if style.color else _FULL, "#") * both, over),
            (style.glyphs(_UPPER, "'") * longer, colours[0])
            if first > second
            else (style.glyphs(_LOWER, ",") * longer, colours[1]),
        ]
        for text, colour in reversed(pieces) if leftwards else pieces:
            line.append(text, colour)

    def _single(self, size: float, leftwards: bool) -> str:
        """In half cells; whatever is not zero has at least one."""
        if self._style.ascii:
            return "#" * max(round(size), size > 0)
        halves = max(round(size * 2), size > 0)
        half = (_LEFT_HALF if leftwards else _RIGHT_HALF) if halves % 2 else ""
        return half + _LINE * (halves // 2) if leftwards else _LINE * (halves // 2) + half

    def _colour(self, at: int, below: bool = False) -> str:
        style = self._style
        if self._is_effect:
            return style.paint("low" if below else "high")
        return style.series(at)


def _samples(columns: Sequence[Cells], style: Style) -> list[tuple[str, str]]:
    """Glyph and name of all that a bar is made of; without colours what two columns share looks like neither."""
    if len(columns) == 1:
        return [(style.glyphs(_LINE, "#"), columns[0].name)]
    glyphs = (style.glyphs(_UPPER, "'"), style.glyphs(_LOWER, ","))
    samples = [(glyph, column.name) for glyph, column in zip(glyphs, columns, strict=True)]
    return samples if style.color else [*samples, (style.glyphs(_FULL, "#"), "both")]


def _finite(value: object) -> float:
    """A number that a bar can be as long as; 0 for all else."""
    number = float(value) if isinstance(value, int | float) and is_number(value) else 0.0
    return number if 1e-300 < abs(number) < 1e300 else 0.0
