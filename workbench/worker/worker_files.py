"""Which worker, and its files: their name stands for model, device, precision, environment and version."""

from __future__ import annotations

import os
import socket
import stat
import struct
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from workbench import paths
from workbench.errors import UserError


@cache
def package_version() -> str:
    """Of the workbench."""
    try:
        return version("workbench-lm")
    except PackageNotFoundError:
        return "uninstalled"


class WorkerSpec(msgspec.Struct, frozen=True):
    """Which worker: a model on a device in a precision."""

    model: str = "default"
    """hub id, folder, or `default`"""
    device: str = "auto"
    dtype: str = "auto"

    @property
    def shown(self) -> str | None:
        """The model as a command line names it; None for the default, which needs no naming."""
        return None if self.model == "default" else self.model

    def canonical(self) -> WorkerSpec:
        """The same from any folder: what names a local folder (the rule of `lab.finding.source`) becomes absolute."""
        folder = Path(self.model).expanduser()
        local = self.model not in ("", "default") and (
            folder.exists() or self.model.startswith((".", "/", "~")) or self.model.count("/") > 1
        )
        model = os.path.abspath(folder) if local else self.model or "default"
        return msgspec.structs.replace(self, model=model)


class WorkerFiles(msgspec.Struct, frozen=True):
    """A worker's files in the runtime folder."""

    socket: Path

    @property
    def log(self) -> Path:
        return self.socket.with_suffix(".log")

    @property
    def start_lock(self) -> Path:
        """held by who starts the worker"""
        return self.socket.with_suffix(".start")

    @property
    def life_lock(self) -> Path:
        """held by the worker as long as it lives"""
        return self.socket.with_suffix(".life")

    @property
    def lost(self) -> Path:
        """written by a worker that ended with results it could not write: what they were, a sentence a line"""
        return self.socket.with_suffix(".lost")


def worker_files(spec: WorkerSpec) -> WorkerFiles:
    """The files of the worker for `spec`. Raises UserError where the runtime folder is not ours alone."""
    canonical = spec.canonical()
    name = paths.short_hash(canonical.model, canonical.device, canonical.dtype, sys.prefix, package_version())
    return WorkerFiles(paths.runtime_dir() / f"{name}.sock")


def all_worker_files() -> list[WorkerFiles]:
    """Those of every worker, of whatever version, alive or not."""
    return [WorkerFiles(socket_path) for socket_path in sorted(paths.runtime_dir().glob("*.sock"))]


def check_socket(path: Path) -> bool:
    """False where there is none. Raises UserError where it is not a socket of ours alone."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(status.st_mode):
        raise UserError(f"{path} should be a worker's socket and is something else: remove it")
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise UserError(f"the socket {path} is not yours alone (owner {status.st_uid}): remove it, or ask its owner to")
    return True


def peer_uid(connection: socket.socket) -> int:
    """The user at the other end."""
    if sys.platform == "darwin":
        # struct xucred: version, uid, …; SOL_LOCAL is 0, LOCAL_PEERCRED is 1.
        return int(struct.unpack_from("=II", connection.getsockopt(0, 1, 76))[1])
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])


def peer_pid(connection: socket.socket) -> int:
    """The process that listens at the other end, also one that does not answer."""
    if sys.platform == "darwin":
        return connection.getsockopt(0, 2)  # SOL_LOCAL, LOCAL_PEERPID
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[0])


class WorkerSilent(UserError):  # noqa: N818 - a sentence for the user, as its base
    """A worker that is there and does not answer."""

    def __init__(self, pid: int, seconds: float) -> None:
        self.pid = pid
        super().__init__(
            f"the worker (process {pid}) has not answered for {seconds:g} s: it is stopped, or the machine is very "
            f"busy; `kill -CONT {pid}` lets a stopped one go on, `kill -9 {pid}` ends it, and what is finished is in "
            f"the session"
        )


def check_peer(connection: socket.socket) -> None:
    """Raises UserError where another user answers."""
    uid = peer_uid(connection)
    if uid != os.getuid():
        raise UserError(f"the socket is held by another user (number {uid}): set WORKBENCH_RUNTIME to another folder")
