"""Encoding and decoding agree with SAELens on random SAEs of every kind, normalisation and generation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.lab.sae.recorded import SCALE, configs, save, tensors, weights
from workbench.lab.sae import read_sae, write_sae
from workbench.lab.sae.reading import Given

RELATIVE = 1e-5


def close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """To 1e-5 of the largest number of each row."""
    assert ours.shape == theirs.shape
    scale = theirs.flatten(1).abs().amax(1).clamp(min=1e-3)
    assert ((ours - theirs).flatten(1).abs().amax(1) / scale).max() < RELATIVE


@pytest.mark.parametrize("case", sorted(configs()))
def test_a_case_agrees(case: str, tmp_path: Path) -> None:
    given = Given(scale=SCALE) if case.endswith("-scaled") else Given()
    recorded = tensors(case)
    sae = read_sae(save(tmp_path / case, case), given).sae
    activations = sae.encode(recorded["=x"])
    assert torch.equal(activations > 0, recorded["=activations"] > 0)
    close(activations, recorded["=activations"])
    close(sae.decode(activations, recorded["=x"]), recorded["=out"])


@pytest.mark.parametrize("case", sorted(configs()))
def test_what_is_written_reads_back_and_does_the_same(case: str, tmp_path: Path) -> None:
    given = Given(scale=SCALE) if case.endswith("-scaled") else Given()
    x = tensors(case)["=x"]
    first = read_sae(save(tmp_path / case, case), given).sae
    (tmp_path / "again").mkdir()
    write_sae(first, tmp_path / "again", source="a test")
    again = read_sae(tmp_path / "again").sae
    assert {name: tensor.tolist() for name, tensor in again.tensors.items()} == {
        name: tensor.tolist() for name, tensor in first.tensors.items()
    }
    assert torch.equal(again(x), first(x))
    kept = ("kind", "d_in", "d_sae", "d_out", "normalisation", "unscaled", "subtracts_b_dec", "hook", "hook_out")
    assert [getattr(again.config, name) for name in kept] == [getattr(first.config, name) for name in kept]


def test_gemma_scopes_arrays_are_a_jumprelu(tmp_path: Path) -> None:
    """Named w_enc and w_dec, b_dec never taken off, place and model in the path."""
    case = "jumprelu-b_dec-stays"
    folder = tmp_path / "gemma-scope-2b-pt-res" / "layer_1" / "width_16k" / "average_l0_71"
    folder.mkdir(parents=True)
    arrays = {name.replace("W_", "w_"): tensor.numpy() for name, tensor in weights(case).items()}
    np.savez(folder / "params.npz", **arrays)
    loaded = read_sae(folder)
    recorded = tensors(case)
    close(loaded.sae(recorded["=x"]), recorded["=out"])
    config = loaded.sae.config
    assert (config.site, config.model, config.kind) == ("L1.resid_post", "gemma-2-2b", "jumprelu")


@pytest.mark.parametrize(
    ("case", "point", "point_out", "sites"),
    [
        ("jumprelu-b_dec-stays", "model.layers.1.output", None, ("L1.resid_post", "L1.resid_post")),
        ("jumprelu-b_dec-stays", "model.layers.2.self_attn.o_proj.input", None, ("L2.z", "L2.z")),
        (
            "jumprelu_skip_transcoder-none",
            "model.layers.1.pre_feedforward_layernorm.output",
            "model.layers.1.post_feedforward_layernorm.output",
            ("L1.mlp_in", "L1.mlp_out"),
        ),
    ],
)
def test_gemma_scope_2s_files_are_read(
    case: str, point: str, point_out: str | None, sites: tuple[str, str], tmp_path: Path
) -> None:
    """w_enc and w_dec, a skip from input to output, and modules of the model for places."""
    recorded = tensors(case)
    renamed = {name.replace("W_", "w_"): tensor.contiguous() for name, tensor in weights(case).items()}
    if "w_skip" in renamed:
        renamed["affine_skip_connection"] = renamed.pop("w_skip").T.contiguous()
    save_file(renamed, tmp_path / "params.safetensors")
    raw = {"architecture": "jump_relu", "model_name": "gemma-v3-1b-pt", "hf_hook_point_in": point}
    if point_out:
        raw |= {"hf_hook_point_out": point_out, "affine_connection": True}
    (tmp_path / "config.json").write_text(json.dumps(raw))
    sae = read_sae(tmp_path).sae
    activations = sae.encode(recorded["=x"])
    assert torch.equal(activations > 0, recorded["=activations"] > 0)
    close(sae.decode(activations, recorded["=x"]), recorded["=out"])
    config = sae.config
    assert (config.site, config.site_out, config.model) == (*sites, "gemma-3-1b-pt")
    (tmp_path / "again").mkdir()
    write_sae(sae, tmp_path / "again")
    close(read_sae(tmp_path / "again").sae(recorded["=x"]), recorded["=out"])


def test_a_factor_of_finetuning_is_a_decoder_of_other_lengths(tmp_path: Path) -> None:
    """SAELens until 5 multiplied activations with it on the way back, held against NumPy."""
    recorded = tensors("standard-none")
    factor = torch.linspace(0.5, 2, len(recorded["W_dec"]))
    config = {**configs()["version-2"], "finetuning_scaling_factor": True}
    sae = read_sae(save(tmp_path / "tuned", config=config, scaling_factor=factor)).sae
    out = (recorded["=activations"].numpy() * factor.numpy()) @ recorded["W_dec"].numpy() + recorded["b_dec"].numpy()
    close(sae(recorded["=x"]), torch.from_numpy(out))
    close(sae.encode(recorded["=x"]), recorded["=activations"])


def test_other_number_types_and_shapes(tmp_path: Path) -> None:
    recorded = tensors("gated-layer_norm")
    sae = read_sae(save(tmp_path / "gated", "gated-layer_norm")).sae
    x = recorded["=x"]
    half = sae.to("cpu", torch.bfloat16)
    assert half(x).dtype == torch.bfloat16
    assert torch.nn.functional.cosine_similarity(half(x).float(), sae(x)).min() > 0.99
    stacked = x.view(2, 3, -1)
    assert sae.encode(stacked).shape == (2, 3, sae.config.d_sae)
    close(sae(stacked).view(len(x), -1), recorded["=out"])


def test_the_mean_and_the_biases_that_training_did_not_see_are_taken_off_and_put_back(tmp_path: Path) -> None:
    recorded = tensors("standard-none")
    x = recorded["=x"]
    plain = read_sae(save(tmp_path / "sae")).sae
    plain.centred, plain.offset = True, torch.linspace(-1, 1, x.shape[-1])
    inner = x - plain.offset
    mean = inner.mean(-1, keepdim=True)
    weights_ = {name: tensor.numpy() for name, tensor in recorded.items()}
    sent_in = (inner - mean).numpy() - weights_["b_dec"]
    activations = np.maximum(sent_in @ weights_["W_enc"] + weights_["b_enc"], 0)
    out = activations @ weights_["W_dec"] + weights_["b_dec"] + mean.numpy() + plain.offset.numpy()
    close(plain(x), torch.from_numpy(out))
