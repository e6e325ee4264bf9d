"""sparse-probe: chosen on validation, reported once on test, beside what needs no such neurons."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    matthews_corrcoef,
    precision_score,
    recall_score,
    roc_auc_score,
)

from tests.lab.labs import new_report, plain, tiny_lab
from workbench.artifacts.activations import Store
from workbench.artifacts.probe import from_content
from workbench.datasets.labelled.aligning import examples_of
from workbench.datasets.labelled.labelled_set import LabelledSet, LabelledText, Span
from workbench.edits import parse_edits
from workbench.errors import Cancelled, UserError
from workbench.execute import execute
from workbench.experiment import command_line
from workbench.experiments import experiment
from workbench.experiments.sparse_probe import KS
from workbench.lab.probing import sparse
from workbench.lab.probing.sweep import ADAPTIVE, refit, sweep_layer
from workbench.params import make_params
from workbench.result_keys import SparseProbe

PLACES = ("France", "Germany", "Italy", "Spain", "Japan", "England")
OTHERS = ("Mary", "John", "fox", "dog", "river", "water")
FILLERS = ("The capital of", "the city of", "When", "She said that", "gave it to", "is in")


def labelled(n=240, rule=True, read="last", name="places", seed=0):
    """Last words of made-up sentences: places against others; without `rule` labels are random."""
    random = np.random.default_rng(seed)
    texts = []
    for number in range(n):
        before = " ".join(random.choice(FILLERS, 3))
        place = bool(random.random() < 0.4)
        text = f"{before} {random.choice(PLACES if place else OTHERS)}"
        start = 0 if read != "last" else len(before) + 1
        label = float(place if rule else random.random() < 0.4)
        texts.append(LabelledText(text, [Span(start, len(text), label)], document=number // 2))
    return LabelledSet(name=name, texts=texts, read=read, classes=("other", "place"))


def ran(data, between=None, seed=0, **params):
    report = new_report(between)
    asked = {"data": data, "ks": [1, 2, 4, 8], "permutations": 10, **params}
    execute(tiny_lab("llama"), "sparse-probe", asked, [], seed, report)
    return report


def made(report):
    (use,) = [use for use in report.artifacts if use.content.kind == "probe"]
    assert use.role == "made"
    return use.name, from_content(use.name, use.content)


def plain_activations(data, layer):
    """Of the examples, by plain hooks one text at a time: float64 [example, neuron], and the examples."""
    lab = tiny_lab("llama")
    examples, _ = examples_of(data, lab.model.tokens.tokenizer, lab.info.n_ctx, 0)
    rows = []
    for window, last in zip(examples.window.tolist(), examples.last.tolist(), strict=True):
        ids = torch.tensor([examples.windows[window]])
        rows.append(plain("llama").read(ids, layer, "mlp_post")[0, last].double().numpy())
    return np.stack(rows), examples


def test_the_default_list_is_the_mathematics():
    assert KS == sparse.KS


def test_the_probe_is_scikit_learns_and_its_test_scores_too():
    data = labelled()
    report = ran(data, adaptive=False)
    name, probe = made(report)
    layer, k = int(report.scalars["layer"]), int(report.scalars["k"])
    on_test = (report.scalars[key] for key in ("mcc", SparseProbe.low("mcc"), SparseProbe.high("mcc")))
    assert probe.reading.test["mcc"] == pytest.approx(tuple(on_test))
    assert (probe.reading.layer, len(probe.reading.indices), name) == (layer, k, f"places-L{layer}-k{k}")
    x, examples = plain_activations(data, layer)
    label, train, test = examples.label > 0.5, examples.split == 0, examples.split == 2
    z = (x - x[train].mean(0)) / x[train].std(0)
    difference = np.abs(z[train & label].mean(0) - z[train & ~label].mean(0))
    order = np.argsort(-difference, kind="stable")[:k]
    assert list(probe.reading.indices) == order.tolist()
    theirs = LogisticRegression(C=1, class_weight="balanced", tol=1e-10, max_iter=5000).fit(
        z[train][:, order], label[train]
    )
    np.testing.assert_allclose(probe.weights, theirs.coef_[0], atol=2e-3)
    logits = theirs.decision_function(z[test][:, order])
    np.testing.assert_allclose(probe.scores(x)[test], logits, atol=5e-3)
    assert report.scalars["mcc"] == pytest.approx(matthews_corrcoef(label[test], logits > 0), abs=1e-6)
    assert report.scalars["f1"] == pytest.approx(f1_score(label[test], logits > 0), abs=1e-6)
    assert report.scalars["auc"] == pytest.approx(roc_auc_score(label[test], logits), abs=1e-6)
    assert report.scalars["mcc_low"] <= report.scalars["mcc"] <= report.scalars["mcc_high"]
    rows = {key: row[1] for key, row in zip(report.views["scores"].row_keys, report.views["scores"].rows, strict=True)}
    assert rows["precision"] == pytest.approx(precision_score(label[test], logits > 0), abs=1e-6)
    assert rows["recall"] == pytest.approx(recall_score(label[test], logits > 0), abs=1e-6)
    assert rows["average_precision"] == pytest.approx(average_precision_score(label[test], logits), abs=1e-6)
    share = label[test].mean()
    assert report.scalars["f1_always_positive"] == pytest.approx(2 * share / (1 + share))


@pytest.mark.parametrize("rule", [True, False])
def test_layer_and_k_are_the_best_on_validation(rule):
    report = ran(labelled(rule=rule), permutations=0)
    grid = report.views[SparseProbe.MAP]
    assert grid.values.shape == (3, 4)
    row, column = int(report.scalars["layer"]), grid.column_labels.index(str(int(report.scalars["k"])))
    assert grid.values[row, column] == grid.values.max() == report.scalars["validation_mcc"]
    best = report.views[SparseProbe.LAYERS].records()[0]
    assert (best["layer"], best["k"]) == (f"L{row}", report.scalars["k"])
    assert [*report.views][:5] == ["map", "mcc", "f1", "auc", "layers"]
    for name in ("mcc", "f1", "auc"):
        series = report.views[name].series[0]
        assert (series.low <= series.y + 1e-9).all()
        assert (series.y <= series.high + 1e-9).all()


def test_a_rule_over_tokens_is_said_to_read_the_token():
    report = ran(labelled())
    assert report.scalars["mcc_token_identity"] == 1
    assert "the token's identity alone: MCC 1, so the probe may only read tokens" in report.headline
    keys = report.views[SparseProbe.BASELINES].row_keys
    assert keys == ["probe", "token_identity", "ngram", "random_neurons", "rotated_basis", "control_task"]
    # Twelve types: a random function of the type is told nearly as well as the rule is.
    control = report.views[SparseProbe.BASELINES].records()[-1]
    assert report.scalars["mcc_selectivity"] == pytest.approx(report.scalars["mcc"] - control["mcc"])
    assert abs(report.scalars["auc_selectivity"]) < 0.15


def test_labels_of_no_rule_are_told_no_better_than_permuted_ones():
    report = ran(labelled(rule=False), permutations=20)
    assert report.scalars["null_p"] > 0.05
    assert "not tell 'place' from 'other' beyond chance" in report.headline


def test_noise_beats_its_permutations_no_more_often_than_stated():
    few = {"layers": [1], "ks": [1, 2], "adaptive": False, "permutations": 9}
    p = [ran(labelled(n=120, rule=False, seed=seed), **few).scalars["null_p"] for seed in range(16)]
    assert sum(value <= 0.1 for value in p) <= 5, "binomial of 16 at .1: 6 or more in 1 of 300"
    assert len(set(p)) > 4


@pytest.fixture
def planted(monkeypatch):
    """L1.N7 carries the label; all else is the model's."""
    as_taken = Store.layer

    def layer(self, number):
        values = np.array(as_taken(self, number))
        if number == 1:
            values[:, 7] += 20 * values.std() * self.examples.label
        return values

    monkeypatch.setattr(Store, "layer", layer)


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize("ranker", ["mean difference", "mutual information", "l1"])
def test_a_planted_neuron_is_found_alone(ranker):
    report = ran(labelled(rule=False), ranker=ranker, permutations=20)
    _, probe = made(report)
    assert probe.units == ["L1.N7"]
    assert report.scalars["mcc"] == 1
    assert report.scalars["null_p"] == pytest.approx(1 / 21)
    assert report.headline.startswith("L1.N7 tells 'place' from 'other': MCC 1 (1 to 1) on test")
    assert "so the probe may only read" not in report.headline
    assert report.scalars["mcc_random_neurons"] < 0.6
    (row,) = report.views[SparseProbe.NEURONS].records()
    assert (row["unit"], row["train_auc"]) == ("L1.N7", pytest.approx(1, abs=1e-6))
    assert row["mean_positive"] > row["mean_negative"]
    curve = report.views[SparseProbe.CURVE]
    assert curve.series[0].y[curve.x > 0].max() == 1


def test_rankers_stand_side_by_side_and_can_all_be_chosen_from():
    report = ran(labelled(), permutations=0)
    table = report.views[SparseProbe.METHODS]
    assert set(table.row_keys) == {"mean difference", "mutual information", "l1", "random", ADAPTIVE}
    everything = ran(labelled(), ranker="all", layers=[1], permutations=0)
    assert "not among" in report.views[SparseProbe.METHODS].note
    assert everything.views[SparseProbe.METHODS].note.endswith("random")
    single = ran(labelled(), adaptive=False, layers=[1], permutations=0)
    assert everything.scalars["validation_mcc"] >= single.scalars["validation_mcc"]
    assert everything.scalars["null_p"] is None


def test_a_pooled_set_has_a_bag_of_tokens_and_no_control_task():
    report = ran(labelled(read="mean"))
    keys = report.views[SparseProbe.BASELINES].row_keys
    assert keys == ["probe", "bag_of_tokens", "random_neurons", "rotated_basis"]
    assert report.scalars["mcc_bag_of_tokens"] > 0.9
    assert report.scalars["mcc_selectivity"] is None
    assert made(report)[1].reading.pooling == "mean"


def test_a_cancel_leaves_the_layers_that_are_done():
    data = labelled()
    ran(data, permutations=0)  # the store is there
    turns = []

    def cancel_after_two_layers():
        turns.append(1)
        if len(turns) == 3:
            raise Cancelled

    report = new_report(cancel_after_two_layers)
    with pytest.raises(Cancelled):
        execute(tiny_lab("llama"), "sparse-probe", {"data": data, "ks": [1, 2]}, [], 0, report)
    done = np.isfinite(report.views[SparseProbe.MAP].values).all(axis=1)
    assert done.tolist() == [True, True, False]
    assert "of 2 of 3 layers" in report.headline
    assert "mcc" not in report.scalars


def test_a_cell_probes_that_layer_and_k():
    asked = {"data": labelled(), "ks": [1, 2, 4], "permutations": 0, "adaptive": False}
    report = ran(**asked)
    definition = experiment("sparse-probe")
    params = make_params(definition.params, asked)
    view = report.views[SparseProbe.MAP]
    step = definition.cell(params, SparseProbe.MAP, view, 2, 1)
    there = new_report()
    execute(tiny_lab("llama"), step.experiment, step.params, [], 0, there)
    assert (there.scalars["layer"], there.scalars["k"]) == (2, 2)
    assert there.scalars["validation_mcc"] == pytest.approx(view.values[2, 1], abs=1e-9)
    assert definition.cell(params, "other", view, 0, 0) is None
    line = command_line(step.experiment, make_params(definition.params, step.params))
    assert line.startswith("workbench run sparse-probe --data @places --layers 2 --ks 2"), line
    neuron, ablate, off = report.next_steps
    assert neuron.params["unit"] in made(report)[1].units
    assert ablate.experiment == "probe-ablate"
    assert ablate.params == {"data": "places", "units": neuron.params["unit"]}
    execute(tiny_lab("llama"), "predict", {"prompt": "The capital of"}, parse_edits(off.edits), 0, new_report())


@pytest.mark.parametrize(("params", "says"), [
    ({"data": LabelledSet()}, "no data set was named"),
    ({"data": LabelledSet(name="ages", texts=labelled().texts, numeric=True)}, "the targets of ages are numbers"),
    ({"ks": [500]}, "k = 500 needs as many train examples and units"),
    ({"ks": []}, "there is no k"),
    ({"layers": [9]}, "layers are 0 to 2 in llama, not 9"),
    ({"name": "a b"}, "'a b' is no name for a probe"),
])  # fmt: skip
def test_bad_input_is_a_sentence(params, says):
    with pytest.raises(UserError, match=says):
        ran(**{"data": labelled(), **params})


def test_a_ranker_that_does_not_converge_is_named_with_its_layer(monkeypatch):
    def fails(*args, **options):
        raise ArithmeticError("an elastic net has not converged")

    monkeypatch.setattr("workbench.lab.probing.ranking.fit_elastic_net", fails)
    with pytest.raises(UserError, match="^l1 at L0: an elastic net has not converged; run it by another --ranker"):
        ran(labelled(), ranker="l1", permutations=0)
    report = ran(labelled(), permutations=0, adaptive=False)
    assert any(note.startswith("l1 at L") for note in report.notes), "beside the chosen one it is left out, and said"
    monkeypatch.setattr("workbench.lab.probing.thresholding.fit_elastic_net", fails)
    with pytest.raises(UserError, match="--no-adaptive"):
        ran(labelled(), permutations=0)


def test_a_k_that_is_too_large_is_left_out_and_said():
    report = ran(labelled(), ks=[2, 100], permutations=0)
    assert report.views[SparseProbe.MAP].column_labels == ["2"]
    assert any(note.startswith("k = 100 left out") for note in report.notes)


@pytest.mark.parametrize("scaling", ["sd", "haystack"])
def test_probes_of_every_method_give_their_logits_from_raw_activations(scaling):
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 20)) * np.exp(random.normal(size=20))
    label = random.random(300) < 0.4
    x[:, 3] += label * 2
    x[:, 5] = 7.0
    x = x.astype(np.float32)
    split = sparse.Split(np.arange(150), np.arange(150, 200), np.arange(200, 300))
    sweeps = sweep_layer(
        torch.from_numpy(x), torch.from_numpy(label), split, (1, 4, 20), ("mean difference", ADAPTIVE), 0, scaling
    )
    for method, sweep in sweeps.items():
        for at, probe in enumerate(sweep.probes):
            assert len(probe.units) == (1, 4, 20)[at]
            assert (probe.scale > 0).all()
            by_hand = probe.intercept + ((x[:, probe.units] - probe.mean) / probe.scale) @ probe.weight
            np.testing.assert_allclose(sweep.validation[at], by_hand[split.validation], atol=1e-4, err_msg=method)
            np.testing.assert_allclose(sweep.test[at], by_hand[split.test], atol=1e-4)
        sd = x[split.train][:, sweep.probes[0].units[0]].std()
        expected = sd if scaling == "sd" else 10 * sd
        assert sweep.probes[0].scale[0] == pytest.approx(expected, rel=1e-5)
    again = refit(torch.from_numpy(x), label, split, 4, ADAPTIVE, 0, scaling)
    np.testing.assert_allclose(again, sweeps[ADAPTIVE].test[1], atol=1e-9)
    assert np.isnan(refit(torch.from_numpy(x), np.arange(300) > 160, split, 4, "f")).all()
