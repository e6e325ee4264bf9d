"""One thing at a time, and only the newest: for work that is asked for more often than it can be done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from textual.app import ScreenStackError
from textual.css.query import NoMatches
from textual.timer import Timer
from textual.widget import Widget
from textual.worker import WorkType

from workbench.errors import UserError
from workbench.tui.feed import NothingYet

FIRST_RETRY, LONGEST_RETRY = 0.25, 4.0
"""seconds until what could not be read is tried again: first, doubled each time, and at the most"""


class Latest:
    """Runs `work` when asked. Asking while it runs makes one more run afterwards, however often it was asked."""

    def __init__(self, owner: Widget, work: Callable[[], Awaitable[None]], failed: Callable[[str], None]) -> None:
        self._owner = owner
        self._work = work
        self._failed = failed
        self._busy = False
        self._again = False

    @property
    def busy(self) -> bool:
        return self._busy

    def ask(self) -> None:
        """Run now, or once more when the present run is done."""
        if self._busy:
            self._again = True
        elif self._owner.is_attached:
            self._busy = True
            run: WorkType[None] = self._run  # not called yet: one that never runs leaves nothing un-awaited
            self._owner.run_worker(run, exit_on_error=True)

    async def _run(self) -> None:
        try:
            while True:
                self._again = False
                try:
                    await self._once()
                except (NoMatches, ScreenStackError):
                    break  # the screen, or the app, was taken down meanwhile: there is nowhere left to show it
                if not self._again:
                    break
        finally:
            self._busy = False

    async def _once(self) -> None:
        try:
            await self._work()
        except UserError as error:
            self._failed(str(error))


class Following(Latest):
    """Reads a session file, which can fail for a moment: a failed read is tried again by itself.

    `failed("")` is called when it works again, so that the error is shown only while it is true.
    """

    def __init__(self, owner: Widget, work: Callable[[], Awaitable[None]], failed: Callable[[str], None]) -> None:
        super().__init__(owner, work, failed)
        self._wait = FIRST_RETRY
        self._timer: Timer | None = None
        """runs while it fails"""

    async def _once(self) -> None:
        waiting, self._timer = self._timer, None
        if waiting is not None:
            waiting.stop()
        try:
            await self._work()
        except NothingYet:
            pass  # Feed.on_change is called when there is a file
        except UserError as error:
            self._failed(str(error))
            self._timer = self._owner.set_timer(self._wait, self.ask)
            self._wait = min(LONGEST_RETRY, self._wait * 2)
            return
        if waiting is not None:
            self._wait = FIRST_RETRY
            self._failed("")
