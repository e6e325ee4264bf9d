"""Steps of versions in which `.in`, `.gate` and `.out` of a neuron were its stored weights, asked again as meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from workbench.directions.names import meant_stored, with_stored
from workbench.edits import Add, Edit
from workbench.session.reader import SessionReader
from workbench.session.records import StepRecord


class AsRecorded(NamedTuple):
    """A step as it is run or asked again."""

    params: dict[str, Any]
    edits: list[Edit]
    remarks: list[str]
    """what is written differently, as sentences for whoever reads it"""


def as_recorded(
    params: Mapping[str, Any], edits: Sequence[Edit], naming: Sequence[str], session: str, step: int
) -> AsRecorded:
    """Edits and the parameters `naming` units or directions, meaning what they meant when `step` ran."""
    if not _differ(params, edits, naming):
        return AsRecorded(dict(params), list(edits), [])
    with SessionReader(session) as reader:
        return as_meant(params, edits, naming, reader.step(step))


def as_meant(params: Mapping[str, Any], edits: Sequence[Edit], naming: Sequence[str], record: StepRecord) -> AsRecorded:
    """The same for a step that was read: with `.raw` where it is of a version that meant stored weights without."""
    # One that never ran has no versions: nothing was found with what it meant.
    never_ran = not record.versions and record.status != "done"
    if never_ran or not meant_stored(record.versions) or not _differ(params, edits, naming):
        return AsRecorded(dict(params), list(edits), [])
    new_texts = {name: with_stored(params[name]) for name in naming if isinstance(params.get(name), str)}
    remark = (
        f"step {record.id} meant the weights as stored by .in, .gate and .out, as versions before 0.3 did: they have "
        f".raw behind them here; without .raw they are effective weights now"
    )
    return AsRecorded({**params, **new_texts}, [_stored_edit(edit) for edit in edits], [remark])


def _differ(params: Mapping[str, Any], edits: Sequence[Edit], naming: Sequence[str]) -> bool:
    """Whether anything in them is written with `.raw` where stored weights are meant."""
    texts = [params[name] for name in naming if isinstance(params.get(name), str)]
    return any(_stored_edit(edit) != edit for edit in edits) or any(with_stored(text) != text for text in texts)


def _stored_edit(edit: Edit) -> Edit:
    edit = msgspec.structs.replace(edit, units=with_stored(edit.units))
    if isinstance(edit, Add) and edit.direction:
        return msgspec.structs.replace(edit, direction=with_stored(f"@{edit.direction}")[1:])
    return edit
