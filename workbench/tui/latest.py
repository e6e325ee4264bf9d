"""One thing at a time, and only the newest: for work that is asked for more often than it can be done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from textual.css.query import NoMatches
from textual.widget import Widget

from workbench.errors import UserError


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
            self._owner.run_worker(self._run(), exit_on_error=True)

    async def _run(self) -> None:
        try:
            while True:
                self._again = False
                try:
                    await self._work()
                except UserError as error:
                    self._failed(str(error))
                except NoMatches:
                    break  # the screen was taken down meanwhile: there is nowhere left to show it
                if not self._again:
                    break
        finally:
            self._busy = False
