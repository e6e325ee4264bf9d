"""Steps of versions in which `.in`, `.gate` and `.out` of a neuron were its stored weights, run again as they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from workbench.directions.names import meant_stored, with_stored
from workbench.edits import Add, Edit
from workbench.session.reader import SessionReader


class AsRecorded(NamedTuple):
    """A step as it is run again."""

    params: dict[str, Any]
    edits: list[Edit]
    remarks: list[str]
    """what was written differently, as sentences for the reader of the result"""


def as_recorded(
    params: Mapping[str, Any], edits: Sequence[Edit], naming: Sequence[str], session: str, step: int
) -> AsRecorded:
    """Edits and the parameters `naming` units or directions, meaning what they meant when `step` ran."""
    new_edits = [_stored_edit(edit) for edit in edits]
    texts = {name: params[name] for name in naming if isinstance(params.get(name), str)}
    new_texts = {name: with_stored(text) for name, text in texts.items()}
    if new_edits == list(edits) and new_texts == texts:
        return AsRecorded(dict(params), list(edits), [])
    with SessionReader(session) as reader:
        record = reader.step(step)
    # One that never ran has no versions: nothing was found with what it meant.
    if not meant_stored(record.versions) or (not record.versions and record.status != "done"):
        return AsRecorded(dict(params), list(edits), [])
    remark = (
        f"step {step} meant the weights as stored by .in, .gate and .out, as versions before 0.3 did: it ran again "
        f"with .raw behind them; without .raw they are effective weights now"
    )
    return AsRecorded({**params, **new_texts}, new_edits, [remark])


def _stored_edit(edit: Edit) -> Edit:
    edit = msgspec.structs.replace(edit, units=with_stored(edit.units))
    if isinstance(edit, Add) and edit.direction:
        return msgspec.structs.replace(edit, direction=with_stored(f"@{edit.direction}")[1:])
    return edit
