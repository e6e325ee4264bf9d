"""Writing artifacts into a session, and taking their names away. Inside a transaction."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence

import msgspec

from workbench.artifacts import Use
from workbench.errors import UserError
from workbench.session import store
from workbench.session.encode import encode_array
from workbench.session.format import MAX_JSON


def put_uses(connection: sqlite3.Connection, step: int, uses: Sequence[Use]) -> None:
    """Stores what a step used or made; an artifact that the file has already is not stored again. Raises UserError."""
    for use in uses:
        digest = _put(connection, step, use)
        connection.execute(
            "INSERT OR IGNORE INTO step_artifact (step, hash, role, name) VALUES (?, ?, ?, ?)",
            (step, digest, use.role, use.name or name_of(connection, digest)),
        )


def put_named(connection: sqlite3.Connection, use: Use) -> None:
    """Stores an artifact under a name, without a step. Raises UserError where the name stands for another one."""
    _check_free(connection, use.content.kind, use.name, use.content.hash)
    _put(connection, None, use)


def put_pinned(connection: sqlite3.Connection, use: Use) -> None:
    """Stores the artifact that a pinned unit is of; its name stands for it from now on."""
    _put(connection, None, use)


def rename(connection: sqlite3.Connection, kind: str, name: str, new_name: str) -> None:
    """Gives an artifact another name. Raises UserError where there is none, and where the new name is taken."""
    row = connection.execute("SELECT hash FROM artifact WHERE kind = ? AND name = ?", (kind, name)).fetchone()
    if row is None:
        raise UserError(f"there is no {kind} {name!r} in this session")
    _check_free(connection, kind, new_name, row[0])
    connection.execute("UPDATE artifact SET name = ? WHERE hash = ?", (new_name, row[0]))


def _check_free(connection: sqlite3.Connection, kind: str, name: str, digest: str) -> None:
    row = connection.execute("SELECT hash FROM artifact WHERE kind = ? AND name = ?", (kind, name)).fetchone()
    if row is not None and row[0] != digest:
        raise UserError(f"this session has another {kind} {name!r} already: choose another name, or rename that one")


def name_of(connection: sqlite3.Connection, digest: str) -> str:
    """An artifact's name in this session; empty for one that has none, or that the session does not have."""
    row = connection.execute("SELECT name FROM artifact WHERE hash = ?", (digest,)).fetchone()
    return str(row[0]) if row else ""


def remove_name(connection: sqlite3.Connection, kind: str, name: str) -> int:
    """Removes a name, and the bytes unless a step uses them. Returns the bytes freed. Raises UserError."""
    row = connection.execute("SELECT hash FROM artifact WHERE kind = ? AND name = ?", (kind, name)).fetchone()
    if row is None:
        raise UserError(f"there is no {kind} {name!r} in this session")
    connection.execute("UPDATE artifact SET name = '' WHERE hash = ?", row)
    return prune(connection)


def prune(connection: sqlite3.Connection) -> int:
    """Deletes what has no name and is used by no step. Returns the bytes freed."""
    unused = connection.execute(
        "SELECT hash, array, bytes FROM artifact"
        " WHERE name = '' AND NOT EXISTS (SELECT 1 FROM step_artifact WHERE step_artifact.hash = artifact.hash)"
    ).fetchall()
    for digest, array, _ in unused:
        connection.execute("DELETE FROM artifact WHERE hash = ?", (digest,))
        if array:
            store.drop_unused(connection, [array])
    return sum(int(size or 0) for _, _, size in unused)


def _put(connection: sqlite3.Connection, step: int | None, use: Use) -> str:
    content, digest = use.content, use.content.hash
    stored = connection.execute("SELECT 1 FROM artifact WHERE hash = ?", (digest,)).fetchone() is not None
    if not stored:
        spec = msgspec.json.encode(content.spec)
        if len(spec) > MAX_JSON:
            raise UserError(f"the {content.kind} {use.name!r} is too large to be kept in a session")
        array = None if content.array is None else encode_array(content.array)
        if array is not None:
            store.put_array(connection, array)
        connection.execute(
            "INSERT INTO artifact (hash, kind, name, fingerprint, step, spec, array, bytes, created)"
            " VALUES (?, ?, '', ?, ?, ?, ?, ?, ?)",
            (
                digest,
                content.kind,
                content.fingerprint,
                step,
                spec.decode(),
                array.hash if array else None,
                len(spec) + (len(array.data) if array else 0),
                time.time(),
            ),
        )
    if use.name and use.takes_name:
        connection.execute("UPDATE artifact SET name = '' WHERE kind = ? AND name = ?", (content.kind, use.name))
        connection.execute("UPDATE artifact SET name = ? WHERE hash = ?", (use.name, digest))
    return digest
