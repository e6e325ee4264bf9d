"""dense-probe of numbers: ridge regressions, of one target or of several of the same texts, beside scikit-learn's."""

import msgspec
import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from tests.experiments.test_dense_probe import kept, ran, read
from tests.experiments.test_sparse_probe import labelled
from workbench.errors import UserError
from workbench.experiments._dense_together import proximity_error
from workbench.result_keys import DenseProbe


def numbers(n=120, seed=0):
    """Targets that the last token's activation at layer 1 holds, with noise."""
    data = labelled(n=n, seed=seed)
    x, _ = read(data, 1)
    weight = np.random.default_rng(1).normal(size=x.shape[1]) / x.std(0)
    target = x @ weight + np.random.default_rng(2).normal(size=len(x))
    texts = [
        msgspec.structs.replace(text, spans=[msgspec.structs.replace(text.spans[0], label=float(value))])
        for text, value in zip(data.texts, target, strict=True)
    ]
    return msgspec.structs.replace(data, name="amounts", texts=texts, numeric=True)


def test_ridge_predicts_numbers_as_scikit_learns_does():
    data = numbers()
    report = ran(data, method="ridge", layers=[1])
    x, examples = read(data, 1)
    train, test = examples.split == 0, examples.split == 2
    mean, sd = x[train].mean(0), x[train].std(0)
    z = (x - mean) / sd
    (row,) = report.views[DenseProbe.BY_LAYER].records()
    theirs = Ridge(alpha=row["alpha"]).fit(z[train], examples.label[train])
    probe, direction = kept(report)
    np.testing.assert_allclose(probe.scores(x), theirs.predict(z), rtol=1e-3, atol=1e-2)
    assert report.scalars["r2"] == pytest.approx(r2_score(examples.label[test], theirs.predict(z)[test]), abs=1e-3)
    assert report.scalars["low"] < report.scalars["r2"] < report.scalars["high"]
    assert probe.reading.numeric
    assert probe.reading.threshold == pytest.approx(examples.label[train].mean())
    assert direction.name == "amounts-ridge"
    keys = report.views[DenseProbe.BASELINES].row_keys
    assert keys == ["probe", "bag_of_tokens", "random_directions", "rotated_basis"]
    assert "predicts 'amounts': R² " in report.headline
    assert report.views[DenseProbe.PREDICTED].x.shape == (int(test.sum()),)
    assert report.scalars["null_p"] == pytest.approx(1 / 11)


def test_targets_of_the_same_texts_are_predicted_together_as_scikit_learn_does():
    data = numbers()
    others = {text.text: float(at % 7) for at, text in enumerate(data.texts)}
    texts = [
        msgspec.structs.replace(text, spans=[msgspec.structs.replace(text.spans[0], label=others[text.text])])
        for text in data.texts
    ]
    also = msgspec.structs.replace(data, name="noise", texts=texts)
    report = ran(data, method="ridge", layers=[1], also=[also])
    x, examples = read(data, 1)
    train, test = examples.split == 0, examples.split == 2
    noise = np.array([others[data.texts[window].text] for window in examples.window])
    targets = np.column_stack([examples.label, noise])
    targets = (targets - targets[train].mean(0)) / targets[train].std(0)
    z = (x - x[train].mean(0)) / x[train].std(0)
    rows = report.views[DenseProbe.TOGETHER].records()
    assert [row["what"] for row in rows] == ["amounts", "noise"]
    predicted = np.column_stack(
        [Ridge(alpha=row["alpha"]).fit(z[train], targets[train, at]).predict(z[test]) for at, row in enumerate(rows)]
    )
    for at, row in enumerate(rows):
        assert row["r2"] == pytest.approx(r2_score(targets[test, at], predicted[:, at]), abs=1e-3)
        assert row["spearman"] == pytest.approx(spearmanr(predicted[:, at], targets[test, at])[0], abs=5e-3)
    assert rows[0]["r2"] > rows[0]["null"]
    distance = np.linalg.norm(targets[test][:, None] - predicted[None], axis=2)
    closer = distance < np.diag(distance)[:, None]
    n = len(distance)
    assert report.scalars[DenseProbe.PROXIMITY] == pytest.approx(closer.sum() / (n * (n - 1)), abs=5e-3)
    assert any("proximity error" in note and ".5 chance" in note for note in report.notes)


def test_what_is_predicted_together_is_numbers_of_the_same_texts():
    data = numbers()
    other = msgspec.structs.replace(data, name="fewer", texts=data.texts[1:])
    with pytest.raises(UserError, match="'fewer' is not of the same texts as 'amounts'"):
        ran(data, method="ridge", also=[other])
    with pytest.raises(UserError, match="places holds classes"):
        ran(data, method="ridge", also=[msgspec.structs.replace(labelled(n=120), name="places")])


def test_proximity_error_is_0_for_the_truth_and_a_half_by_chance():
    random = np.random.default_rng(0)
    targets = random.normal(size=(200, 2))
    assert proximity_error(targets, targets) == 0
    chance = [proximity_error(random.permutation(targets), targets) for _ in range(20)]
    assert np.mean(chance) == pytest.approx(0.5, abs=0.02)


def test_numbers_need_a_ridge():
    with pytest.raises(
        UserError, match="are numbers, and this probe tells two classes apart: use dense-probe --method"
    ):
        ran(numbers(), method="means")
