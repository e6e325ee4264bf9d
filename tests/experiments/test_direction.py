"""direction: from two sets, from a class of tokens, from a direction that there is; what is kept, and what is said."""

import json

import msgspec
import numpy as np
import pytest
import torch
import transformers

from tests.lab.labs import new_report, plain, source_of, tiny_lab
from tests.tiny import randomise, tiny_config, tiny_tokenizer
from workbench.api import OpenedLab
from workbench.artifacts.direction import Direction, Origin, from_content
from workbench.edits import parse_edits
from workbench.errors import UserError
from workbench.execute import execute
from workbench.experiment import command_line
from workbench.experiments import experiment
from workbench.lab.controls import further_controls
from workbench.lab.model import load_lab
from workbench.params import make_params
from workbench.session.reader import SessionReader
from workbench.session.writer import SessionWriter

COUNTRIES = ("France", "Germany", "Italy", "Spain", "Japan", "England", "Rome", "Paris", "Berlin", "Tokyo")
NAMES = ("Mary", "John", "She", "he", "dog", "fox", "sun", "moon", "river", "water")
POSITIVE = [f"The capital of {name} is" for name in COUNTRIES]
NEGATIVE = [f"When {name} went home and gave it to" for name in NAMES]


def rows(texts):
    return [{"prompt": text} for text in texts]


SETS = {"positive": rows(POSITIVE), "negative": rows(NEGATIVE)}


def ran(lab=None, directions=None, **params):
    report = new_report()
    execute(lab or tiny_lab("llama"), "direction", {"name": "city", **params}, [], 0, report, directions)
    return report


def made(report):
    (use,) = report.artifacts
    assert use.role == "made"
    return from_content(use.name, use.content)


def states(texts, layer, position, chat=False):
    lab = tiny_lab("llama")
    ids = [torch.from_numpy(lab.prompt(text, chat).ids)[None] for text in texts]
    return np.stack([plain("llama").read(each, layer, "resid_pre")[0, position].double().numpy() for each in ids])


def test_the_best_layer_and_position_is_kept_with_where_it_comes_from():
    report = ran(**SETS, positions=3)
    kept = made(report)
    layer, position = int(report.scalars["layer"]), int(report.scalars["position"])
    expected = states(POSITIVE, layer, position).mean(0) - states(NEGATIVE, layer, position).mean(0)
    np.testing.assert_allclose(kept.numbers, expected, rtol=1e-4, atol=1e-5)
    info = tiny_lab("llama").info
    origin = kept.origin
    assert (origin.method, origin.about) == ("mean difference", "10 + 10 prompts")
    assert (origin.model, origin.fingerprint) == (info.name, info.fingerprint)
    assert (origin.site, origin.layer, origin.position) == ("resid_pre", layer, position)
    assert (origin.purpose, origin.normalised, len(origin.fingerprint)) == ("add", False, 64)
    table = report.views["candidates"]
    best = table.records()[0]
    assert (best["layer"], best["auc"], best["d_prime"]) == (
        f"L{layer}",
        report.scalars["auc"],
        report.scalars["d_prime"],
    )
    assert len(table.rows) == 9
    keys = [(record["auc"], record["d_prime"]) for record in table.records()]
    assert keys == sorted(keys, reverse=True)
    assert list(report.views) == ["separation", "map", "candidates", "projections"]
    assert report.headline.startswith(f"@city is mean(positive) − mean(negative) at L{layer}.resid_pre")
    assert "16 with shuffled labels, each the best of 9" in report.headline
    histogram = report.views["projections"]
    assert [int(series.y.sum()) for series in histogram.series] == [10, 10]


def test_the_layer_and_position_that_are_asked_for_are_kept():
    report = ran(**SETS, positions=3, layer="L1", position=-2)
    expected = states(POSITIVE, 1, -2).mean(0) - states(NEGATIVE, 1, -2).mean(0)
    np.testing.assert_allclose(made(report).numbers, expected, rtol=1e-4, atol=1e-5)
    assert "L1.resid_pre, position −2, as asked" in report.headline
    by_layer = ran(**SETS, positions=3, layer="2")
    assert by_layer.scalars["layer"] == 2
    assert "the best of 3 layers and positions" in by_layer.headline


def test_a_cell_keeps_that_one_instead():
    report = ran(**SETS, positions=3)
    definition = experiment("direction")
    params = make_params(definition.params, {"name": "city", **SETS, "positions": 3})
    step = definition.cell(params, "map", report.views["map"], 1, 0)
    again = ran(**{**step.params, "name": "city"})
    assert (again.scalars["layer"], again.scalars["position"]) == (1, -3)


def test_shuffled_labels_can_be_drawn_of_it_later():
    report = ran(**SETS, positions=2, chat=True, system="Speak plainly.")
    kept = made(report)
    assert json.loads(kept.contrast["positive"]) == POSITIVE
    assert (kept.contrast["chat"], kept.contrast["system"]) == ("true", "Speak plainly.")
    assert kept.origin.about == "10 + 10 prompts, chat template, system turn: Speak plainly."
    lab = tiny_lab("llama").job(parse_edits(["@city=0"]), directions={"city": kept})
    shuffled, _ = further_controls(lab, parse_edits(["@city=0"]), 4)
    assert "labels shuffled" in shuffled.kind
    assert not shuffled.problem
    assert len(shuffled.plans) == 4


def test_in_a_chat_every_token_after_the_text_is_compared():
    report = ran(**SETS, chat=True)
    n = len({record["position"] for record in report.views["candidates"].records()})
    prompt = tiny_lab("llama").prompt(POSITIVE[0], chat=True)
    assert n == list(reversed(prompt.origins)).index("text")
    assert report.views["map"].column_labels[-1] == "−1 '\\n'"
    # The same template token everywhere: nothing differs at the embedding.
    embedded = [record for record in report.views["candidates"].records() if record["layer"] == "L0"]
    assert {(record["norm"], record["auc"]) for record in embedded} == {(0.0, 0.5)}
    assert f"{n} of no length" in report.views["candidates"].note


def test_a_planted_direction_is_found(tmp_path):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(tiny_config("llama", tie_word_embeddings=False))
    randomise(model, 0)
    tokenizer = tiny_tokenizer()
    planted = torch.nn.functional.normalize(torch.randn(32, generator=torch.Generator().manual_seed(1)), dim=0)
    ids = [tokenizer(f" {name}")["input_ids"][-1] for name in COUNTRIES]
    with torch.no_grad():
        model.model.embed_tokens.weight[ids] += 60 * planted
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    lab = load_lab(source_of(tmp_path), device="cpu", dtype="float32")
    sides = {
        "positive": rows([f"The city of {name}" for name in COUNTRIES]),
        "negative": rows([f"The city of {name}" for name in NAMES]),
    }
    report = ran(lab, **sides, layer="L0")
    vector = made(report).numbers
    assert float(vector @ planted.numpy()) / np.linalg.norm(vector) > 0.99
    assert report.scalars["auc"] == 1
    assert report.scalars["auc_shuffled_highest"] < 1
    assert any("that token alone tells them apart" in note for note in report.notes)


def test_sets_without_a_difference_are_said_to_have_none():
    numbers = [f"one, two {number}" for number in np.random.default_rng(0).permutation(60)]
    report = ran(positive=rows(numbers[::2]), negative=rows(numbers[1::2]), layer="L2", shuffles=40)
    assert report.scalars["auc"] < report.scalars["auc_shuffled_highest"]
    assert report.headline.startswith("no separation beyond shuffled labels · @city is")
    assert "not larger than all 40" in report.headline


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({}, "@city has no source"),
        ({**SETS, "token_class": "uppercase"}, "was asked of two prompt sets .* and of a class of tokens"),
        ({"positive": SETS["positive"]}, "no negative prompts to compare the positive ones with"),
        ({**SETS, "negative": SETS["negative"][:9]}, "9 negative prompts: give 10 or more"),
        ({**SETS, "negative": [*SETS["negative"], *SETS["positive"][:1]]}, "is in both sets"),
        ({**SETS, "layer": "L3"}, "no layer L3: there are L0 to L2"),
        ({**SETS, "position": -2}, "position -2 is not among the 1 compared"),
        ({**SETS, "positions": 9}, "fewer than the 9"),
        ({**SETS, "name": ""}, "has no name"),
        ({**SETS, "name": "a b"}, "no name for a direction"),
        ({**SETS, "name": "L1.N3.out"}, "no name for a direction"),
        ({"token_class": "zzz"}, "not one token"),
        ({"token_class": "Paris"}, "holds for 2 tokens|holds for 1 tokens"),
        ({"token_class": "uppercase", "matrix": "W_Q"}, "no matrix 'W_Q'"),
        ({"of": "@nothing"}, "no direction @nothing"),
        ({"of": "@L1.N3.out - @L1.N3.out"}, "is zero"),
        ({"of": "@L1.N3.out -"}, "column|expected|goes on"),
    ],
)
def test_what_makes_no_direction_is_a_sentence(params, sentence):
    report = new_report()
    with pytest.raises(UserError, match=sentence):
        execute(tiny_lab("llama"), "direction", {"name": "city", **params}, [], 0, report)
    assert report.artifacts == []


def test_it_leads_to_looking_steering_and_taking_it_out():
    report = ran(**SETS, layer="L1", chat=True)
    project, steer, effect = report.next_steps
    assert project.params == {"direction": "@city"}
    assert (steer.params["layers"], steer.params["chat"], len(steer.params["prompts"])) == ([1], True, 10)
    assert effect.edits == ["@city=0"]
    assert [row["prompt"] for row in effect.params["prompts"]] == POSITIVE


def test_prompts_that_stand_twice_are_said():
    report = ran(**{**SETS, "positive": [*SETS["positive"], SETS["positive"][0]]})
    assert any("1 of the positive prompts" in note for note in report.notes)


@pytest.mark.parametrize("matrix", ["W_E", "W_U"])
def test_a_class_of_tokens(matrix):
    report = ran(token_class="uppercase", matrix=matrix)
    kept = made(report)
    assert (kept.origin.method, kept.origin.site, kept.contrast) == ("token class", matrix, {})
    first, second = report.views["projections"].series
    assert (first.y.sum(), second.y.sum()) == (report.scalars["tokens"], report.scalars["tokens_rest"])
    lab = tiny_lab("llama")
    texts = [lab.token(at) for at in range(len(lab.model.tokens.tokenizer))]
    assert report.scalars["tokens"] == sum(text.removeprefix(" ")[:1].isupper() for text in texts)
    assert report.headline.startswith("no separation beyond shuffled labels")  # random embeddings know no case


def test_arithmetic_on_directions_that_there_are():
    random = np.random.default_rng(0)
    here = Origin(method="mean difference", model="m", fingerprint="f" * 64, site="resid_pre", layer=1, position=-1)
    there = Origin(method="mean difference", model="m", fingerprint="f" * 64, site="resid_pre", layer=2, position=-1)
    given = {
        name: Direction(name=name, vector=random.standard_normal(32).astype("<f4").tobytes(), origin=origin)
        for name, origin in (("a", here), ("b", there))
    }
    a, b = given["a"].numbers, given["b"].numbers
    report = new_report()
    job = tiny_lab("llama").job(directions=given)
    params = experiment("direction").params
    for text, expected in (("@a - 0.5*@b", a - 0.5 * b), ("normalise(@a)", a / np.linalg.norm(a)), ("@a", a)):
        experiment("direction").run(job, make_params(params, {"name": "c", "of": text}), report)
        kept = from_content("c", report.artifacts[-1].content)
        np.testing.assert_allclose(kept.numbers, expected, rtol=1e-6)
    assert [from_content("c", use.content).origin for use in report.artifacts] == [
        msgspec.structs.replace(here, method="arithmetic", about="@a - 0.5*@b", layer=None),
        msgspec.structs.replace(here, method="arithmetic", about="normalise(@a)", normalised=True),
        here,
    ]


def test_a_models_own_directions_are_of_that_model():
    kept = made(ran(of="@L1.N3.out"))
    weight = plain("llama").model.model.layers[1].mlp.down_proj.weight[:, 3].detach().numpy()
    np.testing.assert_allclose(kept.numbers, weight, rtol=1e-6)
    assert (kept.origin.method, kept.origin.layer) == ("neuron", 1)
    assert kept.origin.fingerprint == tiny_lab("llama").info.fingerprint != ""


def test_a_session_has_it_by_name_from_then_on(tmp_path):
    path = tmp_path / "s.db"
    with OpenedLab(tiny_lab("llama"), SessionWriter(path)) as opened:
        opened.direction(name="city", positive=POSITIVE, negative=NEGATIVE, layer="L1")
        edited = opened.predict(prompt=POSITIVE[0], edits=["@city=0"], controls=2)
        opened.direction(name="half", of="0.5*@city")
    assert edited.scalars["kl"] > 0
    with SessionReader(path) as reader:
        city, half = (from_content(name, reader.content(row.hash)) for name, row in named(reader).items())
        assert [use.role for use in reader.artifacts_of(1) if use.kind == "direction"] == ["made"]
    np.testing.assert_allclose(half.numbers, 0.5 * city.numbers)
    assert (half.origin.method, half.origin.layer, city.origin.layer) == ("arithmetic", 1, 1)


def named(reader):
    return {row.name: row for row in sorted(reader.artifacts(), key=lambda row: row.name) if row.kind == "direction"}


def test_it_takes_no_edits_and_its_command_names_the_sets():
    with pytest.raises(UserError, match="takes no edits"):
        execute(tiny_lab("llama"), "direction", {"name": "city", **SETS}, parse_edits(["L1.N3=0"]), 0, new_report())
    params = make_params(experiment("direction").params, {"name": "city", **SETS})
    names = {"positive": "cities", "negative": "people"}
    assert command_line("direction", params, names=names) == (
        "workbench run direction --name city --positive @cities --negative @people"
    )
