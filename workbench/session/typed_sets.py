"""Prompt sets and data sets as they are typed: a file, or the name of one that is stored; a run is sent with them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from workbench.artifacts import Content, data_set, prompt_set
from workbench.datasets.labelled.labelled_set import LabelledSet
from workbench.datasets.prompts import read_prompts
from workbench.errors import UserError
from workbench.params import DATA_SET, PROMPT_SET, Params, fields
from workbench.session.reader import SessionReader


def read_sets(
    params: type[Params], typed: Mapping[str, Any], session: Path | str
) -> tuple[dict[str, Any], dict[str, str]]:
    """Typed parameters with the rows of their sets, and what the sets are called, by parameter.

    A set is typed as a file, or as `@NAME` (of a data set also `NAME`): a set of the session, else of the user's data
    folder. Raises UserError.
    """
    values, names = dict(typed), {}
    for field in fields(params):
        value = typed.get(field.name)
        if field.kind is PROMPT_SET and isinstance(value, str | Path) and str(value):
            names[field.name], values[field.name] = _read_prompt_set(str(value), session)
        elif field.kind is DATA_SET and isinstance(value, str | Path) and str(value).strip():
            labelled = read_data_set(str(value), session)
            names[field.name], values[field.name] = labelled.name, labelled
        elif isinstance(value, LabelledSet) and value.name:
            names[field.name] = value.name
    return values, names


def _read_prompt_set(text: str, session: Path | str) -> tuple[str, Any]:
    """Its name and its rows."""
    if not text.startswith("@"):
        path = Path(text).expanduser()
        return path.stem, read_prompts(path)
    name = text.removeprefix("@")
    return name, _stored(prompt_set.NAME, name, session, prompt_set.rows_of, prompt_set.read_set)


def read_data_set(text: str, session: Path | str) -> LabelledSet:
    """A data set as it is typed, with its name: a file, `sae-probes:65`, or the name of a stored one.

    Raises UserError naming the ones there are.
    """
    text = text.strip()
    if not data_set.is_name(text):
        return data_set.read_data(text)
    name = text.removeprefix("@")
    labelled: LabelledSet = _stored(data_set.NAME, name, session, data_set.set_of, data_set.read_data)
    return labelled


def _stored(
    kind: str, name: str, session: Path | str, decode: Callable[[Content], Any], read: Callable[[str], Any]
) -> Any:
    """What has this name in the session, else in the data folder."""
    if not os.path.exists(session):
        return read(name)
    with SessionReader(session) as reader:
        digest = reader.artifact_named(kind, name)
        if digest is not None:
            return decode(reader.content(digest))
        stored_names = [f"@{row.name}" for row in reader.artifacts() if row.kind == kind and row.name]
    try:
        return read(name)
    except UserError as error:
        if not stored_names:
            raise
        raise UserError(f"{error}; in the session: {', '.join(stored_names)}") from None
