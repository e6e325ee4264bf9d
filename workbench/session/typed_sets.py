"""Sets and probes as they are typed: a file, or the name of one that is stored; a run is sent with what it holds."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from workbench.artifacts import SHORT_HASH, Content, data_set, probe, prompt_set
from workbench.datasets.labelled.labelled_set import LabelledSet
from workbench.datasets.prompts import read_prompts
from workbench.errors import UserError
from workbench.params import DATA_SET, DATA_SETS, PROBE, PROMPT_SET, Params, StoredProbe, fields
from workbench.session.reader import SessionReader


def read_sets(
    params: type[Params], typed: Mapping[str, Any], session: Path | str
) -> tuple[dict[str, Any], dict[str, str]]:
    """Typed parameters with what their sets and probes hold, and what these are called, by parameter.

    A set is typed as a file, or as `@NAME` (of a data set also `NAME`): a set of the session, else of the user's data
    folder; several data sets with commas between. A probe is typed as the name that it has in the session. For a name
    may stand the first digits of a hash (SHORT_HASH or more). Raises UserError.
    """
    values, names = dict(typed), {}
    for field in fields(params):
        value = typed.get(field.name)
        if field.kind is PROMPT_SET and isinstance(value, str | Path) and str(value):
            names[field.name], values[field.name] = _read_prompt_set(str(value), session)
        elif field.kind is DATA_SET and isinstance(value, str | Path) and str(value).strip():
            labelled = read_data_set(str(value), session)
            names[field.name], values[field.name] = labelled.name, labelled
        elif field.kind is DATA_SETS and value:
            values[field.name] = _read_data_sets(value, session)
        elif field.kind is PROBE and isinstance(value, str) and value.strip():
            values[field.name] = read_probe(value.strip().removeprefix("@"), session)
            names[field.name] = values[field.name].name
        elif isinstance(value, LabelledSet | StoredProbe) and value.name:
            names[field.name] = value.name
    return values, names


def _read_prompt_set(text: str, session: Path | str) -> tuple[str, Any]:
    """Its name and its rows."""
    if not text.startswith("@"):
        path = Path(text).expanduser()
        return path.stem, read_prompts(path)
    name = text.removeprefix("@")
    name, rows = _stored(
        prompt_set.NAME,
        name,
        session,
        lambda name, content: (name, prompt_set.rows_of(content)),
        lambda name: (name, prompt_set.read_set(name)),
    )
    return name, rows


def read_data_set(text: str, session: Path | str) -> LabelledSet:
    """A data set as it is typed, with its name: a file, `sae-probes:65`, or the name of a stored one.

    Raises UserError naming the ones there are.
    """
    text = text.strip()
    if not data_set.is_name(text):
        return data_set.read_data(text)
    name = text.removeprefix("@")
    labelled: LabelledSet = _stored(
        data_set.NAME, name, session, lambda _, content: data_set.set_of(content), data_set.read_data
    )
    return labelled


def _read_data_sets(value: Any, session: Path | str) -> list[Any]:
    """A text with commas, or a list of texts and of sets; each set knows its own name."""
    items = value.split(",") if isinstance(value, str) else value
    return [
        read_data_set(str(item), session) if isinstance(item, str | Path) else item
        for item in items
        if not isinstance(item, str) or item.strip()
    ]


def read_probe(name: str, session: Path | str) -> StoredProbe:
    """The probe of this name in the session. Raises UserError naming those there are."""

    def nowhere_else(name: str) -> StoredProbe:
        raise UserError(f"there is no probe {name}: dense-probe, sparse-probe and neuron-probe make them in a session")

    def decode(name: str, content: Content) -> StoredProbe:
        return probe.from_content(name, content).stored(name)

    stored: StoredProbe = _stored(probe.NAME, name, session, decode, nowhere_else)
    return stored


def known_probes(reader: SessionReader) -> list[str]:
    """Names of the session's probes."""
    return [row.name for row in reader.artifacts() if row.kind == probe.NAME and row.name]


def _stored(
    kind: str, name: str, session: Path | str, decode: Callable[[str, Content], Any], read: Callable[[str], Any]
) -> Any:
    """What has this name or hash in the session, else in the data folder; `decode` gets the name that it has."""
    if not os.path.exists(session):
        return read(name)
    with SessionReader(session) as reader:
        if (digest := reader.artifact_named(kind, name)) is not None:
            return decode(name, reader.content(digest))
        rows = [row for row in reader.artifacts() if row.kind == kind]
        if len(name) >= SHORT_HASH and (row := next((row for row in rows if row.hash.startswith(name)), None)):
            return decode(row.name or (name if kind == probe.NAME else ""), reader.content(row.hash))
        stored_names = [f"@{row.name}" for row in rows if row.name]
    try:
        return read(name)
    except UserError as error:
        if not stored_names:
            raise
        raise UserError(f"{error}; in the session: {', '.join(stored_names)}") from None
