"""How well logits tell a label, with bands of a bootstrap over documents. numpy, float64.

F1, precision, recall and MCC are of the threshold 0 unless another is given; AUC and average precision (the area under
the precision-recall curve, as a sum over its steps) are of the logits. Where nothing is predicted, F1, precision and
MCC are 0, as scikit-learn has it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.errors import UserError
from workbench.statistics import BOOTSTRAPS, resampled

NAMES = ("f1", "precision", "recall", "mcc", "auc", "average_precision")


@dataclass(frozen=True)
class Scores:
    """Of probes on one set of examples; float64 [probe] each."""

    f1: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    mcc: np.ndarray
    auc: np.ndarray
    average_precision: np.ndarray
    always_f1: float
    """F1 of calling every example positive: 2p / (1 + p), p the share of positives"""
    n: int
    """examples"""
    documents: int


def scores(logits: np.ndarray, label: np.ndarray, document: np.ndarray, threshold: float = 0.0) -> Scores:
    """Of logits [probe, example]; `label` bool, `document` int [example]."""
    once = np.ones((1, len(label)))
    table = _counts(logits, label, threshold, np.zeros(len(label), np.int64), 1)
    columns = dict(zip(NAMES, _of_counts(table[:, 0]), strict=False))
    ranked = [ranked_scores(row, label, once) for row in logits]
    columns["auc"], columns["average_precision"] = (np.array([pair[at][0] for pair in ranked]) for at in (0, 1))
    share = float(label.mean())
    return Scores(
        **columns, always_f1=2 * share / (1 + share), n=len(label), documents=len(np.unique(document))
    )  # fmt: skip


def bands(
    logits: np.ndarray,
    label: np.ndarray,
    document: np.ndarray,
    seed: int,
    threshold: float = 0.0,
    draws: int = BOOTSTRAPS,
) -> dict[str, np.ndarray]:
    """2.5 % and 97.5 % of each of `NAMES` over resampled documents, [probe, 2]; the same draws for every probe."""
    times, place = resampled(document, np.random.default_rng(seed), draws)
    table = _counts(logits, label, threshold, place, times.shape[1])
    drawn = dict(zip(NAMES, _of_counts(np.einsum("bd,pdc->pbc", times, table)), strict=False))
    weights = times[:, place]
    ranked = [ranked_scores(row, label, weights) for row in logits]
    drawn["auc"], drawn["average_precision"] = (np.stack([pair[at] for pair in ranked]) for at in (0, 1))
    return {name: np.nanpercentile(values, [2.5, 97.5], axis=1).T for name, values in drawn.items()}


def _counts(logits: np.ndarray, label: np.ndarray, threshold: float, place: np.ndarray, groups: int) -> np.ndarray:
    """True positives, false positives, false negatives and true negatives, float64 [probe, group, 4]."""
    table = np.empty((len(logits), groups, 4))
    for row, predicted in zip(table, logits > threshold, strict=True):
        for at, (guess, truth) in enumerate(((True, True), (True, False), (False, True), (False, False))):
            row[:, at] = np.bincount(place[(predicted == guess) & (label == truth)], minlength=groups)
    return table


def _of_counts(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """F1, precision, recall and MCC of counts [..., 4]."""
    tp, fp, fn, tn = np.moveaxis(counts, -1, 0)
    product = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return (
        _share(2 * tp, 2 * tp + fp + fn), _share(tp, tp + fp), _share(tp, tp + fn), _share(tp * tn - fp * fn, product),
    )  # fmt: skip


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.asarray(np.divide(part, whole, out=np.zeros_like(part), where=whole > 0))


def ranked_scores(logits: np.ndarray, label: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUC and average precision of one probe's logits [example] under weights [draw, example]: float64 [draw] each.

    Ties count half in the AUC and are one step of the curve. nan for a draw without one of the classes.
    """
    order = np.argsort(-logits, kind="stable")
    descending = logits[order]
    starts = np.flatnonzero(np.concatenate(([True], descending[1:] != descending[:-1])))
    weights = weights[:, order]
    inside = np.add.reduceat(weights * label[order], starts, axis=1)
    outside = np.add.reduceat(weights * ~label[order], starts, axis=1)
    hits, misses = np.cumsum(inside, axis=1), np.cumsum(outside, axis=1)
    positives, negatives = hits[:, -1], misses[:, -1]
    above = (outside * (hits - inside / 2)).sum(axis=1)
    precision = (inside * _share(hits, hits + misses)).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        area = above / (positives * negatives)
        return area, np.where(np.isnan(area), np.nan, precision / positives)


@dataclass(frozen=True)
class Curve:
    """Precision and recall at every threshold, from the lowest; an example at a threshold is predicted."""

    threshold: np.ndarray
    """float64 [step], ascending"""
    precision: np.ndarray
    recall: np.ndarray


def precision_recall(logits: np.ndarray, label: np.ndarray) -> Curve:
    """Of one probe's logits [example]; `label` bool [example]."""
    thresholds, place = np.unique(logits, return_inverse=True)
    hits = np.cumsum(np.bincount(place, label)[::-1])[::-1]
    predicted = np.cumsum(np.bincount(place)[::-1])[::-1]
    return Curve(thresholds, hits / predicted, hits / max(1, int(label.sum())))


def threshold_at(ordinary: np.ndarray, rate: float = 0.01) -> float:
    """The lowest threshold that at most a part `rate` of the logits of ordinary text [token] lie above.

    Raises UserError where there are fewer than 1 / rate of them: none of them could be a false positive then.
    """
    if len(ordinary) * rate < 1:
        least = int(np.ceil(1 / rate))
        raise UserError(
            f"a threshold at {rate:.0%} false positives needs {least} tokens of ordinary text, not {len(ordinary)}"
        )
    allowed = int(np.floor(len(ordinary) * rate + 1e-9))
    return float(np.sort(ordinary)[len(ordinary) - allowed - 1])


def recall_above(logits: np.ndarray, label: np.ndarray, threshold: float) -> float:
    """Share of the positives whose logits [example] lie above a threshold; nan where there are none."""
    return float((logits[label] > threshold).mean()) if label.any() else float("nan")
