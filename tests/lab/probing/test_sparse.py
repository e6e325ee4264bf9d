"""k-sparse probes of all layers: each as scikit-learn alone would fit it, chosen on validation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import matthews_corrcoef, roc_auc_score

from tests.lab.probing.sets import planted
from tests.lab.probing.test_logistic import oracle
from workbench.errors import UserError
from workbench.lab.probing.scores import scores
from workbench.lab.probing.sparse import KS, Split, choose, fit_sparse, select_units, usable_ks


def thirds(n: int) -> Split:
    return Split(np.arange(0, n // 2), np.arange(n // 2, 3 * n // 4), np.arange(3 * n // 4, n))


def test_probes_of_every_layer_and_k_are_scikit_learns() -> None:
    sets = [planted(600, 40, seed) for seed in range(3)]
    label, split = sets[0][1], thirds(600)
    layers = [x for x, _ in sets]
    ks = (1, 2, 4, 16, 40)
    selected = select_units(layers, label, split, 40)
    probes = fit_sparse(selected, label, split, ks)
    for layer, x in enumerate(layers):
        wide = x.double().numpy()
        train = wide[split.train]
        z = (wide - train.mean(axis=0)) / train.std(axis=0)
        inside = label.numpy()[split.train]
        difference = np.abs(z[split.train][inside].mean(axis=0) - z[split.train][~inside].mean(axis=0))
        order = np.argsort(-difference, kind="stable")
        assert selected.units[layer].tolist() == order.tolist()
        for at, k in enumerate(ks):
            weight, intercept = oracle(z[split.train][:, order[:k]], inside)
            expected = z[:, order[:k]] @ weight + intercept
            np.testing.assert_allclose(probes.test[layer, at], expected[split.test], atol=2e-3)
            np.testing.assert_allclose(probes.validation[layer, at], expected[split.validation], atol=2e-3)


def test_nothing_of_test_reaches_the_fit() -> None:
    (x, label), split = planted(600), thirds(600)
    changed = x.clone()
    changed[split.test] += 100
    first, second = (fit_sparse(select_units([layer], label, split, 8), label, split, (1, 8)) for layer in (x, changed))
    for one, other in zip(first.fits, second.fits, strict=True):
        np.testing.assert_array_equal(one.weight, other.weight)


def test_the_choice_is_by_mcc_then_auc() -> None:
    random = np.random.default_rng(0)
    label = random.random(50) < 0.4
    logits = random.normal(size=(3, 4, 50)) + label * random.normal(size=(3, 4, 1))
    logits[2, 1] = np.where(label, 2.0, -1.0) + 0.1 * random.normal(size=50)
    logits[0, 3] = np.where(label, 1.0, -1.0)
    logits[0, 3, :2] *= -1
    assert choose(logits, label) == (2, 1)
    table = [(matthews_corrcoef(label, row > 0), roc_auc_score(label, row)) for row in logits[0]]
    assert choose(logits[:1], label) == (0, table.index(max(table)))
    assert choose(np.stack([logits[2, 1], logits[2, 1]]), label) == (0,)


def test_a_feature_spread_over_three_units_is_found_at_three() -> None:
    """Each of three units holds a part that the others' noise cancels: together they tell, two of them hardly."""
    random = np.random.default_rng(0)
    label = random.random(1200) < 0.3
    x = random.normal(size=(1200, 60))
    first, second = random.normal(size=(2, 1200)) * 3
    x[:, 10], x[:, 20], x[:, 30] = label + first, label + second, label - first - second
    x[:, [10, 20, 30]] += 0.1 * random.normal(size=(1200, 3)) + 2 * label[:, None]
    split, truth = thirds(1200), torch.from_numpy(label)
    selected = select_units([torch.from_numpy(x.astype(np.float32))], truth, split, 8)
    probes = fit_sparse(selected, truth, split, (1, 2, 3, 4))
    assert set(selected.units[0, :3].tolist()) == {10, 20, 30}
    table = scores(probes.test[0], label[split.test], np.arange(len(split.test)))
    assert table.mcc[2] > 0.98
    assert table.mcc[1] < 0.8


def test_labels_that_follow_the_document_are_at_chance_on_new_documents() -> None:
    random = np.random.default_rng(0)
    document, split = np.repeat(np.arange(120), 10), thirds(1200)
    areas, of_train = [], []
    for _ in range(12):
        label = (random.random(120) < 0.4)[document]
        x = random.normal(size=(120, 40))[document] + 0.3 * random.normal(size=(1200, 40))
        truth = torch.from_numpy(label)
        selected = select_units([torch.from_numpy(x.astype(np.float32))], truth, split, 16)
        probes = fit_sparse(selected, truth, split, (1, 16))
        of_test = scores(probes.test[0], label[split.test], document[split.test])
        assert of_test.documents == 30
        areas.append(of_test.auc)
        train = probes.fits[-1].logits(selected.train)[0].numpy()
        of_train.append(roc_auc_score(label[split.train], train))
    # Of 30 documents the AUC of chance has a deviation of about .11, of 12 such sets .03.
    assert np.abs(np.mean(areas, axis=0) - 0.5).max() < 0.1
    assert np.mean(of_train) > 0.8


def test_ks_are_those_that_the_set_is_large_enough_for() -> None:
    assert usable_ks(100, 1536) == KS[:13]
    assert usable_ks(10_000, 3) == (1, 2, 3)
    with pytest.raises(UserError, match="k = 8 needs as many train examples and units at least: there are 5 examples"):
        usable_ks(5, 100, (8, 16))
