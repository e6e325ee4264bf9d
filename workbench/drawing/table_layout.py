"""Which of a table's columns are seen, how wide each is, and what is left for bars.

Where there is no room for all, headings take more lines, then texts are shortened to what tells rows apart, then
columns go: those that give way early, from the right, then the others; the first one names the rows and stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.drawing.table_cells import Cells
from workbench.views import Column

GAP = 2
HEADING_LINES = 3
"""at most"""
_ROOMY_TEXT = 14
"""cells that texts have before headings take fewer lines"""
_READ_TEXT = 40
"""cells that a text has which is there to be read, one that never gives way or was turned to, where there is room for
it beside the rows' names"""
_EARLY_KINDS = frozenset({"logprob", "int", "position"})
_NEVER_KINDS = frozenset({"signed"})


@dataclass(frozen=True)
class Layout:
    """One page of columns."""

    shown: tuple[int, ...]
    """[place] indices of columns"""
    cells: tuple[int, ...]
    """[place] how wide"""
    bar_cells: int
    """for bars at the end; 0 where they have no room"""
    pages: int
    """how many there are"""


def lay_out(columns: Sequence[Cells], names: int, cells: int, page: int, bar: Sequence[int], bar_least: int) -> Layout:
    """The page's columns in `cells`.

    Rows are told apart by the column `names`, unless that gives way early, and a bar of at least `bar_least` cells is
    made of the columns `bar`.
    """
    stays = names if columns[names].column.gives_way != "early" else 0
    order = sorted(range(1, len(columns)), key=lambda at: (at != stays, importance(columns[at].column), at))
    pages = _pages(columns, order, cells)
    shown = pages[max(0, min(page, len(pages) - 1))]
    gaps = GAP * (len(shown) - 1)
    chosen = [columns[at] for at in shown]
    wants_bar = bool(bar) and set(bar) <= set(shown)
    widths = None
    for room in (GAP + bar_least, 0) if wants_bar else (0,):
        for lines in range(1, HEADING_LINES + 1):
            widths = [max(_roomy(column), column.heading_cells(lines)) for column in chosen]
            if sum(widths) + gaps + room <= cells:
                return Layout(shown, *_widen(chosen, widths, cells - gaps, room), len(pages))
    widths = [_least(column) for column in chosen]
    if len(shown) <= 2:
        # The naming column gives way to the one beside it, and a column alone to the edge of the page.
        widths[0] = max(1, min(widths[0], cells - gaps - sum(widths[1:])))
    return Layout(shown, *_widen(chosen, widths, cells - gaps, 0), len(pages))


def importance(column: Column) -> int:
    """0 for columns that never give way to others, 1 and 2 for those that do late and early."""
    if column.gives_way:
        return ("never", "late", "early").index(column.gives_way)
    return 0 if column.edited or column.kind in _NEVER_KINDS else 2 if column.kind in _EARLY_KINDS else 1


def _pages(columns: Sequence[Cells], order: Sequence[int], cells: int) -> list[tuple[int, ...]]:
    """Pages of columns: the first in `order`, then those that were not seen before, until all were."""
    pages, seen = list[tuple[int, ...]](), set[int]()
    while not pages or len(seen) < len(columns):
        unseen = [at for at in order if at not in seen]
        if pages:
            unseen.sort()
        page, left = [0], cells - _least(columns[0])
        spared = 0
        """cells that columns leave which give way early"""
        for at in [*unseen, *(at for at in order if at in seen)]:
            least = _least(columns[at])
            # What is turned to is there to be read: it is not shortened for the sake of what was seen before.
            readable = max(least, min(_READ_TEXT, columns[at].whole))
            left -= GAP + (readable if pages and at in unseen else least)
            if left < (spared if importance(columns[at].column) == 2 else 0):
                break
            page.append(at)
            if columns[at].is_text and not importance(columns[at].column):
                spared += readable - least
        if unseen and page == [0]:
            beside = _shortest(columns[0]) + GAP + _least(columns[unseen[0]]) <= cells
            page = [0, unseen[0]] if beside else unseen[:1] if pages else page
        seen |= set(page)
        pages.append(tuple(sorted(page)))
    return pages


def _least(column: Cells) -> int:
    return max(column.least, column.heading_cells(HEADING_LINES))


def _roomy(column: Cells) -> int:
    return min(column.whole, max(_ROOMY_TEXT, column.least)) if column.is_text else column.whole


def _shortest(column: Cells) -> int:
    """A naming column's where nothing else helps."""
    return 4 if column.is_text else column.whole


def _widen(columns: Sequence[Cells], widths: list[int], cells: int, room: int) -> tuple[tuple[int, ...], int]:
    """Widths with what is left given to texts that are still shortened, first to those that never give way, and what
    remains for a bar."""
    left = cells - room - sum(widths)
    while left > 0:
        short = [at for at, column in enumerate(columns) if column.is_text and widths[at] < column.whole]
        if not short:
            break
        read_first = {at for at in short if not importance(columns[at].column) and widths[at] < _READ_TEXT}
        narrowest = min(read_first or short, key=lambda at: widths[at])
        widths[narrowest] += 1
        left -= 1
    return tuple(widths), left + room - GAP if room else 0
