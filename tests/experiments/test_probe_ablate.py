"""probe-ablate: what a neuron at 0 does to each class, beside its controls, and the rule of METHODS, "Monosemantic"."""

import dataclasses

import msgspec
import numpy as np
import pytest

from tests.experiments.planted_places import ALONE, BOTH, SHARED, planted_lab, planted_plain
from tests.experiments.test_neuron_probe import ran as probed
from tests.experiments.test_sparse_probe import labelled
from tests.lab.labs import new_report, tiny_lab
from tests.lab.sae.made import keep, made_sae
from workbench.datasets.labelled.aligning import examples_of
from workbench.datasets.labelled.labelled_set import LabelledSet, LabelledText, Span
from workbench.errors import UserError
from workbench.execute import execute
from workbench.experiments._ablation import ClassEffect, Interval, verdict
from workbench.lab.sae import make_sae
from workbench.result_keys import NeuronProbe, ProbeAblate
from workbench.statistics import Mean
from workbench.units import Site


def ran(data, units, lab=None, seed=0, **params):
    report = new_report()
    asked = {"data": data, "units": units, "controls": 6, "directions": 2, **params}
    execute(lab or planted_lab(), "probe-ablate", asked, [], seed, report)
    return report


def rows(report):
    return {(row["unit"], row["class"]): row for row in report.views[ProbeAblate.CLASSES].records()}


def verdicts(report):
    return {row["unit"]: row for row in report.views[ProbeAblate.VERDICT].records()}


def test_the_planted_neuron_is_monosemantic_and_the_one_that_fires_at_both_is_not():
    report = ran(labelled(), f"L1.N{ALONE}, L1.N{BOTH}")
    table, ruled = rows(report), verdicts(report)
    alone, both = f"L1.N{ALONE}", f"L1.N{BOTH}"
    assert ruled[alone]["monosemantic"] == "yes"
    assert (ruled[alone]["own"], ruled[alone]["why"]) == ("place", "")
    assert table[alone, "place"]["kl"] > 100 * table[alone, "other"]["kl"]
    assert table[alone, "place"]["place"] == "all 5", "no more lie in its bin"
    assert ruled[both]["monosemantic"] == "no"
    assert "ratio under 10" in ruled[both]["why"]
    assert report.scalars[ProbeAblate.MONOSEMANTIC] == 1
    assert report.headline.startswith(f"1 of 2 neurons is monosemantic ({alone}) · {alone} set to 0 where the label is")
    assert next(iter(report.views)) != ProbeAblate.VERDICT


def test_a_neuron_that_shares_the_feature_does_less():
    report = ran(labelled(), ", ".join(f"L1.N{index}" for index in (ALONE, *SHARED)))
    table = rows(report)
    whole = table[f"L1.N{ALONE}", "place"]["kl"]
    for index in SHARED:
        assert 0 < table[f"L1.N{index}", "place"]["kl"] < whole


def test_means_and_intervals_are_those_of_plain_hooks_clustered_by_document():
    import torch

    data = labelled()
    report = ran(data, f"L1.N{BOTH}")
    lab = planted_lab()
    examples, _ = examples_of(data, lab.model.tokens.tokenizer, lab.info.n_ctx, 0)
    model, kls = planted_plain(), {}
    for at in np.flatnonzero(examples.split == 2):
        ids, last = torch.tensor([examples.windows[examples.window[at]]]), int(examples.last[at])

        def off(values, last=last):
            values = values.clone()
            values[:, last, BOTH] = 0
            return values

        clean = model.logits(ids)[0, last].double().log_softmax(-1)
        edited = model.logits(ids, [(1, "mlp_post", off)])[0, last].double().log_softmax(-1)
        kls[at] = float((clean.exp() * (clean - edited)).sum())
    for side, name in ((1, "place"), (0, "other")):
        members = [at for at in kls if examples.label[at] == side]
        values, documents = np.array([kls[at] for at in members]), examples.document[members]
        mean, unique = values.mean(), np.unique(documents)
        spread = sum((values[documents == number] - mean).sum() ** 2 for number in unique)
        error = np.sqrt(len(unique) / (len(unique) - 1) * spread) / len(values)
        row = rows(report)[f"L1.N{BOTH}", name]
        assert row["kl"] == pytest.approx(mean, rel=1e-3)
        assert row["examples"] == len(members)
        key = "positive" if side else "negative"
        assert report.scalars[f"kl_{key}_high"] == pytest.approx(mean + 1.959964 * error, rel=1e-3)
        assert row["loss"] is None, "every text ends there"


def test_later_tokens_are_measured_where_there_are_any():
    data = labelled()
    longer = [LabelledText(f"{text.text} is in the", text.spans, text.document) for text in data.texts]
    report = ran(LabelledSet(name="longer", texts=longer, classes=data.classes), f"L1.N{ALONE}")
    row = rows(report)[f"L1.N{ALONE}", "place"]
    assert row["loss"] is not None
    assert row["loss_se"] > 0
    assert any("later loss" in note for note in report.notes)


def test_the_first_neuron_is_read_as_neuron_probe_reads_it():
    data = labelled()
    best = probed(data, lab=planted_lab())
    unit = best.views[NeuronProbe.NEURONS].records()[0]["unit"]
    report = ran(data, unit)
    theirs, ours = best.views[NeuronProbe.BY_CLASS], report.views[ProbeAblate.BY_CLASS]
    for one, other in zip(theirs.series, ours.series, strict=True):
        np.testing.assert_array_equal(one.y, other.y)
    assert theirs.marks[0].x == pytest.approx(ours.marks[0].x, abs=1e-3)
    assert best.views[NeuronProbe.ERRORS].tokens == report.views[ProbeAblate.ERRORS].tokens
    assert any("read from the store" in note for note in report.notes)


def test_a_class_is_cut_to_its_tokens_and_that_is_said():
    report = ran(labelled(), f"L1.N{ALONE}", tokens=40)
    assert any("--tokens 40 of each class" in note for note in report.notes)
    for row in rows(report).values():
        assert 0 < row["examples"] <= 10


def test_pooled_sets_are_set_to_0_wherever_they_are_read():
    report = ran(labelled(read="mean"), f"L1.N{BOTH}")
    assert report.views[ProbeAblate.CLASSES].note.startswith("at every token that is read")
    assert rows(report)[f"L1.N{BOTH}", "place"]["kl"] > 0


def effect(name, value, se, controls=(1e-6, 2e-6), distance=(1e-6, 1e-7), rounding=0.0):
    near = None if distance is None else Interval(Mean(*distance, 9))
    return ClassEffect(name, 20, Interval(Mean(value, se, 9)), Mean(0, 0, 0), np.array(controls), near, rounding)


GOOD = effect("own", 1.0, 0.05)
NEXT = effect("next", 0.01, 0.01)


def test_the_rule():
    passed = verdict([NEXT, GOOD])
    assert (passed.own.name, passed.reasons) == ("own", ())
    assert passed.ratio == pytest.approx((1 - 0.05 * 1.959964) / (0.01 + 0.01 * 1.959964))
    assert verdict([effect("own", 1.0, 0.4), NEXT]).reasons == ("ratio under 10",)
    assert verdict([effect("own", 1.0, 0.05, controls=(0.95, 0.1)), NEXT]).reasons == ("not above matched neurons",)
    assert verdict([effect("own", 1.0, 0.05, distance=(0.8, 0.1)), NEXT]).reasons == ("not above random directions",)
    assert "not above rounding" in verdict([effect("own", 1.0, 0.05, rounding=2.0), NEXT]).reasons
    assert verdict([effect("own", 1.0, 0.05, controls=(), distance=None), NEXT]).reasons == (
        "no matched neurons",
        "no random directions",
    )
    assert verdict([GOOD, effect("next", 0.01, float("nan"))]).reasons == ("a class has a single document",)
    dead = [dataclasses.replace(GOOD, kl=Interval(Mean(0.0, 0.0, 9))), dataclasses.replace(NEXT, kl=GOOD.kl)]
    dead[1] = dataclasses.replace(NEXT, kl=Interval(Mean(0.0, 0.0, 9)))
    assert "no effect" in verdict(dead).reasons


def test_none_is_a_result():
    report = ran(labelled(), "L0.N3", lab=tiny_lab("llama"))
    assert report.scalars[ProbeAblate.MONOSEMANTIC] == 0
    assert "not monosemantic: " in report.headline


def test_bad_input_is_a_sentence():
    with pytest.raises(UserError, match="no unit named"):
        ran(labelled(), "")
    with pytest.raises(UserError, match=r"L1\.H2 is no neuron"):
        ran(labelled(), "L1.H2")
    with pytest.raises(UserError):
        ran(labelled(), "L9.N2")
    with pytest.raises(UserError, match="no data set was named"):
        ran(LabelledSet(), "L1.N2")
    numbers = [LabelledText(f"the river is {at}", [Span(0, 9, float(at))]) for at in range(40)]
    with pytest.raises(UserError, match="tells two classes apart"):
        ran(LabelledSet(name="n", texts=numbers, numeric=True), "L1.N2")


def test_a_feature_that_knows_places_is_monosemantic():
    lab = planted_lab()
    data = labelled()
    keep(places_sae(lab), "places")
    unit = f"L1.F{ALONE}/places"
    report = ran(data, unit, lab=lab)
    assert verdicts(report)[unit]["own"] == "place"
    table = rows(report)
    assert table[unit, "place"]["kl"] > 100 * table[unit, "other"]["kl"]
    assert report.views[ProbeAblate.BY_CLASS].title == f"{unit} by class, on test"
    assert report.views[ProbeAblate.ERRORS].tokens
    assert report.headline.startswith(f"{unit} set to 0 where the label is")
    assert "matched random features" in report.headline
    assert report.next_steps[0].experiment == "feature"


def places_sae(lab):
    """An SAE of mlp_post, a feature for each neuron where it is positive."""
    import torch

    sae = made_sae(lab, Site(1, "mlp_post"), n=4)
    width = sae.config.d_in
    tensors = {
        "W_enc": torch.eye(width),
        "W_dec": torch.eye(width),
        "b_enc": torch.zeros(width),
        "b_dec": torch.zeros(width),
    }
    config = msgspec.structs.replace(sae.config, d_sae=width, subtracts_b_dec=False)
    return make_sae(config, tensors)


def test_what_is_no_neuron_and_no_feature_is_refused():
    keep(made_sae(planted_lab(), n=4), "some")
    for units, sentence in [
        ("L1.H0", "is no neuron and no feature"),
        ("L1.F0~", "name L1.F0"),
        ("L1.F9999", "there is no feature 9999"),
    ]:
        with pytest.raises(UserError, match=sentence):
            ran(labelled(), units)
