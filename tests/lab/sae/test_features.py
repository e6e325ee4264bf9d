"""Features as units: addresses, readings and edits, against hooks on the Hugging Face model in plain torch."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch

from tests.lab.labs import PROMPT, plain, tiny_lab
from tests.lab.sae.made import STREAM, keep, made_sae, sample
from workbench.edits import parse_edits
from workbench.errors import UserError
from workbench.lab.controls import controls
from workbench.lab.generate import generate
from workbench.lab.model import load_lab
from workbench.lab.reading import read
from workbench.lab.sae import make_sae
from workbench.lab.sae.sae import SAE
from workbench.lab.study import has_same_distance, study
from workbench.units import Feature, Site

D_SAE = 40


def random_sae(site: Site = STREAM, kind: str = "standard", arch: str = "llama", **config: Any) -> SAE:
    """Weights that are anything; the decoder's norms are not 1."""
    g = torch.Generator().manual_seed(11)
    lab = tiny_lab(arch)
    d = sample(lab, site).shape[1]
    spread = float(sample(lab, site).std())
    own = {
        "b_enc": 0.3 * torch.randn(D_SAE, generator=g),
        "threshold": 0.2 + 0.1 * torch.rand(D_SAE, generator=g),
        "b_gate": 0.1 * torch.randn(D_SAE, generator=g),
        "r_mag": 0.1 * torch.randn(D_SAE, generator=g),
        "b_mag": 0.1 * torch.randn(D_SAE, generator=g),
    }
    like = made_sae(lab, site, n=4).config
    names = {"gated": ("b_gate", "r_mag", "b_mag"), "jumprelu": ("b_enc", "threshold")}.get(kind, ("b_enc",))
    made = type(like)(
        **{
            **{name: getattr(like, name) for name in like.__struct_fields__},
            "kind": kind,
            "d_sae": D_SAE,
            "k": 6 if kind == "topk" else None,
            **config,
        }
    )
    tensors = {
        "W_enc": torch.randn(d, D_SAE, generator=g) / d**0.5 / (spread if made.normalisation == "none" else 1),
        "W_dec": torch.randn(D_SAE, made.d_out, generator=g) * 0.3,
        "b_dec": 0.1 * torch.randn(made.d_out, generator=g),
        **{name: own[name] for name in names},
    }
    return make_sae(made, tensors)


def encode(sae: SAE, x: torch.Tensor) -> torch.Tensor:
    """In plain torch, [..., d] to [..., d_sae]."""
    t, config = sae.tensors, sae.config
    if config.normalisation == "layer_norm":
        x = (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-5)
    elif config.normalisation == "constant_norm_rescale":
        x = x * x.shape[-1] ** 0.5 / x.norm(dim=-1, keepdim=True)
    if config.subtracts_b_dec:
        x = x - t["b_dec"]
    if config.kind == "gated":
        gate = (x @ t["W_enc"] + t["b_gate"]) > 0
        return gate * torch.relu(x @ t["W_enc"] * t["r_mag"].exp() + t["b_mag"])
    pre = x @ t["W_enc"] + t["b_enc"]
    if config.kind == "jumprelu":
        return torch.relu(pre) * (pre > t["threshold"])
    if config.kind == "topk":
        return torch.relu(pre) * (pre >= pre.sort(-1, descending=True).values[..., 5:6])
    return torch.relu(pre)


def decode(sae: SAE, f: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    s = f @ sae.tensors["W_dec"] + sae.tensors["b_dec"]
    if sae.config.normalisation == "layer_norm":
        return s * x.std(-1, keepdim=True) + x.mean(-1, keepdim=True)
    if sae.config.normalisation == "constant_norm_rescale":
        return s * x.norm(dim=-1, keepdim=True) / x.shape[-1] ** 0.5
    return s


Write = Callable[[torch.Tensor], torch.Tensor]


def expected(
    arch: str, site: Site, sae: SAE, indices: list[int], write: Write, *, error: bool, first: int = 0
) -> np.ndarray:
    """Logits [position, vocabulary] of plain hooks; positions before `first` stay."""

    def hook(x: torch.Tensor) -> torch.Tensor:
        flat = x.reshape(*x.shape[:2], -1)
        f = encode(sae, flat)
        changed = f.clone()
        changed[..., indices] = write(changed[..., indices])
        s = decode(sae, changed, flat)
        new = s + (flat - decode(sae, f, flat)) if error else s
        return torch.cat([flat[:, :first], new[:, first:]], dim=1).view(x.shape)

    ids = torch.from_numpy(tiny_lab(arch).prompt(PROMPT).ids)[None]
    return plain(arch).logits(ids, [(site.layer, site.name, hook)])[0].numpy()


def edited(arch: str, text: str) -> np.ndarray:
    lab = tiny_lab(arch)
    job = lab.job(parse_edits([text], lab.info))
    return np.asarray(job.forward(job.prompt(PROMPT), job.edits).logits[0].cpu())


def firing(sae: SAE, arch: str = "llama", site: Site = STREAM) -> list[int]:
    """Two features that fire somewhere on the prompt, not at its first token alone."""
    x = plain(arch).read(torch.from_numpy(tiny_lab(arch).prompt(PROMPT).ids)[None], site.layer, site.name)
    peaks = encode(sae, x.reshape(*x.shape[:2], -1))[0, 1:].amax(0)
    return sorted(peaks.topk(2).indices.tolist())


NORMALISATIONS = ("none", "layer_norm", "constant_norm_rescale")


@pytest.mark.parametrize("kind", ["standard", "gated", "topk", "jumprelu"])
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("error", [True, False])
def test_a_clamp_equals_an_independent_hook(kind: str, normalisation: str, error: bool) -> None:
    sae = random_sae(kind=kind, normalisation=normalisation)
    name = keep(sae, "made")
    a, b = firing(sae)
    mark = "" if error else "~"
    for text, write in [
        (f"L1.F{a}/{name}{mark}, L1.F{b}/{name}{mark}=0", lambda f: 0 * f),
        (f"L1.F{a}{mark}, L1.F{b}{mark}*=2.5", lambda f: 2.5 * f),
        (f"L1.F{a}{mark}, L1.F{b}{mark}=1.5", lambda f: 0 * f + 1.5),
    ]:
        logits = edited("llama", text)
        np.testing.assert_allclose(
            logits, expected("llama", STREAM, sae, [a, b], write, error=error), rtol=1e-4, atol=2e-5
        )
    clean = edited("llama", f"L1.F{a}*=1")
    assert np.abs(logits - clean).max() > 1e-3


def test_positions_and_heads_and_b_dec_that_stays() -> None:
    sae = random_sae(subtracts_b_dec=False)
    keep(sae, "plain-b")
    (a, _) = firing(sae)
    np.testing.assert_allclose(
        edited("llama", f"L1.F{a}~[2-]=3"),
        expected("llama", STREAM, sae, [a], lambda f: 0 * f + 3, error=False, first=2),
        rtol=1e-4,
        atol=2e-5,
    )


def test_flattened_heads_are_edited() -> None:
    site = Site(0, "z")
    sae = random_sae(site)
    keep(sae, "heads")
    (a, _) = firing(sae, site=site)
    for mark, error in (("", True), ("~", False)):
        np.testing.assert_allclose(
            edited("llama", f"L0.F{a}{mark}=2"),
            expected("llama", site, sae, [a], lambda f: 0 * f + 2, error=error),
            rtol=1e-4,
            atol=2e-5,
        )


@pytest.mark.parametrize("error", [True, False])
def test_a_transcoder_is_edited_where_it_writes(error: bool) -> None:
    """It encodes the stream before its block and writes what the MLP adds."""
    site = Site(1, "resid_pre")
    sae = random_sae(site, hook_out="blocks.1.hook_mlp_out", subtracts_b_dec=False)
    assert sae.config.is_transcoder
    keep(sae, "coder")
    a, b = firing(sae, site=site)
    seen: list[torch.Tensor] = []

    def see(x: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return x

    def hook(y: torch.Tensor) -> torch.Tensor:
        f = encode(sae, seen[-1])
        changed = f.clone()
        changed[..., [a, b]] = 2.0
        s = decode(sae, changed, seen[-1])
        new = y + s - decode(sae, f, seen[-1]) if error else s
        return torch.cat([y[:, :1], new[:, 1:]], dim=1)

    lab = tiny_lab("llama")
    ids = torch.from_numpy(lab.prompt(PROMPT).ids)[None]
    logits = plain("llama").logits(ids, [(1, "resid_pre", see), (1, "mlp_out", hook)])[0].numpy()
    mark = "" if error else "~"
    np.testing.assert_allclose(edited("llama", f"L1.F{a}{mark}, L1.F{b}{mark}[1-]=2"), logits, rtol=1e-4, atol=2e-5)
    assert lab.hooks_installed() == 0


@pytest.mark.parametrize("arch", ["llama", "gpt2"])
def test_a_transcoder_of_the_mlps_input_is_edited(arch: str) -> None:
    """It reads behind the norm, where edits have no business, and is edited where the MLP writes."""
    sae = random_sae(Site(1, "mlp_out"), arch=arch, subtracts_b_dec=False)
    config = type(sae.config)(
        **{
            **{name: getattr(sae.config, name) for name in sae.config.__struct_fields__},
            "hook": "blocks.1.mlp.hook_in",
            "hook_out": "blocks.1.hook_mlp_out",
        }
    )
    keep(make_sae(config, sae.tensors), "mlp")
    lab, model = tiny_lab(arch), plain(arch)
    ids = torch.from_numpy(lab.prompt(PROMPT).ids)[None]
    seen: list[torch.Tensor] = []
    mlp = model.layers[1].mlp
    handle = mlp.register_forward_pre_hook(lambda module, args: seen.append(args[0]))

    def hook(y: torch.Tensor) -> torch.Tensor:
        f = encode(sae, seen[-1])
        changed = f.clone()
        changed[..., 3] = 2.0
        return y + (changed - f) @ sae.tensors["W_dec"]

    logits = model.logits(ids, [(1, "mlp_out", hook)])[0].numpy()
    handle.remove()
    np.testing.assert_allclose(edited(arch, "L1.F3=2"), logits, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("mark", ["", "~"])
def test_generation_with_a_cache_is_edited_as_without(mark: str) -> None:
    keep(random_sae(), "res")
    keep(random_sae(Site(0, "resid_pre"), hook_out="blocks.0.hook_mlp_out", subtracts_b_dec=False), "coder")
    lab = tiny_lab("llama")
    edits = parse_edits([f"L1.F3{mark}=2; L0.F5{mark}[generated]=3"], lab.info)
    prompt = lab.prompt(PROMPT)
    cached, whole = (list(islice(generate(lab, prompt, edits, use_cache=cache), 8)) for cache in (True, False))
    assert [token.id for token in cached] == [token.id for token in whole]
    np.testing.assert_allclose([t.log_prob for t in cached], [t.log_prob for t in whole], atol=1e-4)


def test_prompts_of_two_lengths_are_edited_as_alone() -> None:
    """Padding on the left, and a transcoder's input narrowed as its output is."""
    keep(random_sae(Site(0, "resid_pre"), hook_out="blocks.0.hook_mlp_out", subtracts_b_dec=False), "coder")
    lab = tiny_lab("llama")
    edits = parse_edits(["L0.F5[last]=3; L0.F6[1-]*=2"], lab.info)
    prompts = [lab.prompt(PROMPT), lab.prompt("The cat")]
    together = lab.forward(prompts, edits, logits="last").last
    for row, prompt in enumerate(prompts):
        alone = lab.forward(prompt, edits, logits="last").last
        np.testing.assert_allclose(together[row], alone[0], rtol=1e-4, atol=2e-5)


def test_one_feature_is_not_set_in_two_ways() -> None:
    keep(random_sae(), "made")
    with pytest.raises(UserError, match="contradict each other"):
        tiny_lab("llama").job(parse_edits(["L1.F3=0; L1.F3~=2"]))


def test_bfloat16_is_rounded_once() -> None:
    from tests.lab.labs import source_of, tiny_folder

    lab = load_lab(source_of(tiny_folder("llama")), device="cpu", dtype="bfloat16")
    sae = made_sae(lab)
    keep(sae, "half")
    site, prompt = STREAM, lab.prompt(PROMPT)
    x = lab.forward(prompt, (), [site], logits=None).captured[site].float()
    f = encode(sae, x)
    index = int(f[0, 1:].amax(0).argmax())
    after = lab.forward(prompt, parse_edits([f"L1.F{index}=7"]), [site], logits=None).captured[site]
    exact = (x + (7 - f[..., index : index + 1]) * sae.W_dec[index]).bfloat16()
    torch.testing.assert_close(after, exact, rtol=2**-7, atol=1e-3)


def test_readings_are_the_encoded_activations() -> None:
    sae = random_sae()
    keep(sae, "read")
    lab = tiny_lab("llama")
    (reading,) = read(lab, [Feature(1, firing(sae)[0])], lab.prompt(PROMPT))
    x = plain("llama").read(torch.from_numpy(lab.prompt(PROMPT).ids)[None], 1, "resid_post")
    np.testing.assert_allclose(reading.values, encode(sae, x)[0, :, firing(sae)[0]], rtol=1e-4, atol=1e-5)


def test_a_mean_is_of_the_feature_not_the_feature_of_the_mean() -> None:
    sae = random_sae()
    keep(sae, "mean")
    index = firing(sae)[0]
    mean = float(encode(sae, sample(tiny_lab("llama"), STREAM)).mean(0)[index])
    np.testing.assert_allclose(
        edited("llama", f"L1.F{index}=mean"),
        expected("llama", STREAM, sae, [index], lambda f: 0 * f + mean, error=True),
        rtol=1e-4,
        atol=2e-5,
    )


def test_controls_fire_where_the_feature_fires() -> None:
    sae = random_sae()
    keep(sae, "controlled")
    lab = tiny_lab("llama")
    prompt = lab.prompt(PROMPT)
    drawn = controls(lab, parse_edits([f"L1.F{firing(sae)[0]}=0"]), 8, prompts=[prompt])
    x = plain("llama").read(torch.from_numpy(prompt.ids)[None], 1, "resid_post")
    fires = encode(sae, x)[0, 1:].amax(0) > 0
    units = [unit for plan in drawn.plans for unit in plan.units]
    assert units and all(isinstance(unit, Feature) and fires[unit.index] for unit in units)
    assert drawn.kind == "matched random features"
    silent = int((~fires).nonzero()[0])
    others = controls(lab, parse_edits([f"L1.F{silent}=2"]), 4, prompts=[prompt])
    assert not any(fires[unit.index] for plan in others.plans for unit in plan.units if isinstance(unit, Feature))


def test_controls_fire_at_the_edited_positions_themselves() -> None:
    sae = random_sae()
    keep(sae, "there")
    lab = tiny_lab("llama")
    prompt = lab.prompt(PROMPT)
    x = plain("llama").read(torch.from_numpy(prompt.ids)[None], 1, "resid_post")
    fires = encode(sae, x)[0] > 0
    elsewhere = fires[1:].any(0)
    for text, positions in [
        ("[2]", slice(2, 3)),
        ("[last]", slice(-1, None)),
        ("[1-3]", slice(1, 4)),
        ("[0]", slice(0, 1)),
    ]:
        there = fires[positions].any(0)
        unit = int((there & elsewhere).nonzero()[0])
        drawn = controls(lab, parse_edits([f"L1.F{unit}{text}=0"]), 20, prompts=[prompt])
        indices = [feature.index for plan in drawn.plans for feature in plan.units if isinstance(feature, Feature)]
        assert indices and all(there[index] for index in indices), text
        assert (elsewhere & ~there).any(), "a control drawn over all positions would be another"


def test_random_directions_of_a_feature_of_resid_mid_are_as_long_as_its_change() -> None:
    sae = random_sae(Site(1, "resid_pre"), hook="blocks.1.hook_resid_mid")
    keep(sae, "mid")
    lab = tiny_lab("llama")
    prompt, site = lab.prompt(PROMPT), Site(1, "resid_mid")
    traced = study(lab, prompt)
    x = traced.activations([site])[site]
    f = encode(sae, x)
    index = int(f[1:].amax(0).argmax())
    plan = traced.off([Feature(1, index, "mid")])
    assert has_same_distance(plan)
    (control,) = traced.same_distance(plan, 1, seed=1)
    moved = traced.activations([site], control)[site] - x
    lengths = f[:, index] * sae.tensors["W_dec"][index].norm()
    lengths[0] = 0
    np.testing.assert_allclose(moved.norm(dim=-1), lengths, rtol=1e-4, atol=1e-5)


def test_what_is_not_there_is_a_sentence() -> None:
    lab = tiny_lab("llama")

    def refused(text: str) -> str:
        with pytest.raises(UserError) as caught:
            lab.job(parse_edits([text], lab.info))
        return str(caught.value)

    assert "no SAE of layer 1 is registered" in refused("L1.F3=0")
    keep(random_sae(), "first")
    assert "there is no feature 99: the SAE first has 40 features, 0 to 39" in refused("L1.F99=0")
    assert "there is no SAE 'other'" in refused("L1.F3/other=0")
    assert "is of layer 1, not 0" in refused("L0.F3/first=0")
    keep(random_sae(), "second")
    assert "layer 1 has 2 SAEs: say whose feature it is, L1.F…/first, L1.F…/second" in refused("L1.F3=0")
    lab.job(parse_edits(["L1.F3/second=0"], lab.info))
