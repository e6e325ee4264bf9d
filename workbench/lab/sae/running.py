"""A training from a store of activations to weights: passes in shuffled order, checkpoints, what happened so far.

The order follows from the seed and the pass alone, so that a step needs nothing from the steps before it but the
weights: a run that was cancelled or killed goes on to the same bits.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import torch

from workbench.errors import Cancelled, UserError
from workbench.files import write_whole
from workbench.lab.sae.training import Scaling, Settings, StepResult, Training
from workbench.report import Report

CHECKPOINT = "training.safetensors"
PAUSE = 60.0
"""seconds between checkpoints"""
POINTS = 200
"""of the curves, at most"""
COLUMNS = ("tokens", "unexplained", "l0", "dead")
CHUNK = 8_192
"""activations that are read at once for their mean"""


@dataclass
class History:
    """What the training was like, window by window of its steps."""

    points: list[tuple[float, ...]] = field(default_factory=list)
    """COLUMNS of each: tokens seen, share of the variance left unexplained, features a token, dead features"""

    def column(self, name: str) -> np.ndarray:
        """[point]"""
        return np.array([point[COLUMNS.index(name)] for point in self.points])


class Run:
    """A training on `activations` float32 [token, d], a memory map or an array; `folder` is for its checkpoint."""

    def __init__(self, activations: np.ndarray, settings: Settings, folder: Path, key: str, device: str) -> None:
        """`key` is what the numbers depend on beside the settings: another one's checkpoint is not gone on from."""
        self.settings = settings
        self.history = History()
        self.seconds = 0.0
        """of steps, in all runs"""
        self._activations = activations
        self._file = folder / CHECKPOINT
        self._key = hashlib.sha256(key.encode() + msgspec.json.encode(settings)).hexdigest()
        self._window: list[StepResult] = []
        self._order = np.zeros(0, np.int64)
        self._pass = -1
        self.left = ""
        """how the checkpoint of another training differs that was in the folder, and is not gone on from"""
        # Sums over bags of rows are not there on every device of Apple's.
        self._device = torch.device("cpu" if device.startswith("mps") else device)
        kept = self._kept()
        if kept is None:
            mean, scaling = measure_scale(activations)
        else:
            mean, scaling = kept["mean"], Scaling(factor=float(kept["factor"]), variance=float(kept["variance"]))
        self._mean = mean
        self.training = Training(settings, scaling, mean, self._device)
        if kept is not None:
            self.training.restore(kept)
            self.history.points = [tuple(row) for row in kept["history"].tolist()]
            self._window = [StepResult(errors, int(l0), int(dead)) for errors, l0, dead in kept["window"].tolist()]
            self.seconds = float(kept["seconds"])
        self._saved = time.monotonic()

    @property
    def tokens(self) -> int:
        """Seen so far, each as often as it was."""
        return self.training.step * self.settings.batch

    @property
    def n(self) -> int:
        """Different tokens that there are."""
        return len(self._activations)

    @property
    def rate(self) -> float:
        """Tokens a second, of steps alone."""
        return self.tokens / max(self.seconds, 1e-9)

    @property
    def total(self) -> int:
        return self.settings.steps * self.settings.batch

    def run(self, report: Report, when_changed: Callable[[Run], None]) -> None:
        """To the end; `when_changed` is called at every point of the curves. A cancel keeps what is done."""
        every = max(1, self.settings.steps // POINTS)
        try:
            for step in report.track(self._steps(report), "tokens", self.total, "training"):
                began = time.monotonic()
                self._window.append(self.training.train(self._batch(step)))
                report.progress.done = self.tokens - 1  # track counts one more
                if self.training.step % every == 0 or self.training.step == self.settings.steps:
                    self._close_window()
                    when_changed(self)
                self.seconds += time.monotonic() - began
                if time.monotonic() - self._saved > PAUSE:
                    self.save()
        except (Cancelled, GeneratorExit):  # they come between steps; anything else may have broken one off
            self.save()
            raise

    def finish(self) -> dict[str, torch.Tensor]:
        """The weights; the checkpoint goes."""
        self._file.unlink(missing_ok=True)
        return self.training.weights()

    def save(self) -> None:
        """A checkpoint of everything so far."""
        from safetensors.torch import save

        window = [[result.errors, result.active, result.dead] for result in self._window]
        tensors = self.training.state() | {
            "mean": self._mean,
            "factor": torch.tensor(self.training.scaling.factor, dtype=torch.float64),
            "variance": torch.tensor(self.training.scaling.variance, dtype=torch.float64),
            "history": torch.tensor(self.history.points, dtype=torch.float64).reshape(-1, len(COLUMNS)),
            "window": torch.tensor(window, dtype=torch.float64).reshape(-1, 3),
            "seconds": torch.tensor(self.seconds, dtype=torch.float64),
        }
        write_whole(
            self._file, save(tensors, {"key": self._key, "settings": msgspec.json.encode(self.settings).decode()})
        )
        self._saved = time.monotonic()

    def _kept(self) -> dict[str, torch.Tensor] | None:
        """Of this training's checkpoint; None where there is none, or one of another training."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self._file, framework="pt") as opened:
                metadata = opened.metadata() or {}
                if metadata.get("key") != self._key:
                    self.left = self._difference(metadata.get("settings", ""))
                    return None
                return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        except (OSError, SafetensorError):
            return None

    def _difference(self, other: str) -> str:
        """In words, from the settings of another training."""
        try:
            before = msgspec.json.decode(other, type=Settings)
        except msgspec.MsgspecError:
            return "other settings"
        changed = [
            f"{name} {getattr(before, name)}, not {getattr(self.settings, name)}"
            for name in Settings.__struct_fields__
            if getattr(before, name) != getattr(self.settings, name)
        ]
        return "; ".join(changed) or "other activations: of another corpus, model or site"

    def _steps(self, report: Report) -> Iterator[int]:
        report.progress.done = self.tokens
        yield from range(self.training.step, self.settings.steps)

    def _batch(self, step: int) -> torch.Tensor:
        """The step's activations [token, d]: pass after pass, each in an order of its own."""
        size, n = self.settings.batch, len(self._activations)
        places = np.arange(step * size, (step + 1) * size)
        rows = np.concatenate(
            [self._order_of(int(number))[places[places // n == number] % n] for number in np.unique(places // n)]
        )
        rows.sort()  # neighbours in the map are read together; a batch has no order
        return torch.from_numpy(np.ascontiguousarray(self._activations[rows])).to(self._device)

    def _order_of(self, number: int) -> np.ndarray:
        if number != self._pass:
            random = np.random.default_rng([self.settings.seed, number])
            self._order, self._pass = random.permutation(len(self._activations)), number
        return self._order

    def _close_window(self) -> None:
        tokens = len(self._window) * self.settings.batch
        errors = sum(result.errors for result in self._window) / tokens
        active = sum(result.active for result in self._window) / tokens
        point = (float(self.tokens), errors / self.training.scaling.variance, active, float(self._window[-1].dead))
        self.history.points.append(point)
        self._window = []


def measure_scale(activations: np.ndarray) -> tuple[torch.Tensor, Scaling]:
    """Mean [d], and scale and spread, of all of float32 [token, d]; sums in float64.

    Raises UserError where all are alike.
    """
    total = np.zeros(activations.shape[1])
    norms = squares = 0.0
    for start in range(0, len(activations), CHUNK):
        some = np.asarray(activations[start : start + CHUNK], dtype=np.float64)
        total += some.sum(0)
        by_row = (some**2).sum(1)
        norms += float(np.sqrt(by_row).sum())
        squares += float(by_row.sum())
    n = len(activations)
    mean = total / n
    variance = squares / n - float(mean @ mean)
    if not variance > 1e-12 * squares / n:
        raise UserError("all activations are the same: there is nothing that features could tell apart")
    scaling = Scaling(factor=activations.shape[1] ** 0.5 / (norms / n), variance=variance)
    return torch.from_numpy(mean).float(), scaling
