"""battery: many sets in one run; planted neurons are found and named, failures are rows, a run goes on."""

from functools import cache

import msgspec
import numpy as np
import pytest

from tests.experiments.planted_places import ALONE, LAYER, SHARED, TWO, planted_lab
from tests.experiments.test_sparse_probe import labelled
from tests.lab.labs import new_report
from workbench.datasets.labelled.labelled_set import LabelledSet, LabelledText, Span
from workbench.errors import Cancelled, UserError
from workbench.execute import execute
from workbench.experiment import command_line
from workbench.experiments import experiment
from workbench.experiments._battery import SetRow
from workbench.experiments._battery_views import sentence
from workbench.params import make_params, params_builtins
from workbench.report import Earlier
from workbench.result_keys import Battery, NeuronProbe, ProbeAblate, SparseProbe

FEW = {"ks": [1, 3], "permutations": 9, "controls": 6, "text_tokens": 1000}
BROKEN = LabelledSet(name="broken", texts=[LabelledText(f"the fox {n}", [Span(4, 7, 1)], n) for n in range(40)])


def ran(data, between=None, report=None, **params):
    report = report or new_report(between)
    execute(planted_lab(), "battery", {"data": data, **FEW, **params}, [], 0, report)
    return report


def sets(report):
    return {row["set"]: row for row in report.views[Battery.SETS].records()}


def one_run(name, data, lab=None, **params):
    report = new_report()
    asked = {"data": data, "examples": 2000, "text_tokens": 1000, **params}
    execute(lab or planted_lab(), name, asked, [], 0, report)
    return report


@cache
def run_of_three():
    return ran([labelled(), labelled(rule=False, name="no rule"), BROKEN])


@pytest.fixture
def three():
    """A set of places; one with labels of no rule; one that can't be probed. Run once, in the first test's folders."""
    return run_of_three()


def test_the_planted_neuron_is_the_best_alone_and_monosemantic(three):
    row = sets(three)["places"]
    assert (row["unit"], row["monosemantic"], row["why"]) == (f"L{LAYER}.N{ALONE}", "yes", "")
    assert row["mcc_one"] == row["tokens_alone"] == 1
    assert (row["own"], row["ratio"] > 10) == ("place", True)
    assert row["kl_own_low"] > row["kl_matched"]
    assert row["kl_own_low"] <= row["kl_own"] <= row["kl_own_high"]
    assert three.scalars[Battery.MONOSEMANTIC] == three.scalars[Battery.ALONE] == 1
    assert "1 of the best neurons, one a set, is monosemantic: L1.N7 (places)" in three.headline
    assert "one neuron has MCC ≥ .9 on test in 1 (none above tokens alone)" in three.headline


def test_labels_of_no_rule_have_no_neuron(three):
    row = sets(three)["no rule"]
    assert row["monosemantic"] == "no"
    assert row["mcc_one"] < 0.5
    assert row["p_one"] > 0.05


def test_a_set_that_fails_is_a_row_with_its_reason_and_the_others_go_on(three):
    row = sets(three)["broken"]
    assert row["problem"] == "every example is 1: two classes are needed"
    assert row["unit"] == ""
    assert three.scalars[Battery.FAILED] == 1
    assert three.headline.endswith("1 failed")
    assert list(sets(three)) == ["places", "no rule", "broken"]


def test_numbers_are_those_of_the_single_experiments(three):
    row = sets(three)["places"]
    sparse = one_run("sparse-probe", labelled(), ks=FEW["ks"], permutations=9, adaptive=False)
    for ours, theirs in (
        ("examples", "examples"),
        ("mcc_k", "mcc"),
        ("auc_k", "auc"),
        ("mcc_k_low", "mcc_low"),
        ("tokens_alone", "tokens_alone"),
        ("selectivity", "mcc_selectivity"),
        ("random_neurons", "mcc_random_neurons"),
        ("p", "null_p"),
        ("k", "k"),
    ):
        assert row[ours] == sparse.scalars[theirs], ours
    single = one_run("neuron-probe", labelled())
    assert row["mcc_one"] == single.scalars[NeuronProbe.MCC]
    assert row["unit"] == single.views[NeuronProbe.NEURONS].records()[0]["unit"]
    ablated = one_run("probe-ablate", labelled(), units=row["unit"], controls=6, tokens=4000)
    assert row["kl_own"] == ablated.scalars["kl_positive"]
    assert row["kl_next_high"] == ablated.scalars["kl_negative_high"]
    assert row["ratio"] == ablated.scalars["ratio"]
    grid = sparse.views[SparseProbe.MAP]
    maps = [three.views[key].values[0] for key in (Battery.ONE, Battery.BEST)]
    np.testing.assert_array_equal(maps[0], grid.values[:, 0])
    np.testing.assert_array_equal(maps[1], grid.values.max(1))
    best = single.views[NeuronProbe.BY_LAYER].series[0].y
    aucs = [row["auc"] for row in three.views[Battery.LAYERS].records() if row["set"] == "places"]
    np.testing.assert_array_equal(aucs, best)


def test_the_set_is_cut_to_its_limits(three):
    row = sets(three)["places"]
    assert row["examples"] < 150, "1,000 tokens of about 2,000"
    share = sum(text.spans[0].label for text in labelled().texts) / 240
    assert row["positives"] / row["examples"] == pytest.approx(share, abs=0.02)
    single = one_run("neuron-probe", labelled())
    assert any("texts, drawn evenly by class and document with seed 0: at most" in note for note in single.notes)
    small = sets(ran([labelled()], examples=60, text_tokens=40_000))["places"]
    assert small["examples"] == 60


def test_a_feature_spread_over_three_neurons_is_found_at_three_and_none_is_monosemantic():
    lab = planted_lab(only=SHARED)
    report = new_report()
    execute(lab, "battery", {"data": [labelled()], **FEW}, [], 0, report)
    row = sets(report)["places"]
    assert (row["layer"], row["k"], row["mcc_k"]) == (f"L{LAYER}", 3, 1)
    assert row["mcc_one"] < 0.9
    assert row["monosemantic"] == "no"
    chosen = one_run("sparse-probe", labelled(), lab, ks=FEW["ks"], permutations=9, adaptive=False)
    units = chosen.views[SparseProbe.NEURONS].cells("unit")
    assert set(units) == {f"L{LAYER}.N{index}" for index in SHARED}
    assert report.views[Battery.BEST].values[0, LAYER] == 1
    assert report.views[Battery.ONE].values[0, LAYER] < 0.9
    assert "none of the best neurons, one a set, is monosemantic" in report.headline


def test_two_features_in_one_neuron_are_not_monosemantic():
    report = new_report()
    execute(planted_lab(only=(TWO,)), "battery", {"data": [labelled()], **FEW}, [], 0, report)
    row = sets(report)["places"]
    assert (row["unit"], row["own"], row["monosemantic"]) == (f"L{LAYER}.N{TWO}", "place", "no")
    assert 0.5 < row["mcc_one"] < 0.9
    assert row["kl_own"] > 2 * row["kl_next"] > 0
    assert row["why"].startswith("ratio under 10")


# --- going on ---------------------------------------------------------------------------------------


def earlier_of(report, params, is_done=False):
    info = planted_lab().info
    tables = {key: view for key, view in report.views.items() if key in (Battery.SETS, Battery.LAYERS)}
    asked = params_builtins(make_params(experiment("battery").params, params))
    return Earlier(
        step=7,
        params=msgspec.json.decode(msgspec.json.encode(asked)),  # as it comes to the model process
        fingerprint=info.fingerprint,
        dtype=info.dtype,
        is_done=is_done,
        headline="",
        scalars={},
        tables=tables,
    )


def test_a_cancel_keeps_the_sets_that_are_done_and_the_run_again_goes_on_with_the_others(three):
    data = [labelled(), BROKEN, labelled(rule=False, name="no rule")]
    first = new_report()

    def stop():
        if first.progress.stage.startswith("set 3 of 3"):
            raise Cancelled

    first = new_report(stop)
    with pytest.raises(Cancelled):
        ran(data, report=first)
    assert list(sets(first)) == ["places", "broken"]
    assert np.isnan(first.views[Battery.ONE].values[2]).all()
    assert first.headline.startswith("1 of 3 sets done")
    seen = set()
    again = new_report(lambda: seen.add(again.progress.stage.partition(":")[0]))
    again.earlier = [earlier_of(first, {"data": data, **FEW})]
    ran(data, report=again)
    assert seen == {"set 3 of 3, no rule"}
    assert "places: as in step 7" in again.notes
    whole = sets(three)
    assert sets(again) == {name: whole[name] for name in ("places", "broken", "no rule")}
    for key in (Battery.ONE, Battery.BEST):
        np.testing.assert_array_equal(again.views[key].values[[0, 2, 1]], three.views[key].values)


def test_other_parameters_take_nothing_from_the_session(three):
    again = new_report()
    again.earlier = [earlier_of(three, {"data": [labelled()], **FEW})]
    ran([labelled()], report=again, ks=[1])
    assert not any("as in step" in note for note in again.notes)


# --- what it is asked with --------------------------------------------------------------------------


def test_a_cell_is_the_probe_of_that_set_at_that_layer(three):
    battery = experiment("battery")
    params = make_params(battery.params, {"data": [labelled(), BROKEN], **FEW})
    step = battery.cell(params, Battery.BEST, three.views[Battery.BEST], 0, 2)
    assert (step.experiment, step.label) == ("sparse-probe", "probe places at L2")
    probe = make_params(experiment("sparse-probe").params, step.params)
    assert (probe.layers, probe.ks, probe.text_tokens, probe.data) == ([2], [1, 3], 1000, labelled())
    alone = battery.cell(params, Battery.ONE, three.views[Battery.ONE], 0, 1)
    assert alone.params["ks"] == [1]
    assert battery.cell(params, Battery.SETS, three.views[Battery.ONE], 0, 1) is None
    assert battery.cell(params, Battery.ONE, three.views[Battery.ONE], 2, 1).params["data"]["name"] == "broken"


def test_the_command_names_every_set():
    battery = experiment("battery")
    params = make_params(battery.params, {"data": [labelled(), BROKEN]})
    assert command_line("battery", params) == "workbench run battery --data @places,@broken"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "no data sets were named: give --data A,B,C"),
        ([labelled(), labelled(n=60)], "2 of the data sets are called 'places'"),
        ([LabelledSet(texts=labelled().texts)], "1 of the data sets have no name"),
    ],
)
def test_what_can_not_be_run_is_a_sentence(data, words):
    with pytest.raises(UserError, match=words):
        ran(data)


def test_the_cost_is_said_before():
    battery, info = experiment("battery"), planted_lab().info
    assert battery.cost(make_params(battery.params, {}), info) is None
    one = battery.cost(make_params(battery.params, {"data": [labelled()]}), info)
    two = battery.cost(make_params(battery.params, {"data": [labelled(), labelled(name="b")]}), info)
    assert two.work == pytest.approx(2 * one.work)
    assert two.disk == 2 * one.disk
    less = battery.cost(make_params(battery.params, {"data": [labelled()], "examples": 60}), info)
    assert less.work < one.work


def test_the_sentence_counts_what_is_above_tokens_alone():
    rows = [
        SetRow(set="a", mcc_one=0.95, mcc_one_low=0.9, mcc_k=0.97, mcc_k_low=0.95, tokens_alone=0.5, unit="L1.N1",
               monosemantic="no", ratio=2.5),
        SetRow(set="b", mcc_one=0.3, mcc_k=0.92, mcc_k_low=0.8, tokens_alone=0.9, unit="L1.N2", monosemantic="no",
               ratio=0.5),
        SetRow(set="c", problem="one class"),
    ]  # fmt: skip
    assert sentence(rows, 3, "neuron") == (
        "2 of 3 sets done: one neuron has MCC ≥ .9 on test in 1 (1 above tokens alone) · k neurons in 2 (1 above "
        "tokens alone) · none of the best neurons, one a set, is monosemantic · highest ratio of classes: 2.5, "
        "L1.N1 (a) · 1 failed"
    )
    assert sentence(rows[2:], 3, "neuron") == "none of 3 sets has a result: the table says why"
    assert sentence(rows[:1], 1, "neuron").startswith("1 set: one neuron has MCC ≥ .9 on test in 1 (1 above")
    assert ProbeAblate.MONOSEMANTIC == Battery.MONOSEMANTIC
