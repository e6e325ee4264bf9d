"""What the best of all units reaches by chance: the labels permuted as documents allow, all units ranked each time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from workbench.lab.probing.single import aucs

DRAWS = 200
_BINS = 5000
"""of |AUC − ½|, from 0 to ½"""


def permuted_labels(label: np.ndarray, document: np.ndarray, n: int, random: np.random.Generator) -> np.ndarray:
    """`n` labellings that keep what belongs together, [draw, example]; `label` (bool or number), `document` [example].

    Labels of documents that have a single one are permuted among these documents; labels that vary inside a document
    are rotated within it, in the order of its examples.
    """
    _, place, sizes = np.unique(document, return_inverse=True, return_counts=True)
    order = np.argsort(place, kind="stable")
    first = np.cumsum(sizes) - sizes
    within = np.empty(len(label), np.int64)
    within[order] = np.arange(len(label)) - first[place[order]]
    first_label = label[order[first]]
    varies = np.bincount(place, label != first_label[place]) > 0
    draws = np.empty((n, len(label)), label.dtype)
    for row in draws:
        shift = random.integers(0, sizes)
        rotated = label[order[first[place] + (within + shift[place]) % sizes[place]]]
        of_document = first_label.copy()
        of_document[~varies] = random.permutation(of_document[~varies])
        row[:] = np.where(varies[place], rotated, of_document[place])
    return draws


@dataclass(frozen=True)
class BestOfAll:
    """|AUC − ½| of all units under permuted labels."""

    best: np.ndarray
    """float64 [draw], of the best unit"""
    beyond: np.ndarray
    """float64 [edge]: mean number of units at or beyond each of the evenly spaced edges 0 … ½"""

    def p(self, separation: float) -> float:
        """How often the best of all reaches a |AUC − ½| by chance: (draws at or above it + 1) / (draws + 1)."""
        return float(((self.best >= separation).sum() + 1) / (len(self.best) + 1))

    def expected(self, separation: float) -> float:
        """How many units chance puts at or beyond a |AUC − ½|, rounded up to one of 5,000 steps."""
        edge = min(int(np.floor(separation * 2 * _BINS)), _BINS)
        return float(self.beyond[max(0, edge)])


class PermutationNull:
    """Gathers the null of the best of all, a layer at a time."""

    def __init__(self, label: np.ndarray, document: np.ndarray, seed: int, draws: int = DRAWS) -> None:
        """Train labels (bool) and documents [example]."""
        self.labels = torch.from_numpy(permuted_labels(label, document, draws, np.random.default_rng(seed)))
        self._best = np.zeros(draws)
        self._counts = np.zeros(_BINS + 1)

    def add(self, ranks: torch.Tensor) -> None:
        """`rank_rows` of a layer, float32 [unit, example]."""
        away = (aucs(ranks, self.labels) - 0.5).abs()
        self._best = np.maximum(self._best, away.amax(dim=0).cpu().numpy())
        place = (away * (2 * _BINS)).to(torch.int64).clamp(max=_BINS)
        self._counts += torch.bincount(place.flatten(), minlength=_BINS + 1).cpu().numpy()

    def result(self) -> BestOfAll:
        """Of the layers added so far."""
        return BestOfAll(self._best, np.cumsum(self._counts[::-1])[::-1] / len(self._best))
