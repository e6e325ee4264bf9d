"""Every unit of a layer as a classifier by itself: its AUC, its probe; and the best one found anew on other labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from workbench.lab.probing.nulls import PermutationNull
from workbench.lab.probing.single import SingleProbes, aucs, fit_single, rank_rows
from workbench.lab.probing.sparse import Split


@dataclass(frozen=True)
class LayerUnits:
    """Each unit of a layer alone; float64 [unit]. AUCs under .5 are of units that are lower where the label holds."""

    train_auc: np.ndarray
    validation_auc: np.ndarray
    weight: np.ndarray
    """of the scaled activation"""
    intercept: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    """above 0; 1 for a unit that is constant on train, whose weight is 0"""


def every_unit(x: torch.Tensor, label: torch.Tensor, split: Split, null: PermutationNull | None = None) -> LayerUnits:
    """All units of activations x [example, unit] on train; `label` bool [example]. Their ranks are added to a null.

    Raises UserError where a class is missing on train or a value is not finite.
    """
    train, validation = (torch.from_numpy(part).to(x.device) for part in (split.train, split.validation))
    train_x, train_label = x[train], label[train]
    ranks = rank_rows(train_x)
    if null is not None:
        null.add(ranks)
    probes = fit_single(train_x, train_label)
    scale = _numpy(probes.scaler.scale)
    constant = ~np.isfinite(scale)
    return LayerUnits(
        train_auc=_auc(ranks, train_label),
        validation_auc=_auc(rank_rows(x[validation]), label[validation]),
        weight=np.where(constant, 0.0, _numpy(probes.weight)),
        intercept=_numpy(probes.intercept),
        mean=_numpy(probes.scaler.mean),
        scale=np.where(constant, 1.0, scale),
    )


def refit_best(x: torch.Tensor, label: np.ndarray, split: Split, random: int | None = None) -> np.ndarray:
    """The probe of the unit of highest |AUC − ½| on train: its logits on test, float64 [example].

    x [example, unit], `label` bool [example]. With a seed `random`, of a unit drawn by it. nan where a class is missing
    on train: such labels can't be fitted.
    """
    train, test = (torch.from_numpy(part).to(x.device) for part in (split.train, split.test))
    inside = label[split.train]
    if inside.all() or not inside.any():
        return np.full(len(split.test), np.nan)
    labels = torch.from_numpy(inside).to(x.device)
    if random is None:
        unit = int(np.abs(_auc(rank_rows(x[train]), labels) - 0.5).argmax())
    else:
        unit = int(np.random.default_rng(random).integers(x.shape[1]))
    probe: SingleProbes = fit_single(x[train, unit : unit + 1], labels)
    return _numpy(probe.logits(x[test, unit : unit + 1]).double()[:, 0])


def _auc(ranks: torch.Tensor, label: torch.Tensor) -> np.ndarray:
    """Of one labelling, float64 [unit]: rounded to what sums of ranks give, so that equal ones are ties."""
    return _numpy(aucs(ranks, label[None])[:, 0].clamp(0, 1)).round(6)


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    return np.asarray(tensor.cpu().numpy())
