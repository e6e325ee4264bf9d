"""Work of the host that a device need not wait for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Aside:
    """Work that is done at once, or where it is `threaded` in order in a thread of its own, while a GPU goes on."""

    def __init__(self, threaded: bool) -> None:
        self._executor = ThreadPoolExecutor(1, "index") if threaded else None
        self._pending: list[Future[None]] = []

    def do(self, work: Callable[[], None]) -> None:
        """In a thread, what it raises comes with `wait`."""
        if self._executor is None:
            work()
        else:
            self._pending.append(self._executor.submit(work))

    def wait(self) -> None:
        """Until all that was given is done."""
        pending, self._pending = self._pending, []
        for future in pending:
            future.result()

    def close(self) -> None:
        """Ends the thread, after what it is at."""
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
