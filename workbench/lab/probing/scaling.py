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
_CPU_UNITS = 64
"""units whose activations a CPU's caches hold"""
_GPU_VALUES = 1 << 27


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
    device = as_float64(x[:0]).device
    mean, scale = (torch.empty(x.shape[1], dtype=torch.float64, device=device) for _ in range(2))
    for units in unit_blocks(x):
        _, block = scaled_rows(x[:, units], scaling)
        mean[units], scale[units] = block.mean, block.scale
    return Scaler(mean, scale)


def scaled_rows(x: torch.Tensor, scaling: Scaling = "sd") -> tuple[torch.Tensor, Scaler]:
    """Scaled activations of a few units, float32 [unit, example], of x [example, unit]; and their scaler."""
    rows = x.to(as_float64(x[:0]).device).float().T.contiguous()
    largest = torch.maximum(rows.amax(dim=1), -rows.amin(dim=1)).double()
    mean = rows.mean(dim=1)
    rows -= mean[:, None]
    sd = (torch.linalg.vecdot(rows, rows) / rows.shape[1]).double().sqrt()
    finite = torch.isfinite(sd)
    if not bool(finite.all()):
        raise UserError("an activation is not finite (NaN or infinite), or too large: no probe can be fitted")
    scale = 10 * sd.clamp(min=1e-3) if scaling == "haystack" else sd
    scale = torch.where(sd <= _ROUNDING * largest, torch.inf, scale)
    rows /= scale.float()[:, None]
    return rows, Scaler(mean.double(), scale)


def unit_blocks(x: torch.Tensor) -> Iterator[slice]:
    """Slices of the units of x [example, unit] that are fast to go through together."""
    n, units = x.shape
    size = _CPU_UNITS if x.device.type != "cuda" else max(1, _GPU_VALUES // max(1, n))
    return (slice(at, at + size) for at in range(0, units, size))


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
