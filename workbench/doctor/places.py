"""Folders: sockets, sessions, cache; who owns them, on what file system, how much room there is."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path

from workbench import paths
from workbench.doctor.finding import Check, Finding, bad, ok, warning
from workbench.errors import UserError
from workbench.text import size

_SOCKET_NAME = len("/0123456789ab.sock")
_SOCKET_LIMIT = 103
"""bytes of a Unix socket's name (104 on macOS, 108 on Linux, with the NUL at its end)"""
_ROOM_WARNING, _ROOM_BAD = 2 << 30, 100 << 20


def socket_folder() -> list[Finding]:
    """Ours alone, and its name short enough."""
    try:
        folder = paths.runtime_dir()
    except UserError as error:
        return [bad("socket folder", str(error), "remove it, or set WORKBENCH_RUNTIME to a folder of your own")]
    length = len(os.fsencode(folder)) + _SOCKET_NAME
    if length > _SOCKET_LIMIT:
        detail = f"{folder} is too long for a socket ({length} bytes, at most {_SOCKET_LIMIT})"
        return [bad("socket folder", detail, "set WORKBENCH_RUNTIME to a short path, for example /tmp/wb")]
    mode = stat.S_IMODE(folder.lstat().st_mode)
    return [ok("socket folder", f"{folder}, yours alone (mode {mode:o}){_room_note(folder)}")]


def _room_note(folder: Path) -> str:
    from workbench.session.file_system import file_system

    kind = file_system(folder)
    return f", on {kind}" if kind else ""


def sessions_folder() -> list[Finding]:
    """Can be written, has room, and what SQLite may do there."""
    from workbench.session.file_system import file_system, is_network

    folder = paths.sessions_dir()
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not os.access(existing, os.W_OK | os.X_OK):
        cure = "work in a folder with a sessions folder of your own, or set WORKBENCH_DATA"
        return [bad("sessions folder", f"{folder} cannot be written", cure)]
    kind = file_system(existing)
    free = shutil.disk_usage(existing).free
    detail = f"{folder}, on {kind or 'a file system of unknown kind'}, {size(free)} free"
    if free < _ROOM_BAD:
        return [bad("sessions folder", detail, "make room: a session that cannot be written stops the work")]
    if is_network(existing):
        detail = f"{detail}: a network file system, so sessions keep a rollback journal and only one machine may write"
        return [warning("sessions folder", detail, "works; a local folder is quicker (WORKBENCH_DATA)")]
    if free < _ROOM_WARNING:
        return [warning("sessions folder", detail, "make room before long work")]
    return [ok("sessions folder", detail)]


def cache_folder() -> list[Finding]:
    """Room for downloads and converted weights."""
    folder = paths.cache_dir()
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    detail = f"{folder}, {size(free)} free"
    if not os.access(existing, os.W_OK | os.X_OK):
        return [bad("cache folder", f"{folder} cannot be written", "set WORKBENCH_CACHE to a folder of your own")]
    if free < _ROOM_WARNING:
        return [warning("cache folder", detail, "make room before opening a new model, or set WORKBENCH_CACHE")]
    return [ok("cache folder", detail)]


def temporary_folder() -> list[Finding]:
    """Unfinished files go there; a full one stops more than us."""
    folder = Path(tempfile.gettempdir())
    free = shutil.disk_usage(folder).free
    if free < _ROOM_BAD:
        return [bad("temporary folder", f"{folder}, {size(free)} free", "make room, or set TMPDIR")]
    return []


CHECKS: list[Check] = [socket_folder, sessions_folder, cache_folder, temporary_folder]
