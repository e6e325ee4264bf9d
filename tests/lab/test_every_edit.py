"""Every kind of edit, on five architectures, against plain hooks on the Hugging Face model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.lab.labs import with_directions
from tests.lab.plain import Plain
from tests.tiny import ARCHITECTURES, tiny_model
from workbench import paths
from workbench.edits import parse_edits
from workbench.errors import UserError
from workbench.lab.applying import PassLayout
from workbench.lab.directions.weights import JobWeights
from workbench.lab.finding.source import ModelSource
from workbench.lab.generate import generate
from workbench.lab.model import load_lab
from workbench.lab.passes import run_pass
from workbench.lab.strength import sample_prompts
from workbench.lab.values import _DRAW

PROMPT = "The capital of France is"
OTHER = "The capital of Paris is"
LONGER = "When Mary and John went to the store, John gave a drink to"


@pytest.fixture(scope="module", params=ARCHITECTURES)
def pair(request, tmp_path_factory):
    folder = tiny_model(request.param, tmp_path_factory.mktemp(request.param))
    lab = load_lab(ModelSource(name=request.param, ref=str(folder), path=folder, origin="folder"), "cpu", "float32")
    return lab, Plain(folder)


@pytest.fixture
def refusal():
    vector = np.random.default_rng(3).standard_normal(32).astype(np.float32)
    (paths.data_dir() / "directions").mkdir(parents=True)
    np.save(paths.data_dir() / "directions" / "refusal.npy", vector)
    return torch.from_numpy(vector)


def ids_of(lab, text):
    return torch.from_numpy(lab.prompt(text).ids)[None]


def neuron(index, change):
    def edit(activation):
        activation = activation.clone()
        activation[..., index] = change(activation[..., index])
        return activation

    return edit


def head(index, n_heads, change):
    def edit(z):
        heads = z.clone().view(*z.shape[:2], n_heads, -1)
        heads[:, :, index] = change(heads[:, :, index])
        return heads.view(z.shape)

    return edit


def at(first, end, change):
    """`change` at positions first to end only."""

    def edit(activation):
        activation = activation.clone()
        activation[:, first:end] = change(activation)[:, first:end]
        return activation

    return edit


def along(vector, change):
    unit = vector / vector.norm()

    def edit(activation):
        component = activation @ unit
        return activation + (change(component) - component)[..., None] * unit

    return edit


def sampled(lab, plain, layer, site):
    """Every token but the first of each window of the fixed text, [token, width]."""
    windows = [torch.from_numpy(prompt.ids)[None] for prompt in sample_prompts(lab.model)]
    return torch.cat([plain.read(window, layer, site)[0, 1:] for window in windows])


def check(lab, plain, edits, changes):
    ids = ids_of(lab, PROMPT)
    found = lab.forward(lab.prompt(PROMPT), parse_edits([edits], lab.info)).logits
    wanted = plain.logits(ids, changes)
    assert torch.allclose(found, wanted, atol=1e-5, rtol=1e-5), f"{edits}: off by {(found - wanted).abs().max():.2g}"
    assert not torch.allclose(wanted, plain.logits(ids), atol=1e-3), f"{edits} changes nothing"


def test_set_scale_and_add(pair):
    lab, plain = pair
    h = plain.n_heads
    check(lab, plain, "L1.N7=2", [(1, "mlp_post", neuron(7, lambda a: a * 0 + 2))])
    check(lab, plain, "L1.N7*=-3", [(1, "mlp_post", neuron(7, lambda a: a * -3))])
    check(lab, plain, "L1.N7+=1.5", [(1, "mlp_post", neuron(7, lambda a: a + 1.5))])
    check(lab, plain, "L0.N3-5=0", [(0, "mlp_post", neuron(slice(3, 6), lambda a: a * 0))])
    check(lab, plain, "L1.H2=0", [(1, "z", head(2, h, lambda z: z * 0))])
    check(lab, plain, "L1.H1-2*=2", [(1, "z", head(slice(1, 3), h, lambda z: z * 2))])
    for site in ("resid_pre", "resid_post", "attn_out", "mlp_out"):
        check(lab, plain, f"L1.{site}*=.5", [(1, site, lambda x: x * 0.5)])
    check(lab, plain, "L1.mlp_out=0", [(1, "mlp_out", lambda x: x * 0)])


def middle(layer, change):
    """`change` of the stream between attention and the MLP, as plain hooks: attention adds what is missing to it."""
    kept = []

    def keep(stream):
        kept.append(stream)
        return stream

    def added(attention):
        before = kept.pop()
        between = before + attention
        changed = change(between)
        return torch.where(changed == between, attention, changed - before)

    return [(layer, "resid_pre", keep), (layer, "attn_out", added)]


def test_the_stream_between_attention_and_mlp(pair, refusal):
    lab, plain = pair
    lab = with_directions(lab, "refusal")
    if lab.info.parallel_blocks:
        with pytest.raises(UserError, match="no resid_mid"):
            lab.job(parse_edits(["L1.resid_mid=0"]))
        return
    n, other = ids_of(lab, PROMPT).shape[1], ids_of(lab, OTHER)
    check(lab, plain, "L1.resid_mid*=.5", middle(1, lambda x: x * 0.5))
    check(lab, plain, "L1.resid_mid[2]=0", middle(1, at(2, 3, lambda x: x * 0)))
    check(lab, plain, "L1.resid_mid[1-]+=2*@refusal", middle(1, at(1, n, lambda x: x + 2 * refusal)))
    check(lab, plain, "L1.resid_mid@refusal=0", middle(1, along(refusal, lambda c: c * 0)))
    there = plain.read(other, 1, "resid_pre") + plain.read(other, 1, "attn_out")
    check(lab, plain, f'L1.resid_mid[last]<"{OTHER}"', middle(1, at(n - 1, n, lambda x: there)))


def test_where_an_edit_acts(pair):
    lab, plain = pair
    n = ids_of(lab, PROMPT).shape[1]
    for where, (first, end) in {
        "last": (n - 1, n),
        "2": (2, 3),
        "1-2": (1, 3),
        "1-": (1, n),
        "prompt": (0, n),
        "3-99": (3, n),
    }.items():
        check(lab, plain, f"L1.N7[{where}]=3", [(1, "mlp_post", at(first, end, neuron(7, lambda a: a * 0 + 3)))])
        check(lab, plain, f"L1.resid_pre[{where}]*=2", [(1, "resid_pre", at(first, end, lambda x: x * 2))])
    unedited = lab.forward(lab.prompt(PROMPT)).logits
    generated = lab.forward(lab.prompt(PROMPT), parse_edits(["L1.N7[generated]=3"], lab.info)).logits
    assert torch.equal(generated, unedited)


def test_means_and_resamples_are_of_the_fixed_text(pair):
    lab, plain = pair
    lab = lab.job(seed=5)
    h, n = plain.n_heads, ids_of(lab, PROMPT).shape[1]
    post, z = sampled(lab, plain, 1, "mlp_post"), sampled(lab, plain, 1, "z").unflatten(-1, (h, -1))
    added = sampled(lab, plain, 0, "attn_out")
    check(lab, plain, "L1.N7=mean", [(1, "mlp_post", neuron(7, lambda a: a * 0 + post[:, 7].mean()))])
    check(lab, plain, "L1.H2=mean", [(1, "z", head(2, h, lambda a: a * 0 + z[:, 2].mean(0)))])
    check(lab, plain, "L1.z=mean", [(1, "z", head(slice(None), h, lambda a: a * 0 + z.mean(0)))])
    check(lab, plain, "L0.attn_out=mean", [(0, "attn_out", lambda a: a * 0 + added.mean(0))])
    drawn = np.random.default_rng([_DRAW, 5]).integers(0, len(post), lab.info.n_ctx)[:n]
    check(lab, plain, "L1.N3,L1.N7=resample", [(1, "mlp_post", neuron([3, 7], lambda a: post[drawn][:, [3, 7]][None]))])
    check(lab, plain, "L1.H2[1-]=resample", [(1, "z", at(1, n, head(2, h, lambda a: z[drawn][:, 2][None])))])


def test_directions(pair, refusal):
    lab, plain = pair
    lab = with_directions(lab, "refusal")
    every = [(layer, site) for layer in range(3) for site in ("resid_pre", "attn_out", "mlp_out")]
    check(lab, plain, "@refusal=0", [(*place, along(refusal, lambda c: c * 0)) for place in every])
    check(lab, plain, "L1.resid_post@refusal=0", [(1, "resid_post", along(refusal, lambda c: c * 0))])
    check(lab, plain, "L1.resid_pre@refusal=3", [(1, "resid_pre", along(refusal, lambda c: c * 0 + 3))])
    check(lab, plain, "L0-1.attn_out@refusal*=-2", [(i, "attn_out", along(refusal, lambda c: c * -2)) for i in (0, 1)])
    check(lab, plain, "L1.resid_post@refusal+=2", [(1, "resid_post", along(refusal, lambda c: c + 2))])
    check(lab, plain, "L1.resid_pre+=.5*@refusal", [(1, "resid_pre", lambda x: x + 0.5 * refusal)])
    check(lab, plain, "L*.resid_pre-=.1*@refusal", [(i, "resid_pre", lambda x: x - 0.1 * refusal) for i in range(3)])
    mean = (sampled(lab, plain, 1, "resid_pre") @ (refusal / refusal.norm())).mean()
    check(lab, plain, "L1.resid_pre@refusal=mean", [(1, "resid_pre", along(refusal, lambda c: c * 0 + mean))])


def test_a_neurons_own_weights_are_directions(pair):
    lab, plain = pair
    w_out = torch.from_numpy(JobWeights(lab.model, {}).direction("L1.N7.out"))
    if not lab.info.post_norm:
        both = [
            lab.forward(lab.prompt(PROMPT), parse_edits([text], lab.info)).logits
            for text in ("L1.mlp_out+=2*@L1.N7.out", "L1.N7+=2")
        ]
        assert torch.allclose(*both, atol=1e-4)
    check(lab, plain, "L1.mlp_out+=2*@L1.N7.out", [(1, "mlp_out", lambda x: x + 2 * w_out)])


def test_patches_from_another_prompt(pair, refusal):
    lab, plain = pair
    lab = with_directions(lab, "refusal")
    h, n = plain.n_heads, ids_of(lab, PROMPT).shape[1]
    other, longer = ids_of(lab, OTHER), ids_of(lab, LONGER)
    assert other.shape[1] == n < longer.shape[1]
    post, z = plain.read(other, 1, "mlp_post"), plain.read(other, 1, "z").unflatten(-1, (h, -1))
    check(lab, plain, f'L1.N7<"{OTHER}"', [(1, "mlp_post", neuron(7, lambda a: post[..., 7]))])
    check(lab, plain, f'L1.H2[1-]<"{OTHER}"', [(1, "z", at(1, n, head(2, h, lambda a: z[:, :, 2])))])
    check(lab, plain, f'L1.z<"{OTHER}"', [(1, "z", head(slice(None), h, lambda a: z))])
    stream = plain.read(longer, 1, "resid_pre")
    check(
        lab, plain, f'L1.resid_pre[last]<"{LONGER}"', [(1, "resid_pre", at(n - 1, n, lambda x: x * 0 + stream[:, -1:]))]
    )
    check(
        lab,
        plain,
        f'L1.resid_pre[1-2]@refusal<"{LONGER}"'.replace("[1-2]@refusal", "@refusal[1-2]"),
        [(1, "resid_pre", at(1, 3, along(refusal, lambda c: stream[:, :n] @ (refusal / refusal.norm()))))],
    )
    for text in (f'L1.N7<"{LONGER}"', f'L1.N7[1-]<"{LONGER}"'):
        with pytest.raises(UserError, match="equal length"):
            lab.forward(lab.prompt(PROMPT), parse_edits([text], lab.info))
    with pytest.raises(UserError, match="positions 0 to"):
        lab.forward(lab.prompt(LONGER), parse_edits([f'L1.N7[3-9]<"{OTHER}"'], lab.info))


STACK = (
    'L0.N1[generated]=3; L1.H2=resample; L1.resid_pre[prompt]*=1.5; L2.N5=mean; L1.N7[last]<"The capital of Germany is"'
)


def test_a_batch_equals_its_prompts_alone(pair):
    lab, _ = pair
    prompts = [lab.prompt(text) for text in (PROMPT, LONGER, "The river is")]
    edits = parse_edits([STACK], lab.info)
    together = lab.forward(prompts, edits)
    for row, prompt in enumerate(prompts):
        alone = lab.forward(prompt, edits)
        assert torch.allclose(together.logits[row, : len(prompt)], alone.logits[0], atol=1e-5)


def test_padding_on_the_left_moves_nothing(pair):
    """The hooks count positions from each row's own first token."""
    lab, _plain = pair
    prompts = [lab.prompt(text) for text in (LONGER, PROMPT)]
    width = max(map(len, prompts))
    pads = [width - len(prompt) for prompt in prompts]
    ids = torch.zeros(len(prompts), width, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, pads[row] :] = torch.from_numpy(prompt.ids)
    mask = torch.stack([torch.cat([torch.zeros(n), torch.ones(width - n)]) for n in pads]).long()
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    for text in ("L1.N7[2-3]=3", "L1.H2[last]=0", "L1.resid_pre[1-]=resample"):
        plan = lab.plan(parse_edits([text], lab.info))
        run = PassLayout(tuple(map(len, prompts)), lab.info.n_heads, 0, tuple(pads))
        placed = {"attention_mask": mask, "position_ids": positions}
        padded = run_pass(lab.model, ids, [plan], run, padding_args=placed).logits
        for row, prompt in enumerate(prompts):
            alone = lab.forward(prompt, plan).logits[0]
            assert torch.allclose(padded[row, pads[row] :], alone, atol=1e-4), text


def test_generation_with_the_cache_equals_generation_without(pair):
    lab, _ = pair
    edits = parse_edits([STACK], lab.info)
    found = []
    for use_cache in (True, False):
        tokens = []
        for step in generate(lab, lab.prompt(PROMPT), edits, use_cache=use_cache):
            tokens.append((step.id, step.log_prob))
            if len(tokens) == 12 or step.end:
                break
        found.append(tokens)
    assert [one[0] for one in found[0]] == [one[0] for one in found[1]]
    assert np.allclose([one[1] for one in found[0]], [one[1] for one in found[1]], atol=1e-4)


def test_strengths_that_overflow_are_sentences(pair, refusal):
    lab, _ = pair
    lab = with_directions(lab, "refusal")
    for text in ("L1.N7=1e39", "L1.resid_post+=1e39*@refusal", "L1.N7*=-1e300"):
        with pytest.raises(UserError, match="float32 can hold"):
            lab.forward(lab.prompt(PROMPT), parse_edits([text], lab.info))
    with pytest.raises(
        UserError,
        match=r"under these edits .* not finite from L[12]\.\w+ on .*: take smaller",
    ):
        lab.forward(lab.prompt(PROMPT), parse_edits(["L1-2.N*=3e38"], lab.info))


def test_a_missing_direction_is_said_before_anything_runs(pair):
    lab, _ = pair
    with pytest.raises(UserError, match="no direction @nowhere"):
        lab.job(parse_edits(["L1.resid_post+=2*@nowhere"], lab.info))
