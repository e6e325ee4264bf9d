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
        now = (list(units), chosen, pins, is_probability)
        if now == (self.units, self.chosen, self.pins, self.is_probability):
            return
        here = self.current.unit if self.current and self.cursor else None
        self.units, self.chosen, self.pins, self.is_probability = now
        self._names = max([7, *(width(one.unit) for one in self.units)])
        places = {one.unit: at for at, one in enumerate(self.units)}
        self.set_count(len(self.units), places.get(here, 0) if here else 0)

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
        colors, one = ink(self.app), self.units[index]
        inside = one.unit in self.chosen
        text = Text(no_wrap=True).append("● " if inside else "  ", colors.second)
        look = colors.strong if one.beyond or one.picked else colors.plain
        text.append(fit(one.unit, self._names), look)
        text.append("!" if one.beyond else " ", colors.second)
        text.append(fit(_signed(one.estimate), _FIGURE - 1, right=True) + " → ", colors.quiet)
        text.append(fit(_signed(one.exact), _FIGURE - 1), colors.plain)
        if cells >= self._names + _LEAST:
            left = probability(one.then) if self.is_probability else number(one.then)
            text.append(fit(left, 8, right=True), colors.quiet)
        return text.append("  p" if one.unit in self.pins else "", colors.accent)


def _signed(value: float | None) -> str:
    return signed_number(value, 2)
