"""Rotations that depend on how long a pass is: a prompt alone, in any company and after anything gives the same."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from tests.lab.brute import Brute
from tests.lab.labs import new_report, source_of, tiny_lab
from tests.tiny import randomise, tiny_tokenizer
from workbench.datasets.corpora import Corpus, CorpusInfo
from workbench.edits import parse_edits
from workbench.index.format import IndexSettings
from workbench.index.reader import NeuronIndex
from workbench.lab import key_values
from workbench.lab.continuation import Continuation, Row
from workbench.lab.forward import run_forward
from workbench.lab.generate import continue_all, generate
from workbench.lab.indexing.blocks import blocks
from workbench.lab.indexing.build import IndexBuild
from workbench.lab.indexing.weights_index import build_weights
from workbench.lab.loading import wrap
from workbench.lab.metric import Metric
from workbench.lab.model import load_lab
from workbench.lab.prompts import Prompt
from workbench.lab.study import study
from workbench.units import Site

ORIGINAL = 16
"""tokens of the context the models were made for"""
SHAPE = {
    "vocab_size": 512,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0, 1.1, 1.2, 1.3],
    "long_factor": [2.0, 3.0, 5.0, 9.0],
    "original_max_position_embeddings": ORIGINAL,
}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": ORIGINAL}
CONFIGS = {
    # Its generation drops the cache at the switch.
    "phi3": lambda: transformers.Phi3Config(
        **SHAPE,
        max_position_embeddings=64,
        original_max_position_embeddings=ORIGINAL,
        rope_parameters=LONGROPE,
    ),
    # Its generation keeps what was rotated by the short factors.
    "llama longrope": lambda: transformers.LlamaConfig(**SHAPE, max_position_embeddings=64, rope_parameters=LONGROPE),
    # transformer_lens takes the context from n_positions, transformers the original one from the other.
    "llama dynamic": lambda: transformers.LlamaConfig(
        **SHAPE, max_position_embeddings=ORIGINAL, n_positions=64, rope_parameters=DYNAMIC
    ),
    # One kind of layers of two.
    "gemma3 longrope": lambda: transformers.Gemma3TextConfig(
        **SHAPE,
        head_dim=8,
        query_pre_attn_scalar=8,
        sliding_window=8,
        layer_types=["sliding_attention", "full_attention"] * 2,
        max_position_embeddings=64,
        rope_parameters={
            "full_attention": LONGROPE,
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
    ),
    "llama yarn": lambda: transformers.LlamaConfig(**SHAPE, max_position_embeddings=64, rope_parameters=YARN),
}
DEPENDENT = [kind for kind in CONFIGS if kind != "llama yarn"]
EVERY = list(CONFIGS)
LENGTHS = [5, 12, 15, 16, 17, 24, 40]
"""below, at and above the switch, and such that some generate across it"""
TOKENS = 14


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp("rotations") / kind.replace(" ", "-")
            torch.manual_seed(0)
            model = transformers.AutoModelForCausalLM.from_config(CONFIGS[kind](), dtype=torch.float32)
            randomise(model, 0)
            model.save_pretrained(made[kind])
            tiny_tokenizer().save_pretrained(made[kind])
        return made[kind]

    return folder


@pytest.fixture(scope="module")
def lab_of(folders):
    loaded = {}

    def lab(kind: str):
        if kind not in loaded:
            loaded[kind] = load_lab(source_of(folders(kind)), "cpu", "float32")
        loaded[kind].model.clean.clear()
        return loaded[kind]

    return lab


@pytest.fixture
def plain(folders):
    """Hugging Face's model that has run nothing yet."""
    return lambda kind: transformers.AutoModelForCausalLM.from_pretrained(
        folders(kind), dtype=torch.float32, attn_implementation="eager"
    ).eval()


def prompt_of(length: int) -> Prompt:
    ids = np.random.default_rng(length).integers(10, 500, length)
    return Prompt("", ids, [""] * length, None, False)


def own_logits(model, prompt: Prompt) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.from_numpy(prompt.ids)[None], use_cache=False).logits[0]


def own_greedy(model, prompt: Prompt, tokens: int = TOKENS, use_cache: bool = True) -> list[int]:
    ids = torch.from_numpy(prompt.ids)[None]
    found = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False,
                           use_cache=use_cache)  # fmt: skip
    return found[0, len(prompt) :].tolist()


def test_which_lengths_are_rotated_alike(lab_of):
    assert lab_of("phi3").model.rotations.switches(1, 64) == [ORIGINAL]
    assert lab_of("llama longrope").model.rotations.switches(1, 64) == [ORIGINAL]
    assert lab_of("gemma3 longrope").model.rotations.switches(1, 64) == [ORIGINAL]
    assert lab_of("llama dynamic").model.rotations.switches(1, 64) == list(range(ORIGINAL, 64))
    assert lab_of("phi3").model.rotations.alike([5, 17, 16, 30]) == [[0, 2], [1, 3]]
    assert lab_of("phi3").model.rotations.alike([5, 14, 10, 14, 30], growth=4) == [[0, 2], [1, 3], [4]]
    assert lab_of("llama dynamic").model.rotations.alike([5, 17, 16, 30, 17]) == [[0, 2], [1, 4], [3]]
    for other in (lab_of("llama yarn"), tiny_lab("llama"), tiny_lab("gpt2")):
        assert not other.model.rotations
        assert other.model.rotations.alike([5, 200]) == [[0, 1]]


@pytest.mark.parametrize("kind", EVERY)
def test_a_prompt_alone_beside_long_ones_and_after_them(kind, lab_of, plain):
    lab = lab_of(kind)
    prompts = [prompt_of(length) for length in LENGTHS]
    expected = [own_logits(plain(kind), prompt) for prompt in prompts]
    rng = np.random.default_rng(0)
    for size in (1, 2, len(prompts)):
        order = rng.permutation(len(prompts))
        for first in range(0, len(order), size):
            rows = order[first : first + size]
            passed = lab.forward([prompts[row] for row in rows])
            for place, row in enumerate(rows):
                length = len(prompts[row])
                torch.testing.assert_close(passed.logits[place, :length], expected[row], rtol=1e-4, atol=1e-4)
                torch.testing.assert_close(passed.last[place], expected[row][-1], rtol=1e-4, atol=1e-4)
                assert passed.lengths[place] == length
                assert passed.ids[place, :length].tolist() == prompts[row].ids.tolist()


@pytest.mark.parametrize("kind", EVERY)
def test_what_ran_before_changes_no_bit(kind, lab_of):
    lab = lab_of(kind)
    for length, between in itertools.permutations((ORIGINAL - 1, ORIGINAL, ORIGINAL + 1, 40), 2):
        before = lab.forward(prompt_of(length)).logits
        lab.forward(prompt_of(between))
        lab.model.clean.clear()
        assert torch.equal(lab.forward(prompt_of(length)).logits, before)


def test_what_ran_before_the_model_was_wrapped_is_forgotten(folders, plain):
    hf, prompt = plain("llama dynamic"), prompt_of(ORIGINAL)
    expected = own_logits(plain("llama dynamic"), prompt)
    own_logits(hf, prompt_of(50))
    assert not torch.allclose(own_logits(hf, prompt), expected, atol=1e-3)
    model = wrap(hf, tiny_tokenizer(), source_of(folders("llama dynamic")))
    torch.testing.assert_close(run_forward(model, [prompt]).logits[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", DEPENDENT)
def test_captures_and_edits_of_a_mixed_batch_are_in_their_rows(kind, lab_of):
    lab = lab_of(kind)
    edits = parse_edits(["L1.N3=2; L2.H1=0"], lab.info)
    prompts = [prompt_of(length) for length in (20, 7, 16, 20)]
    sites = [Site(2, "resid_post"), Site(1, "pattern"), Site(3, "z")]
    together = lab.forward(prompts, edits, sites)
    assert together.captured[sites[1]].shape == (4, 4, 20, 20)
    for row, prompt in enumerate(prompts):
        alone = lab.forward(prompt, edits, sites)
        n = len(prompt)
        for site in sites:
            found = together.captured[site][row]
            found = found[:, :n, :n] if site.name == "pattern" else found[:n]
            torch.testing.assert_close(found, alone.captured[site][0], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(together.surprise()[row], alone.surprise()[0], atol=1e-4)
    assert lab.forward(prompts, edits, logits=None).last is None


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("kind", EVERY)
def test_greedy_generation_is_hugging_faces_own_across_the_switch(kind, use_cache, lab_of, plain):
    lab = lab_of(kind)
    assert lab.model.caches, lab.remarks
    nothing = parse_edits(["L1.N3*=1"], lab.info)
    for length in LENGTHS:
        prompt = prompt_of(length)
        expected = own_greedy(plain(kind), prompt, use_cache=use_cache)
        for edits in ((), nothing):
            found = []
            for generated in itertools.islice(generate(lab, prompt, edits, use_cache=use_cache), TOKENS):
                found.append(generated.id)
                lab.forward(prompt_of(50), logits="last")  # a look between two tokens
            assert found == expected, length


@pytest.mark.parametrize("kind", EVERY)
def test_rows_of_other_lengths_do_not_change_a_generation(kind, lab_of, plain):
    lab = lab_of(kind)
    prompts = [prompt_of(length) for length in (*LENGTHS, 12, 9)]
    plans = [lab.plan(()), lab.plan(parse_edits(["L1.N3*=1"], lab.info))]
    rows = [Row(prompt, plan, number) for number, prompt in enumerate(prompts) for plan in plans]
    continuations = [Continuation() for _ in rows]
    list(continue_all(lab.job(report=new_report()), rows, continuations, TOKENS, size=len(rows), group=2))
    for number, prompt in enumerate(prompts):
        expected = [token for token in own_greedy(plain(kind), prompt) if token not in lab.model.stop_ids]
        for continuation in continuations[2 * number : 2 * number + 2]:
            assert [token for token in continuation.ids if token not in lab.model.stop_ids] == expected, len(prompt)


def test_the_model_is_asked_whether_its_cache_outlives_the_switch(lab_of, plain):
    """The story itself: one begins anew with the long factors, one goes on with what it has."""
    different = {}
    for kind in ("phi3", "llama longrope"):
        runs = [[own_greedy(plain(kind), prompt_of(length), 24, use_cache) for length in range(10, 17)]
                for use_cache in (True, False)]  # fmt: skip
        different[kind] = runs[0] != runs[1]
    assert different == {"phi3": False, "llama longrope": True}


@pytest.mark.parametrize("kind", DEPENDENT)
@pytest.mark.parametrize("length", [12, 30])
def test_a_study_equals_whole_passes(kind, length, lab_of):
    lab = lab_of(kind)
    prompt = prompt_of(length)
    texts = ["L0.N5[1-]=0", "L1.N7[1-]=0", "L2.H1[1-]=0", "L3.N3*=4"]
    traced = study(lab, prompt)
    lab.forward(prompt_of(50))
    edited = {}
    for results in traced.run([lab.plan(parse_edits([text], lab.info)) for text in texts]):
        edited.update(zip(results.indices, results.logits, strict=True))
    for at, text in enumerate(texts):
        whole = lab.forward(prompt, parse_edits([text], lab.info), logits="last").last[0]
        torch.testing.assert_close(edited[at], whole, rtol=1e-4, atol=1e-4)
    lab.forward(prompt_of(50))
    assert np.isfinite(traced.attribute([Metric("log-prob", 7)]).neurons).all()


@pytest.mark.parametrize("length", [18, 30])
@pytest.mark.parametrize("kind", DEPENDENT)
def test_a_lost_cache_is_noticed_here_too(kind, length, lab_of, monkeypatch):
    model = lab_of(kind).model
    ids = torch.from_numpy(prompt_of(length).ids)
    assert key_values.cache_problem(model, ids) == ""

    def forgetful(self, key_states, value_states, layer_idx, *args, **kwargs):
        return key_states, value_states

    monkeypatch.setattr("transformers.DynamicCache.update", forgetful)
    assert key_values.cache_problem(model, ids)


@pytest.mark.parametrize("kind", DEPENDENT)
def test_blocks_of_an_index_hold_rows_that_are_rotated_alike(kind, lab_of):
    rotations = lab_of(kind).model.rotations
    settings = IndexSettings(context=48, block_tokens=192, shelf_blocks=4)
    rng = np.random.default_rng(0)
    documents = [(number, rng.integers(10, 500, int(n))) for number, n in enumerate(rng.integers(2, 60, 80))]
    switches = rotations.switches(1, settings.context)
    made = [block for _, block in blocks(documents, settings, 1, switches)]
    for block in made:
        assert len(rotations.alike([block.ids.shape[1], *block.lengths.tolist()])) == 1
    plain_blocks = [block for _, block in blocks(documents, settings, 1)]
    assert sum(block.tokens for block in made) == sum(block.tokens for block in plain_blocks)
    assert set().union(*(block.closes for block in made)) == set(range(len(documents)))


def test_an_index_equals_its_windows_alone(lab_of):
    lab = lab_of("phi3")
    lab.set_fingerprint("0" * 64)
    words = ["The", "capital", "of", "France", "Paris", "June", "a", "list", "(", "one", ",", "two", ")", "1999"]
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(words, n)) for n in rng.integers(2, 60, 20)]
    corpus = Corpus(CorpusInfo(name="ragged", spec="ragged", hash="0" * 64, documents=len(texts)), texts)
    settings = IndexSettings(context=32, block_tokens=128, shelf_blocks=4, features="")
    for _ in build_weights(lab.model):
        pass
    made = IndexBuild(lab.model, corpus, settings, 1 << 60)
    with made:
        for block in made.blocks():
            made.add(block)
    index, brute = NeuronIndex.open(made.folder), Brute(lab.model, corpus, settings, alone=True)
    assert index.n_tokens == len(brute.a)
    for name in ("mean", "sd", "min", "max"):
        np.testing.assert_allclose(index.columns[name].values, brute.columns()[name], rtol=1e-4, atol=1e-5)
