"""Folders that hold no good SAE: a sentence each, and never a traceback."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from tests.lab.sae.recorded import configs, save, weights
from workbench.errors import UserError
from workbench.lab.sae import read_sae
from workbench.lab.sae.hub import find_folder
from workbench.lab.sae.reading import Given


def config_of(case: str, **changed: Any) -> dict[str, Any]:
    config = {**configs()[case], **changed}
    return {name: value for name, value in config.items() if value is not None}


def nan(tensor: torch.Tensor, value: float = float("nan")) -> torch.Tensor:
    copy = tensor.clone()
    copy.view(-1)[3] = value
    return copy


W = weights("standard-none")
BAD_WEIGHTS = {
    "without a bias": ({"b_enc": None}, "without b_enc: it holds W_dec, W_enc, b_dec"),
    "without an encoder": ({"W_enc": None}, "has no W_enc: it holds"),
    "NaN": ({"W_dec": nan(W["W_dec"])}, "W_dec has numbers that are NaN or infinite"),
    "overflow": ({"b_dec": nan(W["b_dec"], 1e6).half()}, "float16 ends at 65,504"),
    "transposed": ({"W_enc": W["W_enc"].T}, "one of them is transposed"),
    "a bias of another width": ({"b_enc": W["b_enc"][:-1]}, "b_enc has shape [29], and [30] is needed"),
    "whole numbers": ({"b_enc": torch.ones(30, dtype=torch.int32)}, "b_enc holds int32"),
    "a vector": ({"W_enc": W["b_enc"]}, "W_enc has shape [30], a matrix is needed"),
    "factors that nothing asks for": ({"scaling_factor": torch.full((30,), 2.0)}, "finetuning_scaling_factor false"),
}
BAD_CONFIGS = {
    "another width": ({"d_in": 768}, "cfg.json says d_in 768, and the weights have 12"),
    "another kind": ({"architecture": "temporal"}, "what can be read is standard, gated"),
    "a top-k without k": ({"architecture": "topk"}, "says k = None: a whole number from 1 to 30 is needed"),
    "a JumpReLU without thresholds": ({"architecture": "jumprelu"}, "a jumprelu SAE without threshold"),
    "whitening": ({"normalize_activations": "covariance_whitening"}, "normalises activations by 'covariance_whiten"),
    "another activation": ({"activation_fn": "tanh-relu"}, "uses the activation function 'tanh-relu'"),
    "one head": ({"hook_head_index": 3}, "reads head 3"),
    "a transcoder that takes b_dec off": ({"architecture": "transcoder"}, "a transcoder with apply_b_dec_to_input"),
    "a scale of nothing": (
        {"normalize_activations": "constant_scalar_rescale", "activation_normalization_factor": 0},
        "can't be scaled by 0",
    ),
}


@pytest.mark.parametrize("name", BAD_WEIGHTS)
def test_weights_that_are_no_good(name: str, tmp_path: Path) -> None:
    changed, sentence = BAD_WEIGHTS[name]
    with pytest.raises(UserError) as caught:
        read_sae(save(tmp_path / "sae", **changed))
    assert sentence in str(caught.value) and str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("name", BAD_CONFIGS)
def test_configurations_that_are_not_computed(name: str, tmp_path: Path) -> None:
    changed, sentence = BAD_CONFIGS[name]
    with pytest.raises(UserError) as caught:
        read_sae(save(tmp_path / "sae", config=config_of("standard-none", **changed)))
    assert sentence in str(caught.value)


def test_folders_without_an_sae(tmp_path: Path) -> None:
    def sentence(folder: Path) -> str:
        with pytest.raises(UserError) as caught:
            read_sae(folder)
        return str(caught.value)

    assert "is no folder" in sentence(tmp_path / "none")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "and there is nothing" in sentence(empty)
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "ae.pt").write_bytes(pickle.dumps({"W_enc": 1}))
    assert "pickle only (ae.pt)" in sentence(pickled)
    release = tmp_path / "release"
    for layer in range(6):
        save(release / f"blocks.{layer}.hook_resid_pre")
    assert "holds several SAEs" in sentence(release) and "2 more" in sentence(release)
    bare = save(tmp_path / "bare")
    (bare / "cfg.json").unlink()
    assert "no cfg.json" in sentence(bare)
    (bare / "cfg.json").write_text("{")
    assert "cfg.json is not JSON" in sentence(bare)
    (bare / "cfg.json").write_text("[1]")
    assert "no object of settings" in sentence(bare)
    (bare / "cfg.json").write_text("{}")
    (bare / "sae_weights.safetensors").write_bytes(b"not safetensors")
    assert "can't be read as safetensors" in sentence(bare)


def test_gemma_scope_arrays_that_say_too_little(tmp_path: Path) -> None:
    arrays = {name.replace("W_", "w_"): tensor.numpy() for name, tensor in weights("jumprelu-none").items()}
    np.savez(tmp_path / "params.npz", **arrays)
    with pytest.raises(UserError, match="does not say where it reads"):
        read_sae(tmp_path)
    assert read_sae(tmp_path, Given(site="L2.mlp_out")).sae.config.site == "L2.mlp_out"
    with pytest.raises(UserError, match="is no site"):
        read_sae(tmp_path, Given(site="L2.nowhere"))
    np.savez(tmp_path / "params.npz", w_enc=np.array([{}], dtype=object))
    with pytest.raises(UserError, match="can't be read as arrays"):
        read_sae(tmp_path, Given(site="L2.mlp_out"))
    (tmp_path / "params.npz").write_bytes(b"PK\3\4 no archive")
    with pytest.raises(UserError, match="can't be read as arrays"):
        read_sae(tmp_path, Given(site="L2.mlp_out"))


def test_gemma_scope_2_folders_that_say_too_little(tmp_path: Path) -> None:
    names = {name.replace("W_", "w_"): tensor.contiguous() for name, tensor in weights("jumprelu-none").items()}
    save_file(names, tmp_path / "params.safetensors")
    with pytest.raises(UserError, match=r"params.safetensors and no config.json, which says where it reads"):
        read_sae(tmp_path)

    def sentence(**config: Any) -> str:
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(UserError) as caught:
            read_sae(tmp_path)
        return str(caught.value)

    assert "is a 'topk' in config.json: of Gemma Scope 2, jump_relu is read" in sentence(architecture="topk")
    assert "config.json has no hf_hook_point_in" in sentence(architecture="jump_relu")
    nowhere = sentence(architecture="jump_relu", hf_hook_point_in="model.norm")
    assert "says hf_hook_point_in 'model.norm', and a place like model.layers.12.output is needed" in nowhere
    assert read_sae(tmp_path, Given(site="L2.mlp_out")).sae.config.site == "L2.mlp_out"


@pytest.mark.parametrize(
    "ref",
    ["gpt2-small-res-jb/blocks.6.hook_resid_pre", "gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71"],
)
def test_saelens_names_of_releases_are_said_to_be_no_places(ref: str) -> None:
    with pytest.raises(UserError) as caught:
        find_folder(ref)
    assert str(caught.value).startswith(f"'{ref[:39]}…' is SAELens' name of an SAE")
    assert "give ORG/NAME/PATH of the hub" in str(caught.value)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 99)
    | st.floats()
    | st.sampled_from(["topk", "none", "relu", "\x1b[2J"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["k", "hook_name"]), inner, max_size=2),
    max_leaves=4,
)
KEYS = sorted({name for config in configs().values() for name in config} | {"activation_fn", "workbench_kind", "k"})


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(case=st.sampled_from(sorted(configs())), changed=st.dictionaries(st.sampled_from(KEYS), JSON, max_size=3))
def test_any_configuration_is_read_or_refused_with_a_sentence(tmp_path: Path, case: str, changed: dict) -> None:
    config = json.loads(json.dumps({**configs()[case], **changed}))
    try:
        sae = read_sae(save(tmp_path / "sae", case, config)).sae
    except UserError as error:
        assert str(error)
        return
    x = torch.randn(3, sae.config.d_in)
    assert (sae.encode(x) >= 0).all()
