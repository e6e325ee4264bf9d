"""Where sessions lie: the list for Home, the name of a new one, and what kind of file system holds them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from workbench import paths
from workbench.errors import UserError
from workbench.session.reader import SessionReader
from workbench.session.records import SessionSummary

SUFFIX = ".db"
MAX_LISTED = 500

NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "smb2", "afs", "ncpfs", "ceph"}
    | {"lustre", "gpfs", "beegfs", "glusterfs", "pvfs2", "orangefs", "panfs", "wekafs", "9p"}
    | {"virtiofs", "vboxsf", "davfs", "afpfs", "webdav", "osxfuse", "macfuse"}
    | {"fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone", "fuse.glusterfs", "fuse.ceph"}
    | {"fuse.juicefs", "fuse.goofys", "fuse.davfs"}
)
"""file systems on which memory can't be shared between machines, so that SQLite's WAL is not safe"""


def new_session_path(stem: str | None = None) -> Path:
    """A path not taken, in ./sessions or the data folder; the folder is made. Raises UserError if it can't be."""
    folder = paths.sessions_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder for sessions {folder} cannot be made: {error.strerror}") from None
    return free_path(folder / ((stem or time.strftime("%Y-%m-%d")) + SUFFIX))


def free_path(wanted: Path) -> Path:
    """`wanted`, or the first of `wanted-2`, `wanted-3`, … that is not taken."""
    path, number = wanted, 1
    while path.exists():
        number += 1
        path = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
    return path


def list_sessions() -> list[SessionSummary]:
    """The sessions of every folder that Home lists, newest change first; unreadable ones say why."""
    found: list[tuple[float, Path]] = []
    for folder in paths.session_dirs():
        try:
            with os.scandir(folder) as entries:
                found += [
                    (entry.stat().st_mtime, Path(entry.path))
                    for entry in entries
                    if entry.name.endswith(SUFFIX) and entry.is_file()
                ]
        except OSError:
            continue  # a folder that isn't there holds no sessions
    return [summarise(path) for _, path in sorted(found, reverse=True)[:MAX_LISTED]]


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


def file_system(path: Path) -> str:
    """The type of the file system that holds `path` (or its nearest folder that exists); empty where unknown."""
    place = path.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    place = place.resolve()
    best, kind = "", ""
    for mount, type_ in _mounts():
        inside = place == Path(mount) or Path(mount) in place.parents
        if inside and len(mount) >= len(best):
            best, kind = mount, type_
    return kind


def is_network(path: Path) -> bool:
    """Whether the path lies on a network file system."""
    return file_system(path) in NETWORK


def _mounts() -> list[tuple[str, str]]:
    if sys.platform == "darwin":
        # `/dev/disk1s1 on /path (apfs, local, journaled)`
        listing = subprocess.run(["mount"], capture_output=True, text=True, timeout=5, check=False).stdout
        lines = [line.partition(" on ")[2].rpartition(" (") for line in listing.splitlines()]
        return [(mount, rest.split(",")[0].rstrip(")")) for mount, _, rest in lines]
    try:
        lines_read = Path("/proc/self/mounts").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []
    # Spaces and the like are written as octal in the mount point.
    return [(_unescape(fields[1]), fields[2]) for line in lines_read if len(fields := line.split(" ")) >= 3]


def _unescape(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
