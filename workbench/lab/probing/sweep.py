"""Sparse probes of one layer by several methods, all k: what is chosen from on validation, and refits for baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch

from workbench.lab.metrics import as_float64
from workbench.lab.probing.logistic import Logistic
from workbench.lab.probing.ranking import Ranker
from workbench.lab.probing.scaling import Scaler, Scaling
from workbench.lab.probing.sparse import Selected, Split, fit_sparse, select_units, usable_ks
from workbench.lab.probing.thresholding import adaptive_thresholding

ADAPTIVE = "adaptive"
"""the method of `thresholding`, beside the rankers"""


@dataclass(frozen=True)
class FittedProbe:
    """logit = intercept + Σ weight · (x − mean) / scale, float64 [k] each; `units` are numbers in their layer."""

    units: np.ndarray
    """int64 [k]"""
    weight: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    """above 0; 1 for a unit that is constant on train, whose weight is 0"""
    intercept: float


@dataclass(frozen=True)
class LayerSweep:
    """Probes of one layer and method for every k; logits are float64 [k, example] of that part of the split."""

    probes: tuple[FittedProbe, ...]
    validation: np.ndarray
    test: np.ndarray


def sweep_layer(
    x: torch.Tensor,
    label: torch.Tensor,
    split: Split,
    ks: Sequence[int],
    methods: Sequence[str],
    seed: int = 0,
    scaling: Scaling = "sd",
) -> dict[str, LayerSweep]:
    """By method, a ranker or ADAPTIVE, of activations x [example, unit]; `label` bool [example], on the same device.

    `ks` ascend. Adaptive thresholding always goes down from KS' largest k that the layer has units and examples for,
    whichever of its steps are asked for. Raises UserError where a class is missing on train.
    """
    results = {}
    for method in methods:
        if method == ADAPTIVE:
            steps = sorted({*usable_ks(len(split.train), x.shape[1]), *ks})
            selected = select_units([x], label, split, steps[-1], "mean difference", seed, scaling)
            results[method] = _adaptive(selected, label, split, steps, ks)
        else:
            selected = select_units([x], label, split, ks[-1], cast(Ranker, method), seed, scaling)
            probes = fit_sparse(selected, label, split, ks)
            fitted = tuple(_fitted(selected, fit, np.arange(k)) for fit, k in zip(probes.fits, ks, strict=True))
            results[method] = LayerSweep(fitted, probes.validation[0], probes.test[0])
    return results


def refit(
    x: torch.Tensor,
    label: np.ndarray,
    split: Split,
    k: int,
    method: str,
    seed: int = 0,
    scaling: Scaling = "sd",
) -> np.ndarray:
    """The same probe of other labels or other units, ranked and fitted anew: its logits on test, float64 [example].

    nan where a class is missing on train, or a fit does not converge: such labels can't be fitted.
    """
    train = label[split.train]
    if train.all() or not train.any():
        return np.full(len(split.test), np.nan)
    labels = torch.from_numpy(label).to(x.device)
    try:
        return np.asarray(sweep_layer(x, labels, split, [k], [method], seed, scaling)[method].test[0])
    except ArithmeticError:
        return np.full(len(split.test), np.nan)


def _adaptive(
    selected: Selected, label: torch.Tensor, split: Split, steps: Sequence[int], ks: Sequence[int]
) -> LayerSweep:
    train_label = label[torch.from_numpy(split.train)]
    kept = {step.members.shape[1]: step for step in adaptive_thresholding(selected.train, train_label, steps)}
    chosen = [kept[k] for k in ks]
    fitted = tuple(_fitted(selected, step.fit, step.members[0].cpu().numpy()) for step in chosen)
    parts = (
        np.stack([step.logits(part)[0].cpu().numpy() for step in chosen])
        for part in (selected.validation, selected.test)
    )
    return LayerSweep(fitted, *parts)


def _fitted(selected: Selected, fit: Logistic, members: np.ndarray) -> FittedProbe:
    """Of the only layer; `members` int64 [k] are places among the selected units."""
    at = torch.from_numpy(members)
    scaler: Scaler = selected.scalers[0].of(at.to(selected.scalers[0].mean.device))
    weight, mean, scale = (as_float64(part).cpu().numpy() for part in (fit.weight[0], scaler.mean, scaler.scale))
    constant = ~np.isfinite(scale)
    return FittedProbe(
        units=selected.units[0].cpu().numpy()[members],
        weight=np.where(constant, 0.0, weight),
        mean=mean,
        scale=np.where(constant, 1.0, scale),
        intercept=float(fit.intercept[0]),
    )
