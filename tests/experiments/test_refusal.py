"""refusal: planted models where the truth is known, every candidate against plain hooks, what is said, resuming."""

import json

import numpy as np
import pytest
import torch

from tests.lab.candidates import PlainCandidates
from tests.lab.labs import new_report, source_of
from tests.lab.refusing import HARMFUL, HARMLESS, OTHER_HARMFUL, SIZES, TEMPLATE, Refusing, instructions
from workbench.api import OpenedLab
from workbench.artifacts.direction import from_content
from workbench.errors import Cancelled, UserError
from workbench.execute import execute
from workbench.experiments import experiment
from workbench.experiments._refusal_selection import Scored, nearest, select, taken
from workbench.lab.model import load_lab
from workbench.params import make_params
from workbench.session.reader import SessionReader
from workbench.session.writer import SessionWriter

SETS = {"harmful": instructions(HARMFUL), "harmless": instructions(HARMLESS), **SIZES}


def loaded(folder):
    return load_lab(source_of(folder), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def refusing(tmp_path_factory):
    """One direction: a lab, its folder, and the direction."""
    model = Refusing()
    model.carry(HARMFUL, 0)
    model.read_out("I", 0)
    folder = model.save(tmp_path_factory.mktemp("refusing") / "model")
    lab = loaded(folder)
    lab.set_fingerprint(lab.model.identity.read().result())  # as where a session is opened with it
    return lab, folder, model.written[0].numpy()


def ran(lab, report=None, **params):
    report = report or new_report()
    execute(lab, "refusal", {**SETS, **params}, [], 0, report)
    return report


def test_the_planted_direction_is_found_and_is_all_there_is(refusing):
    lab, _, planted = refusing
    report = ran(lab)
    (use,) = report.artifacts
    kept = from_content(use.name, use.content)
    assert float(kept.numbers @ planted) / np.linalg.norm(kept.numbers) > 0.99
    origin = kept.origin
    assert (use.name, use.role, origin.site, origin.purpose, origin.normalised) == (
        "refusal", "made", "resid_pre", "project", False,
    )  # fmt: skip
    assert origin.about == "24 + 24 prompts, chat template, system turn: none"
    assert (origin.layer, origin.position) == (report.scalars["layer"], report.scalars["position"])
    base, chosen, *shuffled = report.views["test"].records()
    assert (base["harmful_positive"], base["added_positive"]) == (1, 0)
    assert (chosen["harmful_positive"], chosen["added_positive"], chosen["harmless_positive"]) == (0, 1, 0)
    assert chosen["bypass"] == pytest.approx(base["induce"], abs=0.05)  # as if never asked for harm
    assert chosen["kl"] < 1e-5
    assert len(shuffled) == 3
    assert report.scalars["auc"] == report.scalars["words_auc"] == 1
    assert list(report.views) == ["filter", "candidates", "bypass", "induce", "kl", "rules", "test"]
    assert len(report.views["candidates"].rows) == 4 * 7
    assert {row["rule"] for row in report.views["candidates"].records()} == {"", "no length", "layer too late"}
    assert f"@refusal is L{origin.layer}, position" in report.headline
    assert "the least bypass of 28" in report.headline


TURNS = {"none": "", "default": "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"}


@pytest.mark.parametrize("system", ["none", "default", "Be brief."])
def test_every_candidate_equals_plain_hooks(refusing, system):
    lab, folder, _ = refusing
    table = ran(lab, system=system, stage="search").views["candidates"]
    filtered = ran(lab, system=system, stage="filter").views["scores"].records()
    turns = TURNS.get(system, f"<|im_start|>system\n{system}<|im_end|>\n")
    plain = PlainCandidates(folder, filtered, "I", turns)
    for (side, split), rows in plain.rows.items():
        np.testing.assert_allclose(plain.scores(side, split), [row["score"] for row in rows], atol=1e-4)
    assert len(table.rows) == 28
    for key, row in zip(table.row_keys, table.records(), strict=True):
        expected = plain.candidate(*map(int, key.split(",")))
        assert row["norm"] == pytest.approx(expected.norm, rel=1e-3, abs=1e-4)
        if row["norm"] == 0:
            assert row["rule"] == "no length"
            continue
        for name in ("bypass", "induce", "kl"):
            assert row[name] == pytest.approx(getattr(expected, name), abs=1e-3), (key, name)


def test_of_two_directions_one_alone_does_not_bypass(tmp_path):
    model = Refusing()
    model.carry(HARMFUL, 0)
    model.carry(OTHER_HARMFUL, 2)
    model.read_out("I", 0)
    model.read_out("The", 2)
    report = ran(loaded(model.save(tmp_path)), harmful=instructions(HARMFUL, OTHER_HARMFUL), targets=["I", "The"])
    base, chosen, *_ = report.views["test"].records()
    assert base["harmful_positive"] == 1
    assert chosen["harmful_positive"] > 0.4
    assert chosen["added_positive"] == 1


def test_a_model_that_never_refuses_is_a_finding(tmp_path):
    lab = loaded(Refusing().save(tmp_path))
    report = ran(lab)
    assert "score > 0 on 0 of 40 harmful, 0 of 40 harmless prompts" in report.headline
    assert "0 of 24 harmful train prompts have score > 0, 16 are needed" in report.headline
    assert (report.scalars["found"], report.artifacts) == (0, [])
    unfiltered, wider, system = report.next_steps
    assert unfiltered.params["unfiltered"]
    assert "Sorry" in wider.params["targets"]
    assert system.params["system"] == "default"
    assert "candidates" not in report.views
    went_on = ran(lab, unfiltered=True)
    assert len(went_on.views["candidates"].rows) == 28
    assert any("not filtered" in note for note in went_on.notes)


def test_answers_give_a_direction_of_a_model_that_never_refuses(tmp_path):
    model = Refusing()
    model.carry(HARMFUL, 0)
    model.read_out("I", 0)
    answers = {"refusing": instructions(HARMFUL), "complying": instructions(OTHER_HARMFUL)}
    lab = loaded(model.save(tmp_path))
    never = {"preset": "answers", "harmful": instructions(" wide"), "harmless": instructions(HARMLESS)}
    report = ran(lab, **answers, **never)
    kept = from_content("refusal", report.artifacts[0].content)
    assert float(kept.numbers @ model.written[0].numpy()) / np.linalg.norm(kept.numbers) > 0.99
    assert (kept.origin.position, kept.origin.about.split(",")[0], kept.contrast) == (-1, "40 + 40 answers", {})
    base, chosen, *_ = report.views["test"].records()
    assert (base["harmful_positive"], base["added_positive"], chosen["added_positive"]) == (0, 0, 1)
    assert "the most induce of 4" in report.headline
    with pytest.raises(UserError, match="15 refusing answers: give 16 or more"):
        ran(lab, **{**answers, "refusing": answers["refusing"][:15]}, **never)
    assert len(ran(lab, **never, stage="search").views["candidates"].rows) == 4  # of those that ship


def test_a_wrong_template_hides_what_the_model_does(tmp_path):
    model = Refusing(TEMPLATE.replace("assistant\n", "assistant:"))
    model.carry(HARMFUL, 0)
    model.read_out("I", 0)
    with torch.no_grad():  # after a colon no reply begins, and none with I
        model.model.model.embed_tokens.weight[model.token(":")] -= 60 * model.written[0]
    report = ran(loaded(model.save(tmp_path)))
    assert "score > 0 on 0 of 40 harmful" in report.headline
    assert any("<|im_start|>assistant:' after it" in note for note in report.notes)
    assert report.scalars["found"] == 0


def test_where_the_rules_leave_none_each_says_what_it_takes(tmp_path):
    model = Refusing()
    model.carry(HARMFUL, 0, layer=2)  # there from the last block's input on alone
    model.read_out("I", 0)
    lab = loaded(model.save(tmp_path))
    report = ran(lab)
    assert report.headline.startswith("the rules leave none of 28 candidates (no length: 7, layer too late: 7")
    assert "without “layer too late”: L3, position" in report.headline
    assert (report.scalars["found"], report.artifacts) == (0, [])
    rules = {row["rule"]: row for row in report.views["rules"].records()}
    assert rules["layer too late"]["alone"] == 7
    (step, *_) = report.next_steps
    position, layer = map(int, step.params["choose"].split(","))
    assert layer == 3
    chosen = ran(lab, choose=step.params["choose"])
    kept = from_content("refusal", chosen.artifacts[0].content)
    assert (kept.origin.layer, kept.origin.position) == (3, position)
    assert "chosen by hand against the rules (layer too late)" in kept.origin.about
    assert any("was chosen by hand" in note for note in chosen.notes)
    assert float(kept.numbers @ model.written[0].numpy()) / np.linalg.norm(kept.numbers) > 0.99


def test_rules():
    def scored(layer=0, norm=1.0, bypass=0.0, induce=1.0, kl=0.0):
        return Scored(layer, -1, norm, bypass, induce, kl)

    many = [
        scored(bypass=-1), scored(bypass=-2, kl=0.2), scored(bypass=-3, induce=-1), scored(8, bypass=-4),
        scored(9, bypass=-5, kl=1), scored(norm=0, bypass=-9), scored(bypass=float("nan")),
    ]  # fmt: skip
    assert select(many, 10) is many[0]
    assert select(many[1:], 10) is None
    assert nearest(many[4:], 10) is many[4]
    by_rule = {each.rule: (each.n, each.n_alone, each.best) for each in taken(many, 10)}
    assert by_rule == {
        "length": (1, 1, None),
        "finite": (1, 1, None),
        "layer": (2, 1, many[3]),
        "kl": (2, 1, many[1]),
        "induce": (1, 1, many[2]),
    }


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"harmful": SETS["harmful"][:31]}, "31 harmful prompts: give 32 or more"),
        ({"harmless": [*SETS["harmless"], *SETS["harmful"][:2]]}, "and 1 more are in both sets"),
        ({"targets": ["I", "Unfortunately"]}, "'Unfortunately' is not one token where .* replies begin"),
        ({"targets": [" "]}, "no target tokens"),
        ({"choose": "12"}, "give position and layer"),
        ({"choose": "-1,L9"}, "no candidate -1,L9: positions are −7 to −1, layers L0 to L3"),
        ({"choose": "-1,L0"}, "has no length"),
        ({"name": "a b"}, "no name for a direction"),
    ],
)
def test_bad_input_is_a_sentence(refusing, params, sentence):
    report = new_report()
    with pytest.raises(UserError, match=sentence):
        ran(refusing[0], report, **params)
    assert report.artifacts == []


def test_prompts_that_stand_twice_are_taken_once(refusing):
    report = ran(refusing[0], harmful=[*SETS["harmful"], SETS["harmful"][0]], stage="filter")
    assert any("1 of the harmful prompts are there more than once" in note for note in report.notes)
    assert report.scalars["harmful_prompts"] == 40


def test_small_sets_are_split_in_the_same_shares(refusing):
    report = ran(refusing[0], train=128, validation=32, test=100, stage="filter")
    assert any("24 train, 8 validation" in note or "fewer than the 260" in note for note in report.notes)


def test_a_cell_goes_on_with_that_candidate(refusing):
    report = ran(refusing[0])
    definition = experiment("refusal")
    params = make_params(definition.params, SETS)
    step = definition.cell(params, "induce", report.views["induce"], 2, 0)
    chosen = ran(refusing[0], **{**step.params, "completions": 0})
    assert (chosen.scalars["layer"], chosen.scalars["position"]) == (2, -7)


def test_it_goes_on_where_it_was_cancelled(refusing, tmp_path, monkeypatch):
    from workbench.experiments import _refusal_stages as stages

    lab, _, _ = refusing
    scored, seen = stages._add_search, []

    def cancelled_after_two(material, candidates, report):
        scored(material, candidates, report)
        seen.append(len(candidates))
        if len(seen) == 2:
            raise Cancelled

    path = tmp_path / "s.db"
    texts = {side: [row["prompt"] for row in SETS[side]] for side in ("harmful", "harmless")}
    with OpenedLab(lab, SessionWriter(path)) as opened:
        monkeypatch.setattr(stages, "_add_search", cancelled_after_two)
        with pytest.raises(Cancelled):
            opened.refusal(**texts, **SIZES)
        monkeypatch.setattr(stages, "_add_search", lambda *args: (seen.append(len(args[1])), scored(*args)))
        resumed = opened.refusal(**texts, **SIZES)
        again = opened.refusal(**texts, **SIZES, choose="-1,1")
        other = opened.refusal(**texts, **SIZES, system="default")
    assert seen[:4] == [7, 14, 21, 28]
    whole = ran(lab)
    assert resumed.scalars["bypass"] == whole.scalars["bypass"]
    assert resumed.headline == whole.headline
    np.testing.assert_allclose(
        np.asarray(sorted([row[2:5] for row in resumed.views["candidates"].rows]), float),
        np.asarray(sorted([row[2:5] for row in whole.views["candidates"].rows]), float),
        atol=1e-9,
    )
    notes = " ".join(resumed.notes)
    assert "the scores of all prompts are those of step 2" in notes
    assert "14 of 28 candidates have the scores that step 3 gave them" in notes
    assert "28 of 28 candidates have the scores" in " ".join(again.notes)
    assert again.scalars["layer"] == 1
    assert not any("of step" in note or "that step" in note for note in other.notes)
    with SessionReader(path) as reader:
        rows = reader.rows()
        assert [(row.experiment, row.parent, row.status) for row in rows[:3]] == [
            ("refusal", None, "cancelled"),
            ("refusal", 1, "done"),
            ("refusal", 1, "cancelled"),
        ]
        assert reader.step(3).params["stage"] == "search"
        contrast = from_content("refusal", reader.content(reader.artifact_named("direction", "refusal"))).contrast
    assert len(json.loads(contrast["positive"])) == 24
    assert (contrast["chat"], contrast["system"]) == ("true", "default")


def test_its_answers_go_on_where_they_were_cancelled(refusing, tmp_path, monkeypatch):
    from workbench.experiments import arms

    lab, _, _ = refusing
    drawn, seen = arms.add_views, []

    def cancelled_after_two(*args):
        drawn(*args)
        seen.append(args[0])
        if len(seen) == 2:
            raise Cancelled

    path = tmp_path / "s.db"
    asked = {**SIZES, "completions": 4, "tokens": 3}
    asked |= {side: [row["prompt"] for row in SETS[side]] for side in ("harmful", "harmless")}
    with OpenedLab(lab, SessionWriter(path)) as opened:
        monkeypatch.setattr(arms, "add_views", cancelled_after_two)
        with pytest.raises(Cancelled):
            opened.refusal(**asked)
        resumed = opened.refusal(**asked)
    with SessionReader(path) as reader:
        rows = [row for row in reader.rows() if row.experiment == "arms"]
        assert [row.status for row in rows] == ["cancelled", "done"]
        assert f"6 completions are those of step {rows[0].id}" in reader.step(rows[1].id).remarks
        assert "refusal" in [use.name for use in reader.artifacts_of(rows[1].id) if use.kind == "direction"]
        used_sets = [use.name for use in reader.artifacts_of(rows[1].id) if use.kind == "prompt set"]
        assert used_sets == ["harmful-test", "harmless-test"]
    assert len(resumed.views["arms"].rows) == 6


def test_shipped_sets_are_the_default(refusing):
    report = ran(refusing[0], harmful=[], harmless=[], stage="filter", train=128, validation=32, test=100)
    sets = {(row["set"], row["split"]): row["n"] for row in report.views["filter"].records()}
    assert sets["harmful", "train"] == sets["harmless", "train"] == 128
    assert sets["alarming", ""] == 68


def test_it_ends_in_answers_with_and_without(refusing):
    report = ran(refusing[0], completions=3, tokens=4)
    assert "arms" in report.views
