"""One writer per session: a lock in our runtime folder, named by the file's real path."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from workbench import paths
from workbench.errors import UserError


class SessionLock:
    """Held from construction to `release`; the system releases it if the process dies.

    Raises UserError naming the process that holds it, after `wait` seconds.
    """

    def __init__(self, path: Path, wait: float = 0.0) -> None:
        real = os.path.realpath(path)
        self._file = paths.open_in_runtime(paths.runtime_dir() / f"session-{paths.short_hash(real)}.lock")
        end = time.monotonic() + wait
        while not self._try():
            if time.monotonic() >= end:
                self._file.seek(0)
                holder = self._file.read(100).strip()
                self._file.close()
                raise UserError(
                    f"{path} is being written by process {holder or 'unknown'}: "
                    "wait until its steps are done, or stop it (workbench ps lists workers)"
                )
            time.sleep(0.02)
        try:
            self._file.truncate(0)
            self._file.write(str(os.getpid()))
            self._file.flush()
        except OSError:
            pass  # the folder is full: those who find the lock taken won't learn by whom

    def _try(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def release(self) -> None:
        self._file.close()
