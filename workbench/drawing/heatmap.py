"""Heat maps: cells filled with their value's colour, with the value or the text on it that can be read there.

Without colours, with sixteen, and in ASCII a cell says its value, or its place on the scale as a digit.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from workbench.drawing.grid import (
    MAX_LINES,
    Grid,
    cell_text,
    column_name,
    make_grid,
    needs_digits,
    rows_label,
    strongest,
)
from workbench.drawing.layout import footnote, joined, plain
from workbench.drawing.legend import ramp_legend
from workbench.drawing.look import NO_LOOK, Look
from workbench.drawing.scale import Scale
from workbench.drawing.style import Line, Style
from workbench.text import count, width
from workbench.views import Heatmap

_CURSOR = "bold reverse"
_NAME_MAX = 12


class DrawnMap:
    """A map with at least one cell, drawn: all its lines, and again those that a moving cursor changes.

    `height` lines at most (rows share lines, and are said to); None is up to `MAX_LINES` lines of cells.
    """

    def __init__(self, view: Heatmap, cells: int, height: int | None, style: Style, look: Look = NO_LOOK) -> None:
        self.view, self._cells, self._style = view, cells, style
        self._scale = Scale([view.values], style, view.signed)
        self._legend: list[Line] = []
        self._note: list[Line] = []
        for _ in range(2):  # how long legend and note are is known when the places are
            lines = MAX_LINES if height is None else max(1, height - 1 - len(self._legend) - len(self._note))
            self.grid: Grid = make_grid(view, cells, lines, style, look)
            self._legend = ramp_legend(self._scale, view.low_label, view.high_label, cells, self._has_digits)
            self._note = footnote(joined(view.note, self._remarks()), cells, style)
            if height is not None:  # the lines are for the cells first
                room = height - 1 - len(self._legend) - view.values.shape[0]
                self._note = _at_most(self._note, max(1, height // 6, room), cells, style)
        self.names_at = 0 if self.grid.top else len(self.grid.lines)
        """the line with the columns' names"""

    def lines(self, cell: tuple[int, int] | None) -> list[Line]:
        """All of them, with the cursor on `cell` (row and column of the view) where there is one."""
        names = [self.names_line(cell)]
        drawn = [self.cells_line(at, cell) for at in range(len(self.grid.lines))]
        return [*(names + drawn if self.grid.top else drawn + names), *self._legend, *self._note]

    def cells_line(self, at: int, cell: tuple[int, int] | None) -> Line:
        """Line `at` of those with cells."""
        grid, style = self.grid, self._style
        groups = grid.lines[at]
        under_cursor = cell is not None and any(cell[0] in group for group in groups)
        shown_rows = (range(cell[0], cell[0] + 1),) if cell is not None and under_cursor else groups
        name = style.fit(style.clean_text(rows_label(self.view, shown_rows)), grid.margin, right=True)
        drawn = [self._cell(groups, column) for column in grid.columns] + [(" ", "")]
        if cell is not None and under_cursor and cell[1] in grid.columns:
            self._mark(drawn, groups, cell)
        line = plain(f"{name} ", "bold" if under_cursor else "dim")
        run, look = "", ""
        for text, own_look in drawn:
            if own_look != look:
                line.append(run, look)
                run, look = "", own_look
            run += text
        line.append(run.rstrip(" ") if not look else run, look)
        return line

    def names_line(self, cell: tuple[int, int] | None) -> Line:
        """The columns' names, as many as there is room for; the cursor's is always there."""
        grid, style = self.grid, self._style
        start = grid.margin + 1
        end = min(self._cells, grid.start(grid.columns.stop) + 1)
        taken = [False] * (end + 1)
        line = [" "] * end
        cursor = cell[1] if cell is not None and cell[1] in grid.columns else None
        span = (0, 0)
        for column in ([cursor] if cursor is not None else []) + [each for each in grid.columns if each != cursor]:
            name = column_name(self.view, column, style)
            pad = int(grid.column_cells > 1 and bool(self.view.texts))
            fits = width(name) < grid.column_cells
            name = style.shorten(name, min(_NAME_MAX, end - start) if not self.view.texts else grid.column_cells - 1)
            taken_cells = width(name)
            right = fits and grid.figures is not None and not self.view.texts
            left = grid.start(column) + (grid.column_cells - taken_cells if right else pad)
            if column == cursor:
                left = min(left, end - taken_cells)
                span = (left, left + taken_cells)
            if left + taken_cells > end or any(taken[max(0, left - 1) : left + taken_cells + 1]):
                continue
            taken[left : left + taken_cells] = [True] * taken_cells
            line[left : left + taken_cells] = [name, *[""] * (taken_cells - 1)]
        names = plain("".join(line[: span[0]]), "dim")
        names.append("".join(line[span[0] : span[1]]), "bold")
        names.append("".join(line[span[1] :]), "dim")
        names.rstrip()
        return names

    # --- cells ---

    @property
    def _has_digits(self) -> bool:
        return needs_digits(self._style) and self.grid.figures is None

    @cached_property
    def _rows(self) -> dict[range, list[int]]:
        """By group of rows: the row that each of the shown columns shows."""
        values = self.view.values[:, self.grid.columns.start : self.grid.columns.stop].astype(float)
        return {
            group: [group.start] * values.shape[1]
            if len(group) == 1
            else (group.start + strongest(values[group.start : group.stop], self.view.signed)).tolist()
            for group in self.grid.groups
        }

    @cached_property
    def _values(self) -> list[list[float]]:
        return [[float(value) for value in row] for row in self.view.values.tolist()]

    def _value(self, group: range, column: int) -> tuple[float, int]:
        """What the group shows in this column, and of which row that is."""
        row = self._rows[group][column - self.grid.columns.start]
        return self._values[row][column], row

    def _cell(self, groups: tuple[range, ...], column: int) -> tuple[str, str]:
        """Text in exactly the column's cells, and how it looks."""
        cells, style = self.grid.column_cells, self._style
        if self.grid.is_halved:
            return self._halves([self._value(group, column)[0] for group in groups])
        value, row = self._value(groups[0], column)
        text = self._figure(value, cells - 1 if cells > 1 else 1)
        if self.view.texts:
            texts = self.view.texts[row] if row < len(self.view.texts) else []
            word = cell_text(texts[column], style) if column < len(texts) else ""
            if self.grid.figures is not None:
                room = cells - 2 - width(text)
                text = f"{style.fit(word, room)} {text}"
            else:
                text = style.fit(f"{text} {word}" if text and not np.isnan(value) else word, cells - 1)
        look = "dim" if np.isnan(value) else self._scale.fill(value)
        if not text:  # only the ground is seen, and half as many bytes are sent
            return " " * cells, look[look.find("on ") :] if look else ""
        return style.fit(text, cells, right=True) if cells > 1 else text, look

    def _figure(self, value: float, cells: int) -> str:
        """The value in at most `cells` terminal cells: as a number, as a digit, or not at all."""
        if np.isnan(value):
            return self._style.clean_text("·")
        figures = self.grid.figures
        if figures is not None or np.isinf(value):
            text = self._style.clean_text(figures.text(value) if figures else "∞" if value > 0 else "−∞")
            if width(text) <= cells:
                return text
        return self._scale.digit(value) if needs_digits(self._style) else ""

    def _halves(self, values: list[float], cursor: int | None = None) -> tuple[str, str]:
        """One or two values above each other; the half at `cursor` is in the colour of text."""
        colours = [self._scale.colour(value) for value in values] + [""]
        if cursor is not None:
            colours[cursor] = self._style.foreground
        upper, lower = colours[:2]
        cells = self.grid.column_cells
        if upper and lower:
            return "▀" * cells, f"{upper} on {lower}"
        if upper or lower:
            return ("▀" if upper else "▄") * cells, upper or lower
        return "·".rjust(cells), "dim"

    def _mark(self, drawn: list[tuple[str, str]], groups: tuple[range, ...], cell: tuple[int, int]) -> None:
        """The cursor: brackets in the spaces around what stands in the cell, which is reversed."""
        row, column = cell
        at, cells = column - self.grid.columns.start, self.grid.column_cells
        text = drawn[at][0]
        if self.grid.is_halved:
            half = next(at for at, group in enumerate(groups) if row in group)
            drawn[at] = self._halves([self._value(group, column)[0] for group in groups], half)
        elif cells == 1:
            drawn[at] = (text if text.strip() else "×", _CURSOR)
        elif text.strip():
            drawn[at] = (f"[{text[1:]}", _CURSOR)
            after, after_look = drawn[at + 1]
            drawn[at + 1 : at + 2] = [("]", _CURSOR), (after[1:], after_look)]
        else:
            drawn[at] = (f"[{' ' * (cells - 2)}]", _CURSOR)

    # --- what the drawing does not show ---

    def _remarks(self) -> str:
        """Axes, and what is hidden or shares a place."""
        grid, view, clean = self.grid, self.view, self._style.clean_text
        rows, columns = (clean(_plural(axis)) for axis in (view.row_axis, view.column_axis))
        n_rows, n_columns = view.values.shape
        before, after = grid.columns.start, n_columns - grid.columns.stop
        ends = " and ".join(
            f"the {end} {count(number)}" for end, number in (("first", before), ("last", after)) if number
        )
        shown_rows = sum(map(len, grid.groups))
        hidden = [
            f"{ends} of {count(n_columns)} {columns or 'columns'}" if ends else "",
            f"{count(n_rows - shown_rows)} of {count(n_rows)} {rows or 'rows'}" if shown_rows < n_rows else "",
            "values" if grid.figures is None else "",
        ]
        each, largest = max(map(len, grid.groups)), "farthest from 0" if view.signed else "largest"
        figures = grid.figures
        return joined(
            f"two {rows or 'rows'} per line, as its upper and lower half" if grid.is_halved and each == 1 else "",
            f"each {'half ' if grid.is_halved else ''}line: the {largest} of {each} {rows or 'rows'}"
            if each > 1
            else "",
            clean(f"values in 1e{figures.exponent}") if figures is not None and figures.exponent else "",
            clean("dot: no value") if np.isnan(view.values).any() else "",
            f"hidden, no room: {', '.join(filter(None, hidden))}" if any(hidden) else "",
            f"rows: {rows} · columns: {columns}" if rows and columns else "",
        )


def _at_most(lines: list[Line], most: int, cells: int, style: Style) -> list[Line]:
    """The first `most` lines of a note, with `…` at their end where there are more."""
    if len(lines) <= most:
        return lines
    last = style.shorten(f"{lines[most - 1].plain} {lines[most].plain}", cells)
    return [*lines[: most - 1], plain(last, "dim")]


def _plural(axis: str) -> str:
    if axis in ("", "from", "to"):  # what attention's axes were called in older sessions
        return axis
    return f"{axis[:-1]}ies" if axis.endswith("y") else f"{axis}s"
