"""What makes a file a session of ours, and how large its parts may be. SCHEMA.md is the document."""

from __future__ import annotations

APPLICATION_ID = 0x574B424E
"""`WKBN`, in the SQLite header: distinguishes our files from other databases"""

SCHEMA_VERSION = 3
"""`PRAGMA user_version`: the number of migrations applied"""

TABLES = ("meta", "model", "step", "view", "view_array", "array", "array_chunk", "edit", "note", "pin")
"""of the first version on"""

ALL_TABLES = (*TABLES, "stack", "artifact", "step_artifact")
"""of the newest version"""

STACK_VERSION = 2
"""from this version on there is a `stack`"""

ARTIFACT_VERSION = 3
"""from this version on there are `artifact` and `step_artifact`"""

CHUNK = 1 << 20
"""bytes of an array in one row"""

MAX_ARRAY = 1 << 28
"""bytes of one array; more is refused at writing and at reading"""

MAX_VIEW_ARRAYS = 1 << 29
"""bytes of all arrays of one view"""

MAX_JSON = 1 << 25
"""bytes of one JSON text: a view's spec, a step's parameters"""

MAX_TEXT = 1 << 16
"""bytes of a headline, note or error that are read"""

DTYPES = frozenset(
    {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64"}
)
"""the only array types: little-endian numbers"""
