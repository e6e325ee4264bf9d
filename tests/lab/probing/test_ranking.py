"""Rankers: against scikit-learn."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sklearn.feature_selection import f_classif, mutual_info_classif
from sklearn.linear_model import LogisticRegression

from tests.lab.probing.sets import planted, standardised
from workbench.errors import UserError
from workbench.lab.probing import ranking
from workbench.lab.probing.ranking import (
    f_statistics,
    l1_weights,
    mean_differences,
    mutual_information,
    rank_units,
)


def test_mean_differences_are_standardised_by_all_examples() -> None:
    x, label = planted(500, 70)
    wide, inside = standardised(x), label.numpy()
    expected = wide[inside].mean(axis=0) - wide[~inside].mean(axis=0)
    np.testing.assert_allclose(mean_differences(x, label), expected, atol=1e-5)


def test_f_is_scikit_learns_and_orders_as_the_mean_difference() -> None:
    x, label = planted(500, 70)
    np.testing.assert_allclose(f_statistics(x, label), f_classif(x.double().numpy(), label)[0], rtol=1e-3, atol=1e-6)
    assert rank_units(x, label, "f").order.tolist() == rank_units(x, label).order.tolist()


@pytest.mark.parametrize("positives", [2, 120])
def test_mutual_information_is_scikit_learns(positives: int) -> None:
    x, _ = planted(400, 20)
    x = x[:, [unit for unit in range(20) if unit % 3 != 1]]  # the others have ties, which noise breaks
    label = torch.arange(400) < positives
    x[:, 2] += 3 * label
    ours = mutual_information(x, label, seed=0)
    theirs = mutual_info_classif(x.double().numpy(), label.numpy(), random_state=1)
    np.testing.assert_allclose(ours, theirs, atol=2e-3)
    np.testing.assert_allclose(np.median(np.abs(ours.numpy() - theirs)), 0, atol=1e-6)


def test_ties_get_about_scikit_learns_information() -> None:
    x, label = planted(2000, 6)
    x = x.clamp(min=float(x.median()))
    theirs = mutual_info_classif(x.double().numpy(), label.numpy(), random_state=1)
    np.testing.assert_allclose(mutual_information(x, label, seed=0), theirs, atol=0.03)


def test_l1_weights_are_scikit_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    x, label = planted(300, 80)
    monkeypatch.setattr(ranking, "_WORKING_SET", 4)
    fitted = LogisticRegression(
        C=0.1, l1_ratio=1, solver="saga", class_weight="balanced", tol=1e-9, max_iter=20000, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = fitted.fit(standardised(x), label.numpy()).coef_[0]
    ours = l1_weights(x, label).numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-3)
    assert 0 < (ours != 0).sum() < 40


def test_ties_of_l1_go_by_mean_difference() -> None:
    x, label = planted(300, 40)
    result = rank_units(x, label, "l1")
    silent = [unit for unit in result.order.tolist() if float(result.score[unit]) == 0]
    difference = mean_differences(x, label).abs()
    assert silent == sorted(silent, key=lambda unit: -float(difference[unit]))


def test_a_prefilter_leaves_the_others_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "PREFILTER", 10)
    x, label = planted(300, 40)
    result = rank_units(x, label, "mutual information")
    assert set(result.order[:10].tolist()) == set(rank_units(x, label).order[:10].tolist())
    assert int(torch.isnan(result.score).sum()) == 30
    assert sorted(result.order.tolist()) == list(range(40))


def test_random_is_the_seeds() -> None:
    x, label = planted(300, 40)
    first, again, other = (rank_units(x, label, "random", seed).order.tolist() for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("ranker", ["mean difference", "f", "mutual information", "l1"])
def test_a_planted_monosemantic_unit_ranks_first(ranker: ranking.Ranker) -> None:
    x, label = planted(400, 40)
    x[:, 33] = torch.where(label, 5.0, 0.0) + x[:, 33] / x[:, 33].std()
    assert int(rank_units(x, label, ranker).order[0]) == 33


def test_one_class_is_said() -> None:
    x, label = planted()
    with pytest.raises(UserError, match="no example without the label"):
        rank_units(x, torch.ones_like(label))
