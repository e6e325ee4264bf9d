"""How long getting a model ready took last time, so that the next time can say how long is left."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from workbench import paths
from workbench.files import cache_bytes
from workbench.worker.place import WorkerSpec

STAGES = ("starting", "finding", "downloading", "converting", "importing", "loading")


class Estimates:
    """Stages as they pass; `seconds_left` from the record of the last start of the same worker."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._file = paths.cache_dir() / "timings" / f"{paths.short_hash(spec.model, spec.device, spec.dtype)}.json"
        self._last = _read(self._file)
        self.begin()

    def begin(self) -> None:
        """A model process starts."""
        self._took: dict[str, float] = {}
        self._stage = STAGES[0]
        self._since = time.monotonic()

    def enter(self, stage: str) -> None:
        if stage != self._stage:
            now = time.monotonic()
            self._took[self._stage] = self._took.get(self._stage, 0.0) + now - self._since
            self._stage, self._since = stage, now

    def seconds_left(self) -> float | None:
        """None where it has never been measured, or takes longer than ever."""
        if not self._last or self._stage not in STAGES:
            return None
        spent = self._took.get(self._stage, 0.0) + time.monotonic() - self._since
        here = self._last.get(self._stage, 0.0) - spent
        after = sum(self._last.get(stage, 0.0) for stage in STAGES[STAGES.index(self._stage) + 1 :])
        left = max(here, 0.0) + after
        return left if left > 0.5 else None

    def ready(self) -> None:
        """Remembers how long each stage took."""
        self.enter("ready")
        # A download or conversion is not what the next start has before it.
        self._last = {stage: took for stage, took in self._took.items() if stage not in ("downloading", "converting")}
        cache_bytes(self._file, msgspec.json.encode(self._last))


def _read(file: Path) -> dict[str, float]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, float])
    except (OSError, msgspec.DecodeError):
        return {}
