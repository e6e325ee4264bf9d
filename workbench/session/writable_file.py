"""A session file, open to write: one connection under a lock, one transaction for each change.

A file that is moved or deleted while it is open is copied to a new one before the next change.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self

import msgspec

from workbench import paths
from workbench.errors import UserError
from workbench.files import create_private
from workbench.session import store
from workbench.session.file_system import is_network
from workbench.session.format import SCHEMA_VERSION
from workbench.session.lock import SessionLock
from workbench.session.opening import (
    DAMAGE_ERRORS,
    check_ours,
    check_regular,
    check_whole,
    explain,
    file_identity,
    rollback_journal_path,
    wal_path,
)
from workbench.session.owner import this_process
from workbench.session.places import free_path


class CannotWrite(UserError):  # noqa: N818 - a sentence for the user, as its base
    """The disk is full, or gone for now: what was to be written is worth keeping and trying again."""


class SessionMoved(UserError):  # noqa: N818
    """The file was moved, deleted or replaced while it was open; `recovered` holds everything up to then."""

    def __init__(self, path: Path, recovered: Path) -> None:
        self.recovered = recovered
        event = "replaced by another file" if path.exists() else "moved or deleted"
        super().__init__(
            f"{path} was {event} while it was open: all its steps, "
            f"and the results of those that still ran, are in {recovered}"
        )


class WritableFile:
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
        self._identity = file_identity(self.path)
        self._real = os.path.realpath(self.path)
        self._wal = file_identity(wal_path(self.path))

    def close(self) -> None:
        """Everything into the one file; further calls are errors."""
        try:
            if file_identity(self._file) == self._identity:
                _settle(self._connection)
        finally:
            self._connection.close()
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _file(self) -> Path:
        return self.recovered or self.path

    @contextmanager
    def _change(self, new: bool = False) -> Iterator[sqlite3.Connection]:
        """One transaction; `new` work is refused once the file is gone, the end of old work is not."""
        try:
            # A link to the same file counts, too: whoever opens it there has its journal beside another name.
            if file_identity(self._file) != self._identity or os.path.realpath(self._file) != self._real:
                self._recover()
            elif file_identity(wal_path(self._file)) != self._wal:
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
        except DAMAGE_ERRORS as error:
            raise explain(error, self._file) from None
        except OSError as error:
            raise CannotWrite(f"{self._file} cannot be written: {error.strerror}") from None

    def _open(self, path: Path) -> sqlite3.Connection:
        """A connection that writes, on a file of ours at the newest schema. Raises UserError."""
        if _is_new(path):
            _make(Path(os.path.realpath(path)), path.stem)
        try:
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
        except sqlite3.Error as error:
            raise UserError(f"{path} cannot be opened to write: {error}") from None
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA ignore_check_constraints = ON")  # we make none: one would compute
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
        except sqlite3.OperationalError as error:
            connection.close()
            raise _cannot_write(error, path) from None
        except DAMAGE_ERRORS as error:
            connection.close()
            raise explain(error, path) from None
        except BaseException:
            connection.close()
            raise
        return connection

    def _reopen(self) -> None:
        """Somebody deleted the write-ahead log: write what only this connection still holds, and open the file anew."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()
        self._connection = self._open(self._file)
        self._wal = file_identity(wal_path(self._file))

    def _recover(self) -> None:
        """The file is gone from its place, but open: copy it whole to a new one, and write there from now on."""
        folder = self.path.parent if os.access(self.path.parent, os.W_OK) else paths.data_dir() / "sessions"
        folder.mkdir(parents=True, exist_ok=True)
        target = free_path(folder / f"{self.path.stem}-recovered{self.path.suffix}")
        partial = target.with_name(f".{target.name}.part")
        try:
            create_private(partial)
            with closing(sqlite3.connect(partial)) as copy:
                self._connection.backup(copy)
            partial.rename(target)
        finally:
            partial.unlink(missing_ok=True)
        connection = self._open(target)
        old_connection, self._connection, self.recovered = self._connection, connection, target
        old_wal, self._wal = self._wal, file_identity(wal_path(target))
        self._identity = file_identity(target)
        self._real = os.path.realpath(target)
        # Beside a file that has taken its place, its own log would be played into that one by whoever opens it next.
        if file_identity(wal_path(self.path)) == old_wal:
            for leftover in (wal_path(self.path), self.path.with_name(self.path.name + "-shm")):
                leftover.unlink(missing_ok=True)
        old_connection.close()


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


def _make(path: Path, title: str) -> None:
    """A new session, whole or not at all: made beside its place and renamed. Raises UserError."""
    from workbench.session.schema import migrate  # slow to import, and rarely needed

    partial = path.with_name(f".{path.name}.new")
    try:
        partial.unlink(missing_ok=True)  # of one who was killed: we have the session's lock
        create_private(partial)
        if path.exists():
            partial.chmod(stat.S_IMODE(path.stat().st_mode))
        try:
            with closing(sqlite3.connect(partial, isolation_level=None)) as connection:
                migrate(connection)
                store.set_meta(connection, "created", str(time.time()))
                store.set_meta(connection, "title", title)
            for left in (wal_path(path), path.with_name(f"{path.name}-shm"), rollback_journal_path(path)):
                left.unlink(missing_ok=True)  # of a session that was deleted: SQLite would take them for the new one's
            partial.rename(path)
        finally:
            for file in (partial, rollback_journal_path(partial)):
                file.unlink(missing_ok=True)
    except sqlite3.OperationalError as error:
        raise _cannot_write(error, path) from None
    except OSError as error:
        raise CannotWrite(f"{path} cannot be written: {error.strerror}") from None


def _settle(connection: sqlite3.Connection) -> None:
    """Checkpoint, and back to the one-file mode unless somebody reads: then the journal beside it is empty."""
    try:
        connection.execute("PRAGMA busy_timeout = 0")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError:
        pass  # a reader is there, or the disk is full: all is in the journal, and the next opening goes on


def _cannot_write(error: sqlite3.OperationalError, path: Path) -> UserError:
    complaint = str(error)
    if "full" in complaint:
        return CannotWrite(f"{path} cannot be written: the disk is full")
    if "disk I/O" in complaint:
        return CannotWrite(f"{path} cannot be written: the disk reports an error, or a limit on file sizes was met")
    if "readonly" in complaint or "unable to open" in complaint:
        return CannotWrite(f"{path} cannot be written: it, or its folder, is read-only; copy it to a folder of yours")
    if "locked" in complaint:
        return CannotWrite(f"{path} cannot be written now: another program holds it")
    return explain(error, path)
