"""Whether directions belong to the model they are used on, and are used as they were meant."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.artifacts.direction import Direction
from workbench.edits import Add
from workbench.errors import UserError
from workbench.lab.identify import identify
from workbench.lab.model import Lab
from workbench.report import Report


def check_fit(lab: Lab, directions: Mapping[str, Direction], report: Report) -> None:
    """Notes what a reader must know of the directions of a job.

    Raises UserError for one of another model that may not be used on this one, Cancelled while the fingerprint is read.
    """
    for name, direction in directions.items():
        sentence = _of_model(lab, name, direction, report)
        if sentence:
            report.note(sentence)
    for edit in lab.edits:
        if isinstance(edit.edit, Add) and edit.edit.direction in directions:
            _note_purpose(edit.edit.direction, directions[edit.edit.direction], report)


def _of_model(lab: Lab, name: str, direction: Direction, report: Report) -> str:
    """A sentence on the model it was made on; empty where that is this one. Raises UserError."""
    origin = direction.origin
    if not origin.fingerprint:
        return f"the model that @{name} was made on is not known"
    try:
        identify(lab, report)
    except UserError as error:
        return f"whether @{name} was made on this model is not known: {error}"
    if origin.fingerprint == lab.info.fingerprint:
        return ""
    models = _models(origin.model, origin.fingerprint, lab.info.name, lab.info.fingerprint)
    if len(direction.numbers) == lab.info.d_model and not direction.transfer:
        raise UserError(
            f"@{name} was made on {models[0]}, and this is {models[1]}, another model of the same width: "
            f"with --transfer it is used all the same, and every step says so"
        )
    return f"@{name} was made on {models[0]} and is used on {models[1]}"


def _models(*names_and_fingerprints: str) -> tuple[str, str]:
    """Two models' names, with the beginning of their fingerprints where the names are the same."""
    name, fingerprint, other_name, other_fingerprint = names_and_fingerprints
    if name and name != other_name:
        return name, other_name
    return (f"{name or 'a model'} ({fingerprint[:8]})", f"{other_name} ({other_fingerprint[:8]})")


def _note_purpose(name: str, direction: Direction, report: Report) -> None:
    if direction.origin.purpose == "project":
        report.note(f"@{name} was made to be projected out, and is added here: its length was not meant as a strength")
    elif direction.origin.purpose == "add" and direction.origin.normalised:
        report.note(
            f"@{name} was brought to length 1: a strength of it is not in units of the difference it was made of"
        )
