"""Artifacts that are folders: written whole or not at all, one writer at a time, listed and removed.

A folder holds what its kind writes and `artifact.json`, which says what it is. It is built beside its place under a
name with a dot, synced, and renamed: what has no dot is whole. The root is the kind's: in the cache for what can be
made again, else in the data folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from workbench import paths
from workbench.artifacts._artifact import Artifact
from workbench.errors import JSON_ERRORS, UserError
from workbench.files import PRIVATE, FolderLock, size_on_disk, sync_folder, write_whole

HEAD = "artifact.json"


def write_folder(root: Path, artifact: Artifact, write: Callable[[Path], None], resumable: bool = False) -> Artifact:
    """A new artifact in `root` under its name; `write` puts its files into an empty folder.

    Returns it with hash (that of its files, unless it has one already), size, time and path. Raises UserError where the
    name is taken, or being built, and what `write` raises; then nothing is left. Where it is `resumable`, what `write`
    has done by then stays, and the next build finds it.
    """
    target = root / artifact.name
    building = building_folder(target)
    name_taken = UserError(
        f"another {artifact.kind} is called {artifact.name!r} already: choose another name, or remove it"
    )
    if target.exists():
        raise name_taken
    try:
        building.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror}") from None
    with FolderLock(building):
        try:
            for path in [] if resumable else building.iterdir():
                _delete(path)  # what a killed build left
            write(building)
            digest = artifact.hash or _content_hash(building)
            written = msgspec.structs.replace(
                artifact, hash=digest, bytes=size_on_disk(building), created=time.time(), path=str(target)
            )
            write_whole(building / HEAD, msgspec.json.format(msgspec.json.encode(written)))
            _sync(building, private=paths.data_dir().absolute() in target.absolute().parents)
            if target.exists():  # another build was faster
                raise name_taken
            building.rename(target)
            sync_folder(root)
        except BaseException as error:
            if not resumable:
                shutil.rmtree(building, ignore_errors=True)
            if isinstance(error, OSError):
                raise UserError(f"{target} cannot be written: {error.strerror}") from None
            raise
    return written


def building_folder(target: Path) -> Path:
    """Where an artifact's folder is built."""
    return target.with_name(f".{target.name}.building")


def list_folders(root: Path, kind: str) -> list[Artifact]:
    """The artifacts of `root`, newest first; one that can't be read has a `problem`."""
    artifacts = []
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        if folder.name.startswith(".") or not (folder / HEAD).is_file():
            continue
        try:
            head = msgspec.json.decode((folder / HEAD).read_bytes(), type=Artifact)
            artifact = msgspec.structs.replace(head, name=folder.name, path=str(folder), bytes=size_on_disk(folder))
        except (OSError, *JSON_ERRORS) as error:
            problem = f"{folder / HEAD} cannot be read: {error}"
            artifact = Artifact(kind=kind, name=folder.name, hash="", path=str(folder), problem=problem)
        artifacts.append(artifact)
    return sorted(artifacts, key=lambda artifact: -artifact.created)


def remove_folder(artifact: Artifact) -> None:
    """Deletes it. Raises UserError for what is none, and where somebody holds its lock."""
    folder = Path(artifact.path)
    if not (folder / HEAD).is_file():
        raise UserError(f"{folder} is no artifact: there is no {HEAD} in it, so nothing was removed")
    with FolderLock(folder, busy="is in use now: wait for the step that reads it, or cancel that step"):
        # Without its head it is no artifact any more, whatever happens to the rest.
        (folder / HEAD).unlink()
        shutil.rmtree(folder)


def prune_folders(root: Path, unfinished: Callable[[Path], bool]) -> int:
    """Deletes what killed builds left in `root`: `unfinished` folders that nobody holds; the bytes freed."""
    freed = 0
    for folder in list(root.iterdir()) if root.is_dir() else []:
        if not folder.is_dir() or not unfinished(folder):
            continue
        try:
            with FolderLock(folder):
                size = size_on_disk(folder)
                shutil.rmtree(folder)
        except (UserError, OSError):
            continue  # it is being built
        freed += size
    return freed


def is_unfinished(folder: Path) -> bool:
    """A folder that `write_folder` was building."""
    return folder.name.startswith(".") and folder.name.endswith(".building")


def _content_hash(folder: Path) -> str:
    """Of the names and bytes of its files."""
    digest = hashlib.sha256()
    for path in _files(folder):
        with open(path, "rb") as stream:
            file_hash = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder)}\0{file_hash}\0".encode())
    return digest.hexdigest()


def _sync(folder: Path, private: bool) -> None:
    """To the disk; what is `private` is for its owner alone from now on."""
    for path in _files(folder):
        with open(path, "rb") as stream:
            if private:
                os.fchmod(stream.fileno(), PRIVATE)
            os.fsync(stream.fileno())
    for path in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
        if private:
            path.chmod(0o700)
        sync_folder(path)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / "lock")


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    elif path.name != "lock":
        path.unlink()
