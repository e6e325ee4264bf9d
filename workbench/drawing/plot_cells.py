"""A plot's cells: what stands in each, in which colour, on which ground. Later layers go over earlier ones."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.drawing.layout import plain
from workbench.drawing.style import Line
from workbench.text import width


class PlotCells:
    """`rows` × `columns` terminal cells, all blank."""

    def __init__(self, rows: int, columns: int) -> None:
        self.rows, self.columns = rows, columns
        self.texts = [[" "] * columns for _ in range(rows)]
        """[row][column] one character, with its marks; empty behind a wide one"""
        self.inks = [[""] * columns for _ in range(rows)]
        self.grounds = [[""] * columns for _ in range(rows)]
        """a colour, or empty"""
        self.fills = [[""] * columns for _ in range(rows)]
        """the colour of cells that a column fills: the ground of what is written over it"""

    def put(self, row: int, column: int, text: str, ink: str) -> None:
        """Write `text` (safe) from `column` on; what doesn't fit is left out."""
        at = column
        for character in text:
            taken = width(character)
            if not taken:
                if 0 < at <= self.columns:
                    self.texts[row][at - 1] += character
                continue
            if at < 0 or at + taken > self.columns:
                return
            self.texts[row][at], self.inks[row][at] = character, ink
            self.grounds[row][at] = self.fills[row][at]
            if taken == 2:
                self.texts[row][at + 1] = ""
            at += taken

    def blank(self, row: int, start: int, stop: int) -> bool:
        """Whether nothing stands in these cells, and there are such."""
        if not 0 <= row < self.rows or start < 0 or stop > self.columns:
            return False
        return all(text == " " for text in self.texts[row][start:stop])

    def line(self, row: int) -> Line:
        """The row as drawn text, cells of one look in one piece, without the blank ones at its end."""
        line = plain("")
        filled = [at for at in range(self.columns) if self.texts[row][at] != " " or self.grounds[row][at]]
        columns = filled[-1] + 1 if filled else 0
        looks = [self._look(ink, ground) for ink, ground in zip(self.inks[row], self.grounds[row], strict=True)]
        start = 0
        for at in range(1, columns + 1):
            if at == columns or (looks[at] != looks[start] and self.texts[row][at]):
                line.append("".join(self.texts[row][start:at]), looks[start])
                start = at
        return line

    @staticmethod
    def _look(ink: str, ground: str) -> str:
        return f"{ink} on {ground}".strip() if ground else ink


def spread_rows(rows: Sequence[int], first: int, last: int) -> list[int] | None:
    """A row of its own for each label, as near to `rows` as that goes; none where there are too few."""
    if len(rows) > last - first + 1:
        return None
    order = sorted(range(len(rows)), key=lambda at: rows[at])
    placed = [0] * len(rows)
    following = first
    for at in order:
        placed[at] = following = max(following, min(rows[at], last))
        following += 1
    limit = last
    for at in reversed(order):
        placed[at] = limit = min(limit, placed[at])
        limit -= 1
    return placed
