"""A distribution in a few lines: braille columns over log counts, an axis with its ends, marks beneath it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from workbench.text import number, shorten, width

_LEFT = (0x00, 0x40, 0x44, 0x46, 0x47)
_RIGHT = (0x00, 0x80, 0xA0, 0xB0, 0xB8)
"""Braille cells with so many dots of the left or right column, from the bottom up."""


class Plot(NamedTuple):
    """Rows from the top down; `axis` names values below them; `marks` are the marked places, beneath the axis."""

    rows: list[str]
    axis: str
    marks: str


def columns_of(counts: np.ndarray, edges: np.ndarray, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts of the held part of a histogram in `columns` columns [column], and their edges [column + 1].

    Bins keep their own scale (signed-log bins stay so): a column is some bins, or a bin some columns.
    """
    filled = np.flatnonzero(counts)
    first, last = (int(filled[0]), int(filled[-1]) + 1) if filled.size else (0, len(counts))
    if last - first < columns:  # few bins: show their surroundings rather than stretching them
        first = max(0, min(first - (columns - (last - first)) // 2, len(counts) - columns))
        last = min(len(counts), first + columns)
    places = np.linspace(first, last, columns + 1)
    cumulative = np.concatenate([[0], np.cumsum(counts, dtype=np.float64)])
    at = np.interp(places, np.arange(len(counts) + 1), cumulative)
    return np.maximum(0, np.diff(at)), np.interp(places, np.arange(len(edges)), edges)


def braille(heights: np.ndarray, rows: int) -> list[str]:
    """Columns of dots, two to a cell. `heights` [2 * cell] in 0…1; whatever is above 0 gets one dot."""
    steps = np.ceil(np.clip(heights, 0, 1) * rows * 4).astype(int).tolist()
    lines = []
    for row in range(rows - 1, -1, -1):
        line = ""
        for at in range(0, len(steps), 2):
            left, right = steps[at] - row * 4, steps[at + 1] - row * 4 if at + 1 < len(steps) else 0
            dots = _LEFT[max(0, min(4, left))] | _RIGHT[max(0, min(4, right))]
            line += chr(0x2800 + dots) if dots else " "
        lines.append(line)
    return lines


def histogram(counts: np.ndarray, edges: np.ndarray, cells: int, rows: int, marked: np.ndarray | None = None) -> Plot:
    """Log counts over their bins, `cells` wide and `rows` high, with this prompt's values `marked` beneath."""
    heights, borders = columns_of(counts, edges, cells * 2)
    logs = np.log1p(heights)
    top = logs.max() if len(logs) else 0
    drawn = braille(logs / top if top else logs, rows)
    return Plot(drawn, _axis(borders, cells), _marks(borders, cells, marked))


def _place(borders: np.ndarray, cells: int, value: float) -> int:
    """The cell that `value` falls in, the ends taking what is beyond them."""
    return int(np.clip((np.searchsorted(borders, value, "right") - 1) // 2, 0, cells - 1))


def _axis(borders: np.ndarray, cells: int) -> str:
    """Both ends, zero where it is inside, and what stands at thirds where there is room."""
    finite = borders[np.isfinite(borders)]
    if not finite.size:
        return ""
    line = [" "] * cells
    occupied = np.zeros(cells + 2, bool)

    def put(place: int, text: str) -> None:
        start = max(0, min(place - len(text) // 2, cells - len(text)))
        if start < 0 or occupied[start : start + len(text) + 1].any():
            return
        line[start : start + len(text)] = text
        occupied[start : start + len(text) + 1] = True

    if borders[0] < 0 < borders[-1]:
        put(_place(borders, cells, 0.0), "0")
    put(0, number(float(finite[0]), 2))
    put(cells - 1, number(float(finite[-1]), 2))
    for share in (0.5, 0.25, 0.75):
        place = int(cells * share)
        put(place, number(float(borders[place * 2]), 2))
    return "".join(line).rstrip()


def _marks(borders: np.ndarray, cells: int, marked: np.ndarray | None) -> str:
    if marked is None or not len(marked):
        return ""
    places = sorted({_place(borders, cells, float(value)) for value in marked})
    line = [" "] * cells
    for place in places:
        line[place] = "▲"
    return "".join(line).rstrip()


def beside(left: str, cells: int, right: str, room: int) -> str:
    """`left` in `cells` cells with `right` after it, all in `room`."""
    text = left + " " * max(0, cells - width(left)) + ("  " + right if right else "")
    return shorten(text.rstrip(), room)
