"""The session file as the TUI reads it: in one thread of its own, so that no key waits for a disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from workbench.errors import UserError

if TYPE_CHECKING:
    from workbench.session.reader import SessionReader

T = TypeVar("T")
POLL = 0.5
"""seconds between looks at `PRAGMA data_version`; hints of the worker come sooner"""
_QUIET = 0.05
"""seconds between two looks at least, however many hints come"""


class NothingYet(UserError):  # noqa: N818 - a sentence for the user, as its base
    """The session has no file yet: it is made with its first step."""


def _has_begun(path: Path) -> bool:
    """There is a file, and more than its name: it is empty for the moment in which its first step is written."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False
    except OSError:
        return True  # why it can't be read, opening it says


class Feed:
    """Reads one session file at a time; the file may not be there yet.

    `on_change` is called in the event loop when something was written, or another session was opened.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self.path: Path | None = None
        self.problem = ""
        """why what is shown may be old, as a sentence"""
        self._on_change = on_change
        self._thread = ThreadPoolExecutor(1, "session")
        self._reader: SessionReader | None = None
        self._seen: tuple[Path | None, int | None, str] = (None, None, "")
        self._hinted = asyncio.Event()
        self._closed = False

    def open(self, path: Path | None) -> None:
        """From now on read this file."""
        self.path = path.absolute() if path else None
        self.hint()

    def hint(self) -> None:
        """Something may have been written: look now."""
        self._hinted.set()

    def exists(self) -> bool:
        """There is a file to read."""
        return self.path is not None and self.path.exists()

    async def read(self, question: Callable[[SessionReader], T]) -> T:
        """The answer of `question`, asked in the reader's thread.

        Raises NothingYet where there is no file, UserError where it can't be read.
        """
        if self._closed:  # a read that was to be tried again, while the app takes itself down
            raise NothingYet("the workbench is closing")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, self.path, question)

    def _ask(self, path: Path | None, question: Callable[[SessionReader], T]) -> T:
        if self._reader is not None and self._reader.path != path:
            self._shut()
        if self._reader is None:
            if path is None or not _has_begun(path):
                raise NothingYet("this session has no steps yet: ask a question on Home")
            from workbench.session.reader import SessionReader

            self._reader = SessionReader(path)
        return question(self._reader)

    async def watch(self) -> None:
        """Calls `on_change` for as long as the app lives."""
        while True:
            try:
                await asyncio.wait_for(self._hinted.wait(), POLL)
            except TimeoutError:
                pass
            self._hinted.clear()
            seen = await self._check()
            if seen != self._seen:
                self._seen = seen
                self._on_change()
            await asyncio.sleep(_QUIET)

    async def _check(self) -> tuple[Path | None, int | None, str]:
        path = self.path
        try:
            version: int | None = await self.read(lambda reader: reader.data_version())
            self.problem = ""
        except NothingYet:
            version, self.problem = None, ""
        except UserError as error:
            version, self.problem = None, str(error)
            if (
                path and path.exists() and not self._closed
            ):  # another file has taken its place: read that one from now on
                await asyncio.get_running_loop().run_in_executor(self._thread, self._shut)
        return path, version, self.problem

    def _shut(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader = None

    async def close(self) -> None:
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._shut)
        self._thread.shutdown(wait=False)
