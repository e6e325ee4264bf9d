"""The stage that the model process is in on its way to ready, and how long is left."""

from __future__ import annotations

import time

from workbench.worker.estimates import Estimates
from workbench.worker.worker_files import WorkerSpec


class StageTracker:
    """Attributes: `name` of the stage (see WorkerStatus.stage), `detail`, a sentence, `fraction` done or None."""

    def __init__(self, spec: WorkerSpec) -> None:
        self.name = "starting"
        self.detail = ""
        self.fraction: float | None = None
        self._estimates = Estimates(spec)
        self._reported_left: tuple[float, float] | None = None
        """seconds left as the stage itself reported them, and when it did"""

    def begin(self) -> None:
        """A model process starts."""
        self._estimates.begin()

    def measure(self, name: str) -> None:
        """The model process has entered this stage: its time counts from now."""
        self._estimates.enter(name)

    def show(self, name: str, detail: str = "", fraction: float | None = None) -> None:
        """The stage and how far it is; forgets the seconds left that were reported."""
        self.name, self.detail, self.fraction = name, detail, fraction
        self._reported_left = None

    def set_seconds_left(self, seconds: float) -> None:
        """As the stage itself reports them."""
        self._reported_left = (seconds, time.monotonic())

    def seconds_left(self) -> float | None:
        """Reported for downloads and conversions, else estimated from the last start; None where unknown."""
        if self._reported_left and self.name in ("downloading", "converting"):
            seconds, reported_at = self._reported_left
            return max(0.0, seconds - (time.monotonic() - reported_at))
        return self._estimates.seconds_left()

    def remember(self) -> None:
        """The model is ready: keeps how long each stage took, for the next start."""
        self._estimates.ready()
