"""Exported models: Hugging Face folders that a step wrote where the user said. Only sessions remember where."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from workbench.artifacts._artifact import Artifact, Content, Facts, Kind
from workbench.artifacts._folder import remove_folder, write_folder
from workbench.errors import UserError
from workbench.files import size_on_disk

NAME = "model"


def check_new_folder(path: str) -> Path:
    """Where a model can be written. Raises UserError for a folder that exists, and for none."""
    if not path.strip():
        raise UserError("where to? --folder takes the path of a new folder")
    folder = Path(os.path.abspath(Path(path).expanduser()))
    if folder.exists() or folder.is_symlink():
        raise UserError(f"{folder} is there already: choose a folder that is not")
    if folder.name.startswith("."):
        raise UserError(f"{folder} begins with a dot: choose a name that is seen")
    return folder


def write_model(folder: Path, model: str, fingerprint: str, write: Callable[[Path], None]) -> Artifact:
    """The folder as `write` fills it, whole or not at all; `model` is what it was made of.

    Raises UserError where it can't be written, and what `write` raises; then nothing is left.
    """
    artifact = Artifact(kind=NAME, name=folder.name, hash="", model=model, fingerprint=fingerprint)
    written = write_folder(folder.parent, artifact, write)
    (folder / "lock").unlink(missing_ok=True)
    return written


def content_of(folder: Path, digest: str, fingerprint: str) -> Content:
    """What a step remembers of a model that it wrote."""
    return Content(kind=NAME, spec={"folder": str(folder), "hash": digest}, fingerprint=fingerprint)


def _locate(content: Content) -> Artifact:
    folder = str(content.spec.get("folder", ""))
    there = os.path.isdir(folder)
    return Artifact(
        kind=NAME,
        name=os.path.basename(folder),
        hash=str(content.spec.get("hash", "")),
        path=folder,
        bytes=size_on_disk(Path(folder)) if there else 0,
        problem="" if there else f"not there any more: moved or removed from {folder}",
    )


def _facts(artifact: Artifact, content: Content | None) -> Facts:
    """Its folder is where it lies, as of every artifact; its card there says the rest."""
    card = Path(artifact.path) / "README.md"
    return [("card", str(card))] if card.is_file() else []


KIND = Kind(name=NAME, listed=list, remove=remove_folder, facts=_facts, locate=_locate)
