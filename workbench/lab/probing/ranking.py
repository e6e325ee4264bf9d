"""Which units of a layer to give a sparse probe first: rankers over train activations [example, unit]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from workbench.lab.metrics import as_float64
from workbench.lab.probing.elastic_net import TOLERANCE, fit_elastic_net
from workbench.lab.probing.scaling import Scaling, balanced_weights, check_classes, scale_rows, scaler, unit_rows

Ranker = Literal["mean difference", "f", "mutual information", "l1", "random"]
"""`f` orders two classes as the mean difference does."""

L1_C = 0.1
PREFILTER = 512
"""units of largest mean difference whose mutual information is estimated"""
NEIGHBOURS = 3
_WORKING_SET = 64
"""features that the L1 regression begins with, and takes in at a time"""


@dataclass(frozen=True)
class Ranking:
    """Units of a layer, best first."""

    order: torch.Tensor
    """int64 [unit], all of them"""
    score: torch.Tensor
    """float64 [unit], by unit; nan where it was not estimated"""


def rank_units(
    x: torch.Tensor, label: torch.Tensor, ranker: Ranker = "mean difference", seed: int = 0, scaling: Scaling = "sd"
) -> Ranking:
    """Of train activations x [example, unit] and labels (bool) [example]. Ties go by mean difference, then by number.

    `seed` is for `random`, and for the noise that breaks ties of mutual information.
    Raises UserError where a class is missing or a value is not finite.
    """
    check_classes(label)
    difference = mean_differences(x, label, scaling).abs()
    label = label.to(difference.device)
    if ranker == "f":
        score = f_statistics(x, label)
    elif ranker == "mutual information":
        tested = difference.argsort(descending=True, stable=True)[:PREFILTER]
        score = torch.full_like(difference, torch.nan)
        score[tested] = mutual_information(x[:, tested.to(x.device)], label, seed)
    elif ranker == "l1":
        score = l1_weights(x, label, scaling).abs()
    elif ranker == "random":
        score = torch.rand(len(difference), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        score = score.to(difference.device)
    else:
        score = difference
    by_difference = difference.argsort(descending=True, stable=True)
    again = score.nan_to_num(nan=-torch.inf)[by_difference].argsort(descending=True, stable=True)
    return Ranking(by_difference[again], score)


def mean_differences(x: torch.Tensor, label: torch.Tensor, scaling: Scaling = "sd") -> torch.Tensor:
    """mean(with the label) − mean(without), scaled by all train examples: float64 [unit]; 0 of a constant unit."""
    inside = as_float64(label)
    weights = (inside / inside.sum() - (1 - inside) / (1 - inside).sum()).float()
    differences = []
    for _, rows in unit_rows(x):
        scale_rows(rows, scaling)
        differences.append(rows @ weights.to(rows.device))
    return torch.cat(differences).double()


def f_statistics(x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Of a one-way analysis of variance between both classes: float64 [unit], as scikit-learn's `f_classif`."""
    n = len(label)
    share = int(label.sum()) / n
    # Of standardised values the sum of squares is n; between classes it is n p (1 − p) d².
    between = n * share * (1 - share) * mean_differences(x, label) ** 2
    return between * (n - 2) / (n - between).clamp(min=1e-300)


def mutual_information(x: torch.Tensor, label: torch.Tensor, seed: int, neighbours: int = NEIGHBOURS) -> torch.Tensor:
    """Nats between each unit and the label, float64 [unit]; as scikit-learn's `mutual_info_classif`.

    A nearest-neighbour estimate (Ross 2014, "Mutual information between discrete and continuous data sets"): how many
    of all values are nearer than the third neighbour of the same class. Noise of 1e-10 breaks ties.
    """
    rows = as_float64(x).T.contiguous()
    sd = rows.std(dim=1, correction=0, keepdim=True)
    rows = rows / torch.where(sd == 0, 1.0, sd)
    noise = torch.randn(rows.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    rows = rows + noise.to(rows.device) * 1e-10 * rows.abs().mean(dim=1, keepdim=True).clamp(min=1)
    label = label.to(rows.device)
    ordered = rows.sort(dim=1).values
    information = torch.digamma(torch.tensor(float(len(label)), dtype=torch.float64)).to(rows.device)
    total = torch.zeros(len(rows), dtype=torch.float64, device=rows.device)
    counted = 0
    for side in (True, False):
        members = rows[:, label == side].sort(dim=1).values
        size = members.shape[1]
        k = min(neighbours, size - 1)
        if not k:
            continue
        radius = _neighbour_distance(members, k)
        # Those nearer than the neighbour, the value itself among them.
        inside = _strictly_within(ordered, members, radius)
        constants = torch.digamma(torch.tensor([float(k), float(size)], dtype=torch.float64))
        total += size * float(constants[0] - constants[1]) - torch.digamma(inside).sum(dim=1)
        counted += size
    return (information + total / counted).clamp(min=0)


def _neighbour_distance(ordered: torch.Tensor, k: int) -> torch.Tensor:
    """From each value of ascending rows [unit, value] to its k-th nearest other."""
    n = ordered.shape[1]
    distance = torch.full_like(ordered, torch.inf)
    for below in range(k + 1):  # the k nearest are so many below and the others above
        low = torch.full_like(ordered, torch.inf)
        low[:, below:] = ordered[:, below:] - ordered[:, : n - below]
        high = torch.full_like(ordered, torch.inf)
        above = k - below
        high[:, : n - above] = ordered[:, above:] - ordered[:, : n - above]
        distance = torch.minimum(distance, torch.maximum(low, high))
    return distance


def _strictly_within(ordered: torch.Tensor, values: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    """How many of the ascending rows [unit, all] are nearer to each value than its radius [unit, value]."""
    n = ordered.shape[1]
    first = torch.searchsorted(ordered, (values - radius).contiguous(), right=True)
    end = torch.searchsorted(ordered, (values + radius).contiguous())
    # Sums are rounded: the values at both ends are asked for their own distance.
    at_first = (values - ordered.gather(1, first.clamp(max=n - 1))).abs() >= radius
    before = (values - ordered.gather(1, (first - 1).clamp(min=0))).abs() < radius
    at_end = (ordered.gather(1, end.clamp(max=n - 1)) - values).abs() < radius
    last = (ordered.gather(1, (end - 1).clamp(min=0)) - values).abs() >= radius
    first = first + at_first.long() - (before & (first > 0)).long()
    end = end + (at_end & (end < n)).long() - last.long()
    return (end - first).clamp(min=1).double()


def l1_weights(x: torch.Tensor, label: torch.Tensor, scaling: Scaling = "sd", C: float = L1_C) -> torch.Tensor:
    """Weights of a balanced logistic regression of all units with an L1 penalty, float64 [unit]; many are exactly 0.

    It is solved on the units that matter: those are taken in whose derivative exceeds the penalty, until none does.
    """
    scaled = as_float64(scaler(x, scaling)(x))
    label = label.to(scaled.device)
    n, units = scaled.shape
    sides, weights = as_float64(label), balanced_weights(label) / n
    p = torch.full_like(sides, 0.5)
    fitted = torch.zeros(units, dtype=torch.float64, device=scaled.device)
    members = torch.zeros(0, dtype=torch.int64, device=scaled.device)
    while True:
        slope = ((weights * (p - sides)) @ scaled).abs()
        slope[members] = 0
        beyond = (slope > 1 / (C * n) + TOLERANCE).nonzero()[:, 0]
        if not len(beyond):
            return fitted
        taken = beyond[slope[beyond].argsort(descending=True)][: max(_WORKING_SET, len(members) // 2)]
        members = torch.cat((members, taken))
        features = scaled[:, members][None]
        fit = fit_elastic_net(features, label, C, l1_ratio=1.0)
        p = torch.sigmoid(fit.logits(features)[0])
        fitted[members] = fit.weight[0]
