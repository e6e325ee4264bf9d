"""Directions that a model has by itself, against NumPy on the tensors of its checkpoint."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from tests.lab.labs import PROMPT, plain, tiny_folder, tiny_lab
from workbench.errors import UserError
from workbench.lab.directions.weights import JobWeights

SHAPES = ("llama", "gpt2", "gemma2", "gpt_neox")
LAYER, NEURON, HEAD = 2, 5, 3


def direction(arch: str, name: str) -> np.ndarray:
    return JobWeights(tiny_lab(arch).model, {}).direction(name)


def tensors(arch: str) -> dict[str, np.ndarray]:
    """Of the layer, by what stands behind its prefix, float64."""
    file = load_file(tiny_folder(arch) / "model.safetensors")
    prefix = {"gpt2": f"transformer.h.{LAYER}.", "gpt_neox": f"gpt_neox.layers.{LAYER}."}.get(
        arch, f"model.layers.{LAYER}."
    )
    return {
        name.removeprefix(prefix): tensor.astype(np.float64) for name, tensor in file.items() if name.startswith(prefix)
    }


def centred(rows: np.ndarray) -> np.ndarray:
    return rows - rows.mean(axis=-1, keepdims=True)


def neuron(arch: str, side: str, raw: bool) -> np.ndarray:
    """As METHODS, "Effective weights" has it, from the file."""
    stored = tensors(arch)
    if arch == "gpt2":
        if side == "out":
            return stored["mlp.c_proj.weight"][NEURON]
        row = stored["mlp.c_fc.weight"][:, NEURON]
        return row if raw else centred(row * stored["ln_2.weight"])
    if arch == "gpt_neox":
        if side == "out":
            return stored["mlp.dense_4h_to_h.weight"][:, NEURON]
        row = stored["mlp.dense_h_to_4h.weight"][NEURON]
        return row if raw else centred(row * stored["post_attention_layernorm.weight"])
    if side == "out":
        row = stored["mlp.down_proj.weight"][:, NEURON]
        return row * (1 + stored["post_feedforward_layernorm.weight"]) if arch == "gemma2" and not raw else row
    row = stored[f"mlp.{'up' if side == 'in' else 'gate'}_proj.weight"][NEURON]
    if raw:
        return row
    gain = (
        1 + stored["pre_feedforward_layernorm.weight"]
        if arch == "gemma2"
        else stored["post_attention_layernorm.weight"]
    )
    return row * gain


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("side", ["in", "gate", "out"])
@pytest.mark.parametrize("arch", SHAPES)
def test_a_neurons_weights_are_effective_ones_or_as_stored(arch: str, side: str, raw: bool) -> None:
    name = f"L{LAYER}.N{NEURON}.{side}{'.raw' * raw}"
    if side == "gate" and arch in ("gpt2", "gpt_neox"):
        with pytest.raises(UserError, match=f"has no gates: its neurons have @L{LAYER}.N{NEURON}.in"):
            direction(arch, name)
        return
    np.testing.assert_allclose(direction(arch, name), neuron(arch, side, raw), atol=2e-6)


@pytest.mark.parametrize("arch", SHAPES)
def test_the_effective_input_weights_make_the_pre_activation(arch: str) -> None:
    """w ⊙ γ on the stream over the norm's scale, and the bias, is what the activation function gets."""
    lab = tiny_lab(arch)
    side = "gate" if lab.info.gated_mlp else "in"
    ids = torch.from_numpy(lab.prompt(PROMPT).ids)[None]
    block = plain(arch).layers[LAYER]
    norm = next(
        getattr(block, name)
        for name in ("pre_feedforward_layernorm", "post_attention_layernorm", "ln_2")
        if hasattr(block, name)
    )
    kept: dict[str, torch.Tensor] = {}
    handles = [
        norm.register_forward_pre_hook(lambda module, args: kept.__setitem__("stream", args[0][0].double())),
        first(arch, block).register_forward_hook(lambda module, args, out: kept.__setitem__("pre", out[0].double())),
    ]
    plain(arch).logits(ids)
    for handle in handles:
        handle.remove()
    stream, pre = kept["stream"], kept["pre"][:, NEURON].numpy()
    shaped = stream - stream.mean(-1, keepdim=True) if arch in ("gpt2", "gpt_neox") else stream
    scale = shaped.square().mean(-1).sqrt().numpy()
    without_bias = direction(arch, f"L{LAYER}.N{NEURON}.{side}") @ stream.numpy().T / scale
    assert np.std(pre - without_bias) < 1e-3 * np.std(pre), "they differ by more than the bias"


def first(arch: str, block: torch.nn.Module) -> torch.nn.Module:
    names = {"gpt2": "c_fc", "gpt_neox": "dense_h_to_4h"}
    return getattr(block.mlp, names.get(arch, "gate_proj"))


def head_map(arch: str) -> np.ndarray:
    """W_V W_O of the head with the norm's gain before it and what stands behind it, [d_model, d_model]."""
    stored, d_head = tensors(arch), 8
    rows = slice(HEAD * d_head, (HEAD + 1) * d_head)
    if arch == "gpt2":
        values = stored["attn.c_attn.weight"][:, 2 * 32 :][:, rows]  # Conv1D: q, k, v side by side
        gain, writes = stored["ln_1.weight"], stored["attn.c_proj.weight"][rows]
        return centred((values * gain[:, None]).T).T @ writes
    if arch == "gpt_neox":
        per_head = stored["attention.query_key_value.weight"].reshape(4, 3, d_head, 32)  # q, k, v of each head
        values = per_head[HEAD, 2]
        reads = centred(values * stored["input_layernorm.weight"])
        return reads.T @ stored["attention.dense.weight"][:, rows].T
    group = HEAD // 2  # two query heads share a key-value head
    values = stored["self_attn.v_proj.weight"][group * d_head : (group + 1) * d_head]
    one = 1.0 if arch == "gemma2" else 0.0
    reads = values * (one + stored["input_layernorm.weight"])
    writes = stored["self_attn.o_proj.weight"][:, rows].T
    if arch == "gemma2":
        writes = writes * (1 + stored["post_attention_layernorm.weight"])
    return reads.T @ writes


@pytest.mark.parametrize("arch", SHAPES)
def test_what_a_head_writes_most_is_a_singular_vector(arch: str) -> None:
    _, _, vectors = np.linalg.svd(head_map(arch))
    for k in (1, 2, 8):
        vector = direction(arch, f"L{LAYER}.H{HEAD}.ov{k}")
        assert abs(np.linalg.norm(vector) - 1) < 1e-6
        assert vector[np.abs(vector).argmax()] > 0
        assert abs(vector @ vectors[k - 1]) > 1 - 1e-5
    if arch in ("llama", "gemma2"):
        assert abs(direction(arch, f"L{LAYER}.H2.ov1") @ vectors[0]) < 0.99, "another head has the same"


def test_what_there_is_not_is_a_sentence() -> None:
    with pytest.raises(UserError, match=r"no @L2\.H3\.ov9: a head of llama writes along 8, ov1 to ov8"):
        direction("llama", "L2.H3.ov9")
    with pytest.raises(UserError, match=r"no @L2\.H3\.ov0"):
        direction("llama", "L2.H3.ov0")
    with pytest.raises(UserError, match="no head 7: llama has 4 heads"):
        direction("llama", "L2.H7.ov1")
    with pytest.raises(UserError, match="no neuron 99"):
        direction("llama", "L2.N99.in.raw")


def test_a_head_of_lower_rank_has_no_more_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_lab("llama").model
    weight = model.head_output(LAYER, HEAD).clone()
    weight[2:] = 0
    monkeypatch.setattr(type(model), "head_output", lambda self, layer, head: weight)
    assert direction("llama", "L2.H3.ov2").any()
    with pytest.raises(UserError, match="the rank of W_V W_O of this head is 2"):
        direction("llama", "L2.H3.ov3")


def test_heads_whose_values_are_not_understood_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from workbench.lab.directions import heads

    model = replace(tiny_lab("llama").model, value_maps={})
    monkeypatch.setattr(heads, "TOLERANCE", -1)
    with pytest.raises(UserError, match="layer 2 of llama .* their singular vectors are not known"):
        JobWeights(model, {}).direction("L2.H3.ov1")


def test_names_say_where_they_come_from() -> None:
    weights = JobWeights(tiny_lab("llama").model, {})
    assert weights.origin("L2.H3.ov1").normalised
    assert (weights.origin("L2.N5.in").method, weights.origin("L2.N5.in").layer) == ("neuron", 2)
