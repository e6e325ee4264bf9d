"""What the Probes screen reads of the session and the data folder: sets, steps on the chosen one, one step's views."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from workbench.tui.feed import NothingYet
from workbench.tui.latest import Following
from workbench.tui.screens.probes.catalogue import Catalogue, SetEntry
from workbench.tui.screens.probes.finding import Finder, Finding

if TYPE_CHECKING:
    from workbench.datasets.labelled.labelled_set import LabelledSet
    from workbench.session.reader import SessionReader
    from workbench.session.records import StepRecord
    from workbench.tui.page import Page


class _Read(NamedTuple):
    """One look into the session."""

    entries: list[SetEntry]
    counts: dict[str, int]
    entry: SetEntry | None
    records: list[StepRecord]
    finding: Finding | None


class ProbesState:
    """Belongs to one screen. Results are in the session file; this holds what was read of it, and the cursors' keys."""

    def __init__(self, screen: Page, changed: Callable[[], None]) -> None:
        """`changed` is called when something else is to be shown."""
        self.screen, self._changed = screen, changed
        self.entries: list[SetEntry] = []
        self.counts: dict[str, int] = {}
        """steps that probe a set, by its hash"""
        self.records: list[StepRecord] = []
        """on the chosen set, the newest first"""
        self.finding: Finding | None = None
        """of the chosen step"""
        self.read_once = False
        self._name = ""
        """of the chosen set"""
        self._step: int | None = None
        """the chosen step; None: the newest"""
        self._catalogue, self._finder = Catalogue(), Finder()
        self._reads = Following(screen, self._read, lambda sentence: screen.trouble(self, sentence))

    @property
    def entry(self) -> SetEntry | None:
        """The set under the cursor."""
        return next((entry for entry in self.entries if entry.name == self._name), None)

    @property
    def labelled(self) -> LabelledSet | None:
        """It, with its texts."""
        return self._catalogue.labelled(self.entry) if self.entry is not None else None

    @property
    def running(self) -> int | None:
        """The step that is shown, while it is not finished."""
        return self.finding.record.id if self.finding is not None and not self.finding.snapshot.finished else None

    def reread(self) -> None:
        self._reads.ask()

    def choose_set(self, index: int) -> None:
        if index < len(self.entries) and self.entries[index].name != self._name:
            self._name, self._step = self.entries[index].name, None
            self.records, self.finding = [], None
            self._reads.ask()

    def choose_step(self, index: int) -> None:
        """The newest is followed: one that is asked for later takes its place."""
        if index < len(self.records):
            self._step = self.records[index].id if index else None
            self._reads.ask()

    def forget(self) -> None:
        """Another session."""
        self.entries, self.records, self.finding, self._name, self._step = [], [], None, "", None
        self._finder.forget()
        self._reads.ask()

    async def _read(self) -> None:
        name, step = self._name, self._step

        def read(reader: SessionReader | None) -> _Read:
            entries = self._catalogue.read(reader)
            entry = next((entry for entry in entries if entry.name == name), entries[0] if entries else None)
            if reader is None or entry is None:
                return _Read(entries, {}, entry, [], None)
            records = self._finder.runs(reader, entry)
            steps = [record.id for record in records]
            chosen = step if step in steps else steps[0] if steps else None
            finding = None if chosen is None else self._finder.finding(reader, chosen)
            return _Read(entries, self._finder.counts(reader, entries), entry, records, finding)

        try:
            seen = await self.screen.workbench.feed.read(read)
        except NothingYet:
            seen = await asyncio.to_thread(read, None)
        if (name, step) != (self._name, self._step):
            self._reads.ask()  # the cursor has moved meanwhile
            return
        self.entries, self.counts, self.records, self.finding = seen.entries, seen.counts, seen.records, seen.finding
        self._name = seen.entry.name if seen.entry is not None else ""
        self.read_once = True
        self._changed()
