"""dense-probe: against scikit-learn on plain activations; its direction, what is left without it, what says no."""

import msgspec
import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import f1_score, matthews_corrcoef, roc_auc_score

from tests.experiments.test_sparse_probe import labelled
from tests.lab.labs import new_report, plain, tiny_lab
from workbench.artifacts.activations import Store
from workbench.artifacts.direction import from_content as direction_from
from workbench.artifacts.probe import from_content as probe_from
from workbench.datasets.labelled.aligning import examples_of
from workbench.edits import parse_edits
from workbench.errors import Cancelled, UserError
from workbench.execute import execute
from workbench.lab.effective import effective_weights
from workbench.lab.probing.ordinary import ordinary_examples
from workbench.result_keys import Along, DenseProbe


def ran(data, between=None, seed=0, **params):
    report = new_report(between)
    asked = {"data": data, "permutations": 10, "tokens": 400, "directions": 3, **params}
    execute(tiny_lab("llama"), "dense-probe", asked, [], seed, report)
    return report


def kept(report):
    """The probe and the direction."""
    uses = {use.content.kind: use for use in report.artifacts if use.role == "made"}
    probe, direction = uses["probe"], uses["direction"]
    assert probe.name == direction.name
    return probe_from(probe.name, probe.content), direction_from(direction.name, direction.content)


def test_under_edits_it_is_fitted_on_what_the_edited_model_does():
    data, edits = labelled(), parse_edits(["L1.N5=7"])
    report = new_report()
    asked = {"data": data, "permutations": 0, "tokens": 0, "directions": 2, "layers": [2]}
    execute(tiny_lab("llama"), "dense-probe", asked, edits, 0, report)
    examples, rows = read(data, 2)[1], []

    def seven(values):
        values = values.clone()
        values[..., 5] = 7
        return values

    for at in np.flatnonzero(examples.split == 0):
        ids, last = torch.tensor([examples.windows[examples.window[at]]]), int(examples.last[at])
        keep = [(2, "resid_post", lambda stream, last=last: rows.append(stream[0, last].double().numpy()) or stream)]
        plain("llama").logits(ids, [(1, "mlp_post", seven), *keep])
    train = np.stack(rows)
    probe, _ = kept(report)
    np.testing.assert_allclose(probe.mean, train.mean(axis=0), atol=1e-4)
    assert any("fitted under L1.N5=7" in note for note in report.notes)


def read(data, layer, site="resid_post"):
    """Plain activations at the examples' last tokens, float64 [example, d], and the examples."""
    lab = tiny_lab("llama")
    examples, _ = examples_of(data, lab.model.tokens.tokenizer, lab.info.n_ctx, 0)
    rows = [
        plain("llama").read(torch.tensor([examples.windows[window]]), layer, site)[0, last].double().numpy()
        for window, last in zip(examples.window.tolist(), examples.last.tolist(), strict=True)
    ]
    return np.stack(rows), examples


def logistic(z, label):
    return LogisticRegression(C=1, class_weight="balanced", tol=1e-10, max_iter=5000).fit(z, label)


def noisy(n=240, seed=0, **changes):
    """A fifth of the labels are flipped, so that scores differ between layers."""
    data, random = labelled(n=n, seed=seed), np.random.default_rng(seed)
    texts = [
        msgspec.structs.replace(
            text, spans=[msgspec.structs.replace(span, label=abs(span.label - (random.random() < 0.2)))]
        )
        for text in data.texts
        for span in text.spans
    ]
    return msgspec.structs.replace(data, texts=texts, **changes)


def test_logistic_is_scikit_learns_and_its_weight_is_a_direction():
    data = noisy()
    report = ran(data)
    layer = int(report.scalars["layer"])
    x, examples = read(data, layer)
    label, train, test = examples.label > 0.5, examples.split == 0, examples.split == 2
    mean, sd = x[train].mean(0), x[train].std(0)
    theirs = logistic((x[train] - mean) / sd, label[train])
    logits = theirs.decision_function((x - mean) / sd)
    probe, direction = kept(report)
    np.testing.assert_allclose(probe.scores(x)[test], logits[test], atol=2e-2, rtol=1e-2)
    assert report.scalars["mcc"] == pytest.approx(matthews_corrcoef(label[test], logits[test] > 0), abs=1e-6)
    assert report.scalars["f1"] == pytest.approx(f1_score(label[test], logits[test] > 0), abs=1e-6)
    assert report.scalars["auc"] == pytest.approx(roc_auc_score(label[test], logits[test]), abs=2e-3)
    assert report.scalars["low"] <= report.scalars["mcc"] <= report.scalars["high"]
    raw = theirs.coef_[0] / sd
    assert direction.numbers @ raw / np.linalg.norm(raw) == pytest.approx(1, abs=1e-3)
    origin, info = direction.origin, tiny_lab("llama").info
    assert (origin.method, origin.site, origin.layer, origin.purpose) == ("probe", "resid_post", layer, "project")
    assert origin.normalised
    assert origin.fingerprint == info.fingerprint == probe.reading.fingerprint
    assert (probe.reading.data_set, probe.reading.threshold, probe.reading.seed) == ("places", 0, 0)
    assert probe.reading.test["mcc"] == (report.scalars["mcc"], report.scalars["low"], report.scalars["high"])
    assert report.headline.startswith(f"places-logistic at L{layer}.resid_post tells 'place' from 'other': MCC ")
    assert parse_edits(["@places-logistic=0"])


def test_the_layer_is_the_best_on_validation_and_every_layer_is_scikit_learns():
    data = noisy(seed=3)
    report = ran(data, permutations=0)
    rows = report.views[DenseProbe.BY_LAYER].records()
    best = max(range(3), key=lambda at: (round(rows[at]["mcc"], 9), round(rows[at]["auc"], 9), -at))
    assert report.scalars["layer"] == best
    for layer in range(3):
        x, examples = read(data, layer)
        label, train, held = examples.label > 0.5, examples.split == 0, examples.split == 1
        z = (x - x[train].mean(0)) / x[train].std(0)
        logits = logistic(z[train], label[train]).decision_function(z[held])
        assert rows[layer]["mcc"] == pytest.approx(matthews_corrcoef(label[held], logits > 0), abs=1e-6)
    lines = report.views[DenseProbe.LAYERS]
    np.testing.assert_array_equal(lines.series[0].y, [row["mcc"] for row in rows])
    assert (lines.series[0].low <= lines.series[0].high).all()
    assert [level.label for level in lines.levels] == ["chance", "the token's identity", "its n-grams up to 3"]
    assert next(iter(report.views)) == DenseProbe.LAYERS
    assert report.scalars["null_p"] is None


def test_ridge_tells_classes_with_its_threshold_between_their_means():
    data = noisy()
    report = ran(data, method="ridge", layers=[2], permutations=0)
    x, examples = read(data, 2)
    label, train, test = examples.label > 0.5, examples.split == 0, examples.split == 2
    z = (x - x[train].mean(0)) / x[train].std(0)
    (row,) = report.views[DenseProbe.BY_LAYER].records()
    predicted = Ridge(alpha=row["alpha"]).fit(z[train], label[train].astype(float)).predict(z)
    halfway = (predicted[train & label].mean() + predicted[train & ~label].mean()) / 2
    np.testing.assert_allclose(kept(report)[0].scores(x), predicted - halfway, atol=2e-3)
    assert report.scalars["mcc"] == pytest.approx(matthews_corrcoef(label[test], predicted[test] > halfway), abs=1e-6)


def test_the_difference_of_means_can_be_added_as_it_is():
    data = noisy()
    report = ran(data, method="means", layers=[0], permutations=0, name="@where")
    x, examples = read(data, 0)
    label, train = examples.label > 0.5, examples.split == 0
    difference = x[train & label].mean(0) - x[train & ~label].mean(0)
    probe, direction = kept(report)
    np.testing.assert_allclose(direction.numbers, difference, rtol=1e-3, atol=1e-4)
    origin = direction.origin
    assert (direction.name, origin.method, origin.purpose, origin.normalised) == (
        "where",
        "mean difference",
        "add",
        False,
    )
    middle = (x[train & label].mean(0) + x[train & ~label].mean(0)) / 2
    np.testing.assert_allclose(probe.scores(x), (x - middle) @ difference, rtol=1e-3, atol=1e-3)


def test_what_is_left_is_what_scikit_learn_reads_after_the_projection():
    data = noisy(seed=5)
    report = ran(data, layers=[1], permutations=0)
    x, examples = read(data, 1)
    label, train, test = examples.label > 0.5, examples.split == 0, examples.split == 2
    unit = kept(report)[1].numbers.astype(np.float64)
    left = x - np.outer(x @ unit, unit)
    z = (left - left[train].mean(0)) / left[train].std(0)
    logits = logistic(z[train], label[train]).decision_function(z[test])
    assert report.scalars["refit_left"] == pytest.approx(matthews_corrcoef(label[test], logits > 0), abs=0.03)
    table = report.views[DenseProbe.REFIT]
    assert table.row_keys == ["nothing", "direction", "shuffled", "random"]
    assert table.rows[0][1] == pytest.approx(report.scalars["mcc"])
    assert [row[3] for row in table.rows] == [1, 1, 3, 3]
    assert any("without one of 6 random directions: median" in note for note in report.notes)


@pytest.fixture
def planted(monkeypatch):
    """One direction of L1 carries the label; all else is the model's."""
    as_taken = Store.layer
    vector = np.random.default_rng(7).normal(size=32)
    vector /= np.linalg.norm(vector)

    def layer(self, number):
        values = np.array(as_taken(self, number))
        if number == 1 and len(np.unique(self.examples.label)) > 1:
            values += (10 * values.std() * (2 * self.examples.label - 1)[:, None] * vector).astype(np.float32)
        return values

    monkeypatch.setattr(Store, "layer", layer)
    return vector


def test_a_planted_direction_is_found_and_nothing_is_left_without_it(planted):
    report = ran(labelled(rule=False), method="means", permutations=20)
    _, direction = kept(report)
    assert report.scalars["layer"] == 1
    assert report.scalars["mcc"] == 1
    assert direction.numbers @ planted / np.linalg.norm(direction.numbers) > 0.98
    assert report.scalars["null_p"] == pytest.approx(1 / 21)
    assert report.scalars["refit_left"] < 0.5
    assert report.scalars["refit_random"] > 0.9
    assert "so the probe may only read" not in report.headline
    assert any("lower than all 6" in note for note in report.notes)


def test_labels_of_no_rule_are_told_no_better_than_permuted_ones():
    report = ran(labelled(rule=False), permutations=20)
    assert report.scalars["null_p"] > 0.05
    assert "does not tell 'place' from 'other' beyond chance" in report.headline


def test_noise_beats_its_permutations_no_more_often_than_stated():
    few = {"layers": [1], "method": "means", "permutations": 9, "tokens": 0, "directions": 2}
    p = [ran(labelled(n=120, rule=False, seed=seed), **few).scalars["null_p"] for seed in range(16)]
    assert sum(value <= 0.1 for value in p) <= 5, "binomial of 16 at .1: 6 or more in 1 of 300"
    assert len(set(p)) > 4


def test_a_rule_over_tokens_is_said_to_read_the_token():
    report = ran(labelled())
    assert report.scalars["tokens_alone"] == report.scalars["mcc_token_identity"] == 1
    assert "the token's identity alone: MCC 1, so the probe may only read tokens" in report.headline
    keys = report.views[DenseProbe.BASELINES].row_keys
    assert keys == ["probe", "token_identity", "ngram", "random_directions", "rotated_basis", "control_task"]
    control = report.views[DenseProbe.BASELINES].records()[-1]
    assert report.scalars["mcc_selectivity"] == pytest.approx(report.scalars["mcc"] - control["mcc"])


def test_neurons_along_the_direction_are_the_cosines_of_their_weights():
    report = ran(noisy(), permutations=0)
    unit = kept(report)[1].numbers.astype(np.float64)
    weights = effective_weights(tiny_lab("llama").model)
    for record in report.views[Along.NEURONS].records():
        layer, index = (int(part[1:]) for part in record["unit"].split("."))
        side = {"writes": "w_out", "reads": "w_in", "gates": "w_gate"}[record["relation"]]
        row = getattr(weights.layer(layer), side)[index].double().numpy()
        assert record["cosine"] == pytest.approx(row @ unit / np.linalg.norm(row), abs=1e-5)
    assert DenseProbe.LAYER in report.scalars


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_recall_at_one_per_cent_false_positives_on_ordinary_text(pooling):
    data = noisy(read=pooling)
    if pooling == "mean":
        data = labelled(read="mean")
    report = ran(data, permutations=0, tokens=2000)
    probe, _ = kept(report)
    lab = tiny_lab("llama")
    examples, _ = examples_of(data, lab.model.tokens.tokenizer, lab.info.n_ctx, 0)
    ordinary, _ = ordinary_examples(lab.model, examples, 2000)
    values = [
        plain("llama").read(torch.tensor([window]), probe.reading.layer, "resid_post")[0] for window in ordinary.windows
    ]
    x = np.stack(
        [
            values[window][first : last + 1].double().mean(0).numpy()
            for window, first, last in zip(ordinary.window, ordinary.first, ordinary.last, strict=True)
        ]
    )
    scores = np.sort(probe.scores(x))
    threshold = report.scalars["threshold_ordinary"]
    assert (scores > threshold + 1e-2).sum() <= len(scores) // 100
    assert (scores > threshold - 1e-2).sum() >= len(scores) // 100
    assert 0 <= report.scalars[DenseProbe.RECALL] <= 1
    assert min(ordinary.first) == 1
    covered = {
        (w, p) for w, f, t in zip(ordinary.window, ordinary.first, ordinary.last, strict=True) for p in range(f, t + 1)
    }
    assert len(covered) == (ordinary.last - ordinary.first + 1).sum(), "no position twice"
    what = "tokens" if pooling == "last" else "spans of"
    assert any(f"{what}" in note and "of ordinary text" in note for note in report.notes)


def test_a_pooled_set_has_a_bag_of_tokens_and_no_control_task():
    report = ran(labelled(read="mean"))
    keys = report.views[DenseProbe.BASELINES].row_keys
    assert keys == ["probe", "bag_of_tokens", "random_directions", "rotated_basis"]
    assert kept(report)[0].reading.pooling == "mean"


def test_a_cancel_leaves_the_layers_that_are_done():
    seen = []

    def cancel():
        if DenseProbe.LAYERS in report.views:
            seen.append(len(report.views[DenseProbe.LAYERS].x))
            if seen[-1] == 2:
                raise Cancelled

    report = new_report(cancel)
    with pytest.raises(Cancelled):
        execute(tiny_lab("llama"), "dense-probe", {"data": labelled()}, [], 0, report)
    assert "the best of 2 of 3 layers" in report.headline
    assert not [use for use in report.artifacts if use.content.kind == "probe"]


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"data": {}}, "no data set was named: give --data"),
        ({"data": labelled(), "name": "a b"}, "'a b' is no name for a probe"),
        ({"data": labelled(), "name": "9"}, "no name for a direction"),
        ({"data": labelled(), "layers": [7]}, "layers are 0 to 2 in llama, not 7"),
    ],
)
def test_bad_input_is_a_sentence(params, says):
    with pytest.raises(UserError, match=says):
        execute(tiny_lab("llama"), "dense-probe", params, [], 0, new_report())


def test_a_set_whose_name_begins_with_a_digit_gives_a_direction_a_name():
    report = ran(msgspec.structs.replace(labelled(), name="65_names"), layers=[0], permutations=0, tokens=0)
    assert kept(report)[1].name == "set-65_names-logistic"


def test_every_head_has_a_probe_of_its_own_and_the_best_is_taken():
    lab = tiny_lab("llama")
    data = noisy()
    report = ran(data, site="z", layers=[0, 1])
    view = report.views[DenseProbe.HEADS]
    n_heads, d_head = lab.info.n_heads, lab.info.d_head
    assert view.values.shape == (2, n_heads)
    theirs = {}
    for layer in (0, 1):
        z, examples = read(data, layer, "z")
        train, validation = examples.split == 0, examples.split == 1
        label = examples.label > 0.5
        for head in range(n_heads):
            x = z.reshape(len(z), -1)[:, head * d_head : (head + 1) * d_head]
            x = (x - x[train].mean(0)) / x[train].std(0)
            fit = logistic(x[train], label[train])
            theirs[layer, head] = matthews_corrcoef(label[validation], fit.predict(x[validation]))
    ours = {(layer, head): view.values[layer, head] for layer in (0, 1) for head in range(n_heads)}
    assert ours == pytest.approx(theirs, abs=1e-6)
    layer, head = int(report.scalars["layer"]), int(report.scalars["head"])
    assert ours[layer, head] == max(ours.values())
    uses = {use.content.kind: use for use in report.artifacts if use.role == "made"}
    assert "direction" not in uses  # what a head holds is none of the stream
    made = uses["probe"]
    probe = probe_from(made.name, made.content)
    assert probe.reading.indices == tuple(range(head * d_head, (head + 1) * d_head))
    z, examples = read(data, layer, "z")
    test = examples.split == 2
    scores = probe.scores(z.reshape(len(z), -1))
    assert report.scalars["mcc"] == pytest.approx(
        matthews_corrcoef(examples.label[test] > 0.5, scores[test] > 0), abs=1e-6
    )
    assert f"at L{layer}.H{head} " in report.headline
    assert "recall_ordinary" in report.scalars
    assert [step.experiment for step in report.next_steps] == ["attention", "effect"]
    again = new_report()
    stored = probe.stored(made.name)
    execute(lab, "probe-apply", {"probe": msgspec.to_builtins(stored), "data": data}, [], 0, again)
    assert again.headline
