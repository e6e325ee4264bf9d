"""What the SAE screen reads of the data folder and the session: SAEs, their figures, the steps on the chosen one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from workbench.tui.feed import NothingYet
from workbench.tui.latest import Following
from workbench.tui.screens.sae.catalogue import Catalogue, SaeEntry

if TYPE_CHECKING:
    from workbench.session.reader import SessionReader
    from workbench.session.records import StepRecord
    from workbench.tui.page import Page

Figures = Mapping[str, float | None]


class _Read(NamedTuple):
    """One look into folder and session."""

    entries: list[SaeEntry]
    figures: dict[str, Figures]
    entry: SaeEntry | None
    records: list[StepRecord]


class SaeState:
    """Belongs to one screen. Results are in the session file; this holds what was read of it, and the cursors' keys."""

    def __init__(self, screen: Page, changed: Callable[[], None]) -> None:
        """`changed` is called when something else is to be shown."""
        self.screen, self._changed = screen, changed
        self.entries: list[SaeEntry] = []
        self.figures: dict[str, Figures] = {}
        """the newest of the session, by SAE"""
        self.records: list[StepRecord] = []
        """of the chosen SAE, the newest first"""
        self.text = ""
        """that was last typed to show features on"""
        self.read_once = False
        self._name = ""
        """of the chosen SAE"""
        self._step: int | None = None
        """the chosen step; None: the newest"""
        self._catalogue = Catalogue()
        self._reads = Following(screen, self._read, lambda sentence: screen.trouble(self, sentence))

    @property
    def entry(self) -> SaeEntry | None:
        """The SAE under the cursor."""
        return next((entry for entry in self.entries if entry.name == self._name), None)

    @property
    def record(self) -> StepRecord | None:
        """The step that is shown."""
        chosen = next((record for record in self.records if record.id == self._step), None)
        return chosen or (self.records[0] if self.records else None)

    @property
    def running(self) -> int | None:
        """It, while it is not finished."""
        record = self.record
        return record.id if record is not None and record.status in ("queued", "running") else None

    def reread(self) -> None:
        self._reads.ask()

    def choose_sae(self, index: int) -> None:
        if index < len(self.entries) and self.entries[index].name != self._name:
            self._name, self._step, self.records = self.entries[index].name, None, []
            self._reads.ask()

    def choose_step(self, index: int) -> None:
        """The newest is followed: one that is asked for later takes its place."""
        if index < len(self.records):
            self._step = self.records[index].id if index else None
            self._changed()

    def follow(self) -> None:
        """The newest step of the chosen SAE is shown, whatever was before."""
        self._step = None
        self._reads.ask()

    def forget(self) -> None:
        """Another session."""
        self.records, self.figures, self._step = [], {}, None
        self._catalogue.forget()
        self._reads.ask()

    async def _read(self) -> None:
        name = self._name

        def read(reader: SessionReader | None) -> _Read:
            entries = self._catalogue.entries()
            entry = next((entry for entry in entries if entry.name == name), entries[0] if entries else None)
            if reader is None or entry is None:
                return _Read(entries, {}, entry, [])
            runs = {each.name: self._catalogue.runs(reader, each) for each in entries}
            figures = {key: self._catalogue.figures(records, key) for key, records in runs.items()}
            return _Read(entries, figures, entry, runs[entry.name])

        try:
            seen = await self.screen.workbench.feed.read(read)
        except NothingYet:
            seen = await asyncio.to_thread(read, None)
        if name != self._name:
            self._reads.ask()  # the cursor has moved meanwhile
            return
        self.entries, self.figures, self.records = seen.entries, seen.figures, seen.records
        self._name = seen.entry.name if seen.entry is not None else ""
        self.read_once = True
        self._changed()
