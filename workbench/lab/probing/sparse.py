"""k-sparse probes: logistic regressions on the k best-ranked units, of every layer and every k at once (METHODS,
"Sparse probes").

Source: Gurnee, Nanda, Pauly, Harvey, Troitskii, Bertsimas 2023, "Finding neurons in a haystack".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from workbench.errors import UserError
from workbench.lab.metrics import as_float64
from workbench.lab.probing.logistic import Logistic, feature_rows, fit_rows
from workbench.lab.probing.ranking import Ranker, rank_units
from workbench.lab.probing.scaling import Scaler, Scaling, scaler
from workbench.lab.probing.scores import scores

KS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Split:
    """Which examples are for what: int64 [example] each."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Selected:
    """The best-ranked units of several layers, scaled by their train examples."""

    units: torch.Tensor
    """int64 [layer, k], best first"""
    scalers: tuple[Scaler, ...]
    """of these units, one a layer"""
    train: torch.Tensor
    """float32 [layer, example, k]"""
    validation: torch.Tensor
    test: torch.Tensor


@dataclass(frozen=True)
class SparseProbes:
    """Probes of every layer and k; those of a k read the first k of the selected units."""

    ks: tuple[int, ...]
    fits: tuple[Logistic, ...]
    """one a k, of every layer"""
    validation: np.ndarray
    """logits, float64 [layer, k, example]"""
    test: np.ndarray


def usable_ks(examples: int, units: int, ks: Sequence[int] = KS) -> tuple[int, ...]:
    """Those of the list that a layer of `units` and a train set of `examples` are enough for.

    Raises UserError where none is.
    """
    usable = tuple(k for k in ks if k <= min(examples, units))
    if not usable:
        raise UserError(
            f"k = {min(ks)} needs as many train examples and units at least: "
            f"there are {examples} examples and {units} units"
        )
    return usable


def select_units(
    layers: Iterable[np.ndarray | torch.Tensor],
    label: torch.Tensor,
    split: Split,
    k: int = KS[-1],
    ranker: Ranker = "mean difference",
    seed: int = 0,
    scaling: Scaling = "sd",
) -> Selected:
    """The k best-ranked units of each layer's activations [example, unit], ranked and scaled by train alone."""
    units, scalers, parts = [], [], []
    for layer in layers:
        x = torch.as_tensor(np.asarray(layer) if isinstance(layer, np.ndarray) else layer)
        train = x[torch.from_numpy(split.train)]
        order = rank_units(train, label[torch.from_numpy(split.train)], ranker, seed, scaling).order[:k].to(x.device)
        scale = scaler(train[:, order], scaling)
        units.append(order)
        scalers.append(scale)
        rest = (x[torch.from_numpy(rows)][:, order] for rows in (split.validation, split.test))
        parts.append([scale(part.float()) for part in (train[:, order], *rest)])
    stacked = [torch.stack([part[at] for part in parts]) for at in range(3)]
    return Selected(torch.stack(units), tuple(scalers), *stacked)


def fit_sparse(
    selected: Selected, label: torch.Tensor, split: Split, ks: Sequence[int], C: float = 1.0
) -> SparseProbes:
    """Converged probes of every layer for ascending `ks`, each begun at the one before; `label` bool [example]."""
    rows = feature_rows(selected.train)
    train_label = label[torch.from_numpy(split.train)]
    fits: list[Logistic] = []
    for k in ks:
        fits.append(fit_rows(rows, train_label, k, C, fits[-1] if fits else None))
    return SparseProbes(tuple(ks), tuple(fits), *(_logits(part, fits) for part in (selected.validation, selected.test)))


def _logits(x: torch.Tensor, fits: Sequence[Logistic]) -> np.ndarray:
    """float64 [layer, k, example] of scaled features [layer, example, k]."""
    wide = as_float64(x)
    return np.asarray(torch.stack([fit.logits(wide[..., : fit.weight.shape[1]]) for fit in fits], dim=1).cpu().numpy())


def choose(logits: np.ndarray, label: np.ndarray) -> tuple[int, ...]:
    """The best of probes by validation logits [..., example]: highest MCC, then AUC, then the earliest; its indices."""
    flat = logits.reshape(-1, logits.shape[-1])
    table = scores(flat, label, np.arange(len(label)))
    best = max(range(len(flat)), key=lambda at: (round(float(table.mcc[at]), 9), round(float(table.auc[at]), 9), -at))
    return tuple(int(index) for index in np.unravel_index(best, logits.shape[:-1]))
