"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import threading
from pathlib import Path


def write_whole(file: Path, data: bytes) -> None:
    """`data` as this file, safe from a power cut: beside it first, then in its place. Raises OSError."""
    part = _part(file)
    try:
        with open(part, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(file.parent)


def sync_folder(folder: Path) -> None:
    """Makes renames in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cache_bytes(file: Path, data: bytes) -> None:
    """Remembers what can be found out again; a cache that can't be written is no reason to fail."""
    part = _part(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(file)
    except OSError:
        return


def _part(file: Path) -> Path:
    return file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}")
