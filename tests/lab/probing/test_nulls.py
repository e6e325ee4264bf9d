"""The best of all units by chance: labels permuted as documents allow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from workbench.lab.probing.nulls import PermutationNull, permuted_labels
from workbench.lab.probing.single import aucs, rank_rows


@settings(deadline=None)
@given(st.integers(0, 1000), st.booleans())
def test_permutations_keep_what_belongs_together(seed: int, one_label: bool) -> None:
    random = np.random.default_rng(seed)
    document = random.permutation(np.repeat(np.arange(9), random.integers(1, 6, 9)))
    by_document = random.random(9) < 0.5
    label = by_document[document] if one_label else random.random(len(document)) < 0.4
    for draw in permuted_labels(label, document, 5, random):
        for number in range(9):
            before, after = label[document == number], draw[document == number]
            if before.all() or not before.any():
                assert after.all() or not after.any()
            else:
                assert any(np.array_equal(np.roll(before, shift), after) for shift in range(len(before)))
        if one_label:
            firsts = np.array([draw[document == number][0] for number in range(9)])
            assert firsts.sum() == by_document.sum()


def test_draws_differ() -> None:
    label = np.arange(40) % 4 == 0
    draws = permuted_labels(label, np.arange(40), 20, np.random.default_rng(0))
    assert len(np.unique(draws, axis=0)) == 20


def test_labels_that_vary_inside_a_document_are_rotated() -> None:
    label = np.arange(40) % 10 == 0
    draws = permuted_labels(label, np.arange(40) // 10, 300, np.random.default_rng(0))
    np.testing.assert_allclose(draws.mean(axis=0), 0.1, atol=0.06)


def test_the_null_is_the_best_of_a_loop() -> None:
    random = np.random.default_rng(1)
    x = torch.from_numpy(random.normal(size=(2, 60, 15)).astype(np.float32))
    label, document = random.random(60) < 0.3, np.arange(60)
    null = PermutationNull(label, document, seed=4, draws=12)
    for layer in x:
        null.add(rank_rows(layer))
    result = null.result()
    loop = np.array(
        [
            [abs(roc_auc_score(draw.numpy(), values) - 0.5) for values in np.concatenate(list(x.numpy()), 1).T]
            for draw in null.labels
        ]
    )
    np.testing.assert_allclose(result.best, loop.max(axis=1), atol=1e-6)
    # Between two steps of the histogram, so that both count alike.
    assert result.expected(0.10004) == pytest.approx((loop >= 0.1).sum(axis=1).mean())
    assert result.expected(0) == 30
    assert result.p(1.0) == 1 / 13
    assert result.p(0.0) == 1


def test_noise_is_seldom_beyond_its_null() -> None:
    random = np.random.default_rng(0)
    p = []
    for seed in range(200):
        x = torch.from_numpy(random.normal(size=(40, 25)).astype(np.float32))
        label = np.arange(40) % 4 == 0
        ranks = rank_rows(x)
        null = PermutationNull(label, np.arange(40), seed, draws=39)
        null.add(ranks)
        best = float((aucs(ranks, torch.from_numpy(label)[None]) - 0.5).abs().max())
        p.append(null.result().p(best))
    # 5 % of 200 are 10, with a deviation of 3.1.
    assert np.mean(np.array(p) <= 0.05) <= 0.10
    assert np.mean(np.array(p) <= 0.5) == pytest.approx(0.5, abs=0.12)


def test_labels_of_documents_are_judged_by_documents() -> None:
    """Activations that know the document, labels of documents at random: no better than their null."""
    random = np.random.default_rng(5)
    p = []
    for seed in range(60):
        document = np.repeat(np.arange(20), 10)
        x = torch.from_numpy((random.normal(size=(20, 25))[document] + 0.1 * random.normal(size=(200, 25))).astype("f"))
        label = (random.permutation(20) < 8)[document]
        ranks = rank_rows(x)
        null = PermutationNull(label, document, seed, draws=39)
        null.add(ranks)
        p.append(null.result().p(float((aucs(ranks, torch.from_numpy(label)[None]) - 0.5).abs().max())))
    assert np.mean(np.array(p) <= 0.05) <= 0.15


def test_numbers_are_permuted_as_labels_are() -> None:
    random = np.random.default_rng(0)
    document = np.repeat(np.arange(12), 5)
    value = np.where(document < 6, document * 1.5, random.normal(size=60))
    for row in permuted_labels(value, document, 20, np.random.default_rng(1)):
        constant = {row[document == at][0] for at in range(6)}
        assert all(len(set(row[document == at])) == 1 for at in range(6))
        assert constant == {at * 1.5 for at in range(6)}
        for at in range(6, 12):
            turns = [np.roll(value[document == at], turn).tolist() for turn in range(5)]
            assert row[document == at].tolist() in turns
