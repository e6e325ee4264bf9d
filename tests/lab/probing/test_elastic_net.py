"""The elastic net and adaptive thresholding: against scikit-learn's saga at a tight tolerance."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from tests.lab.probing.sets import planted, standardised
from workbench.lab.probing.elastic_net import fit_elastic_net
from workbench.lab.probing.thresholding import adaptive_thresholding


def saga(x: np.ndarray, label: np.ndarray, C: float, l1_ratio: float) -> tuple[np.ndarray, float]:
    fitted = LogisticRegression(
        C=C, l1_ratio=l1_ratio, solver="saga", class_weight="balanced", tol=1e-9, max_iter=20_000, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted.fit(x, label)
    return fitted.coef_[0], float(fitted.intercept_[0])


@pytest.mark.parametrize(("C", "l1_ratio"), [(0.05, 0.9), (0.4, 0.5), (12.8, 0.1), (0.1, 1.0)])
def test_fits_are_sagas_with_the_same_zeros(C: float, l1_ratio: float) -> None:
    sets = [planted(300, 24, seed) for seed in (0, 1)]
    label = sets[0][1]
    x = np.stack([standardised(features) for features, _ in sets])
    fit = fit_elastic_net(torch.from_numpy(x), label, C, l1_ratio)
    for problem, features in enumerate(x):
        weight, intercept = saga(features, label.numpy(), C, l1_ratio)
        ours = fit.weight[problem].numpy()
        np.testing.assert_allclose(ours, weight, atol=1e-3 * max(1, np.abs(weight).max()))
        np.testing.assert_array_equal(ours == 0, np.abs(weight) < 1e-7)
        assert float(fit.intercept[problem]) == pytest.approx(intercept, abs=1e-3)


def test_it_converges_from_a_bad_start_and_where_classes_are_separable() -> None:
    x, label = planted(300, 10, strength=20)
    wide = torch.from_numpy(standardised(x))[None]
    fit = fit_elastic_net(wide, label, 5.0, 0.3)
    bad = fit_elastic_net(wide, label, 5.0, 0.3, type(fit)(-30 * fit.weight, fit.intercept + 20))
    np.testing.assert_allclose(bad.weight, fit.weight, atol=1e-4)
    assert torch.isfinite(fit.weight).all()


@given(
    st.integers(0, 2**16), st.sampled_from([20, 60, 200]), st.integers(1, 64), st.floats(-9, 0), st.floats(0.5, 20),
    st.floats(0.02, 20), st.sampled_from([0.1, 0.5, 0.9, 1.0]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_it_converges_where_features_are_nearly_the_same(
    seed: int, n: int, k: int, log_apart: float, strength: float, C: float, l1_ratio: float
) -> None:
    random = np.random.default_rng(seed)
    label = random.random(n) < 0.3
    label[:2] = True, False
    same = random.standard_normal((n, 1)) + strength * label[:, None]
    x = standardised(torch.from_numpy(same + 10**log_apart * random.standard_normal((n, k)))).astype(np.float32)
    fit = fit_elastic_net(torch.from_numpy(x)[None], torch.from_numpy(label), C, l1_ratio)
    weight, intercept = fit.weight[0].numpy(), float(fit.intercept[0])
    # The conditions of a minimum, of plain NumPy.
    share = np.where(label, 1 / (2 * label.sum()), 1 / (2 * (~label).sum()))
    residual = share * (1 / (1 + np.exp(-(x.astype(np.float64) @ weight + intercept))) - label)
    gradient = residual @ x.astype(np.float64) + (1 - l1_ratio) / (C * n) * weight
    penalty = l1_ratio / (C * n)
    assert abs(residual.sum()) < 2e-7
    assert np.abs(gradient + penalty * np.sign(weight))[weight != 0].max(initial=0) < 2e-7
    assert np.abs(gradient)[weight == 0].max(initial=0) < penalty + 2e-7


def by_proximal_gradients(x: np.ndarray, label: np.ndarray, C: float, l1_ratio: float) -> np.ndarray:
    """Weights alone; of one feature saga never stops."""
    n, k = x.shape
    share = np.where(label, n / 2 / label.sum(), n / 2 / (~label).sum()) * C
    design = np.column_stack((x, np.ones(n)))
    rate = 1 / (np.linalg.norm(design * np.sqrt(share)[:, None], 2) ** 2 / 4 + 1)
    weight = np.zeros(k + 1)
    for _ in range(20_000):
        gradient = design.T @ (share * (1 / (1 + np.exp(-design @ weight)) - label))
        gradient[:k] += (1 - l1_ratio) * weight[:k]
        moved = weight - rate * gradient
        moved[:k] = np.sign(moved[:k]) * np.maximum(np.abs(moved[:k]) - rate * l1_ratio, 0)
        if np.abs(moved - weight).max() < 1e-10:
            break
        weight = moved
    return moved[:k]


def plain_thresholding(x: np.ndarray, label: np.ndarray, ks: list[int]) -> dict[int, tuple[list[int], np.ndarray]]:
    """From the description."""
    kept = list(range(x.shape[1]))
    results = {}
    for k in sorted(ks, reverse=True):
        kept = kept[:k]
        weight = by_proximal_gradients(x[:, kept], label, k / 20, min(max(math.exp(-k / 20), 0.1), 0.9))
        results[k] = (kept, weight)
        kept = [kept[at] for at in sorted(range(k), key=lambda at: (-abs(weight[at]), at))]
    return results


def test_thresholding_keeps_what_the_description_keeps() -> None:
    sets = [planted(300, 20, seed) for seed in (0, 1)]
    label = sets[0][1]
    x = np.stack([standardised(features) for features, _ in sets])
    ks = [1, 2, 3, 5, 8, 12, 20]
    results = adaptive_thresholding(torch.from_numpy(x), label, ks)
    assert [kept.members.shape[1] for kept in results] == sorted(ks, reverse=True)
    for layer, features in enumerate(x):
        expected = plain_thresholding(features, label.numpy(), ks)
        for kept in results:
            members, weight = expected[kept.members.shape[1]]
            assert kept.members[layer].tolist() == members
            np.testing.assert_allclose(kept.fit.weight[layer], weight, atol=1e-3)


def test_logits_are_of_the_kept_features() -> None:
    x, label = planted(300, 20)
    wide = torch.from_numpy(standardised(x))[None]
    last = adaptive_thresholding(wide, label, [3, 20])[-1]
    chosen = wide[0][:, last.members[0]].numpy()
    expected = chosen @ last.fit.weight[0].numpy() + float(last.fit.intercept[0])
    np.testing.assert_allclose(last.logits(wide)[0], expected)
