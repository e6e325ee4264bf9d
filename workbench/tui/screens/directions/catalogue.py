"""Which directions there are: the session's own, one that is being made, those of the data folder. No widget here."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from workbench.artifacts import direction as kind
from workbench.artifacts.direction import (
    UNKNOWN,
    Direction,
    Origin,
    direction_file,
    from_content,
    kept_directions,
    read_direction,
)
from workbench.errors import UserError
from workbench.session.records import ArtifactRow, StepRow
from workbench.tui.worker_words import progress_words

if TYPE_CHECKING:
    from workbench.session.reader import SessionReader

MAKER = "direction"
"""the experiment that makes them"""
_RECENT = 30
"""steps among which one that makes a direction is looked for"""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A direction, or a step that would have made one."""

    name: str
    """without its @"""
    hash: str = ""
    """empty for one that is not there: being made, failed, damaged"""
    origin: Origin = UNKNOWN
    norm: float = math.nan
    chat: bool = False
    """made of prompts in the chat template"""
    step: int | None = None
    """of the session, that made it or brought it there"""
    file: str = ""
    """where it lies in the data folder; empty for the session's own"""
    status: str = ""
    """of the step that makes it, where that is not done"""
    problem: str = ""
    """why it is not there, or how far it is, as a sentence"""

    @property
    def key(self) -> tuple[str, str, int | None]:
        """The same for the same direction, whatever it is called."""
        return (self.hash, self.file, None if self.hash else self.step)


class Catalogue:
    """Reads them; what was read once is remembered by hash, or by file and its time."""

    def __init__(self) -> None:
        self._known: dict[object, Direction | str] = {}
        """a direction, or why it can't be read"""

    def read(self, reader: SessionReader | None) -> list[Entry]:
        """Newest first, those of the data folder last; a name of both is the session's. Raises UserError."""
        entries: list[Entry] = []
        if reader is not None:
            making = _making(reader)
            entries += [making] if making else []
            entries += [self._stored(reader, row) for row in reader.artifacts() if row.kind == kind.NAME and row.name]
        own = {entry.name for entry in entries if not entry.status}
        return entries + [self._kept(name) for name in kept_directions() if name not in own]

    def direction(self, entry: Entry) -> Direction:
        """With its numbers. Raises UserError."""
        known = self._known.get(entry.hash)
        if not isinstance(known, Direction):
            raise UserError(entry.problem or f"@{entry.name} is not there yet")
        return msgspec.structs.replace(known, name=entry.name)

    def _stored(self, reader: SessionReader, row: ArtifactRow) -> Entry:
        if row.hash not in self._known:
            try:
                self._known[row.hash] = from_content(row.name, reader.content(row.hash))
            except UserError as error:
                self._known[row.hash] = str(error)
        return self._entry(row.name, self._known[row.hash], row.hash, step=row.step)

    def _kept(self, name: str) -> Entry:
        file = direction_file(name)
        try:
            stamp = (str(file), Path(file or "").stat().st_mtime_ns)
        except OSError:
            return Entry(name=name, file=str(file), problem=f"@{name} was removed meanwhile")
        if stamp not in self._known:
            try:
                self._known[stamp] = read_direction(name)
            except UserError as error:
                self._known[stamp] = str(error)
        known = self._known[stamp]
        digest = "" if isinstance(known, str) else known.hash
        if digest:
            self._known[digest] = known
        return self._entry(name, known, digest, file=str(file))

    def _entry(self, name: str, known: Direction | str, digest: str, step: int | None = None, file: str = "") -> Entry:
        if isinstance(known, str):
            return Entry(name=name, step=step, file=file, problem=known)
        norm = float(np.linalg.norm(known.numbers.astype(np.float64)))
        chat = known.contrast.get("chat") == "true"
        return Entry(name=name, hash=digest, origin=known.origin, norm=norm, chat=chat, step=step, file=file)


def _making(reader: SessionReader) -> Entry | None:
    """The newest step that makes a direction, where it has not made one yet, or has not at all."""
    rows = reader.rows(max(0, reader.count() - _RECENT))
    newest: StepRow | None = next((row for row in reversed(rows) if row.experiment == MAKER), None)
    if newest is None or newest.status == "done":
        return None
    record = reader.step(newest.id)
    if newest.status == "running":
        words = progress_words(record.progress, time.time()) or "reading the prompts"
    else:
        words = {"queued": "waiting for the model"}.get(newest.status, record.error or newest.status)
    name = str(record.params.get("name") or MAKER).removeprefix("@")
    return Entry(name=name, step=newest.id, status=newest.status, problem=words)
