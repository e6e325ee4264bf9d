"""The logistic probe of one unit alone, of every unit at once, and each one's AUC.

The same loss and penalty as `logistic`, with two parameters a unit: one pass over a block of units that fits the cache
gives the five sums of a Newton step. It begins at the linear discriminant, which is the answer where both classes are
normal with one variance, and stops as scikit-learn does (largest derivative of the mean loss); the step that the last
sums give is still gone, in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from workbench.lab.metrics import as_float64
from workbench.lab.probing.logistic import damping
from workbench.lab.probing.scaling import Scaler, Scaling, balanced_weights, check_classes, scale_rows, unit_rows

STOP = 1e-4
"""largest derivative at which a unit is done but for its last step; scikit-learn's default"""
_FLAT = 0.05
"""curvature below which float32's sums are too coarse: these units go on in float64"""
_STEPS = 300

Pair = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class SingleProbes:
    """Probes of one unit each: logit = weight · (activation − mean) / scale + intercept."""

    weight: torch.Tensor
    """float64 [unit], of the scaled activation"""
    intercept: torch.Tensor
    """float64 [unit]"""
    scaler: Scaler

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Of activations [example, unit], each by its own probe, in their dtype."""
        return self.weight.to(x.dtype) * self.scaler(x) + self.intercept.to(x.dtype)


def fit_single(
    x: torch.Tensor, label: torch.Tensor, C: float = 1.0, scaling: Scaling = "sd", tolerance: float = STOP
) -> SingleProbes:
    """Converged balanced probes of all units of x [example, unit] (train); `label` bool [example].

    float32 up to the last steps, which are float64; on the CPU where the device has none.
    Raises UserError where a class is missing or a value is not finite.
    """
    check_classes(label)
    device = as_float64(x[:0]).device
    examples = _Examples(label.to(device), 1 / (C * len(label)), tolerance)
    weight, intercept, mean, scale = (torch.empty(x.shape[1], dtype=torch.float64, device=device) for _ in range(4))
    for units, rows in unit_rows(x):
        block = scale_rows(rows, scaling)
        mean[units], scale[units] = block.mean, block.scale
        weight[units], intercept[units] = examples.fit(rows)
    return SingleProbes(weight, intercept, Scaler(mean, scale))


class _Examples:
    """Labels of the examples, with their weights, in both dtypes."""

    def __init__(self, label: torch.Tensor, penalty: float, tolerance: float) -> None:
        self._penalty, self._tolerance = penalty, tolerance
        weights = balanced_weights(label) / len(label)
        self._inside = label
        self._by_dtype = {
            dtype: (weights.to(dtype), (weights * as_float64(label)).to(dtype))
            for dtype in (torch.float32, torch.float64)
        }

    def fit(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Weight and intercept, float64 [unit] each, of scaled activations [unit, example]."""
        at = self._discriminant(rows)
        reach = rows.amin(dim=1), rows.amax(dim=1)
        at, curvature = self._descend(rows, reach, self._tolerance, *at)
        at = (at[0].double(), at[1].double())
        flat = (curvature < _FLAT).nonzero()[:, 0]
        if len(flat):
            flat_reach = (reach[0][flat].double(), reach[1][flat].double())
            tolerance = min(self._tolerance, self._penalty / 10)
            moved, _ = self._descend(rows[flat].double(), flat_reach, tolerance, at[0][flat], at[1][flat])
            at[0][flat], at[1][flat] = moved
        return at

    def _descend(
        self, rows: torch.Tensor, reach: Pair, tolerance: float, weight: torch.Tensor, intercept: torch.Tensor
    ) -> tuple[Pair, torch.Tensor]:
        """Newton steps from here in the dtype of `rows`; also the smaller curvature at the end, [unit]."""
        waiting = torch.arange(len(rows), device=rows.device)
        curvatures = torch.empty_like(weight)
        for _ in range(_STEPS):
            at = weight[waiting], intercept[waiting]
            moves, largest, curvature = self._step(rows, reach, *at)
            weight[waiting], intercept[waiting] = at[0] + moves[0], at[1] + moves[1]
            curvatures[waiting] = curvature
            going = largest > tolerance
            left = int(going.sum())
            if not left:
                return (weight, intercept), curvatures
            # Those done are left out once that saves more than copying the others costs.
            if left < 0.75 * len(waiting):
                waiting, rows, reach = waiting[going], rows[going], (reach[0][going], reach[1][going])
        raise ArithmeticError(f"{left} probes of one unit have not converged")

    def _discriminant(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of both classes as if normal with one variance, each weighing the same: float32 [unit] each."""
        weights, inside = self._by_dtype[torch.float32]
        means = 2 * (rows @ torch.stack((inside, weights - inside), dim=1))
        upper, lower = means.unbind(dim=1)
        second = torch.linalg.vecdot(rows * weights, rows) - (upper * upper + lower * lower) / 2
        weight = (upper - lower) / (second + self._penalty).clamp(min=0.05)
        return weight, -weight * (upper + lower) / 2

    def _step(
        self, rows: torch.Tensor, reach: Pair, weight: torch.Tensor, intercept: torch.Tensor
    ) -> tuple[Pair, torch.Tensor, torch.Tensor]:
        """Moves of weight and intercept; the larger derivative before, and about the smaller curvature: [unit] each."""
        weights, inside = self._by_dtype[rows.dtype]
        p = torch.addcmul(intercept[:, None], rows, weight[:, None]).sigmoid_()
        residual = torch.addcmul(-inside, p, weights)
        by_intercept = residual.sum(dim=1)
        by_weight = torch.linalg.vecdot(rows, residual) + self._penalty * weight
        curvature = torch.addcmul(p, p, p, value=-1).mul_(weights)
        times_value = curvature * rows
        # Where all are far on their side, the curvature along the intercept all but vanishes.
        h00 = curvature.sum(dim=1) + 1e-9
        h01 = times_value.sum(dim=1)
        h11 = torch.linalg.vecdot(times_value, rows) + self._penalty
        determinant = (h00 * h11 - h01 * h01).clamp(min=1e-30)
        by = -(h00 * by_weight - h01 * by_intercept) / determinant
        up = -(h11 * by_intercept - h01 * by_weight) / determinant
        length = damping(torch.maximum((by * reach[0] + up).abs(), (by * reach[1] + up).abs()))
        largest = torch.maximum(by_weight.abs(), by_intercept.abs())
        return (length * by, length * up), largest, determinant / (h00 + h11)


# --- ranks ------------------------------------------------------------------------------------------


def rank_rows(x: torch.Tensor) -> torch.Tensor:
    """Ranks of each unit's activations x [example, unit] among its examples: float32 [unit, example].

    Ties share their mean rank, and the mean of all is taken off, so that sums of them stay exact in float32 longer.
    """
    n, units = x.shape
    device = as_float64(x[:0]).device
    ranks = torch.empty(units, n, device=device)
    for block, values in unit_rows(x):
        order = _argsort(values)
        ordered = values.gather(1, order)
        place = torch.arange(n, dtype=torch.float32, device=device).expand_as(ordered)
        same = ordered[:, 1:] == ordered[:, :-1]
        if bool(same.any()):
            edge = torch.zeros_like(same[:, :1])
            first = torch.where(torch.cat((edge, same), 1), 0.0, place).cummax(dim=1).values
            last = torch.where(torch.cat((same, edge), 1), float(n), place).flip(1).cummin(dim=1).values.flip(1)
            place = (first + last) / 2
        ranks[block] = torch.empty_like(ordered).scatter_(1, order, place - (n - 1) / 2)
    return ranks


def _argsort(values: torch.Tensor) -> torch.Tensor:
    """Of each row; numpy's is several times faster on a CPU."""
    if values.device.type == "cpu":
        return torch.from_numpy(np.argsort(values.numpy(), axis=1))
    return values.argsort(dim=1)


def aucs(ranks: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """AUCs from `rank_rows` [unit, example] and labels, bool [labelling, example]: float64 [unit, labelling].

    One product of matrices. nan for a labelling without one of the classes.
    """
    inside = labels.to(ranks.device)
    n = inside.shape[1]
    positives = inside.sum(dim=1).double()
    # Parts of the largest rank: a sum of float32 then errs by 1e-6 of an AUC at most.
    sums = ((ranks / n) @ inside.T.float()).double() * n
    return 0.5 + sums / (positives * (n - positives))
