"""Probes that read no activations: the token's identity, the n-gram that ends at it, the tokens of a text (METHODS,
"Sparse probes").

What they tell needs no model. Logistic regressions as the others (L2, balanced, converged), on features that are 1
where an example has them; numpy alone, since there are as many features as types and each example has a few.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

Features = Sequence[Collection[Hashable]]
"""what each example has, each once"""

_TOLERANCE = 1e-8
_STEPS = 200


def identities(tokens: Sequence[int]) -> Features:
    """The probed token of each example."""
    return [(token,) for token in tokens]


def ngrams(contexts: Sequence[Sequence[int]], n: int = 2) -> Features:
    """The last 1, 2 … n tokens of each example, the probed one last."""
    return [{tuple(context[-size:]) for size in range(1, n + 1)} for context in contexts]


def bags(texts: Sequence[Sequence[int]]) -> Features:
    """Which tokens each text has."""
    return [frozenset(text) for text in texts]


@dataclass(frozen=True)
class TokenProbe:
    """A weight for each feature seen in train; features never seen say nothing."""

    weight: dict[Hashable, float]
    intercept: float

    def logits(self, examples: Features) -> np.ndarray:
        """float64 [example]."""
        sums = [sum(self.weight.get(feature, 0.0) for feature in features) for features in examples]
        return np.array(sums, np.float64) + self.intercept


def fit_tokens(examples: Features, label: np.ndarray, C: float = 1.0) -> TokenProbe:
    """Of train examples; `label` bool [example], both classes."""
    columns: dict[Hashable, int] = {}
    entries = [columns.setdefault(feature, len(columns)) for features in examples for feature in features]
    column = np.array(entries, np.int64)
    row = np.repeat(np.arange(len(examples)), [len(features) for features in examples])
    weight = _newton(_Entries(row, column, len(examples), len(columns)), label, C)
    return TokenProbe(dict(zip(columns, weight[:-1].tolist(), strict=True)), float(weight[-1]))


@dataclass(frozen=True)
class _Entries:
    """A matrix [example, feature + 1] of ones at (row, column), the last column full of them."""

    row: np.ndarray
    column: np.ndarray
    examples: int
    features: int

    def times(self, weight: np.ndarray) -> np.ndarray:
        """[example]."""
        return np.asarray(np.bincount(self.row, weight[self.column], self.examples) + weight[-1])

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Of values [example] over the examples that have a feature: [feature + 1]."""
        return np.append(np.bincount(self.column, values[self.row], self.features), values.sum())


def _newton(entries: _Entries, label: np.ndarray, C: float) -> np.ndarray:
    """Converged weights, the intercept last: steps by conjugate gradients, damped as in `logistic`."""
    n = len(label)
    weights = np.where(label, 1 / (2 * label.sum()), 1 / (2 * (~label).sum()))
    ridge = np.append(np.full(entries.features, 1 / (C * n)), 0.0)
    beta, z = np.zeros(entries.features + 1), np.zeros(n)
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(z, -500, 500)))
        gradient = entries.sums(weights * (p - label)) + ridge * beta
        if np.abs(gradient).max() <= min(_TOLERANCE, 1 / (1000 * C * n)):
            return beta
        step, moved = _conjugate_gradients(entries, weights * p * (1 - p), ridge, gradient)
        reach = float(np.abs(moved).max())
        length = 1.0 if reach <= 1 else float(np.log1p(reach)) / reach
        beta, z = beta + length * step, z + length * moved
    raise ArithmeticError("a logistic regression on tokens has not converged")


def _conjugate_gradients(
    entries: _Entries, curvature: np.ndarray, ridge: np.ndarray, gradient: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A Newton step to a hundredth of the gradient, and how it moves the logits; scaled by the Hessian's diagonal."""
    diagonal = entries.sums(curvature) + ridge + 1e-12
    step, moved, residual = np.zeros_like(gradient), np.zeros_like(curvature), -gradient
    solved = residual / diagonal
    direction, product = solved, residual @ solved
    enough = 0.01 * np.abs(gradient).max()
    for _ in range(len(gradient)):
        along = entries.times(direction)
        image = entries.sums(curvature * along) + ridge * direction
        length = product / (direction @ image)
        step, moved, residual = step + length * direction, moved + length * along, residual - length * image
        if np.abs(residual).max() <= enough:
            break
        solved = residual / diagonal
        product, last = residual @ solved, product
        direction = solved + product / last * direction
    return step, moved
