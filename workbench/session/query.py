"""The statements that a reader executes. Texts are cut and typed here: a crafted file is no trusted source."""

from __future__ import annotations

from workbench.session.format import MAX_JSON, MAX_TEXT

_LINE = 1000
"""bytes of a text shown in one line"""

MAX_ROWS = 100_000
"""notes, pins, views, edits that are read at once"""


def _text(column: str, limit: int = MAX_TEXT) -> str:
    # As bytes: SQLite's functions on text stop at a NUL.
    return f"coalesce(substr(CAST({column} AS BLOB), 1, {limit}), x'')"


def _json(column: str) -> str:
    return f"CASE WHEN length({column}) <= {MAX_JSON} THEN CAST({column} AS TEXT) END"


def _integer(column: str) -> str:
    return f"CAST({column} AS INTEGER)"


META = f"SELECT {_text('value', _LINE)} FROM meta WHERE key = ?"

_ROW = {
    "id": "id",
    "parent": _integer("parent"),
    "experiment": _text("experiment", _LINE),
    "label": _text("label", _LINE),
    "edits": _text("edits", _LINE),
    "status": _text("status", _LINE),
    "headline": _text("headline", _LINE),
    "error": _text("error", _LINE),
    "expected": _text("expected", _LINE),
    "created": "created",
    "started": "started",
    "finished": "finished",
    "owner": _text("owner", _LINE),
    "notes": "(SELECT count(*) FROM note WHERE note.step = step.id)",
    "revision": f"coalesce({_integer('revision')}, 0)",
}
ROW_COLUMNS = tuple(_ROW)
ROWS = f"SELECT {', '.join(_ROW.values())} FROM step ORDER BY id LIMIT ? OFFSET ?"
ROWS_OF = f"SELECT {', '.join(_ROW.values())} FROM step WHERE id IN (SELECT value FROM json_each(?))"
TREE = f"SELECT id, {_integer('parent')} FROM step WHERE id > ? ORDER BY id"
ROW = f"SELECT {', '.join(_ROW.values())} FROM step WHERE id = ?"
LAST_OF = "SELECT id FROM step WHERE experiment = ? ORDER BY status = 'failed', id DESC LIMIT 1"

_SEARCHED_TEXT = " || ' ' || ".join(
    [
        *(
            f"coalesce({name}, '')"
            for name in ("experiment", "label", "edits", "headline", "error", "expected", "status")
        ),
        "CASE WHEN json_valid(params) THEN coalesce(json_extract(params, '$.prompt'), '') ELSE '' END",
        "coalesce((SELECT group_concat(text, ' ') FROM note WHERE note.step = step.id), '')",
    ]
)


def find(count: int) -> str:
    """The steps whose text matches each of `count` patterns of LIKE."""
    conditions = " AND ".join(["searched LIKE ? ESCAPE '\\'"] * count)
    return f"SELECT id FROM (SELECT id, {_SEARCHED_TEXT} AS searched FROM step) WHERE {conditions} ORDER BY id"


OPEN_STEPS = f"""
    SELECT id, {_text("status", _LINE)}, {_text("owner", _LINE)} FROM step
    WHERE status IN ('queued', 'running') ORDER BY id LIMIT {MAX_ROWS}
"""

STEP_JSON = ("params", "versions", "scalars", "progress", "remarks", "next_steps", "model")
_STEP = {
    "id": "step.id",
    "uuid": _text("step.uuid", _LINE),
    "parent": _integer("step.parent"),
    "experiment": _text("step.experiment", _LINE),
    "params": _json("step.params"),
    "seed": f"coalesce({_integer('step.seed')}, 0)",
    "model": f"coalesce({_json('model.info')}, 'null')",
    "fingerprint": _text("model.fingerprint", _LINE),
    "versions": _json("step.versions"),
    "device": _text("model.device", _LINE),
    "dtype": _text("model.dtype", _LINE),
    "status": _text("step.status", _LINE),
    "error": _text("step.error"),
    "headline": _text("step.headline"),
    "scalars": _json("step.scalars"),
    "expected": _text("step.expected"),
    "replayable": f"coalesce({_integer('step.replayable')}, 0)",
    "origin": _text("step.origin", _LINE),
    "command": _text("step.command"),
    "created": "step.created",
    "started": "step.started",
    "finished": "step.finished",
    "progress": _json("step.progress"),
    "remarks": _json("step.remarks"),
    "next_steps": _json("step.next_steps"),
    "revision": f"coalesce({_integer('step.revision')}, 0)",
    "owner": _text("step.owner", _LINE),
}
STEP_COLUMNS = tuple(_STEP)
STEP = f"SELECT {', '.join(_STEP.values())} FROM step LEFT JOIN model ON model.id = step.model WHERE step.id = ?"

EDITS = f"SELECT {_json('spec')} FROM edit WHERE step = ? ORDER BY position LIMIT {MAX_ROWS}"

VIEWS = f"""
    SELECT {_text("key", _LINE)}, coalesce({_integer("position")}, 0), {_text("kind", _LINE)}, {_text("title", _LINE)},
           coalesce({_integer("final")}, 0), coalesce({_integer("revision")}, 0), {_json("spec")}
    FROM view WHERE step = ? ORDER BY position LIMIT 1000
"""

ARRAY = f"SELECT {_text('dtype', _LINE)}, {_json('shape')} FROM array WHERE hash = ?"
CHUNKS = "SELECT data FROM array_chunk WHERE hash = ? ORDER BY number"

NOTES = f"""
    SELECT id, {_integer("step")}, {_text("text")}, created FROM note
    WHERE ? IS NULL OR step = ? ORDER BY id LIMIT {MAX_ROWS}
"""

STACKS = f"SELECT {_text('name', _LINE)}, {_json('spec')} FROM stack ORDER BY name LIMIT {MAX_ROWS}"
PINS = f"SELECT id, {_text('unit', _LINE)}, {_text('name', _LINE)}, created FROM pin ORDER BY id LIMIT {MAX_ROWS}"

ARTIFACTS = f"""
    SELECT artifact.hash, {_text("artifact.kind", _LINE)}, {_text("artifact.name", _LINE)},
           {_text("model.name", _LINE)},
           {_text("coalesce(nullif(artifact.fingerprint, ''), model.fingerprint)", _LINE)},
           {_integer("artifact.step")}, coalesce({_integer("artifact.bytes")}, 0),
           (SELECT count(DISTINCT step) FROM step_artifact WHERE step_artifact.hash = artifact.hash), artifact.created
    FROM artifact LEFT JOIN step ON step.id = artifact.step LEFT JOIN model ON model.id = step.model
    ORDER BY artifact.created DESC, artifact.hash LIMIT {MAX_ROWS}
"""
ARTIFACT_NAMED = f"SELECT {_text('hash', _LINE)} FROM artifact WHERE kind = ? AND name = ?"
ARTIFACT = f"""
    SELECT {_text("kind", _LINE)}, {_json("spec")}, {_text("array", _LINE)}, {_text("fingerprint", _LINE)}
    FROM artifact WHERE hash = ?
"""
STEP_ARTIFACTS = f"""
    SELECT {_text("artifact.kind", _LINE)}, {_text("step_artifact.name", _LINE)}, {_text("artifact.hash", _LINE)},
           {_text("role", _LINE)}
    FROM step_artifact JOIN artifact USING (hash) WHERE step_artifact.step = ? ORDER BY role, kind, step_artifact.name
    LIMIT {MAX_ROWS}
"""
STEPS_WITH = f"""
    SELECT {_integer("step_artifact.step")}, {_text("step.experiment", _LINE)}, {_text("step_artifact.name", _LINE)},
           {_text("role", _LINE)}
    FROM step_artifact JOIN step ON step.id = step_artifact.step WHERE step_artifact.hash = ?
    ORDER BY step_artifact.step DESC, role LIMIT {MAX_ROWS}
"""

MODEL = f"""
    SELECT {_json("model.info")} FROM step JOIN model ON model.id = step.model
    WHERE ? IS NULL OR step.id = ? ORDER BY step.id DESC LIMIT 1
"""

LAST_CHANGE = """
    SELECT max(coalesce(finished, started, created)) FROM (SELECT * FROM step ORDER BY id DESC LIMIT 1)
"""
