"""Tables: few columns, numbers aligned at the point, a bar for the probabilities, straight under any characters."""

from __future__ import annotations

import math
from typing import Any

from workbench.drawing.layout import align_points, joined, plain
from workbench.drawing.scale import signed_number
from workbench.drawing.style import Line, Style
from workbench.text import MINUS, NOTHING, count, number, probability, show_token, trim, width
from workbench.views import Column, Table

MAX_ROWS = 500
"""Rows drawn where no height is given; exports have all."""
GAP = 2
_ROOMY_TEXT, _MIN_TEXT = 14, 8
"""cells to which texts are shortened before columns go, and after"""
_FEW = 3
"""columns that stay while texts can be shortened further"""
_MAX_TEXT = 2000
"""characters of a cell that are looked at"""
_BAR_MIN, _BAR_MAX = 6, 24
_NUMERIC = frozenset({"int", "position", "number", "probability", "logprob", "signed"})


def draw_table(view: Table, cells: int, height: int | None, style: Style) -> tuple[list[Line], str]:
    """The table's lines and what its note must add (rows and columns left out)."""
    rows = view.rows[: MAX_ROWS if height is None else max(1, height - 1)]
    columns = [_Column(column, [row[at] for row in rows], style) for at, column in enumerate(view.columns)]
    probabilities = [column for column in columns if column.kind == "probability"][:2]
    bar = _Bar(probabilities, style) if rows and probabilities else None
    shown, dropped = _squeeze(columns, cells)
    left = cells - sum(column.cells for column in shown) - GAP * (len(shown) - 1)
    bar_cells = min(_BAR_MAX, left - GAP) if bar and all(column in shown for column in bar.columns) else 0
    lines: list[Line] = []
    header = plain("")
    for at, column in enumerate(shown):
        header.append((" " * GAP if at else "") + column.header(), "dim")
    if bar and bar_cells >= _BAR_MIN:
        header.append(" " * GAP + style.shorten(bar.legend(), bar_cells), "dim")
    header.rstrip()
    lines.append(header)
    for at in range(len(rows)):
        line = plain("")
        for place, column in enumerate(shown):
            line.append(" " * GAP if place else "")
            line.append(column.texts[at], column.rich_style(at))
        if bar and bar_cells >= _BAR_MIN:
            line.append(" " * GAP)
            bar.draw(line, at, bar_cells)
        line.rstrip()
        lines.append(line)
    left_out = len(view.rows) - len(rows)
    return lines, joined(
        f"{count(len(rows))} of {count(len(view.rows))} rows shown" if left_out else "",
        f"not shown, for want of width: {', '.join(dropped)}" if dropped else "",
        "" if view.rows else "no rows",
    )


class _Column:
    """A column's cells as aligned texts."""

    def __init__(self, column: Column, values: list[Any], style: Style) -> None:
        self.kind, self.values, self.style = column.kind, values, style
        self.edited = column.edited
        self.name = style.clean_text(column.name)
        self.numeric = column.kind in _NUMERIC
        texts = [style.clean_text(cell_text(value, column.kind)) for value in values]
        self._whole = align_points(texts) if self.numeric else texts
        self.resize(max([1, width(self.name), *map(width, self._whole)]))

    def resize(self, cells: int) -> None:
        """Make every text exactly `cells` wide."""
        self.cells = cells
        self.texts = [self.style.fit(text, cells, right=self.numeric) for text in self._whole]

    def header(self) -> str:
        return self.style.fit(self.name, self.cells, right=self.numeric)

    def rich_style(self, row: int) -> str:
        if self.values[row] is None:
            return "dim"
        if self.kind == "signed" and is_number(self.values[row]) and self.style.color:
            return self.style.high if self.values[row] > 0 else self.style.low if self.values[row] < 0 else ""
        if self.edited:
            return self.style.paint("edited")
        return ""


def cell_text(value: Any, kind: str) -> str:
    """One value as text."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NOTHING
    if kind == "token" and isinstance(value, str):
        return show_token(value)
    if not is_number(value):
        return str(value)[: _MAX_TEXT if kind not in _NUMERIC else 24]
    if kind not in _NUMERIC:
        return number(value) if isinstance(value, float) else str(value)
    if kind in ("int", "position"):
        return count(value) if math.isfinite(value) else number(value)
    if kind == "probability":
        return probability(value)
    if kind == "signed":
        return signed_number(value)
    if kind == "logprob" and math.isfinite(value):
        return MINUS + trim(f"{-value:.2f}") if value <= -0.005 else trim(f"{value:.2f}").replace("-", MINUS)
    return number(value)


def is_number(value: Any) -> bool:
    """Whether it can be formatted as one; a crafted file may hold integers beyond any float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and not abs(value) > 1e300


def _squeeze(columns: list[_Column], cells: int) -> tuple[list[_Column], list[str]]:
    """Columns that fit: long texts are shortened first (the longest most), then columns go from the right."""
    shown, dropped = list(columns), list[str]()

    def excess() -> int:
        return sum(column.cells for column in shown) + GAP * (len(shown) - 1) - cells

    def shorten(floor: int, kinds: tuple[str, ...]) -> None:
        while excess() > 0:
            texts = [column for column in shown if column.kind in kinds and column.cells > floor]
            if not texts:
                return
            longest = max(texts, key=lambda column: column.cells)
            others = [column.cells for column in texts if column is not longest]
            level = max([floor, *others])
            longest.resize(max(floor, longest.cells - excess(), min(level, longest.cells - 1)))

    shorten(_ROOMY_TEXT, ("text", "prompt", "token"))
    while excess() > 0 and len(shown) > _FEW:
        dropped.insert(0, shown.pop().name)
    shorten(_MIN_TEXT, ("text", "prompt", "token", "unit"))
    while excess() > 0 and len(shown) > 1:
        dropped.insert(0, shown.pop().name)
    if excess() > 0:
        shown[0].resize(max(1, cells))
    return shown, dropped


class _Bar:
    """In-row bars of the first probability column; where a second one stands beside it, both in one bar."""

    def __init__(self, columns: list[_Column], style: Style) -> None:
        self.columns, self.style = columns, style
        self.values = [[v if is_number(v) and v > 0 else 0.0 for v in c.values] for c in columns]
        self.top = max((value for row in self.values for value in row), default=0) or 1.0

    def legend(self) -> str:
        if len(self.columns) == 1:
            return ""
        first, second = (column.name for column in self.columns)
        return f"{self.style.glyphs('▀', chr(39))} {first} {self.style.glyphs('▄', ',')} {second}"

    def draw(self, line: Line, row: int, cells: int) -> None:
        sizes = [round(values[row] / self.top * cells) for values in self.values]
        if len(sizes) == 1:
            text = self.style.glyphs("▇", "#") * sizes[0]
            line.append(
                text or (self.style.glyphs("▏", "") if self.values[0][row] > 0 else ""), self.style.paint("clean")
            )
            return
        both, style = min(sizes), self.style
        full = f"{style.clean} on {style.edited}" if style.color else ""
        line.append(style.glyphs("▀" if style.color else "█", "#") * both, full)
        if sizes[0] > both:
            line.append(style.glyphs("▀", "'") * (sizes[0] - both), style.paint("clean"))
        else:
            line.append(style.glyphs("▄", ",") * (sizes[1] - both), style.paint("edited"))
