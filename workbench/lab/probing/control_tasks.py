"""What a probe would score without a feature to find: labels that only the token's type tells, rotated activations.

Control tasks: Hewitt & Liang 2019, "Designing and interpreting probes with control tasks".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from workbench.errors import UserError

DRAWS = 5


@dataclass(frozen=True)
class ControlTask:
    """Labels drawn once a type, the same for all examples of the type, in train and test."""

    labels: np.ndarray
    """bool [draw, example]"""
    balance: np.ndarray
    """float64 [draw], share of positives reached"""
    largest_share: float
    """of the examples, of the most frequent type: the balance can miss the set's by half of that"""


def control_task(types: np.ndarray, label: np.ndarray, seed: int, draws: int = DRAWS) -> ControlTask:
    """Random labels of `types` (int [example]: the probed token, or the one before), as many positive as in `label`.

    Raises UserError where all examples have one type: such labels would be constant.
    """
    _, place, counts = np.unique(types, return_inverse=True, return_counts=True)
    if len(counts) < 2:
        raise UserError("the probed token is the same in every example: a control task needs the token before it")
    random = np.random.default_rng(seed)
    labels = np.stack([_positive_types(counts, label.mean() * len(label), random)[place] for _ in range(draws)])
    return ControlTask(labels, labels.mean(axis=1), float(counts.max() / len(types)))


def _positive_types(counts: np.ndarray, target: float, random: np.random.Generator) -> np.ndarray:
    """Which types are positive, bool [type]: in random order each that brings their number nearer to the target."""
    positive = np.zeros(len(counts), bool)
    total = 0
    for at in random.permutation(len(counts)):
        nearer = abs(total + counts[at] - target) < abs(total - target)
        if nearer and total + counts[at] < counts.sum():
            positive[at] = True
            total += counts[at]
    if not total:
        positive[counts.argmin()] = True
    return positive


@dataclass(frozen=True)
class Selectivity:
    """A probe's scores on new examples beside the means of the same probe on control tasks."""

    auc: float
    mcc: float
    control_auc: float
    control_mcc: float

    @property
    def auc_difference(self) -> float:
        """Selectivity, in AUC."""
        return self.auc - self.control_auc

    @property
    def mcc_difference(self) -> float:
        """Selectivity, in MCC."""
        return self.mcc - self.control_mcc


def selectivity(
    evaluate: Callable[[np.ndarray], tuple[float, float]], label: np.ndarray, task: ControlTask
) -> Selectivity:
    """Of a probe that `evaluate` fits to labels (bool [example]) on train, and gives the AUC and MCC of on test."""
    auc, mcc = evaluate(label)
    control_auc, control_mcc = np.nanmean([evaluate(labels) for labels in task.labels], axis=0)
    return Selectivity(auc, mcc, float(control_auc), float(control_mcc))


def haar(d: int, generator: torch.Generator) -> torch.Tensor:
    """A random rotation or reflection, uniform among them (Mezzadri 2007): float32 [d, d], drawn on the CPU."""
    basis, triangle = torch.linalg.qr(torch.randn(d, d, generator=generator))
    return basis * triangle.diagonal().sign()


def rotated(x: torch.Tensor, seed: int, draws: int = DRAWS) -> Iterator[torch.Tensor]:
    """Activations x [example, unit] in random bases: what single units tell where the basis means nothing."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(draws):
        yield x.float() @ haar(x.shape[1], generator).to(x.device)
