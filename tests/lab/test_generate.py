"""Generation: with the key-value cache as without it, as Hugging Face's own, under edits, with seeds."""

from itertools import islice

import numpy as np
import pytest
import torch

from tests.lab.labs import EVERY, PROMPT, plain, tiny_lab
from workbench.edits import Function, parse_edits
from workbench.errors import Cancelled
from workbench.lab.editing import PythonEdit
from workbench.lab.generate import generate

EDITS = ["", "L1.N3=2; L0.H1*=2; L2.N4-9*=-1", "L1.H*=0", "L1.N3[last]=9", "L1.N3-9[generated]=4"]


@pytest.mark.parametrize("arch", EVERY)
@pytest.mark.parametrize("text", EDITS)
def test_the_cache_changes_nothing(arch, text):
    lab = tiny_lab(arch)
    prompt = lab.prompt(PROMPT)
    edits = parse_edits([text], lab.info)
    cached = list(islice(generate(lab, prompt, edits), 16))
    whole = list(islice(generate(lab, prompt, edits, use_cache=False), 16))
    assert [one.id for one in cached] == [one.id for one in whole]
    np.testing.assert_allclose([one.log_prob for one in cached], [one.log_prob for one in whole], atol=1e-4)


@pytest.mark.parametrize("arch", EVERY)
def test_greedy_generation_is_hugging_faces_own(arch):
    lab = tiny_lab(arch)
    prompt = lab.prompt(PROMPT)
    ids = torch.from_numpy(prompt.ids)[None]
    wanted = plain(arch).model.generate(ids, max_new_tokens=16, do_sample=False)[0, len(prompt) :].tolist()
    found = [one.id for one in islice(generate(lab, prompt), len(wanted))]
    assert found == wanted


@pytest.mark.parametrize("arch", EVERY)
def test_each_token_is_what_a_whole_pass_says_under_the_edits(arch):
    lab = tiny_lab(arch)
    prompt = lab.prompt(PROMPT)
    edits = parse_edits(["L1.N3=2; L0.H1=0"])
    ids = list(prompt.ids)
    for one in islice(generate(lab, prompt, edits), 6):
        changes = [
            (0, "z", lambda z: _without_head(z, 1, lab.info.n_heads)),
            (1, "mlp_post", lambda activation: _set(activation, 3, 2.0)),
        ]
        logp = torch.log_softmax(plain(arch).logits(torch.tensor([ids]), changes)[0, -1], -1)
        assert one.id == int(logp.argmax())
        assert one.log_prob == pytest.approx(float(logp.max()), abs=1e-4)
        ids.append(one.id)


def _without_head(z, head, n_heads):
    z = z.clone()
    z.view(*z.shape[:2], n_heads, -1)[:, :, head] = 0
    return z


def _set(activation, index, value):
    activation = activation.clone()
    activation[..., index] = value
    return activation


def test_a_seed_gives_the_same_tokens_and_touches_no_global_state():
    lab = tiny_lab("llama")
    prompt = lab.prompt(PROMPT)

    def drawn(seed, **how):
        return [one.id for one in islice(generate(lab.job(seed=seed), prompt, temperature=1.0, **how), 12)]

    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = drawn(1)
    torch.manual_seed(99)
    assert drawn(1) == first
    assert drawn(2) != first
    torch.manual_seed(5)
    drawn(3)
    assert torch.equal(torch.get_rng_state(), before)
    assert drawn(7, top_k=1) == [one.id for one in islice(generate(lab, prompt), 12)]


def test_sampling_follows_the_models_distribution():
    lab = tiny_lab("llama")
    prompt = lab.prompt(PROMPT)
    p = np.exp(lab.forward(prompt).log_prob(np.arange(lab.info.d_vocab)[None])[0]).astype(float)
    drawn = [next(generate(lab.job(seed=seed), prompt, temperature=1.0)).id for seed in range(400)]
    top = int(p.argmax())
    share = np.mean([one == top for one in drawn])
    assert share == pytest.approx(p[top], abs=4 * np.sqrt(p[top] * (1 - p[top]) / 400))


def test_it_ends_where_the_model_ends():
    lab = tiny_lab("llama")
    prompt = lab.prompt(PROMPT)
    end = next(iter(lab.model.stop_ids))
    row = lab.model.bridge.W_U[:, end]
    # The last thing the stream becomes is what the unembedding of the end reads.
    edits = [PythonEdit(Function("L2.resid_post", ""), lambda stream, context: row.expand_as(stream) * 50)]
    found = list(generate(lab, prompt, edits))
    assert [one.id for one in found] == [end]
    assert found[0].end == "the model ended"
    assert found[0].text == ""


def test_it_ends_where_the_context_is_full():
    lab = tiny_lab("gpt2")
    prompt = lab.prompt("the " * ((lab.info.n_ctx - 8) // 2))
    found = list(generate(lab, prompt))
    assert len(prompt) + len(found) <= lab.info.n_ctx
    assert found[-1].end


def test_text_grows_by_whole_characters():
    lab = tiny_lab("llama")
    euro = lab.model.tokens.tokenizer("€", add_special_tokens=False)["input_ids"]
    assert len(euro) == 3  # bytes
    order = iter([*euro, lab.answer_token(" Paris").id])
    rows = lab.model.bridge.W_U

    def force(stream, context):
        return (rows[:, next(order)] * 100).expand_as(stream).clone()

    found = list(islice(generate(lab, lab.prompt("The"), [PythonEdit(Function("L2.resid_post", ""), force)]), 4))
    assert [one.id for one in found][:3] == euro
    assert [one.text for one in found] == ["", "", "€", "€ Paris"]


def test_a_cancel_stops_between_tokens_and_no_hook_stays():
    lab = tiny_lab("llama")
    calls = []

    def check():
        calls.append(1)
        if len(calls) > 12:
            raise Cancelled

    lab.cancel_check = check
    try:
        with pytest.raises(Cancelled):
            list(generate(lab, lab.prompt(PROMPT)))
    finally:
        lab.cancel_check = None
    assert lab.hooks_installed() == 0
