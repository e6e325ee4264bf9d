"""Control tasks, rotations, and probes that read tokens alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import matthews_corrcoef, roc_auc_score

from workbench.errors import UserError
from workbench.lab.probing.control_tasks import control_task, haar, rotated, selectivity
from workbench.lab.probing.logistic import fit_logistic
from workbench.lab.probing.scaling import scaler
from workbench.lab.probing.token_probes import bags, fit_tokens, identities, ngrams


@settings(deadline=None)
@given(st.integers(0, 500), st.floats(0.05, 0.95))
def test_control_labels_are_one_a_type_and_as_balanced_as_types_allow(seed: int, share: float) -> None:
    random = np.random.default_rng(seed)
    types = random.zipf(1.6, 300).clip(max=40)
    types[0], types[1] = 50, 51
    label = random.random(300) < share
    task = control_task(types, label, seed)
    for row, balance in zip(task.labels, task.balance, strict=True):
        assert all(len(set(row[types == number])) == 1 for number in set(types))
        assert row.any() and not row.all()
        largest_of_others = task.largest_share
        assert abs(balance - label.mean()) <= max(largest_of_others / 2, 1 - task.largest_share, 1 / 300)
    assert task.largest_share == np.bincount(types).max() / 300


def test_many_types_reach_the_balance() -> None:
    types = np.arange(500) % 125
    label = np.arange(500) % 5 == 0
    task = control_task(types, label, 0)
    np.testing.assert_allclose(task.balance, 0.2, atol=0.01)
    assert len(np.unique(task.labels, axis=0)) == 5


def test_one_type_has_no_control_task() -> None:
    with pytest.raises(UserError, match="same in every example: a control task needs the token before it"):
        control_task(np.zeros(10, int), np.arange(10) > 3, 0)


def selectivity_of(label: np.ndarray, types: np.ndarray, x: torch.Tensor) -> float:
    train, test = np.arange(len(label)) % 2 == 0, np.arange(len(label)) % 2 == 1
    scaled = scaler(x[train])(x)

    def evaluate(labels: np.ndarray) -> tuple[float, float]:
        fit = fit_logistic(scaled[train][None], torch.from_numpy(labels[train]))
        logits = fit.logits(scaled[test][None])[0].numpy()
        return roc_auc_score(labels[test], logits), matthews_corrcoef(labels[test], logits > 0)

    return selectivity(evaluate, label, control_task(types, label, 3, draws=9)).auc_difference


def test_selectivity_is_near_0_where_the_label_is_a_random_function_of_the_type() -> None:
    random = np.random.default_rng(0)
    types = random.integers(0, 60, 1500)
    # Activations know the type and a feature of the context.
    feature = random.random(1500) < 0.3
    x = random.normal(size=(60, 24))[types] + 0.7 * random.normal(size=(1500, 24))
    x[:, 0] += 4 * feature
    states = torch.from_numpy(x.astype(np.float32))
    of_type = (random.random(60) < 0.3)[types]
    assert abs(selectivity_of(of_type, types, states)) < 0.08
    assert selectivity_of(feature, types, states) > 0.12


def test_rotations_are_orthogonal_and_uniform() -> None:
    generator = torch.Generator().manual_seed(0)
    bases = [haar(3, generator) for _ in range(600)]
    for basis in bases[:20]:
        np.testing.assert_allclose(basis @ basis.T, np.eye(3), atol=1e-5)
    # Without the signs of the triangle the diagonal of QR's basis is never positive here.
    assert abs(float(torch.stack(bases).mean(dim=0).abs().max())) < 0.1
    x = torch.randn(7, 16)
    draws = list(rotated(x, 0))
    assert len(draws) == 5
    assert not torch.allclose(draws[0], draws[1])
    for rows in draws:
        np.testing.assert_allclose(rows @ rows.T, x @ x.T, atol=1e-4)


# --- probes on tokens -----------------------------------------------------------------------------


def test_token_identity_and_bags_are_scikit_learns() -> None:
    random = np.random.default_rng(0)
    texts = [random.integers(0, 50, random.integers(1, 12)).tolist() for _ in range(400)]
    label = np.array([random.random() < (0.8 if 7 in text or 8 in text else 0.2) for text in texts])
    for features, documents in ((bags(texts), texts), (identities([t[-1] for t in texts]), [[t[-1]] for t in texts])):
        counts = CountVectorizer(analyzer=lambda text: text, binary=True)
        matrix = counts.fit_transform(documents[:300])
        fitted = LogisticRegression(C=1, class_weight="balanced", tol=1e-10, max_iter=5000)
        fitted.fit(matrix, label[:300])
        probe = fit_tokens(features[:300], label[:300])
        expected = fitted.decision_function(counts.transform(documents[300:]))
        np.testing.assert_allclose(probe.logits(features[300:]), expected, atol=1e-3)


def test_a_token_that_was_never_seen_says_nothing() -> None:
    probe = fit_tokens(identities([1, 1, 2, 2]), np.array([True, True, False, False]))
    assert probe.logits(identities([9]))[0] == probe.intercept
    assert probe.logits(identities([1]))[0] > 0 > probe.logits(identities([2]))[0]


def test_n_grams_end_at_the_probed_token() -> None:
    assert ngrams([[5, 6, 7]], 2) == [{(7,), (6, 7)}]
    contexts = [[3, 1], [4, 1], [3, 2], [4, 2]] * 20
    label = np.array([True, False, False, True] * 20)
    of_bigram = fit_tokens(ngrams(contexts), label).logits(ngrams(contexts))
    assert ((of_bigram > 0) == label).all()
    of_token = fit_tokens(ngrams(contexts, 1), label).logits(ngrams(contexts, 1))
    assert np.abs(of_token).max() < 1e-6
