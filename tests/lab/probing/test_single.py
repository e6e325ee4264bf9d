"""Probes of one unit each, ranks and AUCs of all: against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from tests.lab.probing.sets import balanced_loss, planted, standardised
from tests.lab.probing.test_logistic import oracle
from workbench.errors import UserError
from workbench.lab.probing.scaling import scaler
from workbench.lab.probing.single import aucs, fit_single, rank_rows


@pytest.mark.parametrize("C", [1.0, 100.0, 1e4])
def test_every_unit_has_scikit_learns_probe(C: float) -> None:
    x, label = planted(500, 70)
    x[3] = 40 * x.std(dim=0)
    x[:, 0] = torch.where(label, 5.0, 0.0) + 0.01 * x[:, 0]
    fit = fit_single(x, label, C)
    wide = standardised(x)
    for unit in range(70):
        weight, intercept = oracle(wide[:, [unit]], label.numpy(), C)
        ours = np.array([float(fit.weight[unit]), float(fit.intercept[unit])])
        np.testing.assert_allclose(ours, [weight[0], intercept], atol=1e-3 * max(1, abs(weight[0])))
        z = wide[:, unit] * ours[0] + ours[1]
        best = balanced_loss(wide[:, unit] * weight[0] + intercept, label.numpy(), weight, C)
        assert balanced_loss(z, label.numpy(), ours[:1], C) == pytest.approx(best, abs=1e-6)


def test_logits_are_of_the_scaled_activation() -> None:
    x, label = planted()
    fit = fit_single(x, label)
    wide = standardised(x)
    np.testing.assert_allclose(fit.logits(x), wide * fit.weight.numpy() + fit.intercept.numpy(), atol=1e-4)


def test_the_scaling_of_the_published_scripts_is_a_hundredth_of_its_c() -> None:
    x, label = planted()
    theirs, ours = fit_single(x, label, scaling="haystack"), fit_single(x, label, C=0.01)
    np.testing.assert_allclose(theirs.weight / 10, ours.weight, atol=1e-5)
    assert float(scaler(torch.full((4, 1), 3.0) + torch.tensor([[1e-4], [0], [0], [0]]), "haystack").scale) == (
        pytest.approx(0.01)
    )


def test_a_constant_unit_has_no_weight_and_no_separation() -> None:
    x, label = planted()
    x[:, 4] = 0.3
    assert float(fit_single(x, label).weight[4]) == 0
    assert float(aucs(rank_rows(x), label[None])[4, 0]) == 0.5


@given(arrays(np.float32, st.tuples(st.integers(2, 30), st.integers(1, 5)), elements=st.integers(-4, 4).map(float)))
def test_ranks_are_scipys_with_ties_shared(x: np.ndarray) -> None:
    expected = rankdata(x, axis=0).T - (len(x) + 1) / 2
    np.testing.assert_array_equal(rank_rows(torch.from_numpy(x)).numpy(), expected)


def test_aucs_are_scikit_learns() -> None:
    x, label = planted(400, 70)
    x[:, 1] = x[:, 1].round()
    labels = torch.stack((label, label.roll(5)))
    ours = aucs(rank_rows(x), labels)
    for unit in range(70):
        for row, expected in enumerate(labels):
            assert float(ours[unit, row]) == pytest.approx(roc_auc_score(expected, x[:, unit]), abs=1e-6)


def test_a_planted_unit_ranks_first_with_its_sign() -> None:
    x, label = planted()
    x[:, 30] = torch.where(label, -4.0, 1.0) + 0.1 * x[:, 30]
    away = aucs(rank_rows(x), label[None])[:, 0] - 0.5
    assert int(away.abs().argmax()) == 30
    assert float(away[30]) < 0
    assert float(fit_single(x, label).weight[30]) < 0


def test_one_class_and_values_that_are_not_numbers_are_said() -> None:
    x, label = planted()
    with pytest.raises(UserError, match="no example with the label"):
        fit_single(x, torch.zeros_like(label))
    x[3, 2] = float("nan")
    with pytest.raises(UserError, match="not finite"):
        fit_single(x, label)


def test_what_is_given_is_left_as_it_was() -> None:
    for units in (1, 70):
        x, label = planted(100, units) if units > 5 else (planted(100)[0][:, :1].contiguous(), planted(100)[1])
        before = x.clone()
        fit_single(x, label)
        rank_rows(x)
        scaler(x)
        assert torch.equal(x, before)
