"""Where sessions lie: the list for Home, and the name of a new one."""

from __future__ import annotations

import os
import time
from pathlib import Path

from workbench import paths
from workbench.errors import UserError
from workbench.session.reader import SessionReader
from workbench.session.records import SessionSummary

SUFFIX = ".db"
MAX_LISTED = 500


def new_session_path(stem: str | None = None) -> Path:
    """A path not taken, in ./sessions or the data folder; the folder is made. Raises UserError if it can't be."""
    folder = paths.sessions_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder for sessions {folder} cannot be made: {error.strerror}") from None
    return free_path(folder / ((stem or time.strftime("%Y-%m-%d")) + SUFFIX))


def free_path(path: Path) -> Path:
    """`path`, or the first of `path-2`, `path-3`, … that is not taken."""
    free, number = path, 1
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free


def list_sessions() -> list[SessionSummary]:
    """The sessions of every folder that Home lists, newest change first; unreadable ones say why."""
    files = [file for folder in paths.session_dirs() for file in _files_in(folder)]
    return [summarise(path) for _, path in sorted(files, reverse=True)[:MAX_LISTED]]


def _files_in(folder: Path) -> list[tuple[float, Path]]:
    """The session files of a folder with their times; none where it isn't there."""
    files = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    if entry.name.endswith(SUFFIX) and entry.is_file():
                        files.append((entry.stat().st_mtime, Path(entry.path)))
                except OSError:
                    continue  # a link that leads to itself, or a file that is gone
    except OSError:
        pass
    return files


def summarise(path: Path) -> SessionSummary:
    """One session's line; never raises for what is wrong with the file."""
    try:
        with SessionReader(path) as reader:
            count = reader.count()
            rows = reader.rows(max(0, count - 1), count)
            last = rows[0] if rows else None
            return SessionSummary(
                path=str(path),
                title=reader.title,
                steps=count,
                last=(last.headline or last.experiment) if last else "",
                changed=reader.last_change() or path.stat().st_mtime,
            )
    except (UserError, OSError) as error:
        return SessionSummary(path=str(path), title=path.stem, steps=0, last="", changed=0.0, problem=str(error))
