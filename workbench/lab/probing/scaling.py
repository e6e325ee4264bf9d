"""What every probe does before it is fitted: features centred and scaled by the train set, classes weighted alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch

from workbench.errors import UserError
from workbench.lab.metrics import as_float64

Scaling = Literal["sd", "haystack"]
"""`sd`: features are divided by their standard deviation on train. `haystack`: by 10 · max(sd, .001), as the scripts of
"Finding neurons in a haystack" do; their C = 1 is C = .01 of the other."""

_ROUNDING = 1e-6
"""a standard deviation below this part of the largest value is rounding: the feature is constant"""
_CPU_UNITS = 128
"""units whose activations a CPU's caches hold"""
_LARGE = 1 << 25
"""activations that are turned at once, and that a GPU goes through together"""


@dataclass(frozen=True)
class Scaler:
    """How features are centred and scaled. Centring changes no probe, since intercepts are not penalised."""

    mean: torch.Tensor
    """float64 [unit]"""
    scale: torch.Tensor
    """float64 [unit], what is divided by; infinite for a feature that is constant on train, so that it becomes 0"""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Scaled features [example, unit], of the dtype of `x` and on the scaler's device."""
        x = x.to(self.mean.device)
        return (x - self.mean.to(x.dtype)) / self.scale.to(x.dtype)

    def of(self, units: torch.Tensor) -> Scaler:
        """The scaler of some of the units: int64 [unit]."""
        return Scaler(self.mean[units], self.scale[units])


def scaler(x: torch.Tensor, scaling: Scaling = "sd") -> Scaler:
    """Of train activations [example, unit]; on the CPU where the device has no float64.

    Raises UserError where a value is not finite.
    """
    scalers = [scale_rows(rows, scaling) for _, rows in unit_rows(x)]
    return Scaler(torch.cat([block.mean for block in scalers]), torch.cat([block.scale for block in scalers]))


def scale_rows(rows: torch.Tensor, scaling: Scaling = "sd") -> Scaler:
    """Scales activations of a few units where they are, float32 [unit, example]; returns how.

    Raises UserError where a value is not finite.
    """
    largest = torch.maximum(rows.amax(dim=1), -rows.amin(dim=1)).double()
    mean = rows.mean(dim=1)
    rows -= mean[:, None]
    sd = (torch.linalg.vecdot(rows, rows) / rows.shape[1]).double().sqrt()
    if not bool(torch.isfinite(sd).all()):
        raise UserError("an activation is not finite (NaN or infinite), or too large: no probe can be fitted")
    scale = 10 * sd.clamp(min=1e-3) if scaling == "haystack" else sd
    scale = torch.where(sd <= _ROUNDING * largest, torch.inf, scale)
    rows /= scale.float()[:, None]
    return Scaler(mean.double(), scale)


def unit_rows(x: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
    """Units of x [example, unit] that are fast to go through together, with a copy of theirs: float32 [unit, example].

    On the CPU where the device has no float64, which what follows needs.
    """
    n, units = x.shape
    device = as_float64(x[:0]).device
    size = _CPU_UNITS if device.type == "cpu" else max(1, _LARGE // max(1, n))
    at_once = max(size, _LARGE // max(1, n) // size * size)  # strides through memory are gone once, not a block each
    for start in range(0, units, at_once):
        copied = x[:, start : start + at_once].to(device).float().T.clone(memory_format=torch.contiguous_format)
        for at in range(0, len(copied), size):
            yield slice(start + at, start + at + size), copied[at : at + size]


def check_classes(label: torch.Tensor, what: str = "the train set") -> None:
    """Raises UserError unless `label` (bool [example]) has both classes."""
    positives = int(label.sum())
    if not 0 < positives < label.numel():
        has = "no example with the label" if not positives else "no example without the label"
        raise UserError(f"{what} has {has}: a probe needs both classes")


def balanced_weights(label: torch.Tensor) -> torch.Tensor:
    """Weights of examples that make both classes weigh the same and sum to their number: float64, as `label`.

    `label` is bool [..., example]: n / (2 · members of the example's class), scikit-learn's `class_weight="balanced"`.
    """
    inside = as_float64(label)
    n = label.shape[-1]
    positives = inside.sum(dim=-1, keepdim=True)
    return n / 2 * (inside / positives + (1 - inside) / (n - positives))
