"""From accumulated sums to columns. All means and moments in float64; nothing here knows of models.

Definitions: METHODS, "Neuron statistics" and "Standard errors", and Gurnee et al. 2024 (kurtosis is not excess;
variance reduction over binary token features).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from workbench.index.format import Counts
from workbench.statistics import clustered_error, streamed_spread

Arrays = Mapping[str, np.ndarray]


class Moments(NamedTuple):
    """All float64 [neuron]; nan where there are no tokens."""

    mean: np.ndarray
    variance: np.ndarray
    skew: np.ndarray
    kurtosis: np.ndarray


def moments(sums: np.ndarray, n: int) -> Moments:
    """From power sums [4, neuron] of n values. Skew and kurtosis of a constant are nan."""
    if n == 0:
        nothing = np.full(sums.shape[1], np.nan)
        return Moments(nothing, nothing, nothing, nothing)
    raw = sums / n
    mean = raw[0]
    variance = np.maximum(raw[1] - mean**2, 0)
    third = raw[2] - 3 * mean * raw[1] + 2 * mean**3
    fourth = raw[3] - 4 * mean * raw[2] + 6 * mean**2 * raw[1] - 3 * mean**4
    with np.errstate(divide="ignore", invalid="ignore"):
        # A variance this far below the second moment is what rounding leaves of a constant.
        safe = np.where(variance > 1e-12 * raw[1], variance, np.nan)
        return Moments(mean, variance, third / safe**1.5, fourth / safe**2)


def clustered_se(arrays: Arrays, counts: Counts) -> np.ndarray:
    """Standard error of the mean, clustered by document, float64 [neuron]; nan with fewer than two documents.

    A document still open counts as it stands.
    """
    open_sums = arrays["open_sums"]
    open_counts = arrays["open_counts"].astype(np.float64)
    squares = arrays["clusters"][0] + (open_sums**2).sum(axis=0)
    cross = arrays["clusters"][1] + (open_sums * open_counts[:, None]).sum(axis=0)
    n_squares = counts.closed_squares + float((open_counts**2).sum())
    n, documents = sum(counts.tokens), counts.closed_documents + int((open_counts > 0).sum())
    if n == 0:
        return np.full(squares.shape, np.nan)
    mean = arrays["sums"][:, 0].sum(axis=0) / n
    return clustered_error(streamed_spread(squares, cross, n_squares, mean), documents, n)


def variance_reduction(
    sums: np.ndarray, squares: np.ndarray, n: int, inside: np.ndarray, count: np.ndarray
) -> np.ndarray:
    """Σ_c f_c (μ_c − μ)² / Var a over the two classes of each binary feature, float64 [feature, neuron].

    `sums`, `squares` [neuron] over n tokens; `inside` [feature, neuron] sums over the `count` [feature] tokens with
    the feature. nan where a feature holds for none or for all tokens.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = sums / n
        variance = np.maximum(squares / n - mean**2, 0)
        variance = np.where(variance > 1e-12 * squares / n, variance, np.nan)
        share = (count / n)[:, None]
        apart = inside / count[:, None] - mean
        # f(μ₁−μ)² + (1−f)(μ₀−μ)² = f/(1−f) (μ₁−μ)²
        result: np.ndarray = share / (1 - share) * apart**2 / variance
    result[(count <= 0) | (count >= n)] = np.nan
    return result


def explain(arrays: Arrays, counts: Counts) -> dict[str, np.ndarray]:
    """The best feature, chosen on one half of the documents, and its variance reduction on the other.

    `best` int16 [neuron] (−1: none), `vr` float32 (held out), `vr_chosen` float32 (on the half that chose, optimistic),
    `best_sign` int8: whether the mean is higher (+1) or lower (−1) where the feature holds.
    """
    n_neurons = arrays["sums"].shape[2]
    n_features = arrays["features"].shape[1]
    best = np.full(n_neurons, -1, dtype=np.int16)
    held, chosen = (np.full(n_neurons, np.nan, dtype=np.float32) for _ in range(2))
    sign = np.zeros(n_neurons, dtype=np.int8)
    if min(counts.tokens) == 0 or n_features == 0:
        return {"best": best, "vr": held, "vr_chosen": chosen, "best_sign": sign}
    feature_counts = arrays["feature_counts"].astype(np.float64)
    for start in range(0, n_neurons, 8192):
        part = slice(start, start + 8192)
        both = [
            variance_reduction(
                arrays["sums"][half, 0, part],
                arrays["sums"][half, 1, part],
                counts.tokens[half],
                arrays["features"][half][:, part],
                feature_counts[half],
            )
            for half in (0, 1)
        ]
        score = np.nan_to_num(both[0], nan=-1.0)
        pick = score.argmax(axis=0)
        columns = np.arange(pick.size)
        has_feature = score[pick, columns] >= 0
        best[part] = np.where(has_feature, pick, -1)
        chosen[part] = np.where(has_feature, both[0][pick, columns], np.nan)
        held[part] = np.where(has_feature, both[1][pick, columns], np.nan)
        means = arrays["features"][0][pick, start + columns] / np.maximum(feature_counts[0][pick], 1)
        sign[part] = np.where(has_feature, np.sign(means - arrays["sums"][0, 0, part] / counts.tokens[0]), 0)
    return {"best": best, "vr": held, "vr_chosen": chosen, "best_sign": sign}


def columns(arrays: Arrays, counts: Counts, tokens: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Every per-neuron column that follows from the accumulators, float32 [neuron] where not said otherwise.

    `tokens` is not needed for any of them.
    """
    n = sum(counts.tokens)
    activation_moments = moments(arrays["sums"].sum(axis=0), n)
    squares = arrays["sums"][:, 1].sum(axis=0)
    nothing = np.full(activation_moments.mean.shape, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        result = {
            "mean": activation_moments.mean,
            "variance": activation_moments.variance,
            "sd": np.sqrt(activation_moments.variance),
            "skew": activation_moments.skew,
            "kurtosis": activation_moments.kurtosis,
            "min": arrays["minimum"] if n else nothing,
            "max": arrays["maximum"] if n else nothing,
            "positive": arrays["positive_counts"] / n if n else nothing,
            "se": clustered_se(arrays, counts),
            "tail": np.where(squares > 0, arrays["positive_squares"] / squares, np.nan),
        }
    if "sign_counts" in arrays and counts.sampled:
        for case in range(4):
            result[f"signs_{case}"] = arrays["sign_counts"][case] / counts.sampled
    out = {name: values.astype(np.float32) for name, values in result.items()}
    if "features" in arrays:
        out |= explain(arrays, counts)
    return out
