"""Where the reader is in a view: what is under the cursor, and how far it is scrolled."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """Of the view that is drawn; without one it is drawn as it stands in a report."""

    cell: tuple[int, int] | None = None
    """row and column of a heat map, as in its values: the cell under the cursor"""
    first_column: int = 0
    """the first one that is shown, where not all fit: of a table, and of a heat map with a cursor in it"""


NO_LOOK = Look()
