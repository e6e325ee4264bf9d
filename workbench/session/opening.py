"""Opening a session file to look: never writes it, and says in a sentence why it can't be read."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path
from urllib.parse import quote

import msgspec

from workbench.errors import UserError
from workbench.session.format import APPLICATION_ID, MAX_JSON, SCHEMA_VERSION, TABLES

MAGIC = b"SQLite format 3\0"

DAMAGE = (sqlite3.Error, UnicodeDecodeError, OverflowError)
"""what Python's sqlite3 raises for a damaged file; it fails to decode its own complaints about one"""


class Identity(msgspec.Struct, frozen=True):
    """Which file it is, whatever its name."""

    device: int
    inode: int


class Opened(msgspec.Struct):
    connection: sqlite3.Connection
    identity: Identity
    frozen: bool
    """read as a file that nobody writes (`immutable=1`); `size` and `mtime_ns` tell when that was wrong"""
    size: int
    mtime_ns: int
    notice: str
    """what the reader should know, for example that the newest steps may be missing"""


def identify(path: Path) -> Identity | None:
    """None where there is no file now."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return Identity(found.st_dev, found.st_ino)


def journal(path: Path) -> Path:
    """SQLite's write-ahead file beside the session."""
    return path.with_name(path.name + "-wal")


def open_to_read(path: Path) -> Opened:
    """Raises UserError for a file that is missing, foreign, newer, damaged or not ours to read."""
    found, header = look(path)
    pending = journal(path).exists()
    # A file in WAL mode makes SQLite write two files beside it even to look; with none there, nobody writes it.
    frozen = header[18] == 2 and not pending
    notice = ""
    try:
        connection = _connect(path, frozen)
        try:
            _touch(connection)
        except sqlite3.OperationalError:
            if frozen or header[18] != 2:
                raise
            # A read-only folder: SQLite can't make its shared memory there.
            connection.close()
            frozen = True
            notice = "its newest steps may not show: they are in a journal beside it that cannot be read from here"
            connection = _connect(path, frozen)
            _touch(connection)
        try:
            check_ours(connection, path)
            check_whole(connection, path)
        except BaseException:
            connection.close()
            raise
    except DAMAGE as error:
        raise explain(error, path) from None
    identity = Identity(found.st_dev, found.st_ino)
    return Opened(connection, identity, frozen, found.st_size, found.st_mtime_ns, notice)


def look(path: Path) -> tuple[os.stat_result, bytes]:
    """The file's state and the 100 bytes of its header. Raises UserError for what is no SQLite file."""
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise UserError(f"{path} is a folder, not a session file")
        if not stat.S_ISREG(found.st_mode):
            raise UserError(f"{path} is not a regular file, so not a session")
        with path.open("rb") as file:
            header = file.read(100)
    except FileNotFoundError:
        raise UserError(f"there is no session at {path}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if not header:
        raise UserError(f"{path} is empty: it holds no session")
    if not header.startswith(MAGIC[: len(header)]):
        raise UserError(f"{path} is not a session: it is no SQLite file")
    if len(header) < 100:
        raise UserError(f"{path} was cut short: even its header is incomplete")
    return found, header


def _connect(path: Path, frozen: bool) -> sqlite3.Connection:
    mode = "immutable=1" if frozen else "mode=ro"
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?{mode}", uri=True, isolation_level=None, check_same_thread=False, timeout=2
    )
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 2 * MAX_JSON)
    return connection


def _touch(connection: sqlite3.Connection) -> None:
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
    kinds = dict(connection.execute("SELECT name, type FROM sqlite_master WHERE type != 'index' LIMIT 1000"))
    missing = [table for table in TABLES if kinds.get(table) != "table"]
    if version < 1 or missing:
        raise UserError(f"{path} is damaged: it lacks the table {missing[0] if missing else 'version'}")
    if not set(kinds.values()) <= {"table"}:
        raise UserError(f"{path} holds triggers or views, which no session of ours has: it is not opened")


def check_whole(connection: sqlite3.Connection, path: Path) -> None:
    """Raises UserError for a file that is shorter than its header says."""
    # Within a read transaction nobody can be in the middle of growing the file.
    connection.execute("BEGIN")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
        size = path.stat().st_size
        wal = journal(path)
        if size < pages * page_size and not (wal.exists() and wal.stat().st_size):
            raise UserError(f"{path} was cut short: {size:,} of {pages * page_size:,} bytes are there")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    finally:
        connection.execute("ROLLBACK")


def _missing(path: Path) -> str:
    """How much of the file is there, if that is less than its header says."""
    try:
        _, header = look(path)
        size = path.stat().st_size
    except (UserError, OSError):
        return ""
    page = int.from_bytes(header[16:18], "big")
    whole = int.from_bytes(header[28:32], "big") * (65536 if page == 1 else page)
    return f"{size:,} of {whole:,} bytes are there" if size < whole else ""


def explain(error: Exception, path: Path) -> UserError:
    """SQLite's complaint as a sentence."""
    text = str(error) if isinstance(error, sqlite3.Error) else "its entries make no sense"
    missing = _missing(path) if "malformed" in text else ""
    if missing:
        return UserError(f"{path} was cut short: {missing}")
    if "locked" in text or "busy" in text:
        return UserError(f"{path} is being written and did not become free within two seconds: try again")
    if "interrupted" in text:
        return UserError(f"{path} takes too long to read: it is damaged, or not made by the workbench")
    if "readonly" in text or "unable to open" in text:
        return UserError(
            f"{path} cannot be read as it is ({text}): its last write was cut short, "
            "and it is repaired when a worker opens it in a folder that can be written"
        )
    if "too big" in text:
        return UserError(f"{path} holds an entry larger than any of ours: it is damaged, or not made by the workbench")
    return UserError(f"{path} is damaged: {text}")
