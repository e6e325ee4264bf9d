"""neuron-probe: every neuron by itself, ranked on train, reported on test, beside the best of all by chance."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, matthews_corrcoef, roc_auc_score

from tests.experiments.planted_places import ALONE, BOTH, SHARED, planted_lab
from tests.experiments.test_sparse_probe import labelled, plain_activations
from tests.lab.labs import new_report, tiny_lab
from workbench.artifacts.probe import from_content
from workbench.datasets.labelled.labelled_set import LabelledSet, LabelledText, Span
from workbench.errors import Cancelled, UserError
from workbench.execute import execute
from workbench.result_keys import NeuronProbe


def ran(data, between=None, seed=0, lab=None, **params):
    report = new_report(between)
    execute(lab or tiny_lab("llama"), "neuron-probe", {"data": data, "permutations": 50, **params}, [], seed, report)
    return report


def made(report):
    (use,) = [use for use in report.artifacts if use.content.kind == "probe"]
    assert use.role == "made"
    return use.name, from_content(use.name, use.content)


def test_neurons_rank_by_scikit_learns_auc_and_the_best_probe_is_its_too():
    data = labelled()
    report = ran(data)
    expected = {}
    for layer in range(3):
        x, examples = plain_activations(data, layer)
        label, train, test = examples.label > 0.5, examples.split == 0, examples.split == 2
        expected |= {f"L{layer}.N{at}": roc_auc_score(label[train], x[train, at]) for at in range(x.shape[1])}
    table = report.views[NeuronProbe.NEURONS]
    shown = [(row["unit"], row["train_auc"]) for row in table.records()]
    away = [abs(auc - 0.5) for _, auc in shown]
    assert away == sorted(away, reverse=True)
    assert away == pytest.approx(sorted((abs(auc - 0.5) for auc in expected.values()), reverse=True)[:20], abs=2e-5)
    for unit, auc in shown:
        assert auc == pytest.approx(expected[unit], abs=2e-5)
    best = shown[0][0]
    layer, index = int(report.scalars["layer"]), int(report.scalars["neuron"])
    name, probe = made(report)
    assert (probe.units, best, name) == ([best], f"L{layer}.N{index}", f"places-{best}")
    x, _ = plain_activations(data, layer)
    z = ((x - x[train].mean(0)) / x[train].std(0))[:, [index]]
    theirs = LogisticRegression(C=1, class_weight="balanced", tol=1e-10).fit(z[train], label[train])
    assert probe.weights[0] == pytest.approx(theirs.coef_[0, 0], abs=2e-3)
    logits = theirs.decision_function(z[test])
    np.testing.assert_allclose(probe.scores(x)[test], logits, atol=5e-3)
    assert report.scalars["mcc"] == pytest.approx(matthews_corrcoef(label[test], logits > 0), abs=1e-6)
    assert report.scalars["f1"] == pytest.approx(f1_score(label[test], logits > 0), abs=1e-6)
    assert report.scalars["auc"] == pytest.approx(roc_auc_score(label[test], logits), abs=1e-6)
    assert probe.reading.test["mcc"] == (report.scalars["mcc"], report.scalars["low"], report.scalars["high"])
    first = table.records()[0]
    assert (first["mcc"], first["auc"]) == (report.scalars["mcc"], report.scalars["auc"])
    assert next(iter(report.views)) == NeuronProbe.NEURONS


def test_planted_neurons_come_first():
    report = ran(labelled(), lab=planted_lab())
    units = [row["unit"] for row in report.views[NeuronProbe.NEURONS].records()]
    aucs = {row["unit"]: row["train_auc"] for row in report.views[NeuronProbe.NEURONS].records()}
    alone, both, shared = f"L1.N{ALONE}", f"L1.N{BOTH}", [f"L1.N{index}" for index in SHARED]
    assert aucs[alone] == pytest.approx(1, abs=1e-5)
    ties = [unit for unit in units if abs(aucs[unit] - 0.5) > 0.5 - 1e-5]
    assert alone in ties
    assert both not in ties
    assert not set(shared) & set(ties)
    report = ran(labelled(), lab=planted_lab(), layers=[1], n=64)
    aucs = {row["unit"]: row["train_auc"] for row in report.views[NeuronProbe.NEURONS].records()}
    assert all(0.1 < aucs[unit] < 0.9 for unit in shared), "each knows two of six places"
    assert report.scalars["null_p"] == pytest.approx(1 / 51)


def test_labels_of_no_rule_are_told_no_better_than_permuted_ones():
    report = ran(labelled(rule=False))
    assert report.scalars["null_p"] > 0.05
    assert "does not tell 'place'" in report.headline
    assert "beyond chance" in report.headline


def test_noise_beats_its_permutations_no_more_often_than_stated():
    p = [ran(labelled(n=120, rule=False, seed=seed), permutations=19).scalars["null_p"] for seed in range(16)]
    assert sum(value <= 0.1 for value in p) <= 5, "binomial of 16 at .1: 6 or more in 1 of 300"
    assert len(set(p)) > 4


def test_labels_that_follow_the_document_give_chance_on_new_documents():
    """Each document repeats a sentence of its own, and its label is drawn: train is told, test is not."""
    random = np.random.default_rng(1)
    words = ("France", "Germany", "Mary", "John", "fox", "river")
    texts = []
    for document in range(60):
        label, text = float(document % 2), " ".join(random.choice(words, 5))
        texts += [LabelledText(f"{text} {at}", [Span(0, len(text), label)], document=document) for at in range(6)]
    report = ran(LabelledSet(name="drawn", texts=texts, classes=("no", "yes")))
    assert report.scalars["null_p"] > 0.05
    assert abs(report.scalars["auc"] - 0.5) < 0.25


def test_the_sentence_stands_beside_its_baselines():
    report = ran(labelled())
    baselines = report.views[NeuronProbe.BASELINES]
    assert baselines.row_keys == [
        "probe", "token_identity", "ngram", "random_neurons", "rotated_basis", "control_task",
    ]  # fmt: skip
    assert "the token's identity alone: MCC 1, so the neuron may only read tokens" in report.headline
    assert "in 50 permutations of the labels: at most" in report.headline
    assert report.scalars["tokens_alone"] == 1
    control = baselines.records()[-1]
    assert report.scalars["mcc_selectivity"] == pytest.approx(report.scalars["mcc"] - control["mcc"])
    without = ran(labelled(), permutations=0)
    assert without.scalars["null_p"] is None
    assert NeuronProbe.EVERY not in without.views


def test_histograms_count_every_example_and_every_neuron():
    report = ran(labelled())
    n_test = sum(series.y.sum() for series in report.views[NeuronProbe.BY_CLASS].series)
    examples = plain_activations(labelled(), 0)[1]
    assert n_test == (examples.split == 2).sum()
    every = report.views[NeuronProbe.EVERY]
    assert every.series[0].y.sum() == 3 * 64
    assert every.series[1].y.sum() == pytest.approx(3 * 64, abs=0.5)
    lines = report.views[NeuronProbe.BY_LAYER]
    assert lines.series[0].y.max() == pytest.approx(0.5 + abs(report.scalars["train_auc"] - 0.5))
    assert lines.levels[1].y == pytest.approx(report.scalars["null_auc"])


def test_errors_in_text_are_those_of_the_probe():
    data = labelled(rule=False)
    report = ran(data)
    layer, index = int(report.scalars["layer"]), int(report.scalars["neuron"])
    x, examples = plain_activations(data, layer)
    _, probe = made(report)
    test, label = examples.split == 2, examples.label > 0.5
    wrong = int(((probe.scores(x) > 0) != label)[test].sum())
    view = report.views[NeuronProbe.ERRORS]
    assert view.note.startswith(f"{wrong} of {test.sum()} test examples wrong")
    marked = [at for at, word in enumerate(view.labels) if word]
    assert 0 < len(marked) <= 6
    assert {view.labels[at] for at in marked} <= {"0→1", "1→0"}
    values = view.rows[0].values[marked]
    assert len(view.tokens) == len(view.labels) == len(view.rows[0].values)
    for value in values:
        assert np.abs(x[test, index] - value).min() < 1e-4


def test_without_errors_the_nearest_are_shown():
    view = ran(labelled(), lab=planted_lab()).views[NeuronProbe.ERRORS]
    assert view.note.startswith("0 of ")
    assert "none is wrong" in view.note
    assert {word for word in view.labels if word} <= {"0", "1"}


def test_a_cancelled_run_keeps_the_layers_that_are_done():
    calls = 0

    def cancel():
        nonlocal calls
        calls += 1
        if report.views:
            raise Cancelled

    report = new_report(cancel)
    with pytest.raises(Cancelled):
        execute(tiny_lab("llama"), "neuron-probe", {"data": labelled(), "permutations": 5}, [], 0, report)
    assert report.views[NeuronProbe.NEURONS].records()[0]["mcc"] is None
    assert "test comes when all are done" in report.headline
    assert [use.content.kind for use in report.artifacts if use.role == "made"] in ([], ["activation store"])


def test_a_pooled_set_and_layers_of_its_own():
    report = ran(labelled(read="mean"), layers=[2], n=5, name="mine")
    assert {row["unit"].split(".")[0] for row in report.views[NeuronProbe.NEURONS].records()} == {"L2"}
    assert len(report.views[NeuronProbe.NEURONS].rows) == 5
    name, probe = made(report)
    assert (name, probe.reading.pooling) == ("mine", "mean")
    assert "bag_of_tokens" in report.views[NeuronProbe.BASELINES].row_keys


def test_bad_input_is_a_sentence():
    with pytest.raises(UserError, match="no data set was named"):
        ran(LabelledSet())
    with pytest.raises(UserError, match="layers are 0 to 2"):
        ran(labelled(), layers=[3])
    with pytest.raises(UserError, match="no name for a probe"):
        ran(labelled(), name="a/b")
