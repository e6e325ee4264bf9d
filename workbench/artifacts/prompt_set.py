"""Prompt sets: rows with a prompt, and an answer and a foil where they are named.

A set lies in the session that read it; `@NAME` takes it again there. A file `prompts/NAME.jsonl`, `.json`, `.csv` or
`.txt` in the user's data folder has its name in every session, and so have the sets that ship.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from workbench import paths
from workbench.artifacts._artifact import Artifact, Content, Facts, Kind
from workbench.artifacts._files import file_named, files_in, list_files, remove_file
from workbench.datasets.instructions import SHIPPED, shipped_set
from workbench.datasets.prompts import PromptRow, read_prompts
from workbench.errors import UserError
from workbench.text import count

NAME = "prompt set"
SUFFIXES = (".jsonl", ".json", ".csv", ".txt")
SHOWN = 5
"""prompts of a set that are shown"""


def content_of(rows: Sequence[PromptRow]) -> Content:
    """As it is stored in a session."""
    return Content(kind=NAME, spec={"rows": msgspec.to_builtins(list(rows))})


def rows_of(content: Content) -> list[PromptRow]:
    """The rows of a set as a session has it. Raises UserError for one that is damaged."""
    try:
        return msgspec.convert(content.spec.get("rows"), list[PromptRow])
    except msgspec.ValidationError as error:
        raise UserError(f"a prompt set is damaged in the session: {error}") from None


def prompts_dir() -> Path:
    """Where sets are that have a name in every session."""
    return paths.data_dir() / "prompts"


def set_names() -> list[str]:
    """Of the sets that have a name in every session: those of the data folder, then those that ship."""
    return list(dict.fromkeys([*(file.stem for file in files_in(prompts_dir(), SUFFIXES)), *SHIPPED]))


def read_set(name: str) -> list[PromptRow]:
    """A set of the data folder, or one that ships, by its name. Raises UserError naming the ones there are."""
    file = file_named(prompts_dir(), SUFFIXES, name)
    if file is not None:
        return read_prompts(file)
    if name in SHIPPED:
        return shipped_set(name)
    known = ", ".join(f"@{each}" for each in set_names())
    raise UserError(f"there is no prompt set @{name} in {prompts_dir()}: there are {known}")


def _facts(artifact: Artifact, content: Content | None) -> Facts:
    rows = rows_of(content) if content else read_set(artifact.name)
    facts = [("prompts", count(len(rows)))]
    facts += [(f"prompt {number}", row.prompt) for number, row in enumerate(rows[:SHOWN], 1)]
    return facts


KIND = Kind(
    name=NAME,
    listed=lambda: list_files(NAME, prompts_dir(), SUFFIXES, lambda file: content_of(read_prompts(file)).hash),
    remove=remove_file,
    facts=_facts,
    in_session=True,
    of_model=False,
)
