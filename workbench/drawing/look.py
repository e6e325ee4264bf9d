"""What of a view is looked at: where its cursor is, which of its columns are seen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """How a view that is larger than its room is looked at just now."""

    cell: tuple[int, int] | None = None
    """the heat map's cell under the cursor: row and column of the view"""
    column_page: int = 0
    """of a table's columns: 0 the most important that fit, 1 those that were hidden then, and so on"""
    shows_hidden: str = ""
    """the key or option that shows a table's hidden columns; empty where none does"""


AT_REST = Look()
