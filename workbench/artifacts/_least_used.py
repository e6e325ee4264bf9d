"""Room for folders that can be made again: within a limit and the disk, those that were used longest ago go first."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from workbench.artifacts._folder import HEAD, is_unfinished
from workbench.errors import UserError
from workbench.files import FolderLock, free_disk, size_on_disk
from workbench.text import ago, size


class _Folder(NamedTuple):
    used: float
    """when last, seconds since the epoch"""
    path: Path
    bytes: int


def make_room(root: Path, target: Path, needed: int, limit: int) -> list[str]:
    """Removes folders of `root` until one of `needed` bytes fits at `target`, which may hold a part of it already.

    Gives a sentence for each that went. Raises UserError, before anything is removed, where `needed` alone is beyond
    the limit, or what would have to go is in use, or the disk has too little beside them.
    """
    if needed > limit:
        raise UserError(
            f"these activations take {size(needed)}, and stores may take {size(limit)} in all: take fewer layers or "
            "examples, or set store_gigabytes in the settings"
        )
    folders = _folders(root, without=target)
    there = size_on_disk(target) if target.is_dir() else 0
    free = free_disk(root)
    going: list[_Folder] = []
    total = sum(folder.bytes for folder in folders) + needed
    for folder in folders:
        if total <= limit and needed - there <= free:
            break
        if _in_use(folder.path):
            continue
        going.append(folder)
        total -= folder.bytes
        free += folder.bytes
    if needed - there > free:
        raise UserError(
            f"these activations take {size(needed)} of disk and {size(free)} are free at {root.parent}, removable "
            "stores counted: make room, move the cache (WORKBENCH_CACHE), or take fewer layers or examples"
        )
    if total > limit:
        raise UserError(
            f"these activations take {size(needed)}, and stores that are in use now leave less of the "
            f"{size(limit)} for all: wait for their steps, or set store_gigabytes in the settings"
        )
    return [
        f"removed the activation store {folder.path.name} ({size(folder.bytes)}, last used {ago(folder.used)}) to "
        f"make room"
        for folder in going
        if _remove(folder.path)
    ]


def stay_within(root: Path, limit: int) -> int:
    """Removes folders that nobody uses until all of them are within the limit; the bytes freed."""
    folders = _folders(root)
    total = sum(folder.bytes for folder in folders)
    freed = 0
    for folder in folders:
        if total - freed <= limit:
            break
        if _remove(folder.path):
            freed += folder.bytes
    return freed


def _folders(root: Path, without: Path | None = None) -> list[_Folder]:
    """Whole ones and those of killed builds, longest unused first."""
    folders = []
    for path in list(root.iterdir()) if root.is_dir() else []:
        try:
            head = path / HEAD
            if path != without and (is_unfinished(path) or head.is_file()):
                used = (head if head.is_file() else path).stat().st_mtime
                folders.append(_Folder(used, path, size_on_disk(path)))
        except OSError:
            continue  # removed meanwhile
    return sorted(folders)


def _in_use(path: Path) -> bool:
    try:
        with FolderLock(path):
            return False
    except (UserError, OSError):
        return True


def _remove(path: Path) -> bool:
    """Whether it could be."""
    try:
        with FolderLock(path):
            (path / HEAD).unlink(missing_ok=True)
            shutil.rmtree(path)
    except (UserError, OSError):
        return False
    return True
