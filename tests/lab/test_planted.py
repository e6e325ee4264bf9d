"""Neurons whose meaning was put there: the index has to find them, and say what they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.lab.test_indexing import build, small
from tests.tiny import tiny_model
from workbench.datasets.corpora import Corpus, CorpusInfo
from workbench.execute import execute
from workbench.index import query
from workbench.index.reader import NeuronIndex
from workbench.lab.finding.source import resolve
from workbench.lab.indexing.weights_index import build_weights
from workbench.lab.model import Lab, load_lab
from workbench.report import Report

READS, WRITES = 5, 6
"""coordinates of the stream that only the planted neurons use"""
ON, OFF = (1, 7), (1, 8)
"""layer and index: one neuron is positive on ' Paris', the other negative (gate +, linear −)"""


OTHER = "The capital of France is Paris . and Mary went to the store Berlin London"


class Quiet:
    def changed(self, report: Report) -> None:
        pass

    between_batches = streamed = changed


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """' Paris' alone has coordinate READS, ' London' alone coordinate WRITES in its (tied) embedding."""
    folder = tmp_path_factory.mktemp("planted") / "llama"
    tiny_model("llama", folder)
    file = load_file(folder / "model.safetensors")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    (paris,), (london,) = (tokenizer(word, add_special_tokens=False)["input_ids"] for word in (" Paris", " London"))
    embedding = file["model.embed_tokens.weight"]
    embedding[:, [READS, WRITES]] = 0
    embedding[paris] = 0
    embedding[paris, READS] = 4
    embedding[london, WRITES] = 4
    for name, tensor in file.items():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            tensor[[READS, WRITES]] = 0  # nothing else writes there
        if name.endswith("layernorm.weight") or name == "model.norm.weight":
            tensor[[READS, WRITES]] = 1
    for (layer, neuron), sign in ((ON, 1.0), (OFF, -1.0)):
        at = f"model.layers.{layer}.mlp."
        file[at + "gate_proj.weight"][neuron] = 0
        file[at + "gate_proj.weight"][neuron, READS] = 3
        file[at + "up_proj.weight"][neuron] = 0
        file[at + "up_proj.weight"][neuron, READS] = 2 * sign
        file[at + "down_proj.weight"][:, neuron] = 0
        file[at + "down_proj.weight"][WRITES, neuron] = sign
    save_file(file, folder / "model.safetensors", metadata={"format": "pt"})
    lab = load_lab(resolve(str(folder)))
    lab.set_fingerprint("a" * 64)
    return lab


def corpus() -> Corpus:
    words = ["The capital", "of France", "is", "Paris.", "and", "Mary", "went to", "the store", "Berlin", "the river"]
    generator = np.random.default_rng(3)
    texts = [" ".join(generator.choice(words, 60)) for _ in range(60)]
    return Corpus(CorpusInfo(name="planted", spec="planted", hash="b" * 64, documents=60), texts)


@pytest.fixture
def index(lab: Lab) -> NeuronIndex:
    for _ in build_weights(lab.model):
        pass
    return NeuronIndex.open(build(lab.model, corpus(), small(lab.model, sample=2)))


def test_their_examples_peak_at_the_planted_token(index: NeuronIndex) -> None:
    on, off = index.card(*ON), index.card(*OFF)
    assert {one.tokens[one.peak] for one in on.high} == {" Paris"}
    assert {one.tokens[one.peak] for one in off.low} == {" Paris"}
    assert on.high[0].value > 5
    assert off.low[0].value < -5
    ids = index.token_ids(" Paris")
    fires = index.fires(ids)
    m = index.info.d_mlp
    assert fires[ON[0] * m + ON[1]] == 1
    assert fires[OFF[0] * m + OFF[1]] == 1
    found = query.parse("fires:' Paris'>=1 layer 1", index.columns).run(index)
    assert {ON[0] * m + ON[1], OFF[0] * m + OFF[1]} <= set(found.tolist())


def test_families_know_which_way_they_push(index: NeuronIndex) -> None:
    """Both promote ' London' where they fire: the second by a negative activation and a negative weight."""
    on, off = index.card(*ON), index.card(*OFF)
    assert on.promoted[0][0] == " London"
    assert off.suppressed[0][0] == " London"
    assert on.family == off.family == "prediction"
    assert on.tail_share[0] > 0.99
    assert off.tail_share[1] > 0.99


def test_sign_cases(index: NeuronIndex) -> None:
    on, off = index.card(*ON), index.card(*OFF)
    by_share = max(on.signs, key=lambda case: case.share)
    assert (by_share.gate, by_share.linear) == ("+", "+")
    by_share = max(off.signs, key=lambda case: case.share)
    assert (by_share.gate, by_share.linear) == ("+", "−")
    assert {one.tokens[one.peak] for one in by_share.examples} == {" Paris"}


def test_its_best_feature_explains_it_on_held_out_documents(index: NeuronIndex) -> None:
    card = index.card(*ON)
    assert card.best in ("is_capitalised", "is_ending_s", "letter_p")  # each true of Paris
    assert card.vr > 0.3


def run(lab: Lab, name: str, **params: object) -> Report:
    report = Report(Quiet())
    execute(lab, name, params, [], 0, report)
    return report


def test_the_experiments_find_them(lab: Lab, index: NeuronIndex, tmp_path: Path) -> None:
    others = tmp_path / "others.jsonl"
    words = OTHER.split()
    generator = np.random.default_rng(9)
    rows = [json.dumps({"text": " ".join(generator.choice(words, 80))}) for _ in range(30)]
    others.write_text("\n".join(rows))
    card = run(lab, "neuron", unit="L1.N7")
    assert card.headline.startswith("L1.N7 · prediction")
    assert "' London'" in card.headline
    found = run(lab, "find-neuron", rule="' Paris'", corpus=str(others), tokens=1000, candidates=5)
    assert "there is a neuron for" in found.headline
    units = {row[0]: row for row in found.views["neurons"].rows}
    assert units["L1.N7"][1] > 0.999
    assert units["L1.N8"][1] > 0.999
    assert units["L1.N7"][5] == "high"
    assert units["L1.N8"][5] == "low"
    random_rule = run(lab, "find-neuron", rule="' Mary'", units="L1.N7", corpus=str(others), tokens=1000)
    assert random_rule.scalars["auc"] < 0.6
    odd = run(lab, "unusual", prompt="the river Paris Paris")
    ranking, every = odd.views["ranking"], odd.views["all"]
    assert len(every.x) == lab.info.n_neurons
    assert every.series[0].y.argmax() == lab.info.d_mlp * int(ranking.rows[0][0][1]) + int(ranking.rows[0][0][4:])
    assert len(odd.views["ranking"].rows) == index.info.n_neurons
    assert odd.scalars["beyond_by_chance"] == pytest.approx(
        index.info.n_neurons * (1 - (1 - 2 / (index.n_tokens + 1)) ** (len(lab.prompt("the river Paris Paris")) - 1))
    )


def test_a_text_of_the_corpus_is_not_unusual(lab: Lab, index: NeuronIndex) -> None:
    """A window that was indexed cannot lie beyond the corpus' range."""
    text = lab.model.tokens.tokenizer.decode(lab.model.tokens.tokenizer(next(iter(corpus().texts)))["input_ids"][:32])
    assert run(lab, "unusual", prompt=text).scalars["beyond"] <= 2  # rounding at another batch size


def test_an_edit_shows_in_what_is_unusual(lab: Lab, index: NeuronIndex) -> None:
    from workbench.edits import parse_edits

    report = Report(Quiet())
    execute(lab, "unusual", {"prompt": "the river is"}, parse_edits(["L1.N7=1000"], lab.info), 0, report)
    assert report.views["ranking"].rows[0][0] == "L1.N7"
    assert torch.is_grad_enabled()
