"""What is written into a plot: marks with their labels, the band of a comparison, levels, names at the lines' ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from workbench.drawing.canvas import Frame
from workbench.drawing.plot_cells import PlotCells, spread_rows
from workbench.drawing.style import Style, readable_on
from workbench.text import width


@dataclass
class Flag:
    """A label and the column its line goes down from."""

    column: int
    text: str
    ink: str = "bold"
    lined: bool = True
    """with a line through the plot"""
    strip: tuple[int, int, int] | None = None
    """cells from, middle and to of a band drawn beside the label, `├──┿──┤`"""


@dataclass
class Flags:
    """Labels on rows above a plot, none over another. `unlabelled` are drawn without their words, `left_out` not."""

    rows: list[list[tuple[int, Flag]]] = field(default_factory=list)
    """[row from the top] the label's first cell, and the label"""
    unlabelled: list[Flag] = field(default_factory=list)
    left_out: list[Flag] = field(default_factory=list)

    def words(self, band: str, line: str) -> list[str]:
        """What has to be said elsewhere, after the signs of what is drawn."""
        drawn = [f"{band if flag.strip else line} {flag.text}" for flag in self.unlabelled]
        return drawn + [flag.text for flag in self.left_out]


def place_flags(flags: Sequence[Flag], columns: int, most_rows: int = 3) -> Flags:
    """Labels beside their lines: to the right where there is room, else to the left; on as few rows as that takes.

    The first of `flags` are the nearest to the plot.
    """
    placed = Flags()
    taken: list[list[tuple[int, int]]] = []
    for flag in flags:
        if not _placed(flag, placed, taken, columns, flags, most_rows):
            bare = _placed(replace(flag, text=""), placed, taken, columns, flags, most_rows)
            (placed.unlabelled if bare else placed.left_out).append(flag)
    placed.rows = [row for row in placed.rows if row][::-1]
    return placed


def _placed(
    flag: Flag,
    placed: Flags,
    taken: list[list[tuple[int, int]]],
    columns: int,
    flags: Sequence[Flag],
    most_rows: int,
) -> bool:
    """Puts the label into the lowest row that has room for it. Returns whether there was one."""
    for row in range(most_rows):
        if row == len(taken):
            taken.append([])
            placed.rows.append([])
        start = _start(flag, columns, taken[row], flags)
        if start is not None:
            taken[row].append(_extent(flag, start))
            placed.rows[row].append((start, flag))
            break
    else:
        return False
    return True


def _extent(flag: Flag, start: int) -> tuple[int, int]:
    first, last = start, start + width(flag.text)
    if flag.strip:
        first, last = min(first, flag.strip[0]), max(last, flag.strip[2] + 1)
    else:
        first, last = min(first, flag.column), max(last, flag.column + 1)
    return first, last


def _start(flag: Flag, columns: int, taken: Sequence[tuple[int, int]], flags: Sequence[Flag]) -> int | None:
    """The label's first cell in a row where these are taken; none where it has no place."""
    size = width(flag.text)
    left, right = (flag.strip[0], flag.strip[2]) if flag.strip else (flag.column, flag.column)
    lines = [other.column for other in flags if other.lined and other is not flag]
    starts = [right + 2, left - 1 - size] if size else [left]
    for strict in (True, False):
        for start in starts:
            first, last = _extent(flag, start)
            if start < 0 or start + size > columns or any(first < b + 1 and a < last + 1 for a, b in taken):
                continue
            if strict and any(start <= column < start + size for column in lines):
                continue
            return start
    return None


def put_flags(cells: PlotCells, flags: Flags, style: Style) -> None:
    """Draw the labels into the first rows of `cells` and their lines down to the last."""
    for row, entries in enumerate(flags.rows):
        for start, flag in entries:
            if flag.strip:
                first, middle, last = flag.strip
                text = style.glyphs("├", "[") + style.glyphs("─", "-") * (last - first - 1) + style.glyphs("┤", "]")
                cells.put(row, first, text if last > first else style.glyphs("│", "|"), flag.ink)
                cells.put(row, middle, style.glyphs("┿", "+"), flag.ink)
            cells.put(row, start, flag.text, flag.ink)
    for row, entries in enumerate(flags.rows):
        for _, flag in entries:
            if flag.lined:
                for below in range(row, cells.rows):
                    label = row < below < len(flags.rows)
                    if not label or cells.blank(below, flag.column, flag.column + 1):
                        fill = cells.fills[below][flag.column]
                        ink = f"bold {readable_on(fill)}" if fill else flag.ink
                        cells.put(below, flag.column, style.glyphs("│", "|"), ink)


def put_level(cells: PlotCells, frame: Frame, y: float, label: str, style: Style) -> bool:
    """A dashed line across the plot, behind all else, with its label. Returns whether the label had room."""
    row = frame.row(y)
    if not frame.above <= row < cells.rows:
        return False
    dash = style.glyphs("╌", "-")
    size = width(label)
    at = None
    for near in (row, row - 1, row + 1):
        for start in (cells.columns - size, 0):
            if near >= frame.above and cells.blank(near, start, start + size):
                at = (near, start)
                break
        if at:
            break
    for column in range(cells.columns):
        if cells.blank(row, column, column + 1):
            cells.put(row, column, dash, "dim")
    if at:
        cells.put(*at, label, "dim")
    return at is not None


def end_rows(frame: Frame, ends: Sequence[float]) -> list[int] | None:
    """The row of each series' name beside its last value; none where there are too few rows."""
    return spread_rows([frame.row(y) for y in ends], frame.above, frame.above + frame.rows - 1)
