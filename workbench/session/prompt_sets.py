"""Prompt sets in a step's parameters: the rows lie once in the file, the step's row names them by their hash."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from workbench.artifacts import Content, Use
from workbench.artifacts.prompt_set import content_of, rows_of
from workbench.datasets.prompts import PromptRow
from workbench.experiments import experiments
from workbench.params import PROMPT_SET, fields

REFERENCE = "$artifact"
"""in place of the rows: {"$artifact": hash}"""


def extract_prompt_sets(
    experiment: str, params: Mapping[str, Any], names: Mapping[str, str]
) -> tuple[dict[str, Any], list[Use]]:
    """Parameters as they are stored, and the sets that are stored beside them; `names` are the sets' by parameter.

    What is no set (rows that were written by hand) stays as it is.
    """
    stored, uses = dict(params), []
    for field in fields(experiments()[experiment].params) if experiment in experiments() else ():
        rows = params.get(field.name)
        if field.kind is not PROMPT_SET or not rows:
            continue
        try:
            content = content_of(msgspec.convert(rows, list[PromptRow]))
        except msgspec.ValidationError:
            continue
        stored[field.name] = {REFERENCE: content.hash}
        uses.append(Use(content=content, name=names.get(field.name, "")))
    return stored, uses


def restore_prompt_sets(params: Any, load: Callable[[str], Content]) -> Any:
    """Stored parameters with the rows in their places; `load` gives an artifact by its hash."""
    if not isinstance(params, dict):
        return params
    resolved = dict(params)
    for name, value in params.items():
        if isinstance(value, dict) and isinstance(value.get(REFERENCE), str):
            resolved[name] = msgspec.to_builtins(rows_of(load(value[REFERENCE])))
    return resolved
