"""Rows that several writing methods share: views with their arrays, models, revisions. Inside a transaction."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable

import msgspec

from workbench.model_info import ModelInfo
from workbench.session.encode import EncodedArray, EncodedViews
from workbench.session.format import CHUNK
from workbench.session.update import Update


def exists(connection: sqlite3.Connection, table: str, number: int) -> bool:
    return connection.execute(f"SELECT 1 FROM {table} WHERE id = ?", (number,)).fetchone() is not None


def bump(connection: sqlite3.Connection, step: int) -> int:
    """A new revision of the step."""
    connection.execute("UPDATE step SET revision = revision + 1 WHERE id = ?", (step,))
    row = connection.execute("SELECT revision FROM step WHERE id = ?", (step,)).fetchone()
    return int(row[0]) if row else 0


def set_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))


def put_update(connection: sqlite3.Connection, step: int, update: Update) -> None:
    """The parts of an update that are there."""
    columns: dict[str, str] = {} if update.headline is None else {"headline": update.headline}
    for column in ("scalars", "progress", "remarks", "next_steps"):
        value = getattr(update, column)
        if value is not None:
            columns[column] = msgspec.json.encode(value).decode()
    if columns:
        assignments = ", ".join(f"{column} = ?" for column in columns)
        connection.execute(f"UPDATE step SET {assignments} WHERE id = ?", (*columns.values(), step))
    if update.views:
        put_views(connection, step, update.views)


def put_end(connection: sqlite3.Connection, step: int, status: str, error: str, at: float | None = None) -> None:
    """The step's last status; its views are final."""
    connection.execute(
        "UPDATE step SET status = ?, error = ?, finished = ? WHERE id = ?",
        (status, error, time.time() if at is None else at, step),
    )
    connection.execute("UPDATE view SET final = 1 WHERE step = ?", (step,))


def put_views(connection: sqlite3.Connection, step: int, encoded: EncodedViews) -> None:
    """Views in place of those of the same key; arrays that nothing uses any more go."""
    for array in encoded.arrays.values():
        put_array(connection, array)
    maybe_unused: set[str] = set()
    for view in encoded.views:
        view_key = (step, view.key)
        previous = connection.execute("SELECT hash FROM view_array WHERE step = ? AND key = ?", view_key).fetchall()
        maybe_unused.update(row[0] for row in previous)
        connection.execute("DELETE FROM view_array WHERE step = ? AND key = ?", view_key)
        connection.executemany(
            "INSERT INTO view_array (step, key, hash) VALUES (?, ?, ?)", [(*view_key, name) for name in view.arrays]
        )
        connection.execute(
            "INSERT INTO view (step, key, position, kind, title, final, revision, spec) VALUES (?, ?, ?, ?, ?, 0, 1, ?)"
            " ON CONFLICT (step, key) DO UPDATE SET position = excluded.position, kind = excluded.kind,"
            " title = excluded.title, spec = excluded.spec, revision = view.revision + 1",
            (*view_key, view.position, view.kind, view.title, view.spec.decode()),
        )
    drop_unused(connection, maybe_unused)


def put_array(connection: sqlite3.Connection, array: EncodedArray) -> None:
    cursor = connection.execute(
        "INSERT OR IGNORE INTO array (hash, dtype, shape, bytes, preview) VALUES (?, ?, ?, ?, ?)",
        (
            array.hash,
            array.dtype,
            msgspec.json.encode(array.shape).decode(),
            len(array.data),
            array.preview,
        ),
    )
    if cursor.rowcount:
        connection.executemany(
            "INSERT INTO array_chunk (hash, number, data) VALUES (?, ?, ?)",
            (
                (array.hash, number, array.data[start : start + CHUNK])
                for number, start in enumerate(range(0, len(array.data), CHUNK))
            ),
        )


def drop_unused(connection: sqlite3.Connection, hashes: Iterable[str]) -> None:
    """Deletes those of the arrays that no view and no artifact uses."""
    for digest in hashes:
        uses = "SELECT 1 FROM view_array WHERE hash = ?1 UNION ALL SELECT 1 FROM artifact WHERE array = ?1 LIMIT 1"
        if connection.execute(uses, (digest,)).fetchone() is None:
            connection.execute("DELETE FROM array_chunk WHERE hash = ?", (digest,))
            connection.execute("DELETE FROM array WHERE hash = ?", (digest,))


def model_row(connection: sqlite3.Connection, info: ModelInfo) -> int:
    """The row of this model, made if there is none."""
    encoded = msgspec.json.encode(info).decode()
    row = connection.execute("SELECT id FROM model WHERE info = ? ORDER BY id DESC", (encoded,)).fetchone()
    if row:
        return int(row[0])
    cursor = connection.execute(
        "INSERT INTO model (name, ref, fingerprint, device, dtype, info, created) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (info.name, info.ref, info.fingerprint, info.device, info.dtype, encoded, time.time()),
    )
    return int(cursor.lastrowid or 0)


def set_fingerprint(connection: sqlite3.Connection, info: ModelInfo, since: float) -> None:
    """Completes the rows that were written after `since` for this model while its weights were still hashed."""
    before = msgspec.json.encode(msgspec.structs.replace(info, fingerprint="")).decode()
    connection.execute(
        "UPDATE model SET fingerprint = ?, info = ? WHERE info = ? AND created >= ?",
        (info.fingerprint, msgspec.json.encode(info).decode(), before, since),
    )
