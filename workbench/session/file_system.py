"""What kind of file system holds a session: on a network's, SQLite's write-ahead log is not safe."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "smb2", "afs", "ncpfs", "ceph"}
    | {"lustre", "gpfs", "beegfs", "glusterfs", "pvfs2", "orangefs", "panfs", "wekafs", "9p"}
    | {"virtiofs", "vboxsf", "davfs", "afpfs", "webdav", "osxfuse", "macfuse"}
    | {"fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone", "fuse.glusterfs", "fuse.ceph"}
    | {"fuse.juicefs", "fuse.goofys", "fuse.davfs"}
)
"""file systems on which memory can't be shared between machines, so that SQLite's WAL is not safe"""


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
