"""Every unit by itself, against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from tests.lab.probing.sets import planted, standardised
from workbench.errors import UserError
from workbench.lab.probing.every_unit import every_unit, refit_best
from workbench.lab.probing.nulls import PermutationNull
from workbench.lab.probing.sparse import Split


def made():
    x, label = planted()
    x[:, 39] = 3.0  # constant
    order = np.random.default_rng(5).permutation(len(x))
    return x, label, Split(order[:400], order[400:480], order[480:])


def test_aucs_and_probes_are_scikit_learns():
    x, label, split = made()
    null = PermutationNull(label.numpy()[split.train], np.arange(400), 0, 20)
    units = every_unit(x, label, split, null)
    truth = label.numpy()
    for part, found in ((split.train, units.train_auc), (split.validation, units.validation_auc)):
        expected = [roc_auc_score(truth[part], x[part, at].numpy()) for at in range(x.shape[1])]
        np.testing.assert_allclose(found, expected, atol=2e-6)
    z = standardised(x[split.train][:, :39])
    for at in range(39):
        theirs = LogisticRegression(C=1, class_weight="balanced", tol=1e-10).fit(z[:, [at]], truth[split.train])
        assert units.weight[at] == pytest.approx(theirs.coef_[0, 0], abs=1e-3)
        assert units.intercept[at] == pytest.approx(theirs.intercept_[0], abs=1e-3)
    assert (units.weight[39], units.scale[39], units.train_auc[39]) == (0, 1, 0.5)
    assert null.result().p(0.0) == 1


@pytest.mark.parametrize("negated", [False, True])
def test_the_best_is_found_anew_on_either_side(negated):
    x, label, split = made()
    x = -x if negated else x
    units = every_unit(x, label, split)
    best = int(np.abs(units.train_auc - 0.5).argmax())
    logits = refit_best(x, label.numpy(), split)
    raw = x[split.test, best].numpy().astype(np.float64)
    expected = units.weight[best] * (raw - units.mean[best]) / units.scale[best] + units.intercept[best]
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    assert roc_auc_score(label.numpy()[split.test], logits) > 0.8


def test_a_random_unit_follows_its_seed_and_missing_classes_are_nan():
    x, label, split = made()
    one, same, other = (refit_best(x, label.numpy(), split, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)
    assert np.isnan(refit_best(x, np.zeros(len(x), bool), split)).all()
    with pytest.raises(UserError):
        every_unit(x, torch.zeros(len(x), dtype=torch.bool), split)
