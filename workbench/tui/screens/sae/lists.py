"""The two lists: SAEs, and the steps on the one under the cursor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.text import Text

from workbench.tui.screens.sae import lines
from workbench.tui.theme import ink
from workbench.tui.widgets.line_list import LineList
from workbench.tui.widgets.record_list import RecordList

if TYPE_CHECKING:
    from workbench.tui.screens.sae.catalogue import SaeEntry


class SaeList(LineList):
    """One SAE a line."""

    DEFAULT_CSS = "SaeList { height: auto; max-height: 8; min-height: 1; }"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.entries: list[SaeEntry] = []
        self._figures: Mapping[str, Mapping[str, float | None]] = {}

    def fill(self, entries: list[SaeEntry], figures: Mapping[str, Mapping[str, float | None]], at: int) -> None:
        """`figures` by name."""
        if (entries, figures) != (self.entries, self._figures) or at != self.cursor:
            self.entries, self._figures = list(entries), dict(figures)
            self.set_count(len(entries), at)
            self.refresh(layout=True)

    def line(self, index: int, cells: int) -> Text:
        entry = self.entries[index]
        names = lines.name_cells(self.entries)
        return lines.sae_line(entry, names, self._figures.get(entry.name, {}), cells, ink(self.app))


class SaeSteps(RecordList):
    """One step a line, the newest first."""

    def line(self, index: int, cells: int) -> Text:
        return lines.step_line(self.records[index], cells, ink(self.app))
