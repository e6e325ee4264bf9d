"""Scores from logits: against scikit-learn, and a bootstrap written as a loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics

from workbench.errors import UserError
from workbench.lab.probing.scores import bands, precision_recall, ranked_scores, recall_above, scores, threshold_at


def logits_with_ties(n: int = 300, probes: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    label = random.random(n) < 0.2
    return np.round(random.normal(size=(probes, n)) + label, 1), label, random.integers(0, 30, n)


def test_scores_are_scikit_learns() -> None:
    logits, label, document = logits_with_ties()
    ours = scores(logits, label, document)
    for at, row in enumerate(logits):
        predicted = row > 0
        assert ours.f1[at] == pytest.approx(metrics.f1_score(label, predicted))
        assert ours.precision[at] == pytest.approx(metrics.precision_score(label, predicted))
        assert ours.recall[at] == pytest.approx(metrics.recall_score(label, predicted))
        assert ours.mcc[at] == pytest.approx(metrics.matthews_corrcoef(label, predicted))
        assert ours.auc[at] == pytest.approx(metrics.roc_auc_score(label, row))
        assert ours.average_precision[at] == pytest.approx(metrics.average_precision_score(label, row))
    assert ours.always_f1 == pytest.approx(metrics.f1_score(label, np.ones_like(label)))
    assert (ours.n, ours.documents) == (300, 30)


def test_where_nothing_is_predicted_scores_are_0() -> None:
    _, label, document = logits_with_ties()
    ours = scores(np.full((1, len(label)), -1.0), label, document)
    assert (ours.f1[0], ours.precision[0], ours.recall[0], ours.mcc[0], ours.auc[0]) == (0, 0, 0, 0, 0.5)


def test_bands_are_those_of_a_loop_over_resampled_documents() -> None:
    logits, label, document = logits_with_ties(200, 2)
    ours = bands(logits, label, document, seed=3, draws=40)
    random = np.random.default_rng(3)
    numbers = np.unique(document)
    drawn: dict[str, list[float]] = {"f1": [], "mcc": [], "auc": [], "average_precision": []}
    for _ in range(40):
        members = [np.flatnonzero(document == numbers[at]) for at in random.integers(0, len(numbers), len(numbers))]
        rows = np.concatenate(members)
        truth, row = label[rows], logits[1, rows]
        drawn["f1"].append(metrics.f1_score(truth, row > 0))
        drawn["mcc"].append(metrics.matthews_corrcoef(truth, row > 0))
        drawn["auc"].append(metrics.roc_auc_score(truth, row))
        drawn["average_precision"].append(metrics.average_precision_score(truth, row))
    for name, values in drawn.items():
        assert ours[name][1] == pytest.approx(np.percentile(values, [2.5, 97.5]), abs=1e-9), name


def test_a_draw_without_a_class_says_nothing() -> None:
    label = np.array([True, False, True])
    area, precision = ranked_scores(np.array([1.0, 0.0, 2.0]), label, np.array([[1.0, 0, 1], [1, 1, 1]]))
    assert np.isnan(area[0]) and np.isnan(precision[0])
    assert (area[1], precision[1]) == (1, 1)


def test_the_curve_is_scikit_learns() -> None:
    logits, label, _ = logits_with_ties(probes=1)
    curve = precision_recall(logits[0], label)
    precision, recall, thresholds = metrics.precision_recall_curve(label, logits[0])
    np.testing.assert_allclose(curve.threshold, thresholds)
    np.testing.assert_allclose(curve.precision, precision[:-1])
    np.testing.assert_allclose(curve.recall, recall[:-1])


@given(arrays(np.float64, st.integers(100, 300), elements=st.integers(-5, 5).map(float)))
def test_a_threshold_lets_at_most_its_share_of_ordinary_text_through(ordinary: np.ndarray) -> None:
    threshold = threshold_at(ordinary)
    assert (ordinary > threshold).mean() <= 0.01
    lower = ordinary[ordinary < threshold]
    assert not len(lower) or (ordinary > lower.max()).mean() > 0.01


def test_recall_above_a_threshold() -> None:
    label = np.array([True, True, False])
    assert recall_above(np.array([1.0, 3.0, 5.0]), label, 1.0) == 0.5
    assert np.isnan(recall_above(np.array([1.0]), np.array([False]), 0.0))


def test_too_little_ordinary_text_is_said() -> None:
    with pytest.raises(UserError, match="1% false positives needs 100 tokens of ordinary text, not 99"):
        threshold_at(np.zeros(99))
