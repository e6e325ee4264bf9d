"""Dense probes: against scikit-learn, leave-one-out done by leaving one out, projections by NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.metrics import r2_score, roc_auc_score

from tests.lab.probing.sets import planted, standardised
from tests.lab.probing.test_logistic import oracle
from workbench.errors import UserError
from workbench.lab.probing.dense import (
    ALPHAS,
    dense_logistic,
    fit_ridge,
    mean_difference_probe,
    project_out,
    r_squared,
    r_squared_band,
    random_directions,
    ridge_classifier,
)


@pytest.mark.parametrize(("n", "d"), [(300, 40), (60, 90)])
def test_logits_are_scikit_learns_with_more_examples_than_numbers_and_fewer(n: int, d: int) -> None:
    x, label = planted(n, d)
    weight, intercept = oracle(standardised(x), label.numpy())
    probe = dense_logistic(x, label)
    np.testing.assert_allclose(probe.logits(x)[0], standardised(x) @ weight + intercept, atol=2e-3)
    np.testing.assert_allclose(probe.weight[0] * x.double().std(dim=0, correction=0), weight, atol=1e-3)


def targets_of(x: torch.Tensor) -> torch.Tensor:
    random = np.random.default_rng(1)
    directions = random.normal(size=(x.shape[1], 2))
    noise = random.normal(size=(len(x), 2)) * [0.5, 30]
    return torch.from_numpy(standardised(x) @ directions + noise + [3, -8])


@pytest.mark.parametrize(("n", "d"), [(200, 30), (40, 60)])
def test_ridge_is_scikit_learns_with_its_own_penalty_for_each_target(n: int, d: int) -> None:
    x, _ = planted(n, d)
    targets = targets_of(x)
    fit = fit_ridge(x, targets)
    z = standardised(x)
    theirs = RidgeCV(alphas=ALPHAS, alpha_per_target=True, store_cv_results=True).fit(z, targets.numpy())
    np.testing.assert_allclose(fit.alpha, theirs.alpha_)
    np.testing.assert_allclose(fit.probe.logits(x).T, theirs.predict(z), atol=1e-3)
    assert fit.alpha[0] < fit.alpha[1]


def test_left_out_errors_are_those_of_leaving_one_out() -> None:
    x, _ = planted(30, 8)
    targets, z = targets_of(x), standardised(x)
    fit = fit_ridge(x, targets, (0.5, 50.0))
    for at, alpha in enumerate((0.5, 50.0)):
        errors = []
        for left in range(30):
            kept = np.arange(30) != left
            model = Ridge(alpha=alpha).fit(z[kept], targets.numpy()[kept])
            errors.append((model.predict(z[[left]])[0] - targets.numpy()[left]) ** 2)
        np.testing.assert_allclose(fit.left_out[at], np.mean(errors, axis=0), rtol=1e-4)


def test_r_squared_is_scikit_learns() -> None:
    random = np.random.default_rng(0)
    targets = random.normal(size=(2, 30))
    predicted = targets + random.normal(size=(2, 30))
    for row in range(2):
        assert r_squared(predicted, targets)[row] == pytest.approx(r2_score(targets[row], predicted[row]))
    assert np.isnan(r_squared(predicted, np.ones((2, 30)))).all()


def test_the_mean_difference_is_0_halfway() -> None:
    x, label = planted(300, 12)
    probe = mean_difference_probe(x, label)
    wide, inside = x.double().numpy(), label.numpy()
    means = wide[inside].mean(axis=0), wide[~inside].mean(axis=0)
    np.testing.assert_allclose(probe.weight[0], means[0] - means[1])
    halfway = torch.from_numpy((means[0] + means[1]) / 2)[None]
    assert float(probe.logits(halfway)[0, 0]) == pytest.approx(0, abs=1e-9)


def test_nothing_is_left_along_directions_that_are_projected_out() -> None:
    x, _ = planted(50, 12)
    directions = torch.randn(3, 12, generator=torch.Generator().manual_seed(0)).double()
    directions = torch.cat((directions, directions[:1] + directions[1:2]))  # not independent
    left = project_out(x, directions)
    assert float((left @ directions.T).abs().max()) < 1e-9
    expected = x.double().numpy()
    for row in np.linalg.svd(directions.numpy(), full_matrices=False)[2][:3]:
        expected = expected - np.outer(expected @ row, row)
    np.testing.assert_allclose(left, expected, atol=1e-9)


def test_a_refit_reads_what_another_direction_holds() -> None:
    """The label lies along two directions: without the first the second is read, without both nothing is."""
    random = np.random.default_rng(0)
    label = random.random(2000) < 0.4
    x = random.normal(size=(2000, 10))
    x[:, 0] += 3 * label
    x[:, 1] += 2 * label
    states, truth = torch.from_numpy(x), torch.from_numpy(label)
    axes = torch.eye(10)
    probes = dense_logistic(states[:1000], truth[:1000], removed=[axes[:1], axes[:2], axes[5:6]])
    assert float((probes.weight[1] @ axes[:2].double().T).abs().max()) < 1e-9
    areas = [roc_auc_score(label[1000:], row) for row in probes.logits(states[1000:])]
    assert areas[0] == pytest.approx(0.92, abs=0.03)  # Φ(2/√2)
    assert areas[1] == pytest.approx(0.5, abs=0.08)
    assert areas[2] > 0.97


def test_random_directions_are_of_the_covariance_and_of_shuffled_labels() -> None:
    random = np.random.default_rng(0)
    label = np.arange(400) % 2 == 0
    x = random.normal(size=(400, 3)) * [1, 5, 0.1] + 7
    x[:, 0] += 50 * label
    shuffled, drawn = random_directions(torch.from_numpy(x), torch.from_numpy(label), 4000, 0)
    np.testing.assert_allclose(np.cov(drawn.numpy().T), np.cov(x.T), rtol=0.15, atol=2)
    # Half of each class on each side: the label's own direction is no larger than what varies within classes.
    assert float(shuffled[:, 0].abs().max()) < 1
    assert float(shuffled[:, 1].std()) == pytest.approx(5 * 2 / 20, rel=0.1)


def test_the_band_of_r_squared_is_that_of_documents_drawn_anew() -> None:
    random = np.random.default_rng(0)
    document = np.repeat(np.arange(30), 4)
    target = random.normal(size=120)
    predicted = target + 0.5 * random.normal(size=120)
    band = r_squared_band(predicted, target, document, 3, draws=400)
    again = np.random.default_rng(3)
    values = []
    for _ in range(400):
        rows = np.concatenate([np.flatnonzero(document == at) for at in again.integers(0, 30, 30)])
        values.append(r2_score(target[rows], predicted[rows]))
    np.testing.assert_allclose(band, np.percentile(values, [2.5, 97.5]), atol=1e-9)


def test_a_ridge_of_labels_is_0_halfway_between_the_classes() -> None:
    x, label = planted(300, 12)
    ridge = ridge_classifier(x, label)
    logits = ridge.probe.logits(x)[0]
    assert float(logits[label].mean() + logits[~label].mean()) == pytest.approx(0, abs=1e-9)
    plain_ridge = fit_ridge(x, label.double()[:, None])
    torch.testing.assert_close(ridge.probe.weight, plain_ridge.probe.weight)
    with pytest.raises(UserError, match="no example without the label"):
        ridge_classifier(x, torch.ones_like(label))
