"""Means with clustered errors, percentiles among controls, AUC, bootstrap: each once. numpy only, float64.

Definitions: METHODS, "Standard errors", "Controls" and "Best of many". A cluster is what is drawn independently: a
prompt, a document.
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
NORMAL_95 = 1.959963984540054
"""standard errors that 95 % of a normal distribution lie within"""


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


def wilson(successes: int, n: int) -> tuple[float, float]:
    """95 % interval of a share, `successes` of `n` (Wilson 1927); nan for none."""
    if not n:
        return float("nan"), float("nan")
    share, z2 = successes / n, NORMAL_95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    reach = NORMAL_95 / (1 + z2 / n) * float(np.sqrt(share * (1 - share) / n + z2 / (4 * n * n)))
    # At 0 and n one end is the share itself: rounding must not move it past.
    return min(share, middle - reach), max(share, middle + reach)


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
    """Correlation of ranks [value]; equal values share the mean of their ranks."""
    return float(np.corrcoef(_ranks(first), _ranks(second))[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    """float64 [value], counted from 1."""
    _, place, times = np.unique(values, return_inverse=True, return_counts=True)
    last: np.ndarray = np.cumsum(times)
    return (last - (times - 1) / 2)[place]


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
    times, place = resampled(cluster, generator)
    low, high = np.nanpercentile([statistic(row[place]) for row in times], [2.5, 97.5])
    return float(low), float(high)


def resampled(
    cluster: np.ndarray, generator: np.random.Generator, draws: int = BOOTSTRAPS
) -> tuple[np.ndarray, np.ndarray]:
    """How often each draw takes each cluster, float64 [draw, cluster], and which cluster a value is of, int64 [value].

    `cluster` is any number [value]; clusters come in its order.
    """
    numbers, place = np.unique(cluster, return_inverse=True)
    n = len(numbers)
    times = np.stack([np.bincount(generator.integers(0, n, n), minlength=n) for _ in range(draws)])
    return times.astype(np.float64), place


# --- separation along a direction, on what it was not fitted on ---------------------------------------

FOLDS = 5


def stratified_folds(label: np.ndarray, random: np.random.Generator, n: int = FOLDS) -> np.ndarray:
    """Which fold each value is in, int64 [value]: both classes of `label` (bool) are spread evenly, at random."""
    fold = np.empty(len(label), np.int64)
    for members in (np.flatnonzero(label), np.flatnonzero(~label)):
        fold[random.permutation(members)] = np.arange(len(members)) % n
    return fold


def balanced_shuffles(label: np.ndarray, fold: np.ndarray, n: int, random: np.random.Generator) -> np.ndarray:
    """`n` labellings, bool [shuffle, value], as many with the label, and each class in equal shares on both sides.

    Of two classes of one size half of each is on each side (METHODS, "Controls"). Every fold is drawn by itself, shares
    that are no whole number rounded at random, so that a direction of some folds says nothing of the labels in another:
    the mean AUC is ½.
    """
    shuffled = np.zeros((n, len(label)), bool)
    folds = [[np.flatnonzero((fold == at) & (label == side)) for side in (True, False)] for at in np.unique(fold)]
    share = label.mean()
    for row in shuffled:
        for groups in folds:
            size, drawn = sum(map(len, groups)), 0
            while not 0 < drawn < size:  # of a few values rounding may leave a side empty
                chosen = [int(share * len(members) + random.random()) for members in groups]
                drawn = sum(chosen)
            for members, n_chosen in zip(groups, chosen, strict=True):
                row[random.permutation(members)[:n_chosen]] = True
    return shuffled


def class_sums(states: np.ndarray, labels: np.ndarray, fold: np.ndarray, n: int = FOLDS) -> np.ndarray:
    """Sums of states [value, width] without and with the label, float64 [labelling, fold, side, width].

    `labels` is bool [labelling, value], `fold` int [value]. Sums of parts of the values add up.
    """
    sums = np.empty((len(labels), n, 2, states.shape[1]))
    for at in range(n):
        inside = fold == at
        rows = np.asarray(states[inside], np.float64)
        sums[:, at, 1] = labels[:, inside].astype(np.float64) @ rows
        sums[:, at, 0] = rows.sum(axis=0) - sums[:, at, 1]
    return sums


def class_counts(labels: np.ndarray, fold: np.ndarray, n: int = FOLDS) -> np.ndarray:
    """How many values each of the sums is of, float64 [labelling, fold, side]."""
    return np.asarray(class_sums(np.ones((len(fold), 1)), labels, fold, n)[..., 0])


def mean_differences(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """mean(with the label) − mean(without) over all folds, float64 [labelling, width]."""
    means = sums.sum(axis=1) / counts.sum(axis=1)[..., None]
    return np.asarray(means[:, 1] - means[:, 0])


def held_out_directions(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """For each fold the unit mean difference of the other folds, float64 [labelling, fold, width]; 0 where it is 0."""
    other_sums = sums.sum(axis=1, keepdims=True) - sums
    other_counts = counts.sum(axis=1, keepdims=True) - counts
    means = other_sums / other_counts[..., None]
    differences = means[:, :, 1] - means[:, :, 0]
    norms = np.linalg.norm(differences, axis=-1, keepdims=True)
    return np.asarray(np.divide(differences, norms, out=np.zeros_like(differences), where=norms > 0))


def held_out_projections(states: np.ndarray, directions: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Each state [value, width] on the direction of its own fold [labelling, fold, width]: [labelling, value]."""
    projections = np.empty((len(directions), len(states)))
    for at in range(directions.shape[1]):
        inside = fold == at
        projections[:, inside] = directions[:, at] @ np.asarray(states[inside], np.float64).T
    return projections


def separations(projections: np.ndarray, labels: np.ndarray, fold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUC and d′ of held-out projections, float64 [labelling] each; projections and labels (bool) [labelling, value].

    Both within folds, since each has a direction of its own: the mean of the folds' AUCs; the mean of their differences
    of class means, over the root of the mean of the two classes' variances within folds.
    """
    folds = [fold == at for at in np.unique(fold)]
    # Equal states may be a rounding apart: sums depend on where a row stands. They are ties.
    scale = np.abs(projections).max(axis=1, keepdims=True)
    ties = np.round(np.divide(projections, scale, out=np.zeros_like(projections), where=scale > 0), 9)
    aucs = [[auc(row[inside], label[inside]) for inside in folds] for row, label in zip(ties, labels, strict=True)]
    differences, squares, freedom = [], np.zeros((len(labels), 2)), np.zeros((len(labels), 2))
    for inside in folds:
        values = projections[:, inside]
        means = []
        for side in (0, 1):
            members = labels[:, inside] == bool(side)
            n = members.sum(axis=1)
            means.append((values * members).sum(axis=1) / n)
            squares[:, side] += (((values - means[-1][:, None]) * members) ** 2).sum(axis=1)
            freedom[:, side] += n - 1
        differences.append(means[1] - means[0])
    spread = np.sqrt((squares / np.maximum(freedom, 1)).mean(axis=1))
    difference = np.mean(differences, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        d_prime = np.where(difference == 0, 0.0, difference / spread)
    return np.mean(aucs, axis=1), d_prime


def prediction_band(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where 95 % of further draws fall, from a few draws [draw, …] of about a normal distribution; [...] each.

    mean ± t · sd · √(1 + 1/n), t the quantile of Student's distribution of n − 1 degrees of freedom.
    """
    n = len(draws)
    reach = _student(n - 1) * draws.std(axis=0, ddof=1) * np.sqrt(1 + 1 / n)
    middle = draws.mean(axis=0)
    return np.asarray(middle - reach), np.asarray(middle + reach)


def _student(freedom: int) -> float:
    """97.5 % quantile of Student's t, to 1e-3 from 4 degrees of freedom on (Abramowitz & Stegun 26.7.5)."""
    z = 1.959963984540054
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return float(sum(term / freedom**power for power, term in enumerate(terms)))
