"""The tables, as migrations: append-only, each in one transaction. SCHEMA.md is the document.

Only the writer imports this, and only when there is something to migrate: sqlite-utils is slow to import.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from workbench.session.format import APPLICATION_ID

# sqlite-utils imports pandas wherever it finds it; nothing here needs it, and the control process must stay small.
_hide_pandas = "pandas" not in sys.modules
if _hide_pandas:
    sys.modules["pandas"] = None  # type: ignore[assignment]
try:
    from sqlite_utils import Database, Migrations
finally:
    if _hide_pandas:
        del sys.modules["pandas"]

migrations = Migrations("workbench")


def migration(number: int) -> Callable[[Callable[[Any], None]], None]:
    """Registers the migration that makes schema version `number`."""

    def register(change: Callable[[Any], None]) -> None:
        def apply(db: Any) -> None:
            change(db)
            db.execute(f"PRAGMA user_version = {number}")

        migrations(name=f"{number:03d}_{change.__name__}")(apply)

    return register


@migration(1)
def first(db: Any) -> None:
    """The tables of the first version."""
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db["meta"].create({"key": str, "value": str}, pk="key")
    db["model"].create(
        {
            "id": int,
            "name": str,
            "ref": str,
            "fingerprint": str,
            "device": str,
            "dtype": str,
            "info": str,
            "created": float,
        },
        pk="id",
    )
    db["step"].create(
        {
            "id": int,
            "uuid": str,
            "parent": int,
            "experiment": str,
            "label": str,
            "params": str,
            "edits": str,
            "seed": int,
            "model": int,
            "versions": str,
            "status": str,
            "error": str,
            "headline": str,
            "scalars": str,
            "expected": str,
            "replayable": int,
            "origin": str,
            "command": str,
            "created": float,
            "started": float,
            "finished": float,
            "progress": str,
            "remarks": str,
            "next_steps": str,
            "owner": str,
            "revision": int,
        },
        pk="id",
        not_null={"uuid", "experiment", "params", "status", "created", "revision"},
        defaults={"revision": 0},
        foreign_keys=[("parent", "step", "id"), ("model", "model", "id")],
    )
    db["step"].create_index(["status"])
    db["edit"].create(
        {"step": int, "position": int, "op": str, "units": str, "text": str, "spec": str},
        pk=("step", "position"),
        foreign_keys=[("step", "step", "id")],
    )
    db["view"].create(
        {
            "step": int,
            "key": str,
            "position": int,
            "kind": str,
            "title": str,
            "final": int,
            "revision": int,
            "spec": str,
        },
        pk=("step", "key"),
        foreign_keys=[("step", "step", "id")],
    )
    db["array"].create({"hash": str, "dtype": str, "shape": str, "bytes": int, "preview": str}, pk="hash")
    db["array_chunk"].create(
        {"hash": str, "number": int, "data": bytes}, pk=("hash", "number"), foreign_keys=[("hash", "array", "hash")]
    )
    db["view_array"].create(
        {"step": int, "key": str, "hash": str},
        pk=("step", "key", "hash"),
        foreign_keys=[("hash", "array", "hash")],
    )
    db["view_array"].create_index(["hash"])
    db["note"].create(
        {"id": int, "step": int, "text": str, "created": float}, pk="id", foreign_keys=[("step", "step", "id")]
    )
    db["note"].create_index(["step"])
    db["pin"].create({"id": int, "unit": str, "name": str, "created": float}, pk="id")
    db["pin"].create_index(["name", "unit"], unique=True)


@migration(2)
def stacks(db: Any) -> None:
    """Edit stacks saved under names."""
    db["stack"].create({"name": str, "edits": str, "spec": str, "created": float}, pk="name", not_null={"spec"})


@migration(3)
def artifacts(db: Any) -> None:
    """What steps use and make, once each by its hash."""
    db["artifact"].create(
        {
            "hash": str,
            "kind": str,
            "name": str,
            "fingerprint": str,
            "step": int,
            "spec": str,
            "array": str,
            "bytes": int,
            "created": float,
        },
        pk="hash",
        not_null={"kind", "name", "spec"},
        foreign_keys=[("step", "step", "id"), ("array", "array", "hash")],
    )
    db["artifact"].create_index(["kind", "name"])
    db["artifact"].create_index(["array"])
    db["step_artifact"].create(
        {"step": int, "hash": str, "role": str, "name": str},
        pk=("step", "hash", "role", "name"),
        foreign_keys=[("step", "step", "id"), ("hash", "artifact", "hash")],
    )
    db["step_artifact"].create_index(["hash"])


def migrate(connection: Any) -> None:
    """Brings a file to the newest version; what is there already stays."""
    migrations.apply(Database(connection, execute_plugins=False, recursive_triggers=False))
