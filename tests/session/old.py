"""Sessions as older versions wrote them: their migrations alone, their rows as they stood."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

ROWS = [{"prompt": "one", "answer": "", "foil": ""}, {"prompt": "two", "answer": " three", "foil": ""}]
FIRST_OF = {2: "003_artifacts"}
"""the migration that came after a version"""


def version_1(path: Path) -> Path:
    """The tour as version 0.1 recorded it, byte by byte."""
    shutil.copyfile(Path(__file__).with_name("version_1.db"), path)
    return path


def version_2(path: Path) -> Path:
    """A finished step on a set of prompts that stands in its row."""
    from workbench.session.schema import Database, migrations

    connection = sqlite3.connect(path, isolation_level=None)
    migrations.apply(Database(connection, execute_plugins=False, recursive_triggers=False), stop_before=FIRST_OF[2])
    connection.execute("INSERT INTO meta (key, value) VALUES ('title', 'old')")
    params = {"prompt": "", "prompts": ROWS, "chat": False, "answer": "", "foil": "", "top": 10}
    connection.execute(
        "INSERT INTO step (uuid, experiment, label, params, edits, seed, versions, status, error, headline, scalars,"
        " expected, replayable, origin, command, created, progress, remarks, next_steps, owner, revision)"
        " VALUES ('u', 'predict', '2 prompts', ?, 'L1.N2=0', 3, '{}', 'done', '', 'it says so', '{}', '', 1, 'cli', '',"
        " 1.7e9, '{}', '[]', '[]', '{}', 1)",
        (json.dumps(params),),
    )
    connection.execute(
        "INSERT INTO edit (step, position, op, units, text, spec)"
        ' VALUES (1, 0, \'set\', \'L1.N2\', \'L1.N2=0\', \'{"op":"set","units":"L1.N2","value":0.0}\')'
    )
    connection.close()
    return path


def version_of(path: Path) -> int:
    connection = sqlite3.connect(path)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return int(version)
