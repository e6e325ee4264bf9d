"""Progress of getting a model ready, stage by stage."""

from __future__ import annotations

import time
from typing import Protocol


class StageListener(Protocol):
    """Called often, from the thread that does the work; raising from it stops the work."""

    def __call__(self, stage: str, detail: str, fraction: float | None, seconds_left: float | None) -> None:
        """`stage` is one of WorkerStatus.stage, `detail` a sentence, `fraction` 0 to 1 where known."""


def silent(stage: str, detail: str, fraction: float | None, seconds_left: float | None) -> None:
    """A listener that ignores every call."""


class Meter:
    """Turns amounts done into fraction and seconds left, and passes them on at most ten times a second."""

    def __init__(self, progress: StageListener, stage: str, detail: str, total: float, done: float = 0) -> None:
        self._progress, self._stage, self._detail, self._total = progress, stage, detail, total
        self._first = done
        """done before this run: it does not count for the speed"""
        self._started = time.monotonic()
        self._last_call = 0.0
        self.at(done)

    def at(self, done: float) -> None:
        now = time.monotonic()
        if now - self._last_call < 0.1 and done < self._total:
            return
        self._last_call = now
        fraction = min(done / self._total, 1.0) if self._total else None
        speed = (done - self._first) / max(now - self._started, 1e-9)
        seconds_left = max(self._total - done, 0) / speed if speed > 0 and now - self._started > 0.5 else None
        self._progress(self._stage, self._detail, fraction, seconds_left)
