"""Where things are kept. Every place can be moved by an environment variable, which tests do."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import IO

import platformdirs

from workbench.errors import UserError


def config_file() -> Path:
    """The settings file ($WORKBENCH_CONFIG)."""
    override = os.environ.get("WORKBENCH_CONFIG")
    return Path(override) if override else Path(platformdirs.user_config_dir("workbench")) / "settings.toml"


def data_dir() -> Path:
    """Sessions and directions that are not in a project ($WORKBENCH_DATA)."""
    override = os.environ.get("WORKBENCH_DATA")
    return Path(override) if override else Path(platformdirs.user_data_dir("workbench"))


def cache_dir() -> Path:
    """Converted models, downloads, hashes, indexes ($WORKBENCH_CACHE)."""
    override = os.environ.get("WORKBENCH_CACHE")
    return Path(override) if override else Path(platformdirs.user_cache_dir("workbench"))


def sessions_dir() -> Path:
    """Where a new session goes: ./sessions if that folder exists, else the user's data folder."""
    project_folder = Path.cwd() / "sessions"
    return project_folder if project_folder.is_dir() else data_dir() / "sessions"


def session_dirs() -> list[Path]:
    """Every folder whose sessions Home lists."""
    return list(dict.fromkeys([Path.cwd() / "sessions", data_dir() / "sessions"]))


def runtime_dir() -> Path:
    """The 0700 folder of ours for sockets, locks and logs ($WORKBENCH_RUNTIME).

    In the temporary directory, not /run/user: that one goes at the last logout, the worker stays.
    Raises UserError if the folder is there and is not ours alone.
    """
    override = os.environ.get("WORKBENCH_RUNTIME")
    folder = Path(override) if override else Path(tempfile.gettempdir()) / f"workbench-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the socket folder {folder} cannot be made: {error.strerror}") from None
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise UserError(
            f"{folder} must be a folder that belongs to you with mode 700, and is not: "
            f"remove it, or set WORKBENCH_RUNTIME to another folder"
        )
    return folder


def open_in_runtime(file: Path) -> IO[str]:
    """A lock or log of the runtime folder, to append to; made if there is none. Raises UserError where it can't be."""
    try:
        return file.open("a+")
    except OSError as error:
        raise UserError(
            f"{file} cannot be written: {error.strerror}; make room there, or set WORKBENCH_RUNTIME to another folder"
        ) from None


def short_hash(*parts: str) -> str:
    """Twelve hex digits that stand for the parts; socket paths have to stay short."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
