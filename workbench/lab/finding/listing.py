"""The models on this machine: what `workbench models` shows. No torch here, and nothing is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from workbench.errors import UserError
from workbench.lab.finding import cached, hub, package
from workbench.lab.finding.checkpoint import read_checkpoint
from workbench.lab.finding.source import CONVERTED_NAME, DEFAULT, DEFAULT_HUB_ID, converted_folder


class ModelEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A model, or what keeps it from being one."""

    name: str
    ref: str
    """what `--model` takes"""
    origin: Literal["hub", "package"]
    path: str
    """empty where it has not been downloaded"""
    size: int
    """bytes of its weights here; for the default model before its download, what would be fetched"""
    ready: bool
    problem: str = ""
    """why it is not ready, as a sentence"""
    architecture: str = ""
    n_parameters: int = 0
    dtype: str = ""


def list_models() -> list[ModelEntry]:
    """The default model first, then what the hub's cache holds, by name."""
    default = hub.cached(DEFAULT_HUB_ID)
    entries = []
    if converted_folder().is_dir():
        ref = DEFAULT if default is None else str(converted_folder())
        entries.append(_entry(CONVERTED_NAME, ref, "package", converted_folder()))
    elif default is None:
        entries.append(
            ModelEntry(
                name=CONVERTED_NAME,
                ref=DEFAULT,
                origin="package",
                path="",
                size=package.WHEEL_SIZE,
                ready=False,
                problem="not here yet: it is downloaded when it is first opened",
            )
        )
    return entries + [
        _broken(model.ref, model.ref, "hub", model.folder, model.problem)
        if model.problem
        else _entry(model.ref, DEFAULT if model.ref == DEFAULT_HUB_ID else model.ref, "hub", model.folder)
        for model in cached.list_cached()
    ]


def _broken(name: str, ref: str, origin: Literal["hub", "package"], folder: Path, problem: str) -> ModelEntry:
    return ModelEntry(name=name, ref=ref, origin=origin, path=str(folder), size=0, ready=False, problem=problem)


def _entry(name: str, ref: str, origin: Literal["hub", "package"], folder: Path) -> ModelEntry:
    try:
        checkpoint = read_checkpoint(folder)
    except UserError as error:
        return _broken(name, ref, origin, folder, str(error))
    return ModelEntry(
        name=name,
        ref=ref,
        origin=origin,
        path=str(folder),
        size=checkpoint.size,
        ready=True,
        architecture=checkpoint.architecture,
        n_parameters=checkpoint.n_parameters,
        dtype=checkpoint.dtype,
    )
