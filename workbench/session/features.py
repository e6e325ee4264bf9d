"""Features in a run as it is submitted: whose they are is written out, and said where that SAE has changed since."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from workbench.artifacts import Use, check_feature, sae, sae_names, with_sae_names
from workbench.edits import Add, Edit
from workbench.model_info import ModelInfo
from workbench.session.reader import SessionReader
from workbench.units import Feature, parse_units


def name_saes(
    params: Mapping[str, Any], edits: Sequence[Edit], naming: Iterable[str], info: ModelInfo | None
) -> tuple[dict[str, Any], list[Edit]]:
    """Parameters `naming` units or directions, and edits, with the SAE of every feature. Raises UserError."""
    named = {key: with_sae_names(params[key], info) for key in naming if isinstance(params.get(key), str)}
    return {**params, **named}, [_named(edit, info) for edit in edits]


def _named(edit: Edit, info: ModelInfo | None) -> Edit:
    edit = msgspec.structs.replace(edit, units=with_sae_names(edit.units, info))
    if isinstance(edit, Add) and edit.direction:
        return msgspec.structs.replace(edit, direction=with_sae_names(f"@{edit.direction}", info)[1:])
    return edit


def texts_naming_features(params: Mapping[str, Any], edits: Sequence[Edit], naming: Iterable[str]) -> list[str]:
    """All texts of a run in which a feature can be named."""
    texts = [params[key] for key in naming if isinstance(params.get(key), str)]
    texts += [edit.units for edit in edits]
    return texts + [f"@{edit.direction}" for edit in edits if isinstance(edit, Add) and edit.direction]


def check_features(address: str) -> None:
    """Raises UserError where an address, with its SAE's name, names a feature that this has not."""
    for unit in parse_units(address):
        if isinstance(unit, Feature):
            check_feature(sae.find_sae(unit.sae), unit.index)


def changed_saes(texts: Sequence[str], session: str, again: int | None) -> list[str]:
    """A sentence for each SAE that is not what this session recorded: in step `again`, or last.

    Raises UserError for an SAE that is not registered.
    """
    names = sae_names(texts)
    if not names:
        return []
    current = {name: sae.find_sae(name) for name in names}
    if not session or not os.path.exists(session):
        return []
    with SessionReader(session) as reader:
        uses = reader.artifacts_of(again) if again else []
        of_step = {use.name: use.hash for use in uses if use.kind == sae.NAME}
        contents = {name: of_step.get(name) or reader.artifact_named(sae.NAME, name) for name in names}
        recorded = {name: _folder_hash(reader, digest) for name, digest in contents.items() if digest}
    sentences = []
    for name, digest in recorded.items():
        if digest == current[name].hash:
            continue
        same = [artifact.name for artifact in sae.list_saes() if artifact.hash == digest]
        where = f"step {again}" if name in of_step else "this session"
        sentences.append(
            f"the SAE {name} has changed since {where} recorded it: its features are others now ({digest[:12]} then, "
            f"{current[name].hash[:12]} now)" + (f"; the one of then is registered as {same[0]}" if same else "")
        )
    return sentences


def _folder_hash(reader: SessionReader, digest: str) -> str:
    """Of the SAE that was recorded: where it lay is no part of it."""
    return str(reader.content(digest).spec.get("hash", ""))


def use_of(name: str) -> Use:
    """What is stored where a feature of the SAE is pinned. Raises UserError."""
    return Use(content=sae.content_of(sae.find_sae(name)), name=name)
