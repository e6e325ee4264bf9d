"""How long getting a model ready took last time, so that the next time can say how long is left."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from workbench import paths
from workbench.errors import JSON_ERRORS
from workbench.files import cache_bytes
from workbench.worker.worker_files import WorkerSpec

STAGES = ("starting", "finding", "downloading", "converting", "importing", "loading")


class Estimates:
    """Stages as they pass; `seconds_left` from the record of the last start of the same worker."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._file = paths.cache_dir() / "timings" / f"{paths.short_hash(spec.model, spec.device, spec.dtype)}.json"
        self._last = _read(self._file)
        self.begin()

    def begin(self) -> None:
        """A model process starts."""
        self._elapsed: dict[str, float] = {}
        self._stage = STAGES[0]
        self._stage_began = time.monotonic()

    def enter(self, stage: str) -> None:
        if stage != self._stage:
            now = time.monotonic()
            self._elapsed[self._stage] = self._elapsed.get(self._stage, 0.0) + now - self._stage_began
            self._stage, self._stage_began = stage, now

    def seconds_left(self) -> float | None:
        """None where it has never been measured, or takes longer than ever."""
        if not self._last or self._stage not in STAGES:
            return None
        spent = self._elapsed.get(self._stage, 0.0) + time.monotonic() - self._stage_began
        stage_left = self._last.get(self._stage, 0.0) - spent
        later_stages = sum(self._last.get(stage, 0.0) for stage in STAGES[STAGES.index(self._stage) + 1 :])
        total = max(stage_left, 0.0) + later_stages
        return total if total > 0.5 else None

    def ready(self) -> None:
        """Remembers how long each stage took."""
        self.enter("ready")
        # A download or conversion is not what the next start has before it.
        self._last = {
            stage: seconds for stage, seconds in self._elapsed.items() if stage not in ("downloading", "converting")
        }
        cache_bytes(self._file, msgspec.json.encode(self._last))


def _read(file: Path) -> dict[str, float]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, float])
    except (OSError, *JSON_ERRORS):
        return {}
