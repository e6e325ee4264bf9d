"""Where the reader is in a view: what is under the cursor, and how far it is scrolled."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """Of the view that is drawn; without one it is drawn as it stands in a report."""

    cell: tuple[int, int] | None = None
    """row and column of a heat map, as in its values: the cell under the cursor"""
    first_column: int = 0
    """of a heat map with a cursor in it, the first one that is shown, where not all fit"""
    column_page: int = 0
    """of a table: 0 for the most important columns that fit, 1 for those that were hidden then, and so on"""
    brief: bool = False
    """what numbers mean is shortened to what their lines have room for"""
    shows_hidden: str = ""
    """the key or option that shows what is hidden or shortened; empty where none does"""


NO_LOOK = Look()
