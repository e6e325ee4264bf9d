"""A cache that the libraries lose on the way is noticed when a model is loaded, and generation is right without it."""

from __future__ import annotations

from importlib.metadata import version
from itertools import islice

import pytest
import torch

from tests.lab.labs import EVERY, PROMPT, new_report, plain, source_of, tiny_folder, tiny_lab
from workbench.execute import execute
from workbench.lab import key_values, loading, passes
from workbench.lab.generate import generate
from workbench.lab.model import load_lab
from workbench.lab.wrappers import Wrappers


def fresh(arch: str, dtype: str = "float32"):
    return load_lab(source_of(tiny_folder(arch)), device="cpu", dtype=dtype)


def own_greedy(arch: str, ids, n: int) -> list[int]:
    """Hugging Face's, with its cache."""
    found = plain(arch).model.generate(torch.from_numpy(ids)[None], max_new_tokens=n, do_sample=False)
    return found[0, len(ids) :].tolist()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("arch", EVERY)
def test_a_cache_that_works_is_used(arch, dtype):
    lab = fresh(arch, dtype)
    assert lab.model.caches
    assert not [remark for remark in lab.remarks if "cache" in remark]


@pytest.mark.parametrize("arch", ["llama", "gpt2", "gemma2", "qwen2"])
def test_a_lost_cache_is_noticed_and_not_used(arch, monkeypatch):
    """As with transformers 5.24 and transformer_lens 4.3 by themselves: each token saw itself alone."""
    monkeypatch.setattr(loading, "hand_cache_on", lambda bridge: None)
    lab = fresh(arch)
    prompt = lab.prompt(PROMPT)
    wanted = own_greedy(arch, prompt.ids, 8)
    assert [one.id for one in islice(generate(lab, prompt), len(wanted))] == wanted
    (remark,) = lab.remarks
    assert "without a key-value cache" in remark
    assert version("transformers") in remark
    assert version("transformer_lens") in remark
    report = new_report()
    execute(lab, "generate", {"prompt": PROMPT, "tokens": 2}, [], 0, report)
    assert remark in report.notes


def test_one_step_without_its_past_would_have_been_wrong(monkeypatch):
    """The story itself, so that the test above is about something."""
    monkeypatch.setattr(loading, "hand_cache_on", lambda bridge: None)
    lab = fresh("llama")
    lab.model.caches = True
    lab.model.wrappers = Wrappers()  # without its wrapper, attention is Hugging Face's own
    prompt = lab.prompt(PROMPT)
    assert [one.id for one in islice(generate(lab, prompt), 8)] != own_greedy("llama", prompt.ids, 8)


def test_a_cache_that_is_wrong_under_edits_alone_is_noticed(monkeypatch):
    whole = passes.edit_hooks
    monkeypatch.setattr(passes, "edit_hooks", lambda plans, run: {} if run.start else whole(plans, run))
    assert "off by" in fresh("llama").remarks[0]


def test_a_cache_that_stops_the_model_is_noticed(monkeypatch):
    model = tiny_lab("llama").model

    def stops(self, *args, **kwargs):
        raise IndexError("no such layer")

    monkeypatch.setattr("transformers.DynamicCache.update", stops)
    ids = torch.from_numpy(loading._checked_ids(model))
    assert "it stops with one (IndexError)" in key_values.cache_problem(model, ids)
