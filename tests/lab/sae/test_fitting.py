"""What users really get wrong with an SAE is said when it is put to its place."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

from tests.lab.labs import new_report, tiny_lab
from tests.lab.sae.made import STREAM, loud_lab, made_sae, sample
from workbench.errors import UserError
from workbench.lab.identify import identify
from workbench.lab.model import Lab
from workbench.lab.sae import make_sae
from workbench.lab.sae.explained import explained_variance
from workbench.lab.sae.fitting import Fit, fit
from workbench.lab.sae.placing import place, value_biases
from workbench.lab.sae.sae import SAE
from workbench.text import number
from workbench.units import Site


def fitted(sae: SAE, lab: Lab) -> Fit:
    return fit(lab.model, place(lab.model, sae))


def with_tensors(sae: SAE, **factors: float) -> SAE:
    tensors = {name: tensor * factors.get(name, 1) for name, tensor in sae.tensors.items()}
    return type(sae)(sae.config, tensors)


def with_config(sae: SAE, **changed: object) -> SAE:
    return type(sae)(msgspec.structs.replace(sae.config, **changed), sae.tensors)


def test_a_good_one_fits_and_its_variance_is_numpys() -> None:
    lab = loud_lab("llama")
    sae = made_sae(lab)
    found = fitted(sae, lab)
    assert found.flags == []
    x = sample(lab, STREAM)[:256].double().numpy()
    mean, axes = sae.b_dec.double().numpy(), sae.W_dec[:24].double().numpy()
    s = (x - mean) @ axes.T @ axes + mean
    expected = 1 - ((x - s) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()
    assert found.explained == pytest.approx(expected, abs=1e-5)
    assert 0.5 < expected < 0.999
    assert found.l0 == pytest.approx(24)
    assert found.scale == pytest.approx(32**0.5 / np.linalg.norm(x, axis=1).mean(), rel=1e-5)


def test_another_models_sae_is_flagged() -> None:
    assert "another model" in fitted(made_sae(loud_lab("llama")), tiny_lab("llama")).flags[0]


def undertrained(lab: Lab) -> SAE:
    """Its first axes alone: it explains more than the mean, and little."""
    return made_sae(lab, n=2)


def test_a_recorded_fingerprint_decides_whether_it_is_undertrained_or_another_models() -> None:
    lab = tiny_lab("llama")
    identify(lab, new_report())
    placed, fingerprint = place(lab.model, undertrained(lab)), lab.info.fingerprint
    (own,) = fit(lab.model, placed, fingerprint).flags
    assert "this very model, so it is undertrained" in own
    (other,) = fit(lab.model, placed, "f" * 64).flags
    assert "another model, whose fingerprint is recorded" in other


def test_without_a_fingerprint_the_mean_is_what_it_is_held_against() -> None:
    lab = tiny_lab("llama")
    some = fitted(undertrained(lab), lab)
    assert 0 < some.explained < 0.5
    assert "this number can't tell which" in some.flags[0]
    mean = with_tensors(undertrained(lab), W_dec=-1)
    assert fitted(mean, lab).explained < 0
    assert "no more than the mean alone would" in fitted(mean, lab).flags[0]


def test_centring_is_named_in_both_directions() -> None:
    """LayerNorm models: the mean over d_model may be a large part of the stream."""
    lab = loud_lab("gpt2")
    centred = made_sae(lab, centred=True)
    assert fitted(centred, lab).flags == []
    assert any("--centred" in flag for flag in fitted(with_config(centred, centred=False), lab).flags)
    told = with_config(made_sae(lab), centred=True)
    assert any("--no-centred" in flag for flag in fitted(told, lab).flags)


def test_a_transcoder_of_a_centred_stream_reads_it_so_and_its_output_is_said_to_lack_the_mean() -> None:
    lab = loud_lab("gpt2")
    made = made_sae(lab, Site(1, "resid_mid"))
    hooks = {"hook": "blocks.1.hook_mlp_in", "hook_out": "blocks.1.hook_mlp_out"}
    placed = place(lab.model, with_config(made, centred=True, subtracts_b_dec=False, **hooks))
    (remark,) = placed.remarks
    assert remark.startswith("it was trained on a model with centred writing weights: what it gives back has no mean")
    assert "L1.mlp_out here has one, which counts as error" in remark
    x = sample(lab, Site(1, "resid_mid"))
    as_it_is = place(lab.model, with_config(made, subtracts_b_dec=False, **hooks)).sae
    wanted = as_it_is.encode(x - x.mean(-1, keepdim=True))
    assert torch.equal(placed.sae.encode(x), wanted)
    assert not torch.allclose(as_it_is.encode(x), wanted)
    hooks["hook"] = "blocks.1.mlp.hook_in"  # a norm is before it, which has no mean anyway
    after_norm = place(lab.model, with_config(made, centred=True, subtracts_b_dec=False, **hooks))
    assert not after_norm.sae.centred
    assert "has no mean over d_model" in after_norm.remarks[0]


def test_centring_is_ignored_where_norms_are_rms() -> None:
    lab = tiny_lab("llama")
    placed = place(lab.model, with_config(made_sae(lab), centred=True))
    assert not placed.sae.centred and any("RMS" in remark for remark in placed.remarks)


def test_a_scale_that_is_missing_or_folded_in_part_is_named() -> None:
    """Of a JumpReLU that is right at one scale only: smaller numbers don't fire, larger ones fire a copy as well."""
    lab = loud_lab("llama")
    good = made_sae(lab, n=32)
    scale = fitted(good, lab).scale
    along = ((sample(lab, STREAM) - good.b_dec) @ good.W_enc[:, :64]).abs()
    threshold = torch.full_like(good.tensors["b_enc"], 0.2 * scale * float(along.median()))
    tensors = {**good.tensors, "threshold": threshold, "b_dec": scale * good.b_dec}
    for name, axis in (("W_enc", 1), ("W_dec", 0), ("b_enc", 0)):
        copies = good.tensors[name].narrow(axis, 0, 64)
        tensors[name] = torch.cat([good.tensors[name].narrow(axis, 0, 400), copies], axis).contiguous()
    threshold[400:] = 1.2 * scale * float(along.max())
    # Trained on scale · x: b_dec is the scaled mean, thresholds are of scaled numbers.
    trained = make_sae(msgspec.structs.replace(good.config, kind="jumprelu"), tensors)
    assert any(f"--scale {number(scale)}" in flag for flag in fitted(trained, lab).flags)
    folded = with_tensors(trained, W_enc=scale, W_dec=1 / scale, b_dec=1 / scale)
    assert fitted(folded, lab).flags == []
    without_b_dec = with_tensors(trained, W_enc=scale, W_dec=1 / scale)
    assert any("not into b_dec" in flag for flag in fitted(without_b_dec, lab).flags)
    encoder_alone = with_tensors(trained, W_enc=scale)
    assert any("folded into W_enc alone" in flag for flag in fitted(encoder_alone, lab).flags)


def test_a_topk_read_as_relu_is_flagged() -> None:
    """Its features fire on half of all tokens, and only the largest were meant."""
    lab = tiny_lab("llama")
    generator = torch.Generator().manual_seed(0)
    sae = made_sae(lab)
    tensors = dict(sae.tensors)
    directions = torch.nn.functional.normalize(torch.randn(448, 32, generator=generator), dim=-1)
    tensors |= {"W_enc": directions.T.contiguous(), "W_dec": directions, "b_enc": torch.zeros(448)}
    flags = fitted(type(sae)(sae.config, tensors), lab).flags
    assert any("top-k" in flag for flag in flags)


def test_value_biases_are_taken_off_and_named() -> None:
    lab = tiny_lab("gpt2")
    site = Site(1, "z")
    biases = value_biases(lab.model, 1)
    assert biases is not None
    raw = lab.model.bridge.blocks[1].attn.original_component.c_attn.bias.detach()[64:]
    assert torch.allclose(biases, raw)
    sae = made_sae(lab, site, n=30)
    folded = with_tensors(sae)
    folded.tensors["b_dec"] = sae.b_dec - biases
    folded = type(sae)(msgspec.structs.replace(sae.config, folded_value_biases=True), folded.tensors)
    assert fitted(folded, lab).flags == []
    x = sample(lab, site)[:64]
    assert torch.allclose(place(lab.model, folded).sae(x), sae(x), atol=1e-4)
    heads = x.view(len(x), 4, 8)
    assert torch.equal(place(lab.model, folded).sae(heads).flatten(1), place(lab.model, folded).sae(x))


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"hook": "blocks.7.hook_resid_post"}, "is for layer 7, and llama has layers 0 to 2"),
        ({"hook": "blocks.1.hook_nowhere"}, "reads 'blocks.1.hook_nowhere'"),
        ({"hook": ""}, "reads 'nothing that its folder names'"),
        ({"hook": "blocks.1.mlp.hook_post"}, "reads 32 numbers, and L1.mlp_post of llama has 64"),
    ],
)
def test_what_can_not_be_this_models_is_refused(config: dict[str, str], sentence: str) -> None:
    lab = tiny_lab("llama")
    with pytest.raises(UserError) as caught:
        place(lab.model, made_sae(lab, **config))
    assert sentence in str(caught.value)


def test_another_name_is_said() -> None:
    lab = tiny_lab("llama")
    remarks = place(lab.model, made_sae(lab, model="gpt2-small")).remarks
    assert any("trained on gpt2-small" in remark for remark in remarks)
    assert place(lab.model, made_sae(lab, model="org/Llama")).remarks == []


@pytest.mark.parametrize(("hook", "arch"), [("mlp.hook_in", "llama"), ("ln2.hook_normalized", "gpt2")])
def test_a_transcoder_reads_the_mlps_input(hook: str, arch: str) -> None:
    """A linear MLP of its own: exact for what the norm leaves, held against the norm's module."""
    lab = tiny_lab(arch)
    sae = made_sae(lab, hook=f"blocks.1.{hook}", hook_out="blocks.1.hook_mlp_out", subtracts_b_dec=False)
    placed = place(lab.model, sae)
    x = sample(lab, Site(1, "mlp_in"))
    norm = lab.model.bridge.blocks[1].ln2.original_component
    with torch.no_grad():
        expected = norm(sample(lab, Site(1, "resid_mid")))
    assert torch.allclose(x, expected, atol=1e-4)
    if hook.startswith("ln2"):
        expected = (expected - norm.bias) / norm.weight
    assert torch.allclose(placed.sae.prepared(x), expected, atol=1e-4)
    assert str(placed.site_out) == "L1.mlp_out"


def test_explained_variance_is_over_tokens_together() -> None:
    generator = torch.Generator().manual_seed(1)
    x, s = torch.randn(50, 7, generator=generator) + 3, torch.randn(50, 7, generator=generator) + 3
    wide, approximate = x.double().numpy(), s.double().numpy()
    expected = 1 - ((wide - approximate) ** 2).sum() / ((wide - wide.mean(0)) ** 2).sum()
    assert explained_variance(x, s) == pytest.approx(expected)
    assert np.isnan(explained_variance(torch.ones(4, 2), torch.zeros(4, 2)))
