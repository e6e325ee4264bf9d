"""Probes on all of a site's d numbers: logistic, ridge, difference of means; and what is left without a direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from workbench.lab.metrics import as_float64
from workbench.lab.probing.logistic import fit_logistic
from workbench.lab.probing.scaling import Scaling, check_classes, scaler
from workbench.statistics import BOOTSTRAPS, balanced_shuffles, resampled

ALPHAS = tuple(10.0**power for power in range(-2, 7))
"""penalties of the ridge regression that leave-one-out chooses from"""


@dataclass(frozen=True)
class Dense:
    """Linear probes of activations as they are, not scaled: each weight is a direction of the stream."""

    weight: torch.Tensor
    """float64 [probe, d]"""
    intercept: torch.Tensor
    """float64 [probe]"""

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, or predicted numbers, of activations [example, d]: float64 [probe, example]."""
        return (as_float64(x) @ self.weight.T + self.intercept).T


def dense_logistic(
    x: torch.Tensor, label: torch.Tensor, C: float = 1.0, scaling: Scaling = "sd", removed: Sequence[torch.Tensor] = ()
) -> Dense:
    """Balanced logistic regression on train activations x [example, d] (L2, on scaled features, converged).

    With `removed`, directions float [m, d] each, there is a probe for each of them, fitted after these are projected
    out; its weights are orthogonal to them. Raises UserError where a class is missing or a value is not finite.
    """
    check_classes(label)
    probes = []
    for directions in removed or (None,):
        left = x if directions is None else project_out(x, directions)
        scale = scaler(left, scaling)
        scaled = as_float64(scale(as_float64(left)))
        n, d = scaled.shape
        # The penalty sees lengths alone, so that the fit lies in the examples' span: n features say all.
        basis, coordinates = torch.linalg.qr(scaled.T) if d > n else (None, scaled.T)
        fit = fit_logistic(coordinates.T[None], label, C)
        weight = (fit.weight[0] if basis is None else basis @ fit.weight[0]) / scale.scale
        if directions is not None:
            weight = project_out(weight[None], directions)[0]
        probes.append((weight, fit.intercept[0] - weight @ scale.mean))
    return Dense(torch.stack([weight for weight, _ in probes]), torch.stack([intercept for _, intercept in probes]))


def mean_difference_probe(x: torch.Tensor, label: torch.Tensor) -> Dense:
    """mean(with the label) − mean(without) of train activations [example, d]; 0 halfway between both means.

    Raises UserError where a class is missing.
    """
    check_classes(label)
    wide = as_float64(x)
    inside = label.to(wide.device)
    with_label, without = wide[inside].mean(dim=0), wide[~inside].mean(dim=0)
    weight = with_label - without
    return Dense(weight[None], -(weight @ (with_label + without) / 2)[None])


@dataclass(frozen=True)
class Ridge:
    """Ridge regressions, one a target, each with the penalty that leave-one-out chose."""

    probe: Dense
    alpha: np.ndarray
    """float64 [target], of scaled features"""
    left_out: np.ndarray
    """float64 [alpha, target]: mean squared error of examples left out of the fit"""


def fit_ridge(
    x: torch.Tensor, targets: torch.Tensor, alphas: Sequence[float] = ALPHAS, scaling: Scaling = "sd"
) -> Ridge:
    """Of train activations x [example, d] and numbers `targets` [example, target]; the intercept is not penalised.

    Minimises |y − ŷ|² + α |a|² on scaled features. One singular value decomposition serves all penalties and targets:
    the error of an example left out is its residual over 1 − its leverage, exactly.
    """
    scale = scaler(x, scaling)
    scaled = as_float64(scale(as_float64(x)))
    numbers = as_float64(targets).to(scaled.device)
    means = numbers.mean(dim=0)
    centred = numbers - means
    left, singular, right = torch.linalg.svd(scaled, full_matrices=False)
    along = left.T @ centred
    errors = []
    for alpha in alphas:
        kept = singular**2 / (singular**2 + alpha)
        leverage = 1 / len(scaled) + (left * left) @ kept
        residual = centred - left @ (kept[:, None] * along)
        errors.append(((residual / (1 - leverage).clamp(min=1e-9)[:, None]) ** 2).mean(dim=0))
    left_out = torch.stack(errors)
    chosen = torch.tensor(alphas, dtype=torch.float64, device=scaled.device)[left_out.argmin(dim=0)]
    shrunk = singular[:, None] / (singular[:, None] ** 2 + chosen) * along
    weight = (right.T @ shrunk).T / scale.scale
    probe = Dense(weight, means - weight @ scale.mean)
    return Ridge(probe, chosen.cpu().numpy(), left_out.cpu().numpy())


def r_squared(predicted: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """1 − squared error / variance about the mean, float64 [target]; both [target, example]; nan of a constant one."""
    spread = ((targets - targets.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spread > 0, 1 - ((predicted - targets) ** 2).sum(axis=1) / spread, np.nan)


def r_squared_band(
    predicted: np.ndarray, target: np.ndarray, document: np.ndarray, seed: int, draws: int = BOOTSTRAPS
) -> tuple[float, float]:
    """2.5 % and 97.5 % of R² of predicted numbers [example] over resampled documents; `document` int [example]."""
    times, place = resampled(document, np.random.default_rng(seed), draws)
    weights = times[:, place]
    means = weights @ target / weights.sum(axis=1)
    spread = (weights * (target - means[:, None]) ** 2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = 1 - weights @ (predicted - target) ** 2 / spread
    low, high = np.nanpercentile(np.where(spread > 0, values, np.nan), [2.5, 97.5])
    return float(low), float(high)


def ridge_classifier(x: torch.Tensor, label: torch.Tensor) -> Ridge:
    """Ridge regression of train labels (bool [example]), its logits 0 halfway between the classes' mean predictions.

    Raises UserError where a class is missing.
    """
    check_classes(label)
    ridge = fit_ridge(x, as_float64(label)[:, None])
    logits = ridge.probe.logits(x)[0]
    inside = label.to(logits.device)
    halfway = (logits[inside].mean() + logits[~inside].mean()) / 2
    return replace(ridge, probe=Dense(ridge.probe.weight, ridge.probe.intercept - halfway))


# --- what is left --------------------------------------------------------------------------------------


def project_out(x: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """x [example, d] without what lies along any of `directions` [m, d], float64."""
    wide = as_float64(x)
    unit = torch.nn.functional.normalize(as_float64(directions).to(wide.device), dim=1)
    _, sizes, right = torch.linalg.svd(unit, full_matrices=False)
    basis = right[sizes > 1e-6]  # those that depend on others, but for rounding, say nothing new
    return wide - (wide @ basis.T) @ basis


def random_directions(x: torch.Tensor, label: torch.Tensor, n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`n` directions of either kind to project out beside a probe's, float64 [n, d] each (METHODS, "Controls").

    Mean differences of the same examples x [example, d] with shuffled labels, half of each class on each side; and
    draws from the covariance of x.
    """
    wide = as_float64(x)
    random = np.random.default_rng(seed)
    labels = label.cpu().numpy().astype(bool)
    shuffled = torch.from_numpy(balanced_shuffles(labels, np.zeros(len(labels), np.int64), n, random)).to(wide.device)
    inside = as_float64(shuffled)
    sides = inside / inside.sum(dim=1, keepdim=True) - (1 - inside) / (1 - inside).sum(dim=1, keepdim=True)
    drawn = torch.from_numpy(random.standard_normal((n, len(labels)))).to(wide.device)
    centred = wide - wide.mean(dim=0)
    return sides @ wide, drawn @ centred / (len(labels) - 1) ** 0.5
