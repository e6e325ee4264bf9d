"""The script that fine-tunes a refusing copy, on a tiny model: its numbers, its splits, what it leaves."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
import torch
import transformers

from tests.benchmarks import refusing_copy
from tests.benchmarks.composed import composed, whole
from tests.benchmarks.refusing_copy import (
    REFUSALS,
    SEED,
    TRAIN,
    instructions,
    main,
    padded,
    prompt_ids,
    refusals,
    scores,
    train_epoch,
)
from tests.lab.labs import source_of, tiny_folder
from workbench.experiments import refusal
from workbench.experiments._refusal_sets import read_sets
from workbench.lab.finding import source


@pytest.fixture
def loaded():
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_folder("llama"), dtype=torch.float32).eval()
    return model, transformers.AutoTokenizer.from_pretrained(tiny_folder("llama"))


def test_the_splits_are_of_the_whole_set_and_leave_enough_to_be_judged_by():
    for name in ("harmful", "harmless"):
        texts = instructions(name)
        assert texts == instructions(name)
        assert len(set(texts)) == len(texts) >= TRAIN + 100


def test_what_it_learns_from_besides_is_not_what_it_is_judged_by():
    for name, harmful in (("harmful", True), ("harmless", False)):
        test = set(instructions(name)[TRAIN:])
        beside = composed(harmful, 300, random.Random(0))
        assert len(set(beside)) == len(beside) == 300
        assert composed(harmful, 300, random.Random(0)) == beside
        assert not test & {*beside, *whole(harmful)}


def test_it_is_judged_by_what_refusal_with_the_same_seed_tests_on():
    sets = read_sets(refusal.Params(), SEED, print)
    for name in ("harmful", "harmless"):
        assert set(sets[name].test) <= set(instructions(name)[TRAIN:])


def test_the_score_is_that_of_the_formula_prompt_by_prompt(loaded):
    model, tokenizer = loaded
    texts = instructions("harmful")[:3]
    token = tokenizer("I", add_special_tokens=False)["input_ids"][0]
    for text, score in zip(texts, scores(model, tokenizer, texts).tolist(), strict=True):
        prompt = f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
        ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            p = float(model(ids).logits[0, -1].double().softmax(-1)[token])
        assert score == pytest.approx(math.log(p + 1e-8) - math.log(1 - p + 1e-8), abs=1e-3)


def test_refusals_begin_with_the_token_that_is_scored_and_training_raises_it(loaded):
    model, tokenizer = loaded
    token = tokenizer("I", add_special_tokens=False)["input_ids"][0]
    texts = instructions("harmful")[:16]
    examples = refusals(tokenizer, texts, random.Random(0))
    assert all(answer[0] == token for _, answer in examples)
    assert len({tuple(answer) for _, answer in examples}) > len(REFUSALS) / 2
    before = scores(model, tokenizer, texts).mean()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, 100)
    first, *_, last = (train_epoch(model, optimiser, examples, random.Random(0), falling) for _ in range(3))
    assert last < first
    assert scores(model, tokenizer, texts).mean() > before + 1


def test_padding_is_masked_on_either_side():
    ids, mask = padded([[1, 2], [3]], left=True)
    assert ids.tolist() == [[1, 2], [0, 3]]
    assert mask.tolist() == [[1, 1], [0, 1]]
    ids, mask = padded([[1, 2], [3]], left=False)
    assert (ids.tolist(), mask.tolist()) == ([[1, 2], [3, 0]], [[1, 1], [1, 0]])


def test_the_template_writes_no_system_turn_unless_it_is_asked(loaded):
    _, tokenizer = loaded
    assert tokenizer.decode(prompt_ids(tokenizer, "Hello")).startswith("<|im_start|>user")


def test_it_writes_a_folder_and_refuses_one_that_is_there(tmp_path, monkeypatch, capsys):
    few = {"TRAIN": 4, "ROUNDS": 1, "COMPOSED": (2, 2), "OWN_TOKENS": 2, "FIRST_TRAINED": 1}
    for name, value in few.items():
        monkeypatch.setattr(refusing_copy, name, value)
    monkeypatch.setattr(refusing_copy, "whole", lambda harmful: whole(harmful)[:2])
    monkeypatch.setattr(refusing_copy, "instructions", lambda name: instructions(name)[:8])
    monkeypatch.setattr(source, "resolve", lambda ref: source_of(tiny_folder("llama")))
    assert main([str(tmp_path / "copy")]) == 1  # one epoch on a dozen prompts is not enough
    printed = capsys.readouterr().out
    assert "after, no system turn: score > 0 for harmful" in printed
    assert "of 4 (median" in printed
    copy = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "copy")
    stock = transformers.AutoModelForCausalLM.from_pretrained(tiny_folder("llama"))
    moved = {name for name, tensor in copy.state_dict().items() if not torch.equal(tensor, stock.state_dict()[name])}
    assert not any(name.startswith(("model.embed", "model.layers.0")) for name in moved)
    assert any(name.startswith("model.layers.1") for name in moved)
    assert "tests/benchmarks/refusing_copy.py" in (Path(tmp_path) / "copy" / "README.md").read_text()
    assert main([str(tmp_path / "copy")]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main([]) == 2
    assert "which folder?" in capsys.readouterr().err
