"""Opening a session file to read: never writes it, and says in a sentence why it can't be read.

The file itself is opened through SQLite alone. POSIX drops every lock that a process holds on a file as soon as that
process closes *any* descriptor of it: one `open(path).close()` beside a connection, and another program takes itself
for the last one and deletes the write-ahead log that the connection still reads and writes
(https://www.sqlite.org/howtocorrupt.html, 2.2). SQLite closes its own descriptors with care for its other connections.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import msgspec

from workbench.errors import UserError
from workbench.session.file_system import is_network
from workbench.session.format import ALL_TABLES, APPLICATION_ID, MAX_JSON, SCHEMA_VERSION, TABLES

_NAMES = ", ".join(f"'{table}'" for table in ALL_TABLES)
_OUR_TABLES = f"SELECT name, type FROM sqlite_master WHERE type != 'index' AND name IN ({_NAMES})"
_COLUMNS = f"SELECT * FROM sqlite_master AS t, pragma_table_xinfo(t.name) AS c WHERE t.name IN ({_NAMES})"
_INDEXES = f"""
    SELECT * FROM sqlite_master AS t, pragma_index_list(t.name) AS i
    WHERE t.name IN ({_NAMES}) AND (i.partial OR EXISTS (SELECT * FROM pragma_index_xinfo(i.name) WHERE cid = -2))
"""
_FOREIGN = (
    ("SELECT * FROM sqlite_master WHERE type NOT IN ('table', 'index') LIMIT 1", "triggers or views"),
    ("SELECT * FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE TABLE%' LIMIT 1", "virtual tables"),
    (f"{_COLUMNS} AND c.hidden LIMIT 1", "generated or hidden columns"),
    (f"{_COLUMNS} AND c.dflt_value LIKE '%(%' LIMIT 1", "columns whose default is computed"),
    (f"{_INDEXES} LIMIT 1", "indexes over expressions"),
)
"""what computes: one call of a function can take hours, which no time limit of ours interrupts. Further tables, columns
and indexes that are ordinary do no harm"""

TRIES = 5
"""attempts to read a file that is written meanwhile"""

HEADER = 100
"""bytes of an SQLite file's header"""

DAMAGE_ERRORS = (sqlite3.Error, UnicodeDecodeError, OverflowError)
"""what Python's sqlite3 raises for a damaged file; it fails to decode its own complaints about one"""


class FileIdentity(msgspec.Struct, frozen=True):
    """A file's identity, whatever its name."""

    device: int
    inode: int


class FileState(msgspec.Struct, frozen=True):
    """A session file and its journals: differs once somebody has written it, or opened it to write."""

    identity: FileIdentity
    size: int
    mtime_ns: int
    wal: FileIdentity | None
    rollback: FileIdentity | None

    def may_have_changed(self, path: Path) -> bool:
        """Whether the state differs now, or the file is gone."""
        try:
            return state_of(path) != self
        except OSError:
            return True


class OpenedFile(msgspec.Struct):
    connection: sqlite3.Connection
    immutable: bool
    """read as a file that nobody writes (`immutable=1`): without locks, so `state` has to be the same after a read"""
    state: FileState
    notice: str
    """what the reader should know, for example that the newest steps may be missing"""


def file_identity(path: Path) -> FileIdentity | None:
    """None where there is no file now."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return FileIdentity(status.st_dev, status.st_ino)


def state_of(path: Path) -> FileState:
    """Without opening it. Raises OSError where it is gone."""
    status = os.stat(path)
    return _state(path, status)


def _state(path: Path, status: os.stat_result) -> FileState:
    return FileState(
        FileIdentity(status.st_dev, status.st_ino),
        status.st_size,
        status.st_mtime_ns,
        file_identity(wal_path(path)),
        file_identity(rollback_journal_path(path)),
    )


def wal_path(path: Path) -> Path:
    """SQLite's write-ahead file beside the session."""
    return path.with_name(path.name + "-wal")


def rollback_journal_path(path: Path) -> Path:
    """SQLite's journal of a write under way, where there is no write-ahead file."""
    return path.with_name(path.name + "-journal")


def open_to_read(path: Path) -> OpenedFile:
    """Raises UserError for a file that is missing, foreign, newer, damaged or not ours to read."""
    for _ in range(TRIES):
        state = check_regular(path)
        try:
            return _open(path, state)
        except UserError as error:
            if not state.may_have_changed(path):
                raise
            problem = error  # somebody began to write it meanwhile: then it is read under SQLite's locks
    raise problem


def _open(path: Path, state: FileState) -> OpenedFile:
    # With no journal beside it nobody writes it, and a file in WAL mode makes SQLite write two files even to look.
    # On a network another machine's journal may not show yet: there SQLite's locks decide.
    immutable = state.wal is None and state.rollback is None and not is_network(path)
    notice = ""
    try:
        connection = _connect(path, immutable)
        try:
            _probe(connection)
        except sqlite3.OperationalError as error:
            connection.close()
            if immutable or state.rollback or _is_busy(error):
                raise
            # A read-only folder: SQLite can't make its shared memory there.
            immutable = True
            if state.wal:
                notice = "its newest steps may not show: they are in a journal beside it that cannot be read from here"
            connection = _connect(path, immutable)
            _probe(connection)
        try:
            check_ours(connection, path)
            check_whole(connection, path)
        except BaseException:
            connection.close()
            raise
    except DAMAGE_ERRORS as error:
        raise explain(error, path) from None
    if not immutable:
        # From its first read on, the connection's locks keep others from deleting the log that it reads.
        state = msgspec.structs.replace(state, wal=file_identity(wal_path(path)))
    return OpenedFile(connection, immutable, state, notice)


def check_regular(path: Path) -> FileState:
    """The file's state. Raises UserError for what can't be an SQLite file, without opening it."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise UserError(f"there is no session at {path}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if stat.S_ISDIR(status.st_mode):
        raise UserError(f"{path} is a folder, not a session file")
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{path} is not a regular file, so not a session")
    if not status.st_size:
        raise UserError(f"{path} is empty: it holds no session")
    if status.st_size < HEADER:
        size = status.st_size
        raise UserError(f"{path} is not a session: it is no SQLite file, or was cut short to {size} bytes")
    if not os.access(path, os.R_OK):
        raise UserError(f"{path} cannot be read: permission denied")
    return _state(path, status)


def _connect(path: Path, immutable: bool) -> sqlite3.Connection:
    immutable_option = "&immutable=1" if immutable else ""
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro{immutable_option}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=2,
    )
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 2 * MAX_JSON)
    return connection


def _probe(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()


def check_ours(connection: sqlite3.Connection, path: Path) -> None:
    """Raises UserError unless it is a session of ours, of a version we know."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise UserError(f"{path} is an SQLite file, but not a session of the workbench")
    if version > SCHEMA_VERSION:
        raise UserError(
            f"{path} was written by a newer workbench (schema {version}, this one knows {SCHEMA_VERSION}): "
            "update the workbench to open it"
        )
    kinds = dict(connection.execute(_OUR_TABLES))
    missing = [table for table in TABLES if kinds.get(table) != "table"]
    if version < 1 or missing:
        raise UserError(f"{path} is damaged: it lacks the table {missing[0] if missing else 'version'}")
    for query, what in _FOREIGN:
        if connection.execute(query).fetchone():
            raise UserError(f"{path} holds {what}, which no session of ours has: it is not opened")


def check_whole(connection: sqlite3.Connection, path: Path) -> None:
    """Raises UserError for a file that is shorter than its header says."""
    # Within a read transaction nobody can be in the middle of growing the file.
    connection.execute("BEGIN")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
        size = path.stat().st_size
        wal = wal_path(path)
        if size < pages * page_size and not (wal.exists() and wal.stat().st_size):
            raise UserError(f"{path} was cut short: {size:,} of {pages * page_size:,} bytes are there")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    finally:
        connection.execute("ROLLBACK")


def _is_busy(error: sqlite3.Error) -> bool:
    return "locked" in str(error) or "busy" in str(error)


def _is_cut_short(path: Path) -> bool:
    """Whether the file has fewer pages than its header says: then SQLite reads it only with writable_schema on."""
    try:
        with closing(_connect(path, immutable=True)) as connection:
            try:
                _probe(connection)
            except sqlite3.DatabaseError:
                connection.execute("PRAGMA writable_schema = ON")
                connection.execute("PRAGMA page_count").fetchone()
                return True
    except DAMAGE_ERRORS:
        pass
    return False


def explain(error: Exception, path: Path) -> UserError:
    """SQLite's complaint as a sentence."""
    complaint = str(error) if isinstance(error, sqlite3.Error) else "its entries make no sense"
    if "not a database" in complaint:
        return UserError(f"{path} is not a session: it is no SQLite file")
    if "malformed" in complaint and _is_cut_short(path):
        return UserError(f"{path} was cut short: it has fewer bytes than its header says")
    if isinstance(error, sqlite3.Error) and _is_busy(error):
        return UserError(f"{path} is being written and did not become free within two seconds: try again")
    if "interrupted" in complaint:
        return UserError(f"{path} takes too long to read: it is damaged, or not made by the workbench")
    if "readonly" in complaint or "unable to open" in complaint:
        return UserError(
            f"{path} cannot be read as it is ({complaint}): its last write was cut short, "
            "and it is repaired when a worker opens it in a folder that can be written"
        )
    if "too big" in complaint:
        return UserError(f"{path} holds an entry larger than any of ours: it is damaged, or not made by the workbench")
    return UserError(f"{path} is damaged: {complaint}")
