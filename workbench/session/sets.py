"""The basket, its named sets and saved stacks in what is asked: written out, so that the log says what was meant."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import msgspec

from workbench.edits import STACK, Edit, Stacks, parse_edits
from workbench.model_info import ModelInfo
from workbench.session.reader import SessionReader
from workbench.units import expand_sets, names_sets

UNIT_PARAMS = ("unit", "units")
"""parameters that take units, and with them the basket"""


def without_sets(session: str, params: dict[str, Any], edits: Sequence[Edit]) -> tuple[dict[str, Any], list[Edit]]:
    """Parameters and edits of a step, with `basket` and `basket:NAME` as the units that are pinned in `session`.

    Raises GrammarError for a set that has no units, naming the ones there are.
    """
    named = {name: value for name, value in params.items() if name in UNIT_PARAMS and isinstance(value, str)}
    named = {name: value for name, value in named.items() if names_sets(value)}
    if not named and not any(names_sets(edit.units) for edit in edits):
        return params, list(edits)
    pins: list[tuple[str, str]] = []
    if session and os.path.exists(session):
        with SessionReader(session) as reader:
            pins = [(pin.unit, pin.name) for pin in reader.pins()]
    written = {name: expand_sets(value, pins) for name, value in named.items()}
    return {**params, **written}, [
        msgspec.structs.replace(edit, units=expand_sets(edit.units, pins)) if names_sets(edit.units) else edit
        for edit in edits
    ]


def read_edits(texts: Sequence[str], session: str, info: ModelInfo | None = None) -> list[Edit]:
    """A stack as typed, with `stack:NAME` as the edits that are saved under this name in `session`.

    Raises GrammarError, also for a name that there is not.
    """
    stacks: Stacks = {}
    if session and os.path.exists(session) and any(STACK in text for text in texts):
        with SessionReader(session) as reader:
            stacks = reader.stacks()
    return parse_edits(texts, info, stacks)
