"""One cell of a heat map in words, for the line under the map."""

from __future__ import annotations

import numpy as np

from workbench.drawing.grid import label
from workbench.drawing.layout import joined
from workbench.drawing.scale import signed_number
from workbench.text import count, number, safe, show_token
from workbench.views import Heatmap


def cell_words(view: Heatmap, row: int, column: int) -> str:
    """`L20 · ' France': .21 recovery · 3rd largest of 6,000`; the number is what a narrow line must not cut.

    Signed values are ranked by how far they are from 0.
    """
    value = float(view.values[row, column])
    text = ""
    if view.texts and row < len(view.texts) and column < len(view.texts[row]):
        text = view.texts[row][column]
    place = joined(label(view.row_labels, row), label(view.column_labels, column).strip(" "))
    if np.isnan(value):
        return safe(f"{place}: no value")
    figure = f"{signed_number(value) if view.signed else number(value)} {view.value_label}".strip()
    word = show_token(text) if text and text != count(value if np.isfinite(value) else 0) else ""
    meaning = (view.low_label if value < 0 else view.high_label) if view.signed and value else ""
    return safe(f"{place}: {joined(word, figure, meaning, _rank(view, value))}")


def _rank(view: Heatmap, value: float) -> str:
    """`largest of 240`, `3rd largest of 240`."""
    strength = np.abs(view.values) if view.signed else view.values
    own = abs(value) if view.signed else value
    rank, total = 1 + int((strength > own).sum()), int((~np.isnan(strength)).sum())
    name = "farthest from 0" if view.signed else "largest"
    return f"{'' if rank == 1 else ordinal(rank) + ' '}{name} of {count(total)}"


def ordinal(number_from_1: int) -> str:
    """`1st`, `2nd`, `11th`, `1,003rd`."""
    teens = 11 <= number_from_1 % 100 <= 13
    ending = "th" if teens else {1: "st", 2: "nd", 3: "rd"}.get(number_from_1 % 10, "th")
    return f"{count(number_from_1)}{ending}"
