"""What `@name` stands for where a run is submitted: its numbers travel with the run, the lab opens no session."""

from __future__ import annotations

import os
from collections.abc import Iterable

import msgspec

from workbench.artifacts import SHORT_HASH
from workbench.artifacts import direction as kind
from workbench.artifacts.direction import Direction, direction_file, from_content, kept_directions, read_direction
from workbench.errors import UserError
from workbench.model_info import ModelInfo
from workbench.session.reader import SessionReader
from workbench.shell import shell_line


def resolve_directions(
    names: Iterable[str], session: str, again: int | None = None, transfer: bool = False
) -> dict[str, Direction]:
    """The directions of these names (without @): the session's own, else those of the user's data folder.

    For a name may stand `_` and the first digits (SHORT_HASH or more) of the hash of one that the session has.
    `session` is the path of a session, of one that is not there yet, or empty. With `again`, a step of it that is run
    again, names stand for what that step recorded; what it used of another model, it may use again. With `transfer`
    all may be used on another model. Raises UserError for a name that stands for nothing.
    """
    unresolved = list(names)
    if not unresolved or not session or not os.path.exists(session):
        return {name: _transferable(read_direction(name), transfer) for name in unresolved}
    with SessionReader(session) as reader:
        recorded_hashes = (
            {use.name: use.hash for use in reader.artifacts_of(again) if use.kind == kind.NAME} if again else {}
        )
        ran_on = reader.step(again).fingerprint if again else ""
        directions = {}
        for name in unresolved:
            direction = _resolve(name, reader, recorded_hashes.get(name))
            made_on = direction.origin.fingerprint
            was_transferred = name in recorded_hashes and "" not in (ran_on, made_on) and ran_on != made_on
            directions[name] = _transferable(direction, transfer or was_transferred)
        return directions


def _transferable(direction: Direction, transfer: bool) -> Direction:
    return msgspec.structs.replace(direction, transfer=transfer)


def known_directions(reader: SessionReader) -> list[str]:
    """`@name` of every direction that an edit of this session may name: its own, then the data folder's."""
    own = [row.name for row in reader.artifacts() if row.kind == kind.NAME and row.name]
    return [f"@{name}" for name in dict.fromkeys([*own, *kept_directions()])]


def comparable_directions(session: str, info: ModelInfo | None, transfer: bool = False) -> list[str]:
    """Names of all directions that a session and the data folder have and that a run on this model may use.

    One that is of another width, can't be read, or without `transfer` says it is another model's, is left out.
    """
    if session and os.path.exists(session):
        with SessionReader(session) as reader:
            names = known_directions(reader)
    else:
        names = [f"@{name}" for name in kept_directions()]
    comparable = []
    for name in (name.removeprefix("@") for name in names):
        try:
            direction = resolve_directions([name], session)[name]
        except UserError:
            continue
        made_on, this_model = direction.origin.fingerprint, info.fingerprint if info else ""
        other_model = "" not in (made_on, this_model) and made_on != this_model
        fits = info is None or len(direction.numbers) == info.d_model
        if fits and (transfer or not other_model):
            comparable.append(name)
    return comparable


def _resolve(name: str, reader: SessionReader, recorded_hash: str | None) -> Direction:
    current_hash = reader.artifact_named(kind.NAME, name)
    digest = recorded_hash or current_hash
    by_hash = False
    if digest is None and len(name) > SHORT_HASH and name.startswith("_"):
        rows = (row for row in reader.artifacts() if row.kind == kind.NAME and row.hash.startswith(name[1:]))
        digest = next((row.hash for row in rows), None)
        by_hash = digest is not None
    if digest is None:
        try:
            return read_direction(name)
        except UserError as error:
            stored_names = [f"@{row.name}" for row in reader.artifacts() if row.kind == kind.NAME and row.name]
            if not stored_names:
                raise
            raise UserError(f"{error}; in the session: {', '.join(stored_names)}") from None
    direction = from_content(name, reader.content(digest))
    remark = ""
    if current_hash is not None and current_hash != digest:
        remark = f"@{name} is the direction that the step recorded: in this session the name stands for another by now"
    elif _file_hash(name) not in (None, digest):
        owner = "the step" if recorded_hash else "this session"
        command = shell_line(["workbench", "artifacts", "rm", f"@{name}", "--session", str(reader.path)])
        remark = (
            f"@{name} is the direction that {owner} recorded: the file {direction_file(name)} holds another by now; "
            f"`{command}` takes the name off the recorded one"
        )
    step = next((row.step for row in reader.artifacts() if row.hash == digest), None)
    made_by = f"step {step} of {reader.path.name}" if step else ""
    return msgspec.structs.replace(
        direction, remark=remark, takes_name=recorded_hash is None and not by_hash, made_by=made_by
    )


def _file_hash(name: str) -> str | None:
    """Of the direction in the user's data folder; None where there is none that can be read."""
    if direction_file(name) is None:
        return None
    try:
        return read_direction(name).hash
    except UserError:
        return None
