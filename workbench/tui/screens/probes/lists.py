"""The two lists: labelled sets, and the steps on the one under the cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from workbench.tui.screens.probes import lines
from workbench.tui.theme import ink
from workbench.tui.widgets.line_list import LineList
from workbench.tui.widgets.record_list import RecordList

if TYPE_CHECKING:
    from workbench.tui.screens.probes.catalogue import SetEntry


class SetList(LineList):
    """One labelled set a line."""

    DEFAULT_CSS = "SetList { height: auto; max-height: 6; min-height: 1; }"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.entries: list[SetEntry] = []
        self._runs: dict[str, int] = {}

    def fill(self, entries: list[SetEntry], runs: dict[str, int], at: int) -> None:
        """`runs`: how many steps probe each, by the set's hash."""
        if (entries, runs) != (self.entries, self._runs) or at != self.cursor:
            self.entries, self._runs = list(entries), dict(runs)
            self.set_count(len(entries), at)
            self.refresh(layout=True)

    def line(self, index: int, cells: int) -> Text:
        entry = self.entries[index]
        runs = self._runs.get(entry.hash, 0)
        return lines.set_line(entry, lines.name_cells(self.entries), runs, cells, ink(self.app))


class StepList(RecordList):
    """One step a line, the newest first."""

    def line(self, index: int, cells: int) -> Text:
        return lines.step_line(self.records[index], cells, ink(self.app))
