"""A table's column as texts: one notation, points under each other, and how narrow it may be made."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Literal

from workbench.drawing.layout import align_points
from workbench.drawing.style import Style
from workbench.text import MINUS, NOTHING, count, number, probability, shorten_left, show_token, trim, width
from workbench.views import Column

NUMERIC = frozenset({"int", "position", "number", "probability", "logprob", "signed"})
_LEAST_TEXT = 8
"""cells to which texts may be shortened, unless rows are told apart by more"""
_MOST_LEAST = 32
"""cells beyond which nothing is kept for telling rows apart"""
_WORD = 14
"""cells of a heading's longest word; longer ones are shortened, and named in full below the table"""
_MAX_TEXT = 2000
"""characters of a cell that are looked at"""
_MOST_NUMERIC, _MOST_UNIT = 18, 32
"""cells of a number and of a unit, which are never shortened; of whatever else stands there"""
_BREAK = re.compile(r"(?<!')(?<=\S) +(?=\S)")
"""where a heading may go on in the next line: not after the quote that a token begins with"""


class Cells:
    """A column's cells as aligned texts.

    `whole` is how wide they are, `least` how far they may be shortened: numbers, units and intervals not at all, texts
    to a few words.
    """

    def __init__(self, column: Column, values: Sequence[Any], style: Style) -> None:
        self.column, self.values, self._style = column, values, style
        self.kind = column.kind
        self.numeric = column.kind in NUMERIC
        self.name = style.clean_text(column.name)
        texts = [style.clean_text(text) for text in _texts(values, column.kind)]
        self.texts = align_points([style.shorten(text, _MOST_NUMERIC) for text in texts]) if self.numeric else texts
        self.whole = max(map(width, self.texts), default=0)
        self.is_text = not self.numeric and (column.kind != "unit" or self.whole > _MOST_UNIT)
        keeps = not self.is_text or (column.gives_way == "never" and self.whole <= _MOST_UNIT)
        self.least = self.whole if keeps else min(self.whole, _LEAST_TEXT)
        self._names_rows = False
        self._common = 0
        """characters that all texts begin with, left out where they must be short"""

    def keep_rows_apart(self) -> bool:
        """Where all its texts differ, they stay different however narrow: False if they don't differ."""
        different = set(self.texts)
        if self.numeric or len(different) < len(self.texts):
            return False
        self._names_rows = True
        needed = next((n for n in range(1, _MOST_LEAST) if len({text[:n] for text in self.texts}) == len(different)), 0)
        longest = max((width(text[:needed]) for text in self.texts), default=0)
        common = _common_words(self.texts)
        if len(common) > _LEAST_TEXT:
            self._common = len(common)
            longest = max(width(text[len(common) : needed]) for text in self.texts) + 1 if needed else 0
        self.least = min(self.whole, max(self.least, longest + 1 if needed else _MOST_LEAST))
        return True

    def fit(self, cells: int) -> list[str]:
        """Every text, exactly `cells` wide."""
        texts = self.texts
        if self._common and cells < min(self.whole, self._common + self.least):
            mark = self._style.glyphs("…", "~")
            texts = [mark + text[self._common :] for text in texts]
        elif self._names_rows and cells < self.least:
            texts = [self._ends(text, cells) for text in texts]
        return [self._style.fit(text, cells, right=self.numeric) for text in texts]

    def _ends(self, text: str, cells: int) -> str:
        """Both ends of a text that names its row, where what tells it apart is beyond `cells`."""
        if width(text) <= cells:
            return text
        half = cells // 2
        mark = self._style.glyphs("…", "~")
        return self._style.shorten(text, half)[:-1] + shorten_left(text, cells - half + 1).replace("…", mark)

    def heading_cells(self, lines: int) -> int:
        """The least cells in which the heading takes at most so many lines."""
        most = width(self.name)
        if lines > 1:
            most = min(most, _WORD, max(map(width, _BREAK.split(self.name))))
            while len(self.heading(most)) > lines:
                most += 1
        return most

    def heading(self, cells: int) -> list[str]:
        """The heading's lines, none wider than `cells`."""
        lines = [""]
        for word in _BREAK.split(self.name):
            word = self._style.shorten(word, cells)
            if lines[-1] and width(lines[-1]) + 1 + width(word) > cells:
                lines.append(word)
            else:
                lines[-1] += (" " if lines[-1] else "") + word
        return lines

    def is_heading_cut(self, cells: int) -> bool:
        """Whether a word of the heading is shortened in so many cells."""
        return max(map(width, _BREAK.split(self.name))) > cells

    def rich_style(self, row: int) -> str:
        """Of the cell in this row."""
        value, style = self.values[row], self._style
        if value is None:
            return "dim"
        if self.kind == "signed" and is_number(value) and style.color and not self.column.edited:
            return style.high if value > 0 else style.low if value < 0 else ""
        return style.paint("edited") if self.column.edited else ""


def _common_words(texts: Sequence[str]) -> str:
    """The whole words, with the spaces after them, that several texts all begin with."""
    if len(texts) < 2:
        return ""
    first, last = min(texts), max(texts)
    alike = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[: first.rfind(" ", 0, alike) + 1]


def is_number(value: Any) -> bool:
    """Whether it can be formatted as one; a crafted file may hold integers beyond any float."""
    if isinstance(value, float):
        return True
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= 10**300


def _texts(values: Sequence[Any], kind: str) -> list[str]:
    """All cells of one column; where one notation serves all numbers, it is used for all."""
    notation = _notation(values) if kind in ("number", "signed") else "each"
    return [_text(value, kind, notation) for value in values]


_Notation = Literal["fixed", "each"]


def _notation(values: Sequence[Any]) -> _Notation:
    """`fixed` where no number is so small or large that only powers of ten say it shortly."""
    sizes = [abs(value) for value in values if is_number(value) and value and math.isfinite(value)]
    return "fixed" if sizes and min(sizes) >= 1e-4 and max(sizes) < 1e7 else "each"


def _text(value: Any, kind: str, notation: _Notation) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NOTHING
    if kind == "token" and isinstance(value, str):
        return show_token(value)
    if not is_number(value):
        return str(value)[:_MAX_TEXT]
    if kind not in NUMERIC:
        return number(value) if isinstance(value, float) else str(value)
    if kind in ("int", "position") and abs(value) < 1e12 and value == int(value):
        return count(value)
    if kind == "probability":
        return probability(value)
    if kind == "logprob" and 0.005 <= abs(value) < 1e6:
        return trim(f"{value:.2f}").replace("-", MINUS)
    text = _fixed(value) if notation == "fixed" and 0 < abs(value) < 1e-3 else number(value)
    if kind == "signed":
        return "+" + text if value > 0 else text
    return text


def _fixed(value: float) -> str:
    """Three digits of a small number, without a power of ten: `.000263`."""
    decimals = 2 - math.floor(math.log10(abs(value)))
    return trim(f"{value:.{decimals}f}").replace("-", MINUS)
