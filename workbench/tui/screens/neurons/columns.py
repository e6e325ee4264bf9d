"""The list's columns: what each shows, how wide it is, numbers aligned at the point."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from rich.style import Style
from rich.text import Text

from workbench.text import MINUS, NOTHING, fit, number, safe, shorten, show_token, trim, width

if TYPE_CHECKING:
    from workbench.index.catalogue import IndexColumn
    from workbench.index.reader import NeuronIndex
    from workbench.tui.theme import Ink

UNIT = "unit"
SHAPE = "shape"
"""The small distribution in a row; not a column of the index."""
WITH_DATA = ("best", "vr", "peak", "promotes", "positive", "kurtosis", SHAPE, "family", "mean")
OF_FEATURES = ("frequency", "active", "max", "peak", "promotes", "decoder", SHAPE, "best", "vr")
WEIGHTS_ONLY = ("family", "promotes", "vocab_kurtosis", "vocab_skew", "cos", "w_out", "w_in", "rho")
_GAP = 2
_TEXT_CELLS = {"best": 14, "family": 12}
_TOKEN_CELLS = 11
_SHAPE_CELLS = 8
_DOTS = 4
"""of a Braille cell from bottom to top, in two columns"""
_LEFT, _RIGHT = (0, 0x40, 0x44, 0x46, 0x47), (0, 0x80, 0xA0, 0xB0, 0xB8)
"""the bits of a column's dots, by how many there are from below (Unicode, block U+2800)"""
_SAMPLE = 20_000


def default_columns(index: NeuronIndex) -> list[str]:
    """What the list opens with, most useful first; those that don't fit are left out from the right."""
    names = OF_FEATURES if index.sae is not None else WITH_DATA if index.has_data else WEIGHTS_ONLY
    return [name for name in names if name in index.columns or (name == SHAPE and index.has_data)]


class Decimals:
    """Numbers of one column with their points under each other: `  412`, `   5.2`, `    .88`."""

    def __init__(self, values: np.ndarray) -> None:
        step = max(1, len(values) // _SAMPLE)
        sample = np.abs(np.asarray(values[::step], np.float64))
        sample = sample[np.isfinite(sample) & (sample > 0)]
        typical = float(np.median(sample)) if sample.size else 1.0
        self.decimals = max(0, min(4, 1 - math.floor(math.log10(typical))))
        with np.errstate(invalid="ignore"):
            high = float(np.nanmax(values)) if len(values) and not np.isnan(values).all() else 0.0
            low = float(np.nanmin(values)) if len(values) and not np.isnan(values).all() else 0.0
        largest = max(abs(high), abs(low)) if math.isfinite(high) and math.isfinite(low) else 1e6
        integer_digits = len(f"{min(largest, 999_999):,.0f}") if largest >= 1 else 0
        self.before = integer_digits + (low < 0)
        self.cells = max(2, self.before + (1 + self.decimals if self.decimals else 0))

    def show(self, value: float) -> str:
        """`value` in exactly `cells` cells."""
        if math.isnan(value):
            return fit(NOTHING, self.cells, right=True)
        if abs(value) >= 1e6 or math.isinf(value):
            return fit(number(value), self.cells, right=True)
        text = f"{abs(value):,.{self.decimals}f}"
        shown = trim(text)
        if shown == "0" and value != 0 and self.decimals:
            shown = text.replace("0.", ".", 1)  # `.00`: not nothing, but less than is shown
        if value < 0 and shown != "0":
            shown = MINUS + shown
        integer, _, fraction = shown.partition(".")
        tail = f".{fraction}" if fraction else ""
        front = integer.rjust(self.before)
        return fit(front + tail.ljust(self.cells - len(front)), self.cells)


class ShownColumn:
    """One column as it is drawn: title, width, and a neuron's cell."""

    def __init__(self, index: NeuronIndex, name: str, column: IndexColumn | None) -> None:
        self.index, self.name, self.column = index, name, column
        self._decimals: Decimals | None = None
        if self.column is None:
            self.title, self.cells, self.right = "counts", _SHAPE_CELLS, False
        elif self.column.kind == "category":
            self.title, self.right = self.column.title, False
            self.cells = _TEXT_CELLS.get(name, 14)
        elif self.column.kind == "token":
            self.title, self.cells, self.right = self.column.title, _TOKEN_CELLS, False
        else:
            self._decimals = Decimals(self.column.values)
            self.title, self.right = self.column.title, True
            self.cells = max(self._decimals.cells, min(9, len(self.title)))

    def header(self) -> str:
        return fit(self.title, self.cells, right=self.right)

    def cell(self, neuron: int) -> str:
        """The neuron's value in exactly `cells` cells."""
        if self.column is None:
            return fit(shape(self.index.histogram(neuron), self.cells), self.cells)
        value = self.column.values[neuron]
        if self._decimals is not None:
            return fit(self._decimals.show(float(value)), self.cells, right=True)
        if self.column.kind == "token":
            return fit(show_token(self.index.token(int(value))) if value >= 0 else NOTHING, self.cells)
        return fit(safe(self.column.labels[int(value)]) if value >= 0 else NOTHING, self.cells)


def shape(counts: np.ndarray | None, cells: int) -> str:
    """A distribution in one row: log counts of the bins between the first and the last that hold any, two a cell."""
    if counts is None or not counts.any():
        return ""
    filled = np.flatnonzero(counts)
    part = np.asarray(counts[filled[0] : filled[-1] + 1], np.float64)
    edges = np.linspace(0, len(part), 2 * cells + 1)
    heights = [part[int(a) : max(int(a) + 1, int(b))].sum() for a, b in itertools.pairwise(edges)]
    logs = np.log1p(heights)
    dots = np.ceil(logs / (logs.max() or 1) * _DOTS).astype(int).tolist()
    return "".join(chr(0x2800 + _LEFT[left] + _RIGHT[right]) for left, right in zip(dots[::2], dots[1::2], strict=True))


class Row:
    """How lines of the list are put together at a width: decided once, drawn for each visible neuron."""

    def __init__(
        self,
        index: NeuronIndex,
        columns: Mapping[str, IndexColumn],
        names: list[str],
        cells: int,
        sorted_by: str,
        descending: bool,
    ) -> None:
        self.index, self.cells = index, cells
        self.sorted_by, self.descending = sorted_by, descending
        self.unit_cells = len(index.short(index.units.n - 1))
        self.shown: list[ShownColumn] = []
        used = 2 + self.unit_cells
        for name in names:
            if name != SHAPE and name not in columns:
                continue
            column = ShownColumn(index, name, columns.get(name))
            if used + _GAP + column.cells > cells:
                continue
            self.shown.append(column)
            used += _GAP + column.cells
        self.names = [column.name for column in self.shown]
        """the columns that found room"""
        self._spread(cells - used)

    def _spread(self, spare: int) -> None:
        """Width left over goes to texts, which are cut where numbers are not."""
        texts = [column for column in self.shown if not column.right and column.column is not None]
        for column in texts:
            more = min(spare // len(texts), 12)
            column.cells += more

    def header(self, colors: Ink) -> Text:
        """The titles; the sorted one with an arrow."""
        line = Text("    ", no_wrap=True)
        parts = [(UNIT, fit(UNIT, self.unit_cells), False)]
        parts += [(column.name, column.header(), column.right) for column in self.shown]
        for at, (name, title, right) in enumerate(parts):
            is_sorted = name == self.sorted_by
            gap = _GAP if at else 0
            if is_sorted:  # the arrow may stand in the gap, so that it takes nothing from the title
                arrow = "↓" if self.descending else "↑"
                before = 1 if right and width(title.strip()) == width(title) else 0
                cells, gap = width(title) + before, gap - before
                title = fit(f"{shorten(title.strip(), cells - 1)}{arrow}", cells, right)
            line.append(" " * gap)
            line.append(title, colors.accent if is_sorted else colors.quiet)
        return line

    def draw(self, neuron: int, sign: str, colors: Ink) -> Text:
        """One neuron's line. `sign` is its mark, one cell."""
        line = Text(no_wrap=True)
        line.append(sign + " ", colors.second)
        line.append(fit(self.index.short(neuron), self.unit_cells), colors.plain)
        for column in self.shown:
            line.append(" " * _GAP)
            line.append(column.cell(neuron), self._style(column, colors))
        return line

    def _style(self, column: ShownColumn, colors: Ink) -> Style:
        if column.column is None:
            return colors.accent
        return colors.plain if column.name == self.sorted_by or not column.right else colors.quiet
