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
    found = connection.execute("SELECT revision FROM step WHERE id = ?", (step,)).fetchone()
    return int(found[0]) if found else 0


def set_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))


def put_update(connection: sqlite3.Connection, step: int, update: Update) -> None:
    """The parts of an update that are there."""
    new: dict[str, str] = {} if update.headline is None else {"headline": update.headline}
    for name in ("scalars", "progress", "remarks", "next_steps"):
        value = getattr(update, name)
        if value is not None:
            new[name] = msgspec.json.encode(value).decode()
    if new:
        columns = ", ".join(f"{name} = ?" for name in new)
        connection.execute(f"UPDATE step SET {columns} WHERE id = ?", (*new.values(), step))
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
    unused: set[str] = set()
    for view in encoded.views:
        place = (step, view.key)
        before = connection.execute("SELECT hash FROM view_array WHERE step = ? AND key = ?", place).fetchall()
        unused.update(row[0] for row in before)
        connection.execute("DELETE FROM view_array WHERE step = ? AND key = ?", place)
        connection.executemany(
            "INSERT INTO view_array (step, key, hash) VALUES (?, ?, ?)", [(*place, name) for name in view.arrays]
        )
        connection.execute(
            "INSERT INTO view (step, key, position, kind, title, final, revision, spec) VALUES (?, ?, ?, ?, ?, 0, 1, ?)"
            " ON CONFLICT (step, key) DO UPDATE SET position = excluded.position, kind = excluded.kind,"
            " title = excluded.title, spec = excluded.spec, revision = view.revision + 1",
            (*place, view.position, view.kind, view.title, view.spec.decode()),
        )
    drop_unused(connection, unused)


def put_array(connection: sqlite3.Connection, array: EncodedArray) -> None:
    added = connection.execute(
        "INSERT OR IGNORE INTO array (hash, dtype, shape, bytes, preview) VALUES (?, ?, ?, ?, ?)",
        (
            array.hash,
            array.dtype,
            msgspec.json.encode(array.shape).decode(),
            len(array.data),
            array.preview,
        ),
    )
    if added.rowcount:
        connection.executemany(
            "INSERT INTO array_chunk (hash, number, data) VALUES (?, ?, ?)",
            (
                (array.hash, number, array.data[start : start + CHUNK])
                for number, start in enumerate(range(0, len(array.data), CHUNK))
            ),
        )


def drop_unused(connection: sqlite3.Connection, hashes: Iterable[str]) -> None:
    """Deletes those of the arrays that no view and no artifact uses."""
    for name in hashes:
        used = "SELECT 1 FROM view_array WHERE hash = ?1 UNION ALL SELECT 1 FROM artifact WHERE array = ?1 LIMIT 1"
        if connection.execute(used, (name,)).fetchone() is None:
            connection.execute("DELETE FROM array_chunk WHERE hash = ?", (name,))
            connection.execute("DELETE FROM array WHERE hash = ?", (name,))


def model_row(connection: sqlite3.Connection, info: ModelInfo) -> int:
    """The row of this model, made if there is none."""
    text = msgspec.json.encode(info).decode()
    found = connection.execute("SELECT id FROM model WHERE info = ? ORDER BY id DESC", (text,)).fetchone()
    if found:
        return int(found[0])
    cursor = connection.execute(
        "INSERT INTO model (name, ref, fingerprint, device, dtype, info, created) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (info.name, info.ref, info.fingerprint, info.device, info.dtype, text, time.time()),
    )
    return int(cursor.lastrowid or 0)


def set_fingerprint(connection: sqlite3.Connection, info: ModelInfo, since: float) -> None:
    """Completes the rows that were written after `since` for this model while its weights were still hashed."""
    before = msgspec.json.encode(msgspec.structs.replace(info, fingerprint="")).decode()
    connection.execute(
        "UPDATE model SET fingerprint = ?, info = ? WHERE info = ? AND created >= ?",
        (info.fingerprint, msgspec.json.encode(info).decode(), before, since),
    )
