"""Prompt sets, data sets and probes in a step's parameters: each lies once in the file, its hash in the step's row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from workbench.artifacts import Content, Use, data_set, probe, prompt_set
from workbench.datasets.labelled.labelled_set import LabelledSet
from workbench.datasets.prompts import PromptRow
from workbench.errors import UserError
from workbench.experiments import experiments
from workbench.params import DATA_SET, DATA_SETS, PROBE, STORED, Kind, StoredProbe, fields

REFERENCE = "$artifact"
"""in place of the set: {"$artifact": hash}, and of a probe its name beside; in place of several a list of these"""

MOST_KNOWN = 32
"""restored sets that a reader keeps: a step of many sets is read again at every change of it"""


def extract_sets(
    experiment: str, params: Mapping[str, Any], names: Mapping[str, str]
) -> tuple[dict[str, Any], list[Use]]:
    """Parameters as they are stored, and the sets that are stored beside them; `names` are the sets' by parameter.

    What is no set (rows that were written by hand) stays as it is.
    """
    stored, uses = dict(params), []
    for field in fields(experiments()[experiment].params) if experiment in experiments() else ():
        value = params.get(field.name)
        if field.kind not in STORED or not value:
            continue
        if field.kind is DATA_SETS:
            stored[field.name], of_list = _extract_list(value)
            uses += of_list
            continue
        try:
            content = _content(field.kind, value)
        except (msgspec.ValidationError, UserError):
            continue
        stored[field.name] = {REFERENCE: content.hash}
        name = names.get(field.name) or (content.spec.get("name", "") if field.kind is DATA_SET else "")
        if field.kind is PROBE:
            name = stored[field.name]["name"] = value["name"]
        uses.append(Use(content=content, name=name))
    return stored, uses


def _extract_list(values: Any) -> tuple[Any, list[Use]]:
    """Of several data sets: what stands for them, and the sets; all as they are where one is no set."""
    try:
        contents = [_content(DATA_SET, value) for value in values]
    except (TypeError, msgspec.ValidationError, UserError):
        return values, []
    uses = [Use(content=content, name=content.spec.get("name", "")) for content in contents]
    return [{REFERENCE: content.hash} for content in contents], uses


def _content(kind: Kind, value: Any) -> Content:
    """Raises msgspec.ValidationError for what is no set, and UserError for a damaged probe."""
    if kind is PROBE:
        return probe.from_stored(msgspec.convert(value, StoredProbe)).content
    if kind is DATA_SET:
        return data_set.content_of(msgspec.convert(value, LabelledSet))
    return prompt_set.content_of(msgspec.convert(value, list[PromptRow]))


def references(params: Any) -> dict[str, list[str]]:
    """Hashes of what lies beside stored parameters, by parameter."""
    if not isinstance(params, dict):
        return {}
    hashes = {}
    for name, value in params.items():
        items = value if isinstance(value, list) else [value]
        digests = [item[REFERENCE] for item in items if _is_reference(item)]
        if digests and len(digests) == len(items):
            hashes[name] = digests
    return hashes


def _is_reference(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get(REFERENCE), str)


def restore_sets(params: Any, load: Callable[[str], Content], known: dict[tuple[str, str], Any]) -> Any:
    """Stored parameters with the sets in their places; `load` gives an artifact by its hash.

    `known` keeps what was restored once, by hash and name: at most MOST_KNOWN, those that were used last.
    """
    if not isinstance(params, dict):
        return params

    def restored(value: Any) -> Any:
        if not _is_reference(value):
            return value
        key = (value[REFERENCE], str(value.get("name", "")))
        known[key] = known.pop(key) if key in known else msgspec.to_builtins(_stored_value(load(key[0]), key[1]))
        if len(known) > MOST_KNOWN:
            del known[next(iter(known))]
        return known[key]

    return {
        name: list(map(restored, value)) if isinstance(value, list) else restored(value)
        for name, value in params.items()
    }


def _stored_value(content: Content, name: str) -> Any:
    if content.kind == probe.NAME:
        return probe.from_content(name, content).stored(name)
    return data_set.set_of(content) if content.kind == data_set.NAME else prompt_set.rows_of(content)
