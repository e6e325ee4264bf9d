"""A disk of a megabyte that can be filled: mounted where the tests may mount, which in most containers is as root."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class FullDisk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        """To the last byte."""
        with open(self.folder / "ballast", "ab", buffering=0) as ballast:
            for block in (1 << 16, 1 << 12, 1):
                try:
                    while ballast.write(bytes(block)) == block:
                        continue
                except OSError as error:
                    assert error.errno == errno.ENOSPC

    def fill_with_files(self) -> None:
        """Until no file can be made."""
        for number in range(100):
            try:
                (self.folder / f"file-{number}").touch()
            except OSError as error:
                assert error.errno == errno.ENOSPC
                return
        raise AssertionError("the disk takes more files than it should")

    def free(self) -> None:
        (self.folder / "ballast").unlink()


@contextmanager
def small_disk(folder: Path) -> Iterator[FullDisk]:
    """Skips the test where nothing can be mounted."""
    folder.mkdir(mode=0o700)
    mounted = os.getuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=64,mode=700", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if not mounted or mounted.returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        yield FullDisk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
