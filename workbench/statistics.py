"""Means with clustered errors, percentiles among controls, AUC, bootstrap: each once. numpy only, float64.

Definitions: METHODS' rules for every number. A cluster is what is drawn independently: a prompt, a document.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = Sequence[float] | np.ndarray

RELATIVE_TIE = 1e-6
"""effects nearer to each other than this part of them are the same: rounding of float32 logits makes as much"""
BOOTSTRAPS = 200


# --- means -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mean:
    """A mean over clusters with its standard error (nan for a single one)."""

    value: float
    se: float
    n: int
    """clusters that have a value"""


def mean(values: Values) -> Mean:
    """Of one number a cluster, [cluster]."""
    return clustered_mean(values, np.ones(len(values)))


def clustered_mean(sums: Values, counts: Values) -> Mean:
    """Of all values, with the error clustered: sums and counts of values [cluster]; nan where nothing counts."""
    total, n = np.asarray(sums, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    if not n.sum():
        return Mean(float("nan"), float("nan"), 0)
    mu = float(total.sum() / n.sum())
    clusters = int((n > 0).sum())
    spread = ((total - n * mu) ** 2).sum()
    return Mean(mu, float(clustered_error(spread, clusters, float(n.sum()))), clusters)


def clustered_error(spread: npt.ArrayLike, clusters: int, n: float) -> np.ndarray:
    """Standard error of a mean of `n` values in `clusters`: SE² = D/(D−1) · Σ_d (S_d − n_d μ)² / N².

    `spread` is the sum of squares, of any shape; nan with fewer than two clusters.
    """
    squares = np.asarray(spread, dtype=np.float64)
    if clusters < 2 or not n:
        return np.full(squares.shape, np.nan)
    return np.asarray(np.sqrt(clusters / (clusters - 1) * squares) / n)


def streamed_spread(squares: np.ndarray, cross: np.ndarray, n_squares: float, mean: np.ndarray) -> np.ndarray:
    """Σ_d (S_d − n_d μ)² from what is streamed: ΣS_d², ΣS_d n_d, Σn_d² and μ."""
    return np.asarray(np.maximum(squares - 2 * mean * cross + mean**2 * n_squares, 0))


# --- among controls --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """How many controls are smaller than a value, equal to it within rounding, and larger."""

    smaller: int
    ties: int
    larger: int

    @property
    def percentile(self) -> float:
        """0 to 1: (smaller + ½(ties + 1)) / (n + 1), uniform for a value drawn as its controls are."""
        return (self.smaller + (self.ties + 1) / 2) / (self.smaller + self.ties + self.larger + 1)


def place_among(value: float, controls: Values, rounding: float = 0) -> Place:
    """Where an effect lies among its controls [control]; those within `rounding`, or RELATIVE_TIE of it, are ties."""
    values = np.asarray(controls, dtype=np.float64)
    ties = np.abs(values - value) <= max(rounding, RELATIVE_TIE * abs(value))
    smaller, larger = (values < value) & ~ties, (values > value) & ~ties
    return Place(int(smaller.sum()), int(ties.sum()), int(larger.sum()))


def kl_place_among(kl: float, controls: Values, rounding: float = 0) -> Place:
    """The same of KLs, where `rounding` is the KL that rounding alone makes.

    A KL is half the variance of the logits' change. What rounding adds to that change adds its own variance, and up
    to twice the product of both deviations: so roots of KLs are compared, and they are uncertain by √rounding.
    """
    return place_among(float(np.sqrt(kl)), np.sqrt(np.asarray(controls, dtype=np.float64)), float(np.sqrt(rounding)))


@dataclass(frozen=True)
class Band:
    """The middle nine tenths of controls."""

    low: float
    """5 %"""
    median: float
    high: float
    """95 %"""


def band(controls: Values) -> Band:
    """Of controls [control]; one value is its own band."""
    low, median, high = np.quantile(np.asarray(controls, dtype=np.float64), (0.05, 0.5, 0.95))
    return Band(float(low), float(median), float(high))


def chance_limits(lowest: Values, highest: Values) -> tuple[float, float]:
    """What the lowest and the highest of many units reach by chance (2.5 and 97.5 %), given both of each draw [draw].

    No interpolation: a limit is one that a draw has reached.
    """
    low = np.quantile(np.asarray(lowest, dtype=np.float64), 0.025, method="lower")
    high = np.quantile(np.asarray(highest, dtype=np.float64), 0.975, method="higher")
    return float(low), float(high)


# --- ranks -----------------------------------------------------------------------------------------


def rank_percentiles(values: np.ndarray) -> np.ndarray:
    """Of each value, the per cent of all that are smaller, ties counted half [value]; nan stays nan, uncounted."""
    numbers = np.asarray(values, np.float64)
    ordered = np.sort(numbers[~np.isnan(numbers)])
    if not len(ordered):
        return np.full(numbers.shape, np.nan)
    below = np.searchsorted(ordered, numbers, "left") + np.searchsorted(ordered, numbers, "right")
    return np.where(np.isnan(numbers), np.nan, 50 * below / len(ordered))


def rank_percentile(values: np.ndarray, index: int) -> float:
    """The same of one value, without sorting the others."""
    value = values[index]
    if np.isnan(value):
        return float("nan")
    smaller, equal = int((values < value).sum()), int((values == value).sum())
    return 100 * (smaller + equal / 2) / int(values.size - np.isnan(values).sum())


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation of ranks [value]; equal values are ranked in their order."""
    ranks = [np.argsort(np.argsort(values, kind="stable"), kind="stable") for values in (first, second)]
    return float(np.corrcoef(ranks[0].astype(np.float64), ranks[1].astype(np.float64))[0, 1])


# --- separation ------------------------------------------------------------------------------------


def auc(values: np.ndarray, label: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Chance that a value with the label is higher than one without; ties count half.

    `values`, `label` (bool) and `weight` [value]. nan where one of the classes has no weight.
    """
    weight = np.ones(len(values)) if weight is None else weight
    _, place = np.unique(values, return_inverse=True)
    inside = np.bincount(place, weight * label)
    outside = np.bincount(place, weight * ~label)
    below = np.cumsum(outside) - outside
    total = inside.sum() * outside.sum()
    return float((inside * (below + outside / 2)).sum() / total) if total else float("nan")


def bootstrap(
    statistic: Callable[[np.ndarray], float], cluster: np.ndarray, generator: np.random.Generator
) -> tuple[float, float]:
    """2.5 % and 97.5 % of `statistic(weight)` over resampled clusters; `cluster` and `weight` [value]."""
    numbers, place = np.unique(cluster, return_inverse=True)
    drawn = []
    for _ in range(BOOTSTRAPS):
        times = np.bincount(generator.integers(0, len(numbers), len(numbers)), minlength=len(numbers))
        drawn.append(statistic(times[place].astype(np.float64)))
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return float(low), float(high)
