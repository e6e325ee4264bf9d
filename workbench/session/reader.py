"""Reading a session: snapshots by call, no transaction that outlives one, nothing ever written.

Safe to use from several threads. Every method raises UserError where the file is damaged, was moved or deleted.
"""

from __future__ import annotations

import math
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec
import numpy as np

from workbench.edits import Entry
from workbench.errors import UserError
from workbench.model_info import ModelInfo
from workbench.session import query
from workbench.session.encode import array_bytes, decode_view
from workbench.session.format import CHUNK, MAX_JSON, STACK_VERSION
from workbench.session.opening import DAMAGE, TRIES, Opened, explain, identify, journal, open_to_read
from workbench.session.owner import may_run, this_process
from workbench.session.records import LOST, NoteRow, PinRow, StepRecord, StepRow, ViewRow
from workbench.views import AnyView

T = TypeVar("T")
P = ParamSpec("P")

PATIENCE = 10.0
"""seconds one call may take: a crafted file must not hang the one who looks"""

_OWNER_CHECKED = 2.0
"""seconds for which it is believed that a step's owner runs"""


def _asked(
    question: Callable[Concatenate[SessionReader, P], T],
) -> Callable[Concatenate[SessionReader, P], T]:
    """A question to the file as it is now: opened again where that is needed, and asked again where it changed."""

    @wraps(question)
    def ask(self: SessionReader, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self._lock:
            for _ in range(TRIES):
                self._renew()
                opened = self._opened
                try:
                    answer = question(self, *args, **kwargs)
                except UserError:
                    if not (opened.frozen and opened.state.may_have_changed(self.path)):
                        raise
                else:
                    if not (opened.frozen and opened.state.may_have_changed(self.path)):
                        return answer
            raise UserError(f"{self.path} is being written and did not rest while it was read: try again")

    return ask


class SessionReader:
    """A session file, open to look.

    Attributes: `path`; `notice`, a sentence where not all of it can be seen, else empty.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()
        self._lock = threading.RLock()
        self._generation = 0
        self._owners: dict[Any, tuple[float, bool]] = {}
        self._deadline = math.inf
        self._opened = self._open()

    @property
    def notice(self) -> str:
        return self._opened.notice

    def close(self) -> None:
        with self._lock:
            self._opened.connection.close()

    def __enter__(self) -> SessionReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the session --------------------------------------------------------------------------------

    @property
    @_asked
    def title(self) -> str:
        with self._read() as connection:
            found = connection.execute(query.META, ("title",)).fetchone()
        return str(_plain(found)[0]) if found else self.path.stem

    @_asked
    def data_version(self) -> int:
        """Another number whenever the file has changed since; cheap enough to ask twice a second."""
        with self._read() as connection:
            (version,) = connection.execute("PRAGMA data_version").fetchone()
        return int(self._generation << 32 | version)

    @_asked
    def count(self) -> int:
        """How many steps there are."""
        with self._read() as connection:
            return int(connection.execute("SELECT count(*) FROM step").fetchone()[0])

    # --- steps ---------------------------------------------------------------------------------------

    @_asked
    def rows(self, start: int = 0, stop: int | None = None) -> list[StepRow]:
        """Steps `start` to `stop` (without it) by ascending id, counted from 0."""
        limit = -1 if stop is None else max(0, stop - start)
        with self._read() as connection:
            found = connection.execute(query.ROWS, (limit, max(0, start))).fetchall()
        return [self._row(values) for values in found]

    @_asked
    def tree(self, after: int = 0) -> list[tuple[int, int | None]]:
        """Number and parent of every step after this one, by ascending id: cheap for ten thousand."""
        with self._read() as connection:
            return connection.execute(query.TREE, (after,)).fetchall()

    @_asked
    def find(self, words: Sequence[str]) -> list[int]:
        """The steps that have every word in experiment, prompt, edits, sentences or notes; the first eight count."""
        wanted = [re.sub(r"([\\%_])", r"\\\1", word) for word in words[:8]] or [""]
        with self._read() as connection:
            return [step for (step,) in connection.execute(query.find(len(wanted)), [f"%{word}%" for word in wanted])]

    @_asked
    def last_of(self, experiment: str) -> int | None:
        """The newest step of this experiment that did not fail, else the newest; None if there is none."""
        with self._read() as connection:
            found = connection.execute(query.LAST_OF, (experiment,)).fetchone()
        return int(found[0]) if found else None

    @_asked
    def row(self, step: int) -> StepRow | None:
        """One line of the timeline; None if there is no such step."""
        with self._read() as connection:
            found = connection.execute(query.ROW, (step,)).fetchone()
        return self._row(found) if found else None

    @_asked
    def rows_of(self, steps: Sequence[int]) -> dict[int, StepRow]:
        """Lines of the timeline by number, in one read; numbers that are not there are left out."""
        with self._read() as connection:
            found = connection.execute(query.ROWS_OF, (msgspec.json.encode(list(steps)).decode(),)).fetchall()
        return {row.id: row for row in map(self._row, found)}

    @_asked
    def step(self, step: int) -> StepRecord:
        """A whole step. Raises UserError if there is none of this number."""
        with self._read() as connection:
            found = connection.execute(query.STEP, (step,)).fetchone()
            edits = connection.execute(query.EDITS, (step,)).fetchall()
        if not found:
            raise UserError(f"there is no step {step} in {self.path}")
        values = dict(zip(query.STEP_COLUMNS, _plain(found), strict=True))
        for name in query.STEP_JSON:
            values[name] = self._json(values[name], f"step {step}")
        values["edits"] = [self._json(spec, f"an edit of step {step}") for (spec,) in edits]
        values["status"] = self._status(values["status"], values.pop("owner"))
        if values["status"] == "lost":
            values["error"] = values["error"] or LOST
        values["replayable"] = bool(values["replayable"])
        values["created"] = _time(values["created"]) or 0.0
        values["started"], values["finished"] = _time(values["started"]), _time(values["finished"])
        return self._convert(values, StepRecord, f"step {step}")

    @_asked
    def views(self, step: int) -> list[ViewRow]:
        """The step's views without their arrays; the first is the main one."""
        with self._read() as connection:
            found = connection.execute(query.VIEWS, (step,)).fetchall()
        names = ViewRow.__struct_fields__
        return [
            self._convert(dict(zip(names, (*row[:4], bool(row[4]), *row[5:]), strict=True)), ViewRow, f"step {step}")
            for row in map(_plain, found)
        ]

    def load_view(self, row: ViewRow) -> AnyView:
        """The view itself, arrays resolved."""
        if len(row.spec) > MAX_JSON:
            raise UserError(f"the view {row.title!r} in {self.path} is larger than any of ours: it is not loaded")
        try:
            return decode_view(row.spec, self.array)
        except UserError as error:
            raise UserError(f"the view {row.title!r} in {self.path} cannot be shown: {error}") from None

    @_asked
    def array(self, name: str) -> np.ndarray:
        """An array by its hash, read-only. Raises UserError if it is missing, too large, or not whole."""
        with self._read() as connection:
            found = connection.execute(query.ARRAY, (name,)).fetchone()
            if not found:
                raise UserError(f"an array is missing from {self.path}")
            dtype, shape_text = _plain(found)
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

    @_asked
    def lost(self, mine: bool = False) -> list[int]:
        """Steps that the file calls queued or running, and whose process is gone; with `mine` also this process'."""
        with self._read() as connection:
            unfinished = map(_plain, connection.execute(query.OPEN_STEPS).fetchall())
        me = msgspec.json.encode(this_process()).decode() if mine else None
        return [step for step, status, owner in unfinished if owner == me or self._status(status, owner) == "lost"]

    # --- what was written down -----------------------------------------------------------------------

    @_asked
    def notes(self, step: int | None = None) -> list[NoteRow]:
        """The notes of a step, or all of them, oldest first."""
        with self._read() as connection:
            found = connection.execute(query.NOTES, (step, step)).fetchall()
        return [
            NoteRow(id=row[0], step=row[1], text=row[2], created=_time(row[3]) or 0.0) for row in map(_plain, found)
        ]

    @_asked
    def pins(self) -> list[PinRow]:
        """The pinned units, oldest first."""
        with self._read() as connection:
            found = connection.execute(query.PINS).fetchall()
        return [PinRow(id=row[0], unit=row[1], name=row[2], created=_time(row[3]) or 0.0) for row in map(_plain, found)]

    @_asked
    def stacks(self) -> dict[str, tuple[Entry, ...]]:
        """The edit stacks that were saved, by name; one that can't be read is left out."""
        with self._read() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            found = connection.execute(query.STACKS).fetchall() if version >= STACK_VERSION else []
        stacks = {}
        for name, spec in map(_plain, found):
            try:
                stacks[str(name)] = msgspec.json.decode(spec or "", type=tuple[Entry, ...])
            except (msgspec.DecodeError, TypeError):
                continue
        return stacks

    @_asked
    def model(self, step: int | None = None) -> ModelInfo | None:
        """The model of a step, or the one last used; None where none was loaded yet."""
        with self._read() as connection:
            found = connection.execute(query.MODEL, (step, step)).fetchone()
        if not found:
            return None
        return self._convert(self._json(found[0], "the model"), ModelInfo, "the model")

    @_asked
    def last_change(self) -> float:
        """Seconds since the epoch of the newest step's newest event."""
        with self._read() as connection:
            (found,) = connection.execute(query.LAST_CHANGE).fetchone()
        return _time(found) or 0.0

    # --- inside --------------------------------------------------------------------------------------

    def _open(self) -> Opened:
        opened = open_to_read(self.path)
        opened.connection.set_progress_handler(lambda: time.monotonic() > self._deadline, 100_000)
        return opened

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        """One transaction: what is read inside belongs together."""
        connection = self._opened.connection
        try:
            self._deadline = time.monotonic() + PATIENCE
            connection.execute("BEGIN")
            yield connection
        except DAMAGE as error:
            raise explain(error, self.path) from None
        finally:
            self._deadline = math.inf
            _end(connection)

    def _renew(self) -> None:
        """Opens the file again where what is open is not, or may not be, what is written now."""
        opened = self._opened
        now = identify(self.path)
        if now is None:
            raise UserError(f"{self.path} was moved or deleted while it was open")
        if now != opened.state.identity:
            raise UserError(f"{self.path} was replaced by another file while it was open: open it again")
        if opened.frozen:
            old = opened.state.may_have_changed(self.path)
        else:
            # Somebody deleted the write-ahead log in spite of our lock: what is written since is in another one.
            old = identify(journal(self.path)) != opened.state.wal
        if old:
            self._generation += 1
            self._opened = self._open()
            opened.connection.close()

    def _row(self, values: tuple[Any, ...]) -> StepRow:
        named = dict(zip(query.ROW_COLUMNS, _plain(values), strict=True))
        started, finished = _time(named.pop("started")), _time(named.pop("finished"))
        named["status"] = self._status(named["status"], named.pop("owner"))
        if named["status"] == "lost":
            named["error"] = named["error"] or LOST
        named["seconds"] = None if started is None or finished is None else max(0.0, finished - started)
        named["created"] = _time(named["created"]) or 0.0
        return self._convert(named, StepRow, "a step")

    def _status(self, status: str, owner_text: Any) -> str:
        """`lost` where the step's process is gone, without writing it."""
        if status not in ("queued", "running"):
            return status
        known = self._owners.get(owner_text)
        if known and (known[1] or time.monotonic() - known[0] < _OWNER_CHECKED):
            gone = known[1]
        else:
            gone = not may_run(owner_text)
            self._owners[owner_text] = (time.monotonic(), gone)
        return "lost" if gone else status

    def _json(self, text: Any, what: str) -> Any:
        try:
            return msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError, TypeError):
            raise UserError(f"{self.path} is damaged: {what} cannot be read") from None

    def _convert(self, values: dict[str, Any], kind: type[T], what: str) -> T:
        try:
            return msgspec.convert(values, kind)
        except msgspec.ValidationError as error:
            raise UserError(f"{self.path} is damaged: {what} cannot be read ({error})") from None


def _plain(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Texts come as bytes."""
    return tuple(value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in values)


def _time(value: Any) -> float | None:
    """A stored time, or None where it is none."""
    return float(value) if isinstance(value, int | float) and 0 < value < 1e11 else None


def _end(connection: sqlite3.Connection) -> None:
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except DAMAGE:
        pass  # the read has failed already, with its own sentence
