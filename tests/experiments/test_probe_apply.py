"""probe-apply: a kept probe on another set and on a text; from a session by its name, and run again from there."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from sklearn.metrics import matthews_corrcoef, r2_score, roc_auc_score

from tests.experiments.test_dense_numbers import numbers
from tests.experiments.test_dense_probe import noisy, read
from tests.experiments.test_sparse_probe import labelled
from tests.lab.labs import PROMPT, new_report, plain, tiny_lab
from workbench.api import OpenedLab
from workbench.artifacts import Content
from workbench.artifacts.probe import NAME, from_content, from_stored
from workbench.edits import parse_edits
from workbench.errors import UserError
from workbench.execute import execute
from workbench.experiment import command_line
from workbench.experiments import experiment
from workbench.params import StoredProbe, make_params, params_builtins, read_params
from workbench.result_keys import ProbeApply
from workbench.session.reader import SessionReader
from workbench.session.typed_sets import known_probes, read_sets
from workbench.session.writer import SessionWriter
from workbench.tui.suggest import suggest_name

FAST = {"permutations": 0, "tokens": 0, "directions": 2}


def fitted(data, experiment_name="dense-probe", **params):
    """A probe as it travels with a run."""
    report = new_report()
    execute(tiny_lab("llama"), experiment_name, {"data": data, **params}, [], 0, report)
    (use,) = [use for use in report.artifacts if use.content.kind == NAME]
    return from_content(use.name, use.content).stored(use.name)


def applied(stored, edits="", **params):
    report = new_report()
    stack = parse_edits([edits]) if edits else []
    execute(tiny_lab("llama"), "probe-apply", {"probe": stored, **params}, stack, 0, report)
    return report


def test_another_set_stands_beside_the_probes_own_test_set():
    stored = fitted(noisy(), layers=[1], **FAST)
    other = noisy(n=120, seed=9, name="elsewhere")
    report = applied(stored, data=other)
    x, examples = read(other, 1)
    label, scores = examples.label > 0.5, from_stored(stored).scores(x)
    assert report.scalars["mcc"] == pytest.approx(matthews_corrcoef(label, scores > 0), abs=1e-6)
    assert report.scalars["auc"] == pytest.approx(roc_auc_score(label, scores), abs=1e-3)
    assert report.scalars["low"] <= report.scalars["mcc"] <= report.scalars["high"]
    table = report.views[ProbeApply.SCORES]
    assert table.row_keys == ["set", "own", "permuted", "random"]
    here, own, *_ = table.records()
    assert (here["what"], here["mcc"], here["examples"]) == ("elsewhere", report.scalars["mcc"], 120)
    assert own["mcc"] == from_stored(stored).reading.test["mcc"][0]
    assert report.headline.startswith("places-logistic on elsewhere: MCC ")
    assert "on the test examples of its own set places: " in report.headline
    assert "200 permutations of the labels: at most" in report.headline
    histogram = report.views[ProbeApply.ALONG]
    assert [int(series.y.sum()) for series in histogram.series] == [int(label.sum()), int((~label).sum())]
    assert histogram.marks[0].x == 0


def test_of_its_own_set_only_the_test_examples_count():
    data = noisy()
    stored = fitted(data, layers=[1], **FAST)
    report = applied(stored, data=data)
    assert report.scalars["mcc"] == from_stored(stored).reading.test["mcc"][0]
    assert report.views[ProbeApply.SCORES].records()[0]["what"] == "places, test"
    assert any("only its test examples count" in note for note in report.notes)
    # The split is that of the probe, whatever the seed of this run.
    again = new_report()
    execute(tiny_lab("llama"), "probe-apply", {"probe": stored, "data": data}, [], 5, again)
    assert again.scalars["mcc"] == report.scalars["mcc"]


def test_a_probe_of_labels_without_a_rule_is_no_better_than_permuted_labels():
    stored = fitted(labelled(rule=False), layers=[1], **FAST)
    report = applied(stored, data=labelled(n=160, rule=False, seed=4, name="other"))
    assert report.scalars["null_p"] > 0.01
    assert abs(report.scalars["mcc"]) < 0.4


def test_sparse_probes_and_numbers_are_applied_too():
    stored = fitted(labelled(), "sparse-probe", ks=[2], adaptive=False, permutations=0)
    report = applied(stored, data=labelled(n=100, seed=3, name="other"))
    assert report.scalars["mcc"] > 0.5
    ridge = fitted(numbers(), method="ridge", layers=[1], **FAST)
    other = numbers(n=80, seed=6)
    report = applied(ridge, data=msgspec.structs.replace(other, name="more"))
    x, examples = read(other, 1)
    assert report.scalars["r2"] == pytest.approx(r2_score(examples.label, from_stored(ridge).scores(x)), abs=1e-3)
    assert report.views[ProbeApply.SCORES].row_keys == ["set", "own", "permuted"]
    with pytest.raises(UserError, match="are two classes, and amounts-ridge was fitted on numbers"):
        applied(ridge, data=labelled())
    with pytest.raises(
        UserError, match="are numbers, and places-L._.* was fitted on two classes|fitted on two classes"
    ):
        applied(stored, data=other)


def test_a_text_is_read_token_by_token_and_edits_stand_beside():
    stored = fitted(labelled(), layers=[1], **FAST)
    report = applied(stored, text=PROMPT)
    ids = torch.from_numpy(tiny_lab("llama").prompt(PROMPT).ids)[None]
    expected = from_stored(stored).scores(plain("llama").read(ids, 1, "resid_post")[0].double().numpy())
    view = report.views[ProbeApply.TEXT]
    (row,) = view.rows
    assert np.isnan(row.values[0])
    np.testing.assert_allclose(row.values[1:], expected[1:], rtol=1e-3, atol=1e-3)
    assert report.scalars[ProbeApply.READ] == (expected[1:] >= 0).sum()
    assert view.labels[1:] == ["place" if score >= 0 else "other" for score in expected[1:]]
    assert view.labels[0] == ""
    assert "tokens as 'place'" in report.headline
    edited = applied(stored, edits="L1.resid_post=0", text=PROMPT)
    clean, changed = edited.views[ProbeApply.TEXT].rows
    np.testing.assert_allclose(clean.values[1:], row.values[1:])
    np.testing.assert_allclose(changed.values[1:], from_stored(stored).scores(np.zeros((1, 32)))[0], rtol=1e-6)
    assert edited.scalars["tokens_read_clean"] == report.scalars[ProbeApply.READ]
    assert "under the edits (without them" in edited.headline


def test_a_pooled_probe_says_that_its_threshold_is_of_other_numbers():
    stored = fitted(labelled(read="mean"), layers=[1], **FAST)
    report = applied(stored, text=PROMPT, data=labelled(n=60, seed=2, name="tokens"))
    assert any("was fitted on several tokens of each example together (mean)" in note for note in report.notes)
    assert any(
        "fitted on the mean over tokens of each example, and tokens has one token" in note for note in report.notes
    )


def test_bad_input_is_a_sentence():
    stored = fitted(labelled(), layers=[0], **FAST)
    with pytest.raises(UserError, match="no probe was named: give --probe NAME"):
        applied(StoredProbe(), text=PROMPT)
    with pytest.raises(UserError, match="nothing to read: give --data NAME-OR-FILE, or --text TEXT"):
        applied(stored)
    other = msgspec.structs.replace(stored, spec={**stored.spec, "fingerprint": "f" * 64})
    with pytest.raises(UserError, match="the probe was fitted on llama .ffffffff., and this is llama"):
        applied(other, text=PROMPT)
    for numbers_of in (stored.numbers[:-8], stored.numbers[:24]):
        with pytest.raises(UserError, match="places-logistic is damaged|reads L0.resid_post, and a layer has"):
            applied(msgspec.structs.replace(stored, numbers=numbers_of), text=PROMPT)


# --- in a session -----------------------------------------------------------------------------------


def test_a_probe_goes_by_its_name_lies_once_and_runs_again(own_folders: Path) -> None:
    path = own_folders / "a.db"
    with SessionWriter(path) as writer:
        lab = OpenedLab(tiny_lab("llama"), writer)
        lab.dense_probe(data=labelled(), layers=[1], **FAST)
        first = lab.probe_apply(probe="places-logistic", text=PROMPT)
        again = lab.probe_apply(probe="@places-logistic", text=PROMPT)
    assert first.scalars == again.scalars
    with SessionReader(path) as reader:
        assert known_probes(reader) == ["places-logistic"]
        (row,) = [row for row in reader.artifacts() if row.kind == NAME]
        assert row.steps == 3
        record = reader.step(2)
        assert record.command.startswith(f"workbench run probe-apply --probe @places-logistic --text '{PROMPT}'")
        assert reader.rows()[1].label == f"places-logistic, {PROMPT}"
        stored = make_params(experiment("probe-apply").params, record.params).probe
        assert stored.name == "places-logistic"
        assert from_stored(stored).content.hash == row.hash
    values, names = read_sets(experiment("probe-apply").params, {"probe": "places-logistic"}, path)
    assert (values["probe"], names) == (stored, {"probe": "places-logistic"})
    with pytest.raises(UserError, match="there is no probe nothing: dense-probe.*in the session: @places-logistic"):
        read_sets(experiment("probe-apply").params, {"probe": "nothing"}, path)
    with pytest.raises(UserError, match="there is no probe nothing: dense-probe"):
        read_sets(experiment("probe-apply").params, {"probe": "nothing"}, "")


def test_a_step_keeps_its_probe_when_the_name_stands_for_another(own_folders: Path) -> None:
    path = own_folders / "a.db"
    with SessionWriter(path) as writer:
        lab = OpenedLab(tiny_lab("llama"), writer)
        lab.dense_probe(data=labelled(), layers=[1], name="mine", **FAST)
        first = lab.probe_apply(probe="mine", text=PROMPT)
        lab.dense_probe(data=labelled(), layers=[2], name="mine", **FAST)
        second = lab.probe_apply(probe="mine", text=PROMPT)
        writer.rename_artifact(NAME, "mine", "yours")
        third = lab.probe_apply(probe="yours", text=PROMPT)
    assert first.scalars != second.scalars or first.headline != second.headline
    assert third.scalars == second.scalars
    with SessionReader(path) as reader:
        layers = [
            from_stored(make_params(experiment("probe-apply").params, reader.step(step).params).probe).reading.layer
            for step in (2, 4)
        ]
        assert layers == [1, 2]
        assert known_probes(reader) == ["yours"]


def test_a_probe_travels_as_plain_data() -> None:
    params = experiment("probe-apply").params
    stored = fitted(labelled(), layers=[0], **FAST)
    typed = make_params(params, {"probe": stored})
    assert make_params(params, params_builtins(typed)) == typed
    assert not make_params(params, {}).probe
    assert not read_params(params, {"probe": ""}).probe
    with pytest.raises(UserError, match="there is no probe months here"):
        read_params(params, {"probe": "months"})
    assert command_line("probe-apply", typed) == "workbench run probe-apply --probe @places-logistic"
    damaged = StoredProbe(name="x", spec={}, numbers=b"\0" * 24)
    with pytest.raises(UserError, match="the probe x is damaged"):
        from_stored(damaged)
    assert isinstance(from_stored(stored).content, Content)


def test_names_complete() -> None:
    assert suggest_name("mo", ["months-logistic", "past"]) == "months-logistic"
    assert suggest_name("@pa", ["months-logistic", "past"]) == "@past"
    assert suggest_name("", ["past"]) == suggest_name("past", ["past"]) == ""
