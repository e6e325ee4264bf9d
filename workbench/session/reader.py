"""Reading a session: snapshots by call, no transaction that outlives one, nothing ever written.

Safe to use from several threads. Every method raises UserError where the file is damaged, was moved or deleted.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from workbench.artifacts import Content
from workbench.edits import Entry
from workbench.errors import JSON_ERRORS, UserError
from workbench.model_info import ModelInfo
from workbench.session import query
from workbench.session.encode import array_bytes, decode_view
from workbench.session.format import ARTIFACT_VERSION, CHUNK, MAX_JSON, STACK_VERSION
from workbench.session.owner import may_run, this_process
from workbench.session.readable_file import ReadableFile, as_time, decode_texts, fresh_read
from workbench.session.records import (
    LOST_ERROR,
    ArtifactRow,
    ArtifactStep,
    NoteRow,
    PinRow,
    StepArtifact,
    StepRecord,
    StepRow,
    ViewRow,
)
from workbench.session.stored_sets import references, restore_sets
from workbench.views import AnyView

_OWNER_CHECKED = 2.0
"""seconds for which it is believed that a step's owner runs"""


class SessionReader(ReadableFile):
    """A session file, open to read.

    Attributes: `path`; `notice`, a sentence where not all of it can be seen, else empty.
    """

    def __init__(self, path: Path | str) -> None:
        super().__init__(path)
        self._owners: dict[Any, tuple[float, bool]] = {}
        self._restored: dict[tuple[str, str], Any] = {}

    # --- the session --------------------------------------------------------------------------------

    @property
    @fresh_read
    def title(self) -> str:
        with self._read() as connection:
            row = connection.execute(query.META, ("title",)).fetchone()
        return str(decode_texts(row)[0]) if row else self.path.stem

    @fresh_read
    def data_version(self) -> int:
        """Another number whenever the file has changed since; cheap enough to ask twice a second."""
        with self._read() as connection:
            (version,) = connection.execute("PRAGMA data_version").fetchone()
        return int(self._generation << 32 | version)

    @fresh_read
    def count(self) -> int:
        """How many steps there are."""
        with self._read() as connection:
            return int(connection.execute("SELECT count(*) FROM step").fetchone()[0])

    # --- steps ---------------------------------------------------------------------------------------

    @fresh_read
    def rows(self, start: int = 0, stop: int | None = None) -> list[StepRow]:
        """Steps `start` to `stop` (without it) by ascending id, counted from 0."""
        limit = -1 if stop is None else max(0, stop - start)
        with self._read() as connection:
            rows = connection.execute(query.ROWS, (limit, max(0, start))).fetchall()
        return [self._row(values) for values in rows]

    @fresh_read
    def tree(self, after: int = 0) -> list[tuple[int, int | None]]:
        """Number and parent of every step after this one, by ascending id: cheap for ten thousand."""
        with self._read() as connection:
            return connection.execute(query.TREE, (after,)).fetchall()

    @fresh_read
    def find(self, words: Sequence[str]) -> list[int]:
        """The steps that have every word in experiment, prompt, edits, sentences or notes; the first eight count."""
        escaped = [re.sub(r"([\\%_])", r"\\\1", word) for word in words[:8]] or [""]
        patterns = [f"%{word}%" for word in escaped]
        with self._read() as connection:
            return [step for (step,) in connection.execute(query.find(len(patterns)), patterns)]

    @fresh_read
    def last_of(self, experiment: str) -> int | None:
        """The newest step of this experiment that did not fail, else the newest; None if there is none."""
        with self._read() as connection:
            row = connection.execute(query.LAST_OF, (experiment,)).fetchone()
        return int(row[0]) if row else None

    @fresh_read
    def row(self, step: int) -> StepRow | None:
        """One line of the timeline; None if there is no such step."""
        with self._read() as connection:
            values = connection.execute(query.ROW, (step,)).fetchone()
        return self._row(values) if values else None

    @fresh_read
    def rows_of(self, steps: Sequence[int]) -> dict[int, StepRow]:
        """Lines of the timeline by number, in one read; numbers that are not there are left out."""
        with self._read() as connection:
            rows = connection.execute(query.ROWS_OF, (msgspec.json.encode(list(steps)).decode(),)).fetchall()
        return {row.id: row for row in map(self._row, rows)}

    @fresh_read
    def step(self, step: int) -> StepRecord:
        """A whole step. Raises UserError if there is none of this number."""
        with self._read() as connection:
            row = connection.execute(query.STEP, (step,)).fetchone()
            edits = connection.execute(query.EDITS, (step,)).fetchall()
        if not row:
            raise UserError(f"there is no step {step} in {self.path}")
        values = dict(zip(query.STEP_COLUMNS, decode_texts(row), strict=True))
        for name in query.STEP_JSON:
            values[name] = self._json(values[name], f"step {step}")
        values["sets"] = references(values["params"])
        values["params"] = restore_sets(values["params"], self.content, self._restored)
        values["edits"] = [self._json(spec, f"an edit of step {step}") for (spec,) in edits]
        values["status"] = self._status(values["status"], values.pop("owner"))
        if values["status"] == "lost":
            values["error"] = values["error"] or LOST_ERROR
        values["replayable"] = bool(values["replayable"])
        values["created"] = as_time(values["created"]) or 0.0
        values["started"], values["finished"] = as_time(values["started"]), as_time(values["finished"])
        return self._convert(values, StepRecord, f"step {step}")

    @fresh_read
    def views(self, step: int) -> list[ViewRow]:
        """The step's views without their arrays; the first is the main one."""
        with self._read() as connection:
            rows = connection.execute(query.VIEWS, (step,)).fetchall()
        names = ViewRow.__struct_fields__
        return [
            self._convert(dict(zip(names, (*row[:4], bool(row[4]), *row[5:]), strict=True)), ViewRow, f"step {step}")
            for row in map(decode_texts, rows)
        ]

    def load_view(self, row: ViewRow) -> AnyView:
        """The view itself, arrays resolved."""
        if len(row.spec) > MAX_JSON:
            raise UserError(f"the view {row.title!r} in {self.path} is larger than any of ours: it is not loaded")
        try:
            return decode_view(row.spec, self.array)
        except UserError as error:
            raise UserError(f"the view {row.title!r} in {self.path} cannot be shown: {error}") from None

    @fresh_read
    def array(self, name: str) -> np.ndarray:
        """An array by its hash, read-only. Raises UserError if it is missing, too large, or not whole."""
        with self._read() as connection:
            header = connection.execute(query.ARRAY, (name,)).fetchone()
            if not header:
                raise UserError(f"an array is missing from {self.path}")
            dtype, shape_text = decode_texts(header)
            shape = self._json(shape_text, "an array")
            size = array_bytes(dtype, shape)
            data = np.empty(size, np.uint8)
            filled = 0
            # Chunk by chunk, so that a file that lies about its size costs no memory.
            for (chunk,) in connection.execute(query.CHUNKS, (name,)):
                if not isinstance(chunk, bytes) or len(chunk) > CHUNK or filled + len(chunk) > size:
                    raise UserError(f"an array in {self.path} is larger than it says")
                data[filled : filled + len(chunk)] = np.frombuffer(chunk, np.uint8)
                filled += len(chunk)
        if filled != size:
            raise UserError(f"an array in {self.path} is not whole: {filled:,} of {size:,} bytes are there")
        data.flags.writeable = False
        array: np.ndarray = data.view(dtype).reshape(shape)
        return array

    @fresh_read
    def lost(self, mine: bool = False) -> list[int]:
        """Steps that the file calls queued or running, and whose process is gone; with `mine` also this process'."""
        with self._read() as connection:
            unfinished = map(decode_texts, connection.execute(query.OPEN_STEPS).fetchall())
        this_owner = msgspec.json.encode(this_process()).decode() if mine else None
        return [
            step for step, status, owner in unfinished if owner == this_owner or self._status(status, owner) == "lost"
        ]

    # --- what was written down -----------------------------------------------------------------------

    @fresh_read
    def notes(self, step: int | None = None) -> list[NoteRow]:
        """The notes of a step, or all of them, oldest first."""
        with self._read() as connection:
            rows = connection.execute(query.NOTES, (step, step)).fetchall()
        return [
            NoteRow(id=row[0], step=row[1], text=row[2], created=as_time(row[3]) or 0.0)
            for row in map(decode_texts, rows)
        ]

    @fresh_read
    def pins(self) -> list[PinRow]:
        """The pinned units, oldest first."""
        with self._read() as connection:
            rows = connection.execute(query.PINS).fetchall()
        return [
            PinRow(id=row[0], unit=row[1], name=row[2], created=as_time(row[3]) or 0.0)
            for row in map(decode_texts, rows)
        ]

    def stacks(self) -> dict[str, tuple[Entry, ...]]:
        """The edit stacks that were saved, by name; one that can't be read is left out."""
        stacks = {}
        for name, spec in self.select(query.STACKS, since=STACK_VERSION):
            try:
                stacks[str(name)] = msgspec.json.decode(spec or "", type=tuple[Entry, ...])
            except (*JSON_ERRORS, TypeError):
                continue
        return stacks

    # --- artifacts -----------------------------------------------------------------------------------

    def artifacts(self) -> list[ArtifactRow]:
        """What the session holds, or remembers of large ones, newest first."""
        rows = self.select(query.ARTIFACTS, since=ARTIFACT_VERSION)
        names = ArtifactRow.__struct_fields__
        return [
            self._convert(
                dict(zip(names, (*row[:-1], as_time(row[-1]) or 0.0), strict=True)), ArtifactRow, "an artifact"
            )
            for row in rows
        ]

    def artifact_named(self, kind: str, name: str) -> str | None:
        """The hash of the artifact that this name stands for here; None where it stands for none."""
        rows = self.select(query.ARTIFACT_NAMED, (kind, name), since=ARTIFACT_VERSION)
        return str(rows[0][0]) if rows else None

    def artifacts_of(self, step: int) -> list[StepArtifact]:
        """What a step used and made, under the names of that time."""
        rows = self.select(query.STEP_ARTIFACTS, (step,), since=ARTIFACT_VERSION)
        names = StepArtifact.__struct_fields__
        return [self._convert(dict(zip(names, row, strict=True)), StepArtifact, f"step {step}") for row in rows]

    def steps_with(self, hash: str) -> list[ArtifactStep]:
        """The steps that used or made an artifact, newest first."""
        rows = self.select(query.STEPS_WITH, (hash,), since=ARTIFACT_VERSION)
        names = ArtifactStep.__struct_fields__
        return [self._convert(dict(zip(names, row, strict=True)), ArtifactStep, "an artifact") for row in rows]

    def content(self, hash: str) -> Content:
        """An artifact by its hash, its array resolved. Raises UserError where it is missing, or not what it says."""
        rows = self.select(query.ARTIFACT, (hash,), since=ARTIFACT_VERSION)
        if not rows:
            raise UserError(f"an artifact is missing from {self.path}: {hash[:12]}")
        kind, spec, array, fingerprint = rows[0]
        content = Content(
            kind=kind,
            spec=self._convert(self._json(spec, "an artifact"), dict[str, Any], "an artifact"),
            array=self.array(array) if array else None,
            fingerprint=fingerprint,
        )
        if content.hash != hash:
            raise UserError(f"{self.path} is damaged: an artifact is not what its hash says")
        return content

    @fresh_read
    def model(self, step: int | None = None) -> ModelInfo | None:
        """The model of a step, or the one last used; None where none was loaded yet."""
        with self._read() as connection:
            row = connection.execute(query.MODEL, (step, step)).fetchone()
        if not row:
            return None
        return self._convert(self._json(row[0], "the model"), ModelInfo, "the model")

    @fresh_read
    def last_change(self) -> float:
        """Seconds since the epoch of the newest step's newest event."""
        with self._read() as connection:
            (timestamp,) = connection.execute(query.LAST_CHANGE).fetchone()
        return as_time(timestamp) or 0.0

    # --- inside --------------------------------------------------------------------------------------

    def _row(self, values: tuple[Any, ...]) -> StepRow:
        named = dict(zip(query.ROW_COLUMNS, decode_texts(values), strict=True))
        started, finished = as_time(named.pop("started")), as_time(named.pop("finished"))
        named["status"] = self._status(named["status"], named.pop("owner"))
        if named["status"] == "lost":
            named["error"] = named["error"] or LOST_ERROR
        named["seconds"] = None if started is None or finished is None else max(0.0, finished - started)
        named["created"] = as_time(named["created"]) or 0.0
        return self._convert(named, StepRow, "a step")

    def _status(self, status: str, owner_text: Any) -> str:
        """`lost` where the step's process is gone, without writing it."""
        if status not in ("queued", "running"):
            return status
        cached = self._owners.get(owner_text)
        if cached and (cached[1] or time.monotonic() - cached[0] < _OWNER_CHECKED):
            is_gone = cached[1]
        else:
            is_gone = not may_run(owner_text)
            self._owners[owner_text] = (time.monotonic(), is_gone)
        return "lost" if is_gone else status
