"""Our passes are the Hugging Face model's, to the last bit."""

import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.lab.labs import EVERY, PROMPT, plain, tiny_lab
from workbench.edits import parse_edits
from workbench.errors import Cancelled
from workbench.lab.clean import CleanCache
from workbench.units import Site

SHORT, LONG = "The river", "When Mary and John went to the store, John gave a drink to"


@pytest.mark.parametrize("arch", EVERY)
@pytest.mark.parametrize("text", [PROMPT, LONG, LONG * 6])
def test_clean_logits_are_the_models_own_to_the_bit(arch, text):
    lab = tiny_lab(arch)
    prompt = lab.prompt(text)
    found = lab.forward(prompt)
    wanted = plain(arch).logits(torch.from_numpy(prompt.ids)[None])[0]
    assert torch.equal(found.logits[0], wanted)
    assert torch.equal(found.last[0], wanted[-1])


@pytest.mark.parametrize("arch", EVERY)
def test_a_batch_of_equal_lengths_is_the_models_own_to_the_bit(arch):
    lab = tiny_lab(arch)
    prompts = [lab.prompt("The capital of France is"), lab.prompt("The capital of Japan is")]
    assert len(prompts[0]) == len(prompts[1])
    wanted = plain(arch).logits(torch.from_numpy(np.stack([prompt.ids for prompt in prompts])))
    assert torch.equal(lab.forward(prompts).logits, wanted)


@pytest.mark.parametrize("arch", EVERY)
def test_padding_reaches_no_number(arch):
    lab = tiny_lab(arch)
    prompts = [lab.prompt(text) for text in (SHORT, LONG, PROMPT)]
    together = lab.forward(prompts)
    edits = parse_edits(["L0.N3=2; L1.H0=0"])
    edited = lab.forward(prompts, edits)
    kls = edited.kl_from(together)
    surprises = together.surprise()
    for row, prompt in enumerate(prompts):
        alone = lab.forward(prompt)
        assert torch.allclose(together.last[row], alone.last[0], atol=1e-4)
        assert len(surprises[row]) == len(kls[row]) == len(prompt)
        assert np.isnan(surprises[row][0])
        np.testing.assert_allclose(surprises[row][1:], alone.surprise()[0][1:], atol=1e-4)
        np.testing.assert_allclose(kls[row], lab.forward(prompt, edits).kl_from(alone)[0], atol=1e-4)


@pytest.mark.parametrize("arch", EVERY)
def test_what_blocks_add_makes_the_stream(arch):
    lab = tiny_lab(arch)
    names = ("resid_pre", "attn_out", "mlp_out", "resid_post")
    sites = [Site(layer, name) for layer in range(lab.info.n_layers) for name in names]
    found = lab.forward(lab.prompt(LONG), sites=sites)
    for layer in range(lab.info.n_layers):
        pre, attn, mlp, post = (found.site(Site(layer, name)) for name in names)
        np.testing.assert_allclose(pre + attn + mlp, post, atol=1e-5)
    assert lab.remarks == []


def test_the_check_at_load_sees_a_site_that_is_not_what_is_added(monkeypatch):
    from workbench.lab import loading, sites

    monkeypatch.setitem(sites._POINTS, "mlp_out", "mlp.hook_out")  # Gemma's MLP before its post-norm
    model = tiny_lab("gemma2").model
    remarks = loading._check(replace(model, sites=sites.SiteMap(model.bridge)))
    assert any("resid_pre + attn_out + mlp_out is not resid_post" in remark for remark in remarks)


@pytest.mark.parametrize("arch", EVERY)
def test_resid_mid_is_the_stream_between_attention_and_mlp(arch):
    lab = tiny_lab(arch)
    if lab.info.parallel_blocks:
        assert Site(0, "resid_mid") not in lab.model.sites
        return
    found = lab.forward(lab.prompt(PROMPT), sites=[Site(1, "resid_pre"), Site(1, "attn_out"), Site(1, "resid_mid")])
    added = found.site(Site(1, "resid_pre")) + found.site(Site(1, "attn_out"))
    np.testing.assert_allclose(found.site(Site(1, "resid_mid")), added, atol=1e-6)


@pytest.mark.parametrize("arch", EVERY)
def test_sites_are_what_the_plain_model_has_there(arch):
    lab = tiny_lab(arch)
    prompt = lab.prompt(PROMPT)
    found = lab.forward(prompt, sites=[Site(1, "mlp_post"), Site(1, "z")], logits=None)
    for name in ("mlp_post", "z"):
        wanted = plain(arch).read(torch.from_numpy(prompt.ids)[None], 1, name)
        assert torch.equal(found.captured[Site(1, name)].view(wanted.shape), wanted)
    assert found.last is None


def test_numbers_from_logits_are_what_numpy_says():
    lab = tiny_lab("llama")
    prompt = lab.prompt(LONG)
    clean, edited = lab.forward(prompt), lab.forward(prompt, parse_edits(["L1.N3=3"]))
    logits = clean.logits[0].double().numpy()
    logp = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    other = edited.logits[0].double().numpy()
    logq = other - np.log(np.exp(other).sum(-1, keepdims=True))
    order = np.argsort(-logits[-1])
    ids, values = clean.top(5)
    np.testing.assert_array_equal(ids[0], order[:5])
    np.testing.assert_allclose(values[0], logp[-1][order[:5]], atol=1e-5)
    np.testing.assert_allclose(clean.entropy()[0], -(np.exp(logp[-1]) * logp[-1]).sum(), atol=1e-5)
    np.testing.assert_array_equal(clean.rank(order[7:8]), [8])
    np.testing.assert_allclose(clean.log_prob(order[7:8])[0], logp[-1][order[7]], atol=1e-5)
    np.testing.assert_allclose(clean.surprise()[0][1:], -logp[np.arange(len(prompt) - 1), prompt.ids[1:]], atol=1e-4)
    np.testing.assert_allclose(edited.kl_from(clean)[0], (np.exp(logp) * (logp - logq)).sum(-1), atol=1e-6)
    np.testing.assert_allclose(edited.last_kl_from(clean)[0], edited.kl_from(clean)[0][-1], rtol=1e-6)
    assert clean.last_kl_from(clean)[0] == 0


def test_long_prompts_are_measured_in_blocks_like_short_ones():
    """More positions than one block of the metrics."""
    lab = tiny_lab("llama")
    prompt = lab.prompt(LONG * 10)
    assert len(prompt) > 2 * 64
    clean, edited = lab.forward(prompt), lab.forward(prompt, parse_edits(["L0.N0=1"]))
    logp = torch.log_softmax(clean.logits[0].double(), -1)
    logq = torch.log_softmax(edited.logits[0].double(), -1)
    np.testing.assert_allclose(edited.kl_from(clean)[0], (logp.exp() * (logp - logq)).sum(-1).numpy(), atol=1e-6)
    wanted = -logp[:-1].gather(-1, torch.from_numpy(prompt.ids[1:])[:, None])[:, 0]
    np.testing.assert_allclose(clean.surprise()[0][1:], wanted.numpy(), atol=1e-4)


def test_clean_passes_are_kept_and_edited_ones_are_not():
    lab = tiny_lab("qwen2")
    prompt = lab.prompt("one, two, three")
    assert lab.forward(prompt) is lab.forward(lab.prompt("one, two, three"))
    assert lab.forward(prompt, logits="last") is not lab.forward(prompt)
    edits = parse_edits(["L0.N0=0"])
    assert lab.forward(prompt, edits) is not lab.forward(prompt, edits)


def test_the_kept_passes_stay_within_their_limit():
    lab = tiny_lab("llama")
    passes = [lab.forward(lab.prompt(f"{name} is in England")) for name in (" Paris", " Rome", " Tokyo")]
    kept = CleanCache(limit=3 * passes[0].bytes)
    kept.put("a", passes[0])
    kept.put("b", passes[1])
    assert kept.get("a") is passes[0]
    kept.put("c", passes[2])
    kept.put("d", passes[2])
    assert kept.get("b") is None  # the least recently used
    assert kept.get("a") is passes[0]
    small = CleanCache(limit=passes[0].bytes)
    small.put("a", passes[0])
    assert len(small) == 0


def test_no_hook_stays_after_a_pass_that_fails():
    lab = tiny_lab("gpt2")
    seen = []

    def check():
        seen.append(lab.hooks_installed())
        if len(seen) == 2:
            raise Cancelled

    lab.cancel_check = check
    try:
        with pytest.raises(Cancelled):
            lab.forward(lab.prompt("She said that he was happy"), parse_edits(["L2.N0=0"]))
    finally:
        lab.cancel_check = None
    assert seen[0] == lab.info.n_layers + 1
    assert len(seen) == 2  # at the second block it was over
    assert lab.hooks_installed() == 0


def test_a_cancel_is_looked_for_at_every_block():
    lab = tiny_lab("llama")
    seen = []
    lab.cancel_check = lambda: seen.append(1)
    try:
        lab.forward(lab.prompt("a prompt that nobody else asks"), logits="last")
    finally:
        lab.cancel_check = None
    assert len(seen) == lab.info.n_layers


def test_a_thousand_clean_passes_take_no_more_than_the_cache_may(monkeypatch):
    """Counted by what really stays alive: a slice of a large tensor keeps all of it."""
    lab = tiny_lab("llama")
    monkeypatch.setattr(lab.model, "clean", CleanCache(limit=1 << 20))
    alive = []
    for number in range(1000):
        forward = lab.forward(lab.prompt(f"The capital {number}"), sites=[Site(0, "resid_post")], logits="last")
        alive.append(weakref.ref(forward))
    del forward
    kept_passes = [kept for kept in (reference() for reference in alive) if kept is not None]
    assert len(kept_passes) == len(lab.model.clean) < 1000
    sizes = {}
    for kept in kept_passes:
        for tensor in [kept.last, kept.logits, *kept.captured.values()]:
            if tensor is not None:
                sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
    assert sum(sizes.values()) == lab.model.clean.bytes <= 1 << 20
