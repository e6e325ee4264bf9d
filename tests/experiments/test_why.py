"""Planted circuits are found, chance is told from them, and sentences say so."""

import json
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.lab.labs import PROMPT, new_report, source_of, tiny_lab
from tests.lab.planted import ANSWER, Planted
from tests.tiny import tiny_model
from workbench.edits import parse_edits
from workbench.errors import UserError
from workbench.execute import execute
from workbench.experiments import experiment
from workbench.experiments._explanation import Explanation
from workbench.experiments._search import SearchResult
from workbench.experiments._sweep import (
    KINDS,
    UnitEffects,
    _of_kind,
    estimates,
    exact_effects,
    measure_chance,
    other_answers,
)
from workbench.experiments._target import TargetParams, find_target
from workbench.lab.controls import off_controls
from workbench.lab.model import load_lab
from workbench.lab.study import study as new_study
from workbench.params import make_params
from workbench.statistics import place_among
from workbench.units import Neuron, parse_units


def ask(lab, name, edits="", seed=0, **params):
    report = new_report()
    given = {"prompt": PROMPT, "answer": ANSWER, **params}
    execute(lab, name, given, parse_edits([edits], lab.info), seed, report)
    return report


@cache
def lab_of(kind: str):
    """`circuit`: two neurons and a head. `twice`: either of two neurons is enough. `backup`: one stands in."""
    planted = Planted()
    if kind == "circuit":
        planted.head(1, 2, 15)
        planted.neuron(1, 20, 1, 20 * planted.toward)
        planted.neuron(2, 30, 1, 20 * planted.toward)
    elif kind == "twice":
        planted.neuron(2, 30, 1, 70 * planted.toward)  # first: it does not read what the other writes
        planted.neuron(1, 20, 1, 70 * planted.toward)
    elif kind == "backup":
        planted.neuron(0, 20, 1, 60 * planted.toward)
        planted.backup(2, 30, of=(0, 20))
    return load_lab(source_of(planted.save(Path(tempfile.mkdtemp(prefix="wb-planted-")) / kind)), "cpu", "float32")


def test_two_neurons_and_a_head_are_found_and_ranked():
    report = ask(lab_of("circuit"), "sweep")
    assert set(report.views["neurons"].cells("unit")[:2]) == {"L1.N20", "L2.N30"}
    assert report.views["heads"].cells("unit")[0] == "L1.H2"
    beyond = [
        unit
        for view in (report.views["neurons"], report.views["heads"])
        for unit, out in zip(view.cells("unit"), view.cells("beyond"), strict=True)
        if out == "yes"
    ]
    assert set(beyond) == {"L1.N20", "L2.N30", "L1.H2"}
    assert (report.scalars["neurons_beyond"], report.scalars["heads_beyond"]) == (2, 1)
    assert "stand out from chance (32 other answers): 2 of 192 neurons, 1 of 12 heads" in report.headline
    assert report.scalars["neurons_spearman"] > 0.9
    direct = ask(lab_of("circuit"), "dla").views["parts"]
    assert set(direct.cells("unit")[:3]) == {"L1.N20", "L2.N30", "L1.H2"}


def test_why_ends_in_a_sentence_with_its_noise_floor():
    report = ask(lab_of("circuit"), "why")
    assert report.headline.startswith("five neurons off: p(' Paris') .8")
    assert "64 matched random sets of 5 neurons: median " in report.headline
    assert "picked the same way for " in report.headline
    assert "nothing found" not in report.headline
    assert report.scalars["probability_off"] < 0.1 < report.scalars["controls_low"] + 1
    assert report.scalars["percentile"] == pytest.approx(0.5 / 65)
    assert report.scalars["beyond"] == 1
    assert "; lower than all 64 · " in report.headline
    table = report.views["picked"]
    assert [column.name for column in table.columns[2:5]] == ["together, log-odds", "estimate, log p", "exact, log p"]
    assert [column.name for column in report.views["verdict"].columns if column.key == "own"] == [
        "own answer, log-odds"
    ]
    picked = table.cells("unit")
    assert set(picked[:2]) == {"L1.N20", "L2.N30"}
    assert len(picked) == 5
    edit = report.next_steps[0].edits[0]
    assert [str(unit) for unit in parse_units(edit.partition("[")[0])] == picked
    edited = ask(lab_of("circuit"), "predict", edits=edit, controls=0)
    assert edited.scalars["answer_probability_edited"] == pytest.approx(report.scalars["probability_off"], abs=1e-4)


def test_with_a_foil_every_effect_is_in_logits():
    table = ask(lab_of("circuit"), "why", foil=" London", n=10, unrelated=1, controls=4).views["picked"]
    assert [column.name for column in table.columns[2:5]] == ["together, logits", "estimate, logits", "exact, logits"]


@pytest.mark.parametrize(
    ("random", "unrelated", "sentence"),
    [
        ([-2.0, -3.0], [], "nothing found: 1 of 2 random sets leave as little"),
        ([-2.0, -2.0], [("' Son'", -4.0)], "nothing found: those picked for ' Son' leave as little"),
        ([-3.5, -4.0], [("' Son'", -4.0)], "nothing found: 2 of 2 random sets and those picked for ' Son' leave"),
    ],
)
def test_what_lowers_the_answer_as_much_is_named(random, unrelated, sentence):
    lab = lab_of("circuit")
    target = find_target(lab, TargetParams(prompt=PROMPT, answer=ANSWER), new_report())
    units = [Neuron(1, 20)]
    picked = SearchResult(units, [-1.0], None)
    made = Explanation(target, picked, -3.0, [-3.0], [-1.0], (np.nan,) * 3, 2, "matched random neurons")
    made.random, made.unrelated = random, unrelated
    assert not made.beyond
    assert made.sentence().startswith(sentence)


def test_an_answer_made_twice_shows_nothing_alone_and_the_pair_is_found():
    for kind, pair in (("twice", "L1.N20 alone|L2.N30 alone"), ("backup", "L0.N20 alone|L2.N30 alone")):
        lab = lab_of(kind)
        swept = ask(lab, "sweep")
        study = new_study(lab, lab.prompt(PROMPT))
        clean, first, second, both = (
            float(np.exp(study.log_prob(lab.answer_token(ANSWER).id))),
            *(
                ask(lab, "predict", edits=text, controls=0).scalars["answer_probability_edited"]
                for text in pair.replace(" alone", "[1-]=0").split("|")
            ),
            ask(lab, "predict", edits=pair.replace(" alone", "[1-]=0").replace("|", ";"), controls=0).scalars[
                "answer_probability_edited"
            ],
        )
        assert min(first, second) > 0.9 * clean > 9 * both, "planted as wanted"
        assert max(abs(effect) for effect in swept.views["neurons"].cells("exact") if effect is not None) < 0.15
        report = ask(lab, "why", n=50, unrelated=1, controls=32)
        for one in pair.split("|"):
            assert one in report.headline
        assert "made twice" in report.headline
        assert set(report.views["picked"].cells("unit")[:2]) == {one.split()[0] for one in pair.split("|")}


def test_where_there_is_nothing_it_says_nothing():
    report = ask(lab_of("nothing"), "why", n=20, unrelated=2)
    quiet = ask(lab_of("nothing"), "sweep")
    assert "nothing found" in report.headline or report.scalars["beyond"] == 1
    assert "made twice" not in report.headline
    assert ": none of 192 neurons, none of 12 heads" in quiet.headline


def test_an_estimate_is_exact_where_the_model_is_linear_in_the_unit(tmp_path):
    # A norm whose epsilon outweighs its input only scales: the last layer's neurons then add straight to the logits.
    planted = Planted(rms_norm_eps=1e6)
    with torch.no_grad():
        for name, parameter in planted.model.named_parameters():
            if "norm" in name:
                parameter.fill_(1e3)
        planted.model.model.embed_tokens.weight.mul_(0.02)
    lab = load_lab(source_of(planted.save(tmp_path / "linear")), "cpu", "float32")
    target = find_target(lab, TargetParams(prompt=PROMPT, answer=ANSWER, foil=" Rome"), new_report())
    units = estimates(target)["neurons"]
    exact_effects(target, units, units.count, new_report(), "")
    assert np.isfinite(units.exact).all()
    last = units.exact[-1]
    assert np.abs(last).max() > 0
    assert np.allclose(units.estimate[-1], last, rtol=1e-3, atol=1e-3 * np.abs(last).max())


def test_a_sweep_for_a_shuffled_answer_finds_nothing_beyond_chance():
    lab = tiny_lab("llama")
    target = find_target(lab, TargetParams(prompt=PROMPT), new_report())
    sweep = estimates(target)
    measure_chance(target, sweep, 60, 0, new_report())
    shuffled = other_answers(target.study, target.metric, 100, seed=1)
    found = target.study.attribute(shuffled)
    for kind in KINDS:
        out = []
        for row in range(len(shuffled)):
            values = _of_kind(found, kind, row)
            units = UnitEffects(kind, values, values)
            units.low, units.high = sweep[kind].low, sweep[kind].high
            out.append(units.n_beyond > 0)
        assert np.mean(out) < 0.15, kind  # 5 % are let through


def test_a_random_units_percentile_is_uniform(tmp_path):
    """200 units drawn at random, each among controls of its kind: Kolmogorov–Smirnov against the uniform."""
    folder = tiny_model("llama", tmp_path / "wide", intermediate_size=640)
    lab = load_lab(source_of(folder), "cpu", "float32")
    study = new_study(lab, lab.prompt(PROMPT))
    every = [Neuron(layer, index) for layer in range(3) for index in range(640)]
    effects = {}
    for results in study.run([study.off([unit]) for unit in every]):
        effects.update(zip((every[at] for at in results.indices), results.kl(), strict=True))
    random = np.random.default_rng(5)
    found = []
    for draw in range(200):
        unit = every[random.integers(len(every))]
        controls = off_controls([unit], lab.model, study.first, 50, draw)
        values = np.asarray([effects[next(iter(plan.units))] for plan in controls.plans])
        assert len(values) == 50
        found.append(place_among(effects[unit], values).percentile)
    found = np.sort(found)
    steps = np.arange(201) / 200
    distance = max(np.abs(found - steps[:-1]).max(), np.abs(found - steps[1:]).max())
    assert distance < 1.63 / np.sqrt(200) + 0.5 / 51, "rejected at 1 %"


def test_parts_are_steps_and_show_in_the_whole():
    class Parts:
        def __init__(self):
            self.parts = []

        def part(self, name, params, edits, names):
            make_params(experiment(name).params, params)
            self.parts.append((name, params["answer"], [str(edit) for edit in edits]))
            return self

        def changed(self, report):
            return

        streamed = between_batches = done = changed

    from workbench.report import Report

    sink = Parts()
    report = Report(sink)
    lab = lab_of("circuit")
    edits = parse_edits(["L0.N1=0"], lab.info)
    params = {"prompt": PROMPT, "answer": ANSWER, "n": 5, "controls": 4, "unrelated": 0}
    execute(lab, "why", params, edits, 0, report)
    assert sink.parts == [("dla", ANSWER, ["L0.N1=0"]), ("sweep", ANSWER, ["L0.N1=0"])]
    assert {"direct", "neurons", "heads", "where", "verdict", "picked", "controls"} <= set(report.views)


@pytest.mark.parametrize(
    ("name", "params", "says"),
    [
        ("why", {"answer": ANSWER, "foil": ANSWER}, "the same token"),
        ("why", {"prompt": ""}, "empty"),
        ("patch", {}, "a second prompt is needed"),
        ("patch", {"corrupted": "The capital"}, "5 and 2 tokens"),
        ("patch", {"corrupted": PROMPT}, "the same tokens"),
        ("patch", {"corrupted": "The capital of Tokyo is", "foil": ANSWER}, "the same token"),
        ("attention", {}, "a head is needed"),
        ("attention", {"head": "L1.N2"}, "is no head"),
        ("attention", {"head": "L1.H9"}, "no head 9"),
        ("attention", {"head": "L1.H1", "position": 77}, "no position 77"),
        ("effect", {}, "no edit whose effect"),
        ("sweep", {"foil": ANSWER}, "the same token"),
        ("dla", {"foil": ANSWER}, "the same token"),
        ("predict", {"foil": ANSWER}, "the same token"),
    ],
)
def test_bad_input_is_a_sentence(name, params, says):
    with pytest.raises(UserError, match=says):
        ask(tiny_lab("llama"), name, **params)


def test_a_foil_that_is_the_likeliest_token_is_a_sentence():
    lab = tiny_lab("llama")
    top = lab.token(lab.forward(lab.prompt(PROMPT)).top(1)[0][0, 0])
    for name, edits in (("why", ""), ("predict", ""), ("effect", "L1.N3=0")):
        with pytest.raises(UserError, match="the top prediction is"):
            ask(lab, name, edits, answer="", foil=top)
    rows = [{"prompt": PROMPT}, {"prompt": PROMPT, "answer": ANSWER, "foil": ANSWER}]
    with pytest.raises(UserError, match="prompt 2 of the set: answer and foil are the same token"):
        execute(lab, "predict", {"prompts": rows}, [], 0, new_report())


def test_an_answer_of_several_tokens_is_its_first_and_says_so():
    for name in ("dla", "why", "predict", "effect"):
        params = {"n": 2, "controls": 1, "unrelated": 0} if name == "why" else {}
        report = ask(tiny_lab("llama"), name, "L1.N3=0" if name == "effect" else "", answer=" Paris is", **params)
        assert "' Paris is' is 2 tokens: its first, ' Paris', is measured" in report.notes


def test_a_prompt_of_one_token_counts_its_only_position():
    report = ask(tiny_lab("llama"), "sweep", prompt="The", n=5, others=4)
    assert any("one token" in note for note in report.notes)
    assert np.isfinite(report.views["where"].values).any()


@pytest.mark.parametrize("arch", ["gpt2", "gpt_neox", "gemma2", "qwen2"])
def test_it_runs_on_every_architecture(arch):
    lab = tiny_lab(arch)
    report = ask(lab, "why", n=4, controls=4, unrelated=1)
    assert "neurons off" in report.headline
    report = ask(lab, "attention", head="L1.H2")
    pattern = report.views["pattern"].values
    assert np.allclose(np.nansum(pattern, axis=1), 1, atol=1e-4)
    assert report.views["layer"].values.shape == (4, len(pattern))


def test_patching_recovers_where_the_prompts_differ():
    report = ask(tiny_lab("llama"), "patch", corrupted="The capital of Tokyo is", foil=" Tokyo")
    recovery = report.views["resid_pre"].values
    assert recovery[0, 3] == pytest.approx(1, abs=1e-3), "all that differs, put back at the start, is the clean run"
    assert np.allclose(recovery[:, :3], 0)
    assert np.isfinite(report.views["heads"].values).all()


def test_effects_have_bands_counts_and_errors(tmp_path):
    lab = lab_of("circuit")
    one = ask(lab, "effect", edits="L1.N20=0", controls=5, generate=3)
    assert one.scalars["answer_probability_edited"] < one.scalars["answer_probability"]
    assert "larger than all" in one.headline
    assert "random directions, same norm" in one.headline
    assert "clean: " in one.views["generated"].text
    text = tmp_path / "text.jsonl"
    lines = [f"The capital of Spain is Madrid. The river is wide. Numbers: {n} {n + 1}" for n in range(60)]
    text.write_text("\n".join(json.dumps({"text": line}) for line in lines))
    report = new_report()
    params = {"corpus": str(text), "tokens": 300, "context": 32, "controls": 3}
    execute(lab, "effect", params, parse_edits(["L1.N20=0"], lab.info), 3, report)
    assert report.scalars["tokens"] >= 300
    classes = report.views["classes"]
    assert {"word", "word with a capital", "punctuation"} <= {row[0] for row in classes.rows}
    assert sum(classes.cells("tokens")) == report.scalars["tokens"]
    assert report.scalars["loss_change"] == pytest.approx(report.scalars["loss_edited"] - report.scalars["loss"])
    assert report.scalars["loss_change_se"] >= 0
    assert len(report.views["extremes"].rows) > 0
    empty = tmp_path / "empty.txt"
    empty.write_text("\n\n")
    with pytest.raises(UserError, match="empty"):
        execute(lab, "effect", {"corpus": str(empty)}, parse_edits(["L1.N20=0"], lab.info), 0, new_report())


def test_controls_of_sites_and_directions():
    lab = lab_of("circuit")
    sites = ask(lab, "effect", edits="L1.mlp_out=0", controls=8, generate=0)
    assert "the same site in other layers" in sites.headline
    direction = ask(lab, "effect", edits="L1.resid_post+=2*@L1.N20.out", controls=8, generate=0)
    assert "8 random directions of the covariance at L1.resid_post" in direction.headline
    projected = ask(lab, "effect", edits="@L1.N20.out=0", controls=8, generate=0)
    assert "larger than all" in projected.headline


def test_an_effect_on_a_set_counts_the_continuations_it_changes():
    lab = lab_of("circuit")
    rows = [{"prompt": PROMPT}, {"prompt": "The river is"}, {"prompt": "The capital of Spain is"}]
    edits = parse_edits(["L1.N20=0; L2.N30=0; L1.H2=0"], lab.info)
    report = new_report()
    params = {"prompts": rows, "controls": 3, "generate": 5, "generate_controls": 2}
    execute(lab, "effect", params, edits, 0, report)
    table = report.views["continuations"]
    changed = 0
    for line, row in zip(table.rows, rows, strict=True):
        said = new_report()
        execute(lab, "generate", {"prompt": row["prompt"], "tokens": 5}, edits, 0, said)
        assert line[3] == said.scalars["first_difference"]
        assert bool(line[4]) is (line[3] is not None)
        changed += line[3] is not None
    assert changed > 0, "planted as wanted"
    assert report.scalars["continuations_changed"] == pytest.approx(changed / 3)
    assert [row[0] for row in report.views["changed"].rows] == ["these edits", "control 1", "control 2"]
    assert f"{changed} of 3 continuations of 5 tokens change, under 2 matched random sets of 3" in report.headline
    without = new_report()
    execute(lab, "effect", {**params, "generate": 0}, edits, 0, without)
    assert "continuations" not in without.views
