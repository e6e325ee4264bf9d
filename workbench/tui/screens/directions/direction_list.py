"""The list of directions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from workbench.tui.screens.directions import lines
from workbench.tui.theme import ink
from workbench.tui.widgets.line_list import LineList

if TYPE_CHECKING:
    from workbench.tui.page import Page
    from workbench.tui.screens.directions.catalogue import Entry

MARGIN = 2
"""cells at the right edge, as beside everything below"""


class DirectionList(LineList):
    """One direction a line."""

    DEFAULT_CSS = "DirectionList { height: auto; max-height: 8; min-height: 1; }"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.entries: list[Entry] = []

    def fill(self, entries: list[Entry], at: int) -> None:
        if entries != self.entries or at != self.cursor:
            self.entries = list(entries)
            self.set_count(len(entries), at)
            self.refresh(layout=True)

    def line(self, index: int, cells: int) -> Text:
        page: Page = self.screen  # type: ignore[assignment]
        info = page.workbench.model_info
        names = lines.name_cells(self.entries)
        return lines.entry_line(self.entries[index], names, info, cells - MARGIN, ink(self.app))
