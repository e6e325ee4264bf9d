"""Differences of class means at every layer and position, and how well each separates prompts it was not made from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from workbench.lab.directions.states import end_states
from workbench.lab.loaded import Model
from workbench.lab.prompts import Prompt
from workbench.report import Report
from workbench.statistics import (
    balanced_shuffles,
    class_counts,
    class_sums,
    held_out_directions,
    held_out_projections,
    mean_differences,
    separations,
    stratified_folds,
)


@dataclass(frozen=True)
class Candidate:
    """mean(positive) − mean(negative) at one layer and position, beside the same with shuffled labels."""

    layer: int
    position: int
    """from the end: −1 is the last token"""
    direction: np.ndarray
    """from all prompts, not normalised, float64 [d_model]"""
    auc: float
    """cross-fitted"""
    d_prime: float
    """cross-fitted"""
    projections: np.ndarray
    """of each prompt on the unit direction of the folds it is not in, less the fold's mean, float64 [prompt]"""
    shuffled_auc: np.ndarray
    """[shuffle]"""
    shuffled_norm: np.ndarray
    """[shuffle]"""

    @property
    def norm(self) -> float:
        return float(np.linalg.norm(self.direction))

    @property
    def rank(self) -> tuple[float, float]:
        """The largest is the best: by AUC, then by d′. A direction of no length is none, and never is the best."""
        return (self.auc, self.d_prime) if self.norm > 0 else (-1.0, 0.0)


@dataclass
class Candidates:
    """All layers and positions that are there so far, and the labels they share."""

    n_positions: int
    labels: np.ndarray
    """bool [1 + shuffle, prompt]: the labels, and shuffled ones"""
    fold: np.ndarray
    """int64 [prompt]"""
    by_layer: list[list[Candidate]] = field(default_factory=list)
    """[layer][position], first layers first"""

    def __iter__(self) -> Iterator[Candidate]:
        return (candidate for row in self.by_layer for candidate in row)

    @property
    def auc(self) -> np.ndarray:
        """[layer, position]"""
        return np.asarray([[candidate.auc for candidate in row] for row in self.by_layer])

    @property
    def shuffled_auc(self) -> np.ndarray:
        """[shuffle, layer, position]"""
        return np.asarray([[candidate.shuffled_auc for candidate in row] for row in self.by_layer]).transpose(2, 0, 1)


def candidates(
    model: Model,
    positive: Sequence[Prompt],
    negative: Sequence[Prompt],
    n_positions: int,
    n_shuffles: int,
    seed: int,
    report: Report,
) -> Iterator[Candidates]:
    """Every layer's input at the last `n_positions` tokens; comes again whenever a layer is done.

    Separation is cross-fitted: five folds by prompt, each projected on the mean difference of the other four.
    """
    states = end_states(model, [*positive, *negative], n_positions, report)
    label = np.arange(len(positive) + len(negative)) < len(positive)
    random = np.random.default_rng(seed)
    fold = stratified_folds(label, random)
    labels = np.concatenate([label[None], balanced_shuffles(label, fold, n_shuffles, random)])
    measured = Candidates(n_positions, labels, fold)
    for layer in report.track(range(len(states)), "layers", stage="separation"):
        measured.by_layer.append(
            [candidate(layer, at - n_positions, states[layer, at], labels, fold) for at in range(n_positions)]
        )
        yield measured


def candidate(layer: int, position: int, states: torch.Tensor, labels: np.ndarray, fold: np.ndarray) -> Candidate:
    """Of states [prompt, d_model]; `labels` are the labels and shuffled ones, bool [1 + shuffle, prompt]."""
    rows = states.double().numpy()
    # Without what is common: differences stay, projections but for a constant. A token that is the same in all prompts
    # has the same state at layer 0: that becomes exactly 0.
    rows = rows - rows[0]
    sums, counts = class_sums(rows, labels, fold), class_counts(labels, fold)
    differences = mean_differences(sums, counts)
    projections = held_out_projections(rows, held_out_directions(sums, counts), fold)
    auc, d_prime = separations(projections, labels, fold)
    norms = np.linalg.norm(differences, axis=1)
    own = projections[0]
    means = np.asarray([own[fold == at].mean() for at in np.unique(fold)])
    return Candidate(layer, position, differences[0], auc[0], d_prime[0], own - means[fold], auc[1:], norms[1:])
