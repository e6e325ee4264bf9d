"""Adaptive thresholding: an elastic net on the units kept so far says which of them to keep next (METHODS, "Sparse
probes").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from workbench.lab.probing.elastic_net import fit_elastic_net
from workbench.lab.probing.logistic import Logistic


@dataclass(frozen=True)
class Kept:
    """The elastic net on k units of each layer."""

    members: torch.Tensor
    """int64 [layer, k], which of the features it was given, by their rank when they were kept"""
    fit: Logistic
    """of these; its own score is the one to report"""

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """float64 [layer, example] of all the scaled features [layer, example, feature]."""
        return self.fit.logits(_of_members(x, self.members))


def adaptive_thresholding(x: torch.Tensor, label: torch.Tensor, ks: Sequence[int]) -> list[Kept]:
    """For each of `ks`, from the largest down, the k features of largest weight among those kept before.

    x [layer, example, feature] are scaled train features, best-ranked first; `label` bool [example]. Each elastic net
    has C = k / 20 and l1_ratio = exp(−k / 20), between .1 and .9. Weights that tie keep their rank.
    """
    members = torch.arange(x.shape[2], device=x.device).expand(len(x), -1)
    start: Logistic | None = None
    results = []
    for k in sorted(ks, reverse=True):
        members = members[:, :k]
        if start is not None:
            start = Logistic(start.weight[:, :k], start.intercept)
        fit = fit_elastic_net(_of_members(x, members), label, k / 20, min(max(math.exp(-k / 20), 0.1), 0.9), start)
        results.append(Kept(members, fit))
        order = fit.weight.abs().argsort(dim=1, descending=True, stable=True)
        members = members.gather(1, order.to(members.device))
        start = Logistic(fit.weight.gather(1, order), fit.intercept)
    return results


def _of_members(x: torch.Tensor, members: torch.Tensor) -> torch.Tensor:
    """[layer, example, k] of x [layer, example, feature]."""
    return x.gather(2, members[:, None].expand(-1, x.shape[1], -1))
