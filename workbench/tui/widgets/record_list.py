"""Steps of a session, one a line, the newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.tui.widgets.line_list import LineList

if TYPE_CHECKING:
    from workbench.session.records import StepRecord


class RecordList(LineList):
    """What a line says of its step is the screen's own: `line(index, cells)`."""

    DEFAULT_CSS = "RecordList { height: auto; max-height: 6; min-height: 1; }"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.records: list[StepRecord] = []

    def fill(self, records: list[StepRecord], at: int) -> None:
        if records != self.records or at != self.cursor:
            self.records = list(records)
            self.set_count(len(records), at)
            self.refresh(layout=True)
