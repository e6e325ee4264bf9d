"""Files that exist whole or not at all, and folders that one process writes at a time."""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import stat
import threading
import time
from pathlib import Path
from types import TracebackType

from workbench.errors import UserError
from workbench.text import size

PIPE_SECONDS = 60.0
"""for which a pipe is waited for, from its first byte to its last"""
PRIVATE = 0o600
"""mode of sessions, directions and data files that we make, whatever the umask"""
_BLOCK = 1 << 20
"""bytes read at once"""


def create_private(file: Path) -> None:
    """An empty file for its owner alone; one that is there stays as it is. Raises OSError."""
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE))
    except FileExistsError:
        pass


def write_whole(file: Path, data: bytes, private: bool = False) -> None:
    """`data` as this file, safe from a power cut: written beside it, then renamed into place. Raises OSError.

    A new file that is `private` is for its owner alone, another as the user's umask has it; one that is there keeps its
    mode.
    """
    partial = _partial_path(file)
    try:
        mode = stat.S_IMODE(file.stat().st_mode) if file.exists() else None
        partial.unlink(missing_ok=True)
        with open(
            os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE if private else 0o666), "wb"
        ) as stream:
            if mode is not None:
                os.fchmod(stream.fileno(), mode)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(file.parent)


def save_text(path: Path, text: str, overwrite: bool, how_to_overwrite: str) -> Path:
    """A file that the user asked for, whole or not at all; the path it got.

    Raises UserError where it can't be written, and where it is there and `overwrite` is not set: then with
    `how_to_overwrite`, a clause.
    """
    path = path.expanduser().absolute()
    if path.is_dir():
        raise UserError(f"{path} is a folder: add a file name")
    if path.exists() and not overwrite:
        raise UserError(f"{path} is there already: {how_to_overwrite}")
    partial = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8", errors="replace")
        os.replace(partial, path)
    except OSError as error:
        try:
            partial.unlink(missing_ok=True)
        except OSError:
            pass
        raise UserError(f"{path} can't be written: {error.strerror}") from None
    return path


def read_bounded(path: Path, most: int, what: str) -> bytes:
    """All of a file, a pipe or a device: at most `most` bytes, what is no file within PIPE_SECONDS.

    `what` it should hold, for sentences. Raises UserError where it holds more, stays silent, or can't be read.
    """
    data = bytearray()
    end = time.monotonic() + PIPE_SECONDS
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)  # a FIFO opens without a writer, too
        try:
            is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
            if is_file and os.fstat(descriptor).st_size > most:
                raise _too_large(path, most, what)
            while True:
                if not is_file:
                    _await_data(descriptor, path, what, end)
                block = os.read(descriptor, _BLOCK)
                if not block:
                    return bytes(data)
                data += block
                if len(data) > most:
                    raise _too_large(path, most, what)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(f"the {what} in {path} cannot be read: {reason}") from None


def _await_data(descriptor: int, path: Path, what: str, end: float) -> None:
    """Until there is something to read, or nobody left who could write it. Raises UserError at the time `end`."""
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    left = end - time.monotonic()
    if left <= 0 or not waiting.poll(left * 1000):
        raise UserError(
            f"{path} is a pipe that did not end within {PIPE_SECONDS:g} s: write the {what} into a file first"
        )


def _too_large(path: Path, most: int, what: str) -> UserError:
    return UserError(f"{path} is larger than {size(most)}: that is not a file of {what}")


def sync_folder(folder: Path) -> None:
    """Makes renames in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cache_bytes(file: Path, data: bytes) -> None:
    """Caches what can be computed again; a cache that can't be written is no reason to fail."""
    partial = _partial_path(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        partial.replace(file)
    except OSError:
        return


def _partial_path(file: Path) -> Path:
    return file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}")


def size_on_disk(folder: Path) -> int:
    """Bytes that a folder's files take; those that go meanwhile, or can't be looked at, count nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            status = path.lstat()
        except OSError:
            continue
        total += status.st_blocks * 512 if stat.S_ISREG(status.st_mode) else 0
    return total


def free_disk(folder: Path) -> int:
    """Bytes that are free where a folder is, or will be."""
    place = folder
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


class FolderLock:
    """One writer of a folder at a time, or many readers; the lock goes with the process, however it ends.

    Raises UserError where another one holds it: "NAME `busy`".
    """

    def __init__(
        self, folder: Path, shared: bool = False, busy: str = "is being built now: wait for it, or cancel that step"
    ) -> None:
        self._folder = folder
        self._kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        self._busy = busy
        self._descriptor = -1

    def __enter__(self) -> FolderLock:
        self._descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, self._kind | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise UserError(f"{self._folder.name} {self._busy}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
