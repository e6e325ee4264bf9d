"""The neurons or heads of a question, the largest effect first: estimate → exact, with what is picked and pinned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from workbench.drawing.scale import signed_number
from workbench.text import fit, number, probability, width
from workbench.tui.theme import ink
from workbench.tui.widgets.line_list import OneOfLists

if TYPE_CHECKING:
    from workbench.tui.screens.why.finding import UnitLine
    from workbench.tui.theme import Ink

_FIGURE = 7
_LEAST = 29
"""cells without what is left of the answer"""


class UnitList(OneOfLists):
    """One unit a line. `chosen` are those that 0 switches off."""

    DEFAULT_CSS = "UnitList { height: 1fr; }"

    def __init__(self, kind: str) -> None:
        super().__init__(id=kind)
        self.kind = kind
        self.units: list[UnitLine] = []
        self.chosen: frozenset[str] = frozenset()
        self.pins: frozenset[str] = frozenset()
        self.is_probability = True
        self._names = 9

    @property
    def current(self) -> UnitLine | None:
        return self.units[self.cursor] if self.cursor < len(self.units) else None

    def fill(
        self, units: Sequence[UnitLine], chosen: frozenset[str], pins: frozenset[str], is_probability: bool
    ) -> None:
        """The cursor stays on its unit, or on the first until it is moved."""
        contents = (list(units), chosen, pins, is_probability)
        if contents == (self.units, self.chosen, self.pins, self.is_probability):
            return
        cursor_unit = self.current.unit if self.current and self.cursor else None
        self.units, self.chosen, self.pins, self.is_probability = contents
        self._names = max([7, *(width(unit_line.unit) for unit_line in self.units)])
        places = {unit_line.unit: at for at, unit_line in enumerate(self.units)}
        self.set_count(len(self.units), places.get(cursor_unit, 0) if cursor_unit else 0)

    def header(self, cells: int, colors: Ink) -> Text:
        """Names of the columns, where they stand."""
        text = Text(no_wrap=True).append(fit(f"  {self.kind}", self._names + 3), colors.strong)
        text.append(fit("estimate", _FIGURE + 1, right=True)[-_FIGURE - 1 :], colors.quiet)
        text.append(" → " + fit("exact", _FIGURE - 1), colors.quiet)
        if cells - 2 >= self._names + _LEAST:
            text.append(fit("leaves", 8, right=True), colors.quiet)
        text.truncate(cells)
        return text

    def line(self, index: int, cells: int) -> Text:
        colors, unit_line = ink(self.app), self.units[index]
        inside = unit_line.unit in self.chosen
        text = Text(no_wrap=True).append("● " if inside else "  ", colors.second)
        style = colors.strong if unit_line.beyond or unit_line.picked else colors.plain
        text.append(fit(unit_line.unit, self._names), style)
        text.append("!" if unit_line.beyond else " ", colors.second)
        text.append(fit(_signed(unit_line.estimate), _FIGURE - 1, right=True) + " → ", colors.quiet)
        text.append(fit(_signed(unit_line.exact), _FIGURE - 1), colors.plain)
        if cells >= self._names + _LEAST:
            remaining = probability(unit_line.remaining) if self.is_probability else number(unit_line.remaining)
            text.append(fit(remaining, 8, right=True), colors.quiet)
        return text.append("  p" if unit_line.unit in self.pins else "", colors.accent)


def _signed(value: float | None) -> str:
    return signed_number(value, 2)
