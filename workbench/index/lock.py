"""One build at a time in a folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from workbench.errors import UserError


class BuildLock:
    """A lock that goes with the process, however it ends. Raises UserError where another build holds it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor = -1

    def __enter__(self) -> BuildLock:
        self._descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise UserError(f"{self._folder.name} is being built now: wait for it, or cancel that step") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
