"""Logistic regressions, many at once: against scikit-learn at convergence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from tests.lab.probing.sets import balanced_loss, planted, standardised
from workbench.lab.probing import logistic
from workbench.lab.probing.logistic import Logistic, feature_rows, fit_logistic, fit_rows
from workbench.lab.probing.scaling import scaler


def oracle(x: np.ndarray, label: np.ndarray, C: float = 1.0) -> tuple[np.ndarray, float]:
    fitted = LogisticRegression(C=C, class_weight="balanced", solver="newton-cholesky", tol=1e-12, max_iter=1000)
    fitted.fit(x, label)
    return fitted.coef_[0], float(fitted.intercept_[0])


def same_as_scikit_learn(fit: Logistic, x: np.ndarray, label: np.ndarray, C: float = 1.0) -> None:
    """`x` [problem, example, k]."""
    for problem, features in enumerate(x):
        weight, intercept = oracle(features, label, C)
        ours = fit.weight[problem].numpy()
        np.testing.assert_allclose(ours, weight, atol=1e-3 * np.abs(weight).max())
        assert float(fit.intercept[problem]) == pytest.approx(intercept, abs=1e-3 * max(1, abs(intercept)))
        z = features @ ours + float(fit.intercept[problem])
        best = balanced_loss(features @ weight + intercept, label, weight, C)
        assert balanced_loss(z, label, ours, C) == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("k", [1, 5, 40])
@pytest.mark.parametrize("C", [1.0, 0.01])
def test_a_fit_is_scikit_learns(k: int, C: float) -> None:
    sets = [planted(seed=seed) for seed in range(3)]
    label = sets[0][1]
    x = np.stack([standardised(features)[:, :k] for features, _ in sets])
    same_as_scikit_learn(fit_logistic(torch.from_numpy(x), label, C), x, label.numpy(), C)


def test_wide_problems_converge_from_the_fit_of_fewer_features() -> None:
    x, label = planted(400, 256)
    wide = standardised(x)[None]
    rows = feature_rows(torch.from_numpy(wide).float())
    fit = None
    for k in (16, 64, 256):
        fit = fit_rows(rows, label, k, start=fit)
        same_as_scikit_learn(fit, wide[:, :, :k], label.numpy())


def test_separable_classes_stay_finite() -> None:
    label = torch.arange(300) % 5 == 0
    x = torch.where(label, 3.0, -1.0)[:, None] + 0.01 * torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    wide = standardised(x)[None]
    for C in (1.0, 1e4):
        same_as_scikit_learn(fit_logistic(torch.from_numpy(wide), label, C), wide, label.numpy(), C)


def test_activations_with_an_outlier_of_fifty_deviations_converge() -> None:
    x, label = planted()
    x[7] = 50 * x.std(dim=0) * torch.randn(40, generator=torch.Generator().manual_seed(0)).sign() + x.mean(dim=0)
    wide = standardised(x)[None]
    same_as_scikit_learn(fit_logistic(torch.from_numpy(wide), label), wide, label.numpy())


@pytest.mark.parametrize("k", [3, 40])
def test_a_bad_start_leads_to_the_same_fit(k: int) -> None:
    x, label = planted()
    wide = torch.from_numpy(standardised(x))[None, :, :k]
    fit = fit_logistic(wide, label)
    for factor in (-30, 30):
        bad = Logistic(factor * fit.weight, fit.intercept - 20)
        np.testing.assert_allclose(fit_logistic(wide, label, start=bad).weight, fit.weight, atol=1e-4)


def test_problems_may_have_labels_of_their_own() -> None:
    x, label = planted()
    labels = torch.stack((label, label.roll(1)))
    wide = np.stack([standardised(x)[:, :4]] * 2)
    fit = fit_logistic(torch.from_numpy(wide), labels)
    for problem in range(2):
        alone = fit_logistic(torch.from_numpy(wide[:1]), labels[problem])
        np.testing.assert_allclose(fit.weight[problem], alone.weight[0], atol=1e-6)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, label = planted()
    wide = torch.from_numpy(standardised(x)).T[:12, :, None].contiguous()
    whole = fit_logistic(wide, label)
    monkeypatch.setattr(logistic, "CPU_BLOCK", 1)
    alone = fit_logistic(wide, label)
    np.testing.assert_allclose(whole.weight, alone.weight, atol=1e-5)


def test_a_constant_feature_has_no_weight() -> None:
    x, label = planted()
    x[:, 2] = 0.1
    fit = fit_logistic(scaler(x)(x)[None], label)
    assert float(fit.weight[0, 2]) == 0
    assert float(fit.weight[0, 0]) > 0.1
    logits = fit.logits(scaler(x)(x)[None])
    assert logits.shape == (1, len(label))
    assert float(((logits[0] > 0) == label).double().mean()) > 0.8
