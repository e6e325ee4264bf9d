"""Writing a session: one writer at a time, every change one transaction, nothing finished is ever lost.

Used by the control process (from one thread) and by the Python API. Readers follow by `PRAGMA data_version`.
"""

from __future__ import annotations

import os
import sqlite3
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from workbench import paths
from workbench.artifacts import Use
from workbench.edits import Edit, Entry, Function, stack_text
from workbench.errors import UserError
from workbench.experiments import experiments
from workbench.model_info import ModelInfo
from workbench.params import LABEL, label_of
from workbench.report import NextStep, Progress
from workbench.session import artifacts, store
from workbench.session.encode import encode_views
from workbench.session.file_system import is_network
from workbench.session.format import SCHEMA_VERSION
from workbench.session.lock import SessionLock
from workbench.session.opening import DAMAGE, check_ours, check_regular, check_whole, explain, identify, journal
from workbench.session.owner import may_run, this_process
from workbench.session.places import free_path
from workbench.session.prompt_sets import without_rows
from workbench.session.records import FINISHED, LOST, Status
from workbench.session.submission import Submission
from workbench.session.update import Update
from workbench.views import AnyView


class CannotWrite(UserError):  # noqa: N818 - a sentence for the user, as its base
    """The disk is full, or gone for now: what was to be written is worth keeping and trying again."""


class SessionMoved(UserError):  # noqa: N818
    """The file was moved, deleted or replaced while it was open; `recovered` holds everything up to then."""

    def __init__(self, path: Path, recovered: Path) -> None:
        self.recovered = recovered
        happened = "replaced by another file" if path.exists() else "moved or deleted"
        super().__init__(
            f"{path} was {happened} while it was open: all its steps, "
            f"and the results of those that still ran, are in {recovered}"
        )


class SessionWriter:
    """A session file, open to write; made if it is not there.

    Raises UserError where another process writes it (after `wait` seconds), or it is no session of ours.
    Attributes: `path`; `recovered`, the copy that is written since the file was moved or deleted, else None.
    """

    def __init__(self, path: Path | str, wait: float = 0.0) -> None:
        self.path = Path(path).absolute()
        self.recovered: Path | None = None
        self._owner = msgspec.json.encode(this_process()).decode()
        self._lock = SessionLock(self.path, wait)
        try:
            self._connection = self._open(self.path)
        except BaseException:
            self._lock.release()
            raise
        self._identity = identify(self.path)
        self._wal = identify(journal(self.path))

    def close(self) -> None:
        """Everything into the one file; further calls are errors."""
        try:
            if identify(self._file) == self._identity:
                _settle(self._connection)
        finally:
            self._connection.close()
            self._lock.release()

    def __enter__(self) -> SessionWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- steps ---------------------------------------------------------------------------------------

    def add_step(
        self,
        experiment: str,
        params: Mapping[str, Any],
        edits: Sequence[Edit] = (),
        *,
        seed: int = 0,
        expected: str = "",
        parent: int | None = None,
        origin: str = "python",
        command: str = "",
        uses: Sequence[Use] = (),
        names: Mapping[str, str] | None = None,
    ) -> int:
        """A queued step; its number. Raises UserError, also for a parent that is not there.

        `uses` are the artifacts that it begins with, `names` those of its prompt sets by parameter.
        """
        stored, sets = without_rows(experiment, params, names or {})
        with self._change(new=True) as connection:
            if parent is not None and not store.exists(connection, "step", parent):
                raise UserError(f"there is no step {parent} in {self.path} to go on from")
            cursor = connection.execute(
                "INSERT INTO step (uuid, parent, experiment, label, params, edits, seed, expected, replayable, origin,"
                " command, created, owner, status, error, headline, versions, scalars, progress, remarks, next_steps,"
                " revision) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
                " 'queued', '', '', '{}', '{}', '{}', '[]', '[]', 1)",
                (
                    str(uuid.uuid4()),
                    parent,
                    experiment,
                    _label(
                        experiment,
                        params,
                        [use.name or artifacts.name_of(connection, use.content.hash) for use in sets],
                    ),
                    _json(stored),
                    stack_text(edits),
                    seed,
                    expected,
                    not any(isinstance(edit, Function) for edit in edits),
                    origin,
                    command,
                    time.time(),
                    self._owner,
                ),
            )
            step = int(cursor.lastrowid or 0)
            connection.executemany(
                "INSERT INTO edit (step, position, op, units, text, spec) VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (step, position, edit.__struct_config__.tag, edit.units, str(edit), _json(edit))
                    for position, edit in enumerate(edits)
                ],
            )
            artifacts.put_uses(connection, step, [*sets, *uses])
        return step

    def submit(
        self, asked: Submission, *, expected: str = "", parent: int | None = None, origin: str = "python"
    ) -> int:
        """`add_step` for a run as it was checked."""
        return self.add_step(
            asked.experiment,
            asked.params,
            asked.edits,
            seed=asked.seed,
            expected=expected,
            parent=parent,
            origin=origin,
            command=asked.command,
            uses=[direction.use for direction in asked.directions.values()],
            names=asked.names,
        )

    def start(
        self,
        step: int,
        info: ModelInfo | None = None,
        versions: Mapping[str, str] | None = None,
        at: float | None = None,
    ) -> int:
        """The step runs since `at` (now), on this model. Returns its revision."""
        with self._change() as connection:
            model = None if info is None else store.model_row(connection, info)
            connection.execute(
                "UPDATE step SET status = 'running', started = ?, model = ?, versions = ? WHERE id = ?",
                (time.time() if at is None else at, model, _json(versions or {}), step),
            )
            return store.bump(connection, step)

    def publish(
        self,
        step: int,
        *,
        headline: str | None = None,
        scalars: Mapping[str, float | None] | None = None,
        progress: Progress | None = None,
        remarks: Sequence[str] | None = None,
        next_steps: Sequence[NextStep] | None = None,
        views: Mapping[str, AnyView] | None = None,
    ) -> int:
        """What there is so far; views replace the ones of their key, what is None stays. Returns the revision."""
        return self.apply(
            step,
            Update(
                headline=headline,
                scalars=scalars,
                progress=progress,
                remarks=remarks,
                next_steps=next_steps,
                views=None if views is None else encode_views(views),
            ),
        )

    def finish(self, step: int, status: Status, *, error: str = "") -> int:
        """The end of a step. Returns the revision."""
        return self.apply(step, Update(), status, error)

    def apply(
        self, step: int, update: Update, status: Status | None = None, error: str = "", at: float | None = None
    ) -> int:
        """An update and, with a status, the end of the step (at `at`), in one transaction. Returns the revision."""
        if status is not None and status not in FINISHED:
            raise ValueError(f"{status} is no end")
        with self._change() as connection:
            store.put_update(connection, step, update)
            artifacts.put_uses(connection, step, update.artifacts)
            if status is not None:
                store.put_end(connection, step, status, error, at)
            return store.bump(connection, step)

    def mark_lost(self, known: Collection[int] = ()) -> list[int]:
        """Steps that wait or run in a process that is gone become `lost`; their numbers.

        So do those that this very process is said to run and that are not among the `known` ones.
        """
        with self._change() as connection:
            open_steps = connection.execute(
                "SELECT id, owner FROM step WHERE status IN ('queued', 'running') ORDER BY id"
            ).fetchall()
            lost = [
                step
                for step, owner in open_steps
                if (step not in known if owner == self._owner else not may_run(owner))
            ]
            for step in lost:
                store.put_end(connection, step, "lost", LOST)
                store.bump(connection, step)
        return lost

    def identify(self, info: ModelInfo, since: float) -> None:
        """The fingerprint of a model became known: it goes to the rows written for it after `since`."""
        with self._change() as connection:
            store.set_fingerprint(connection, info, since)

    # --- what is written down -------------------------------------------------------------------------

    def note(self, text: str, step: int | None = None) -> int:
        """A note on a step, or on the session; its number. Raises UserError if there is no such step."""
        with self._change(new=True) as connection:
            if step is not None and not store.exists(connection, "step", step):
                raise UserError(f"there is no step {step} in {self.path} to write a note on")
            cursor = connection.execute(
                "INSERT INTO note (step, text, created) VALUES (?, ?, ?)", (step, text, time.time())
            )
            if step is not None:
                store.bump(connection, step)
            return int(cursor.lastrowid or 0)

    def pin(self, unit: str, name: str = "", remove: bool = False) -> None:
        """Put a unit into the basket (or the set `name`), or take it out; twice is once."""
        with self._change(new=True) as connection:
            if remove:
                connection.execute("DELETE FROM pin WHERE unit = ? AND name = ?", (unit, name))
            else:
                connection.execute(
                    "INSERT OR IGNORE INTO pin (unit, name, created) VALUES (?, ?, ?)", (unit, name, time.time())
                )

    def keep_stack(self, name: str, entries: Sequence[Entry], remove: bool = False) -> None:
        """An edit stack under this name, in place of one that had it; or away with it."""
        with self._change(new=True) as connection:
            connection.execute("DELETE FROM stack WHERE name = ?", (name,))
            if not remove:
                text = stack_text(entry.edit for entry in entries if entry.on)
                connection.execute(
                    "INSERT INTO stack (name, edits, spec, created) VALUES (?, ?, ?, ?)",
                    (name, text, _json(entries), time.time()),
                )

    def remove_artifact(self, kind: str, name: str) -> int:
        """Takes a name away, and its bytes with it where no step uses them; the bytes freed. Raises UserError."""
        with self._change(new=True) as connection:
            return artifacts.remove_name(connection, kind, name)

    def prune_artifacts(self) -> int:
        """Deletes artifacts that have no name and that no step uses; the bytes freed."""
        with self._change(new=True) as connection:
            return artifacts.prune(connection)

    def rename(self, title: str) -> None:
        """The session's title."""
        with self._change(new=True) as connection:
            store.set_meta(connection, "title", title)

    # --- inside ---------------------------------------------------------------------------------------

    @property
    def _file(self) -> Path:
        return self.recovered or self.path

    @contextmanager
    def _change(self, new: bool = False) -> Iterator[sqlite3.Connection]:
        """One transaction; `new` work is refused once the file is gone, the end of old work is not."""
        try:
            if identify(self._file) != self._identity:
                self._recover()
            elif identify(journal(self._file)) != self._wal:
                self._reopen()
            if new and self.recovered:
                raise SessionMoved(self.path, self.recovered)
            connection = self._connection
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.OperationalError as error:
            raise _cannot_write(error, self._file) from None
        except DAMAGE as error:
            raise explain(error, self._file) from None
        except OSError as error:
            raise CannotWrite(f"{self._file} cannot be written: {error.strerror}") from None

    def _open(self, path: Path) -> sqlite3.Connection:
        """A connection that writes, on a file of ours at the newest schema. Raises UserError."""
        new = _is_new(path)
        try:
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
        except sqlite3.Error as error:
            raise UserError(f"{path} cannot be opened to write: {error}") from None
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            if not new:
                check_ours(connection, path)
                check_whole(connection, path)
            if is_network(path):
                connection.execute("PRAGMA journal_mode = DELETE")
            else:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version < SCHEMA_VERSION:
                from workbench.session.schema import migrate  # slow to import, and rarely needed

                migrate(connection)
            if new:
                store.set_meta(connection, "created", str(time.time()))
                store.set_meta(connection, "title", path.stem)
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # from now on the file alone is a session
        except sqlite3.OperationalError as error:
            connection.close()
            raise _cannot_write(error, path) from None
        except DAMAGE as error:
            connection.close()
            raise explain(error, path) from None
        except BaseException:
            connection.close()
            raise
        return connection

    def _reopen(self) -> None:
        """Somebody deleted the write-ahead log: what only this connection still holds goes into the file, then anew."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()
        self._connection = self._open(self._file)
        self._wal = identify(journal(self._file))

    def _recover(self) -> None:
        """The file is gone from its place, but open: copy it whole to a new one, and write there from now on."""
        folder = self.path.parent if os.access(self.path.parent, os.W_OK) else paths.data_dir() / "sessions"
        folder.mkdir(parents=True, exist_ok=True)
        target = free_path(folder / f"{self.path.stem}-recovered{self.path.suffix}")
        part = target.with_name(f".{target.name}.part")
        try:
            with closing(sqlite3.connect(part)) as copy:
                self._connection.backup(copy)
            part.rename(target)
        finally:
            part.unlink(missing_ok=True)
        connection = self._open(target)
        old, self._connection, self.recovered = self._connection, connection, target
        log, self._wal = self._wal, identify(journal(target))
        self._identity = identify(target)
        # Beside a file that has taken its place, its own log would be played into that one by whoever opens it next.
        if identify(journal(self.path)) == log:
            for left in (journal(self.path), self.path.with_name(self.path.name + "-shm")):
                left.unlink(missing_ok=True)
        old.close()


def _is_new(path: Path) -> bool:
    """True where there is nothing yet. Raises UserError where there is something else than an SQLite file."""
    if not path.exists():
        if not path.parent.is_dir():
            raise UserError(f"there is no folder {path.parent} for the session {path.name}")
        if not os.access(path.parent, os.W_OK):
            raise UserError(f"the folder {path.parent} cannot be written: name a session elsewhere with --session FILE")
        return True
    if path.is_file() and not path.stat().st_size:
        return True
    check_regular(path)
    return False


def _settle(connection: sqlite3.Connection) -> None:
    """Checkpoint, and back to the one-file mode unless somebody reads: then the journal beside it is empty."""
    try:
        connection.execute("PRAGMA busy_timeout = 0")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError:
        pass  # a reader is there, or the disk is full: all is in the journal, and the next opening goes on


def _cannot_write(error: sqlite3.OperationalError, path: Path) -> UserError:
    text = str(error)
    if "full" in text:
        return CannotWrite(f"{path} cannot be written: the disk is full")
    if "disk I/O" in text:
        return CannotWrite(f"{path} cannot be written: the disk reports an error, or a limit on file sizes was met")
    if "readonly" in text or "unable to open" in text:
        return CannotWrite(f"{path} cannot be written: it, or its folder, is read-only; copy it to a folder of yours")
    if "locked" in text:
        return CannotWrite(f"{path} cannot be written now: another program holds it")
    return explain(error, path)


def _label(name: str, params: Mapping[str, Any], sets: Sequence[str]) -> str:
    """What the step is about; the names of prompt sets stand before their size."""
    about = label_of(experiments()[name].params, params) if name in experiments() else ""
    return ", ".join(filter(None, [*sets, about]))[:LABEL]


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
