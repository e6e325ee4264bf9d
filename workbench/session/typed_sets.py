"""Prompt sets as they are typed: a file, or the `@NAME` of one that is stored; a run is sent with the rows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.artifacts.prompt_set import NAME, read_set, rows_of
from workbench.datasets.prompts import PromptRow, read_prompts
from workbench.errors import UserError
from workbench.params import PROMPT_SET, Params, fields
from workbench.session.reader import SessionReader


def read_sets(
    params: type[Params], typed: Mapping[str, Any], session: Path | str
) -> tuple[dict[str, Any], dict[str, str]]:
    """Typed parameters with the rows of their prompt sets, and what the sets are called, by parameter.

    A set is typed as a file, or as `@NAME`: a set of the session, else of the user's data folder. Raises UserError.
    """
    values, names = dict(typed), {}
    for field in fields(params):
        text = typed.get(field.name)
        if field.kind is PROMPT_SET and isinstance(text, str | Path) and str(text):
            names[field.name], values[field.name] = _read_set(str(text), session)
    return values, names


def _read_set(text: str, session: Path | str) -> tuple[str, list[PromptRow]]:
    """Its name and its rows."""
    if not text.startswith("@"):
        path = Path(text).expanduser()
        return path.stem, read_prompts(path)
    name = text.removeprefix("@")
    if not os.path.exists(session):
        return name, read_set(name)
    with SessionReader(session) as reader:
        digest = reader.artifact_named(NAME, name)
        if digest is not None:
            return name, rows_of(reader.content(digest))
        stored_names = [f"@{row.name}" for row in reader.artifacts() if row.kind == NAME and row.name]
    try:
        return name, read_set(name)
    except UserError as error:
        if not stored_names:
            raise
        raise UserError(f"{error}; in the session: {', '.join(stored_names)}") from None
