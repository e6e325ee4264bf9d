"""Effective weights and what follows from them, against definitions worked out apart, on nine architectures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.lab.test_indexing import open_model
from tests.tiny import ARCHITECTURES, OTHER_NORMS
from workbench.errors import UserError
from workbench.index.families import NAMES
from workbench.index.reader import NeuronIndex
from workbench.index.store import verify
from workbench.lab import effective
from workbench.lab.effective import EffectiveWeights
from workbench.lab.indexing.weights import largest
from workbench.lab.indexing.weights_index import weights_folder
from workbench.lab.model import Lab
from workbench.units import Site


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def from_checkpoint(path: Path, arch: str, layer: int) -> dict[str, np.ndarray]:
    """A layer's effective weights from the safetensors file, by METHODS, "Effective weights"; all rows are neurons."""
    file = {name: tensor.double().numpy() for name, tensor in load_file(path / "model.safetensors").items()}

    def get(*names: str) -> np.ndarray:
        return next(file[name] for name in names if name in file)

    if arch in ("llama", "qwen2", "gemma2"):
        at = f"model.layers.{layer}."
        one = 1.0 if arch == "gemma2" else 0.0
        norm = "pre_feedforward_layernorm" if arch == "gemma2" else "post_attention_layernorm"
        gamma = one + file[f"{at}{norm}.weight"]
        found = {
            "w_in": file[at + "mlp.up_proj.weight"] * gamma,
            "w_gate": file[at + "mlp.gate_proj.weight"] * gamma,
            "w_out": file[at + "mlp.down_proj.weight"].T.copy(),
            "bias": np.zeros(len(file[at + "mlp.up_proj.weight"])),
        }
        if arch == "gemma2":
            found["w_out"] *= 1 + file[at + "post_feedforward_layernorm.weight"]
        unembed = get("lm_head.weight", "model.embed_tokens.weight") * (one + file["model.norm.weight"])
    elif arch in OTHER_NORMS:
        at = f"model.layers.{layer}."
        found = {
            "w_in": file[at + "mlp.up_proj.weight"],
            "w_gate": file[at + "mlp.gate_proj.weight"],
            "w_out": file[at + "mlp.down_proj.weight"].T.copy(),
            "bias": np.zeros(len(file[at + "mlp.up_proj.weight"])),
        }
        if arch != "olmo":
            found["w_out"] *= file[at + "post_feedforward_layernorm.weight"]
        unembed = get("lm_head.weight", "model.embed_tokens.weight") * file.get("model.norm.weight", 1.0)
    elif arch == "gpt2":
        at = f"transformer.h.{layer}."
        w_in = file[at + "mlp.c_fc.weight"].T
        found = {
            "w_in": w_in * file[at + "ln_2.weight"],
            "bias": file[at + "mlp.c_fc.bias"] + w_in @ file[at + "ln_2.bias"],
            "w_out": file[at + "mlp.c_proj.weight"],
        }
        unembed = get("lm_head.weight", "transformer.wte.weight") * file["transformer.ln_f.weight"]
    else:
        at = f"gpt_neox.layers.{layer}."
        w_in = file[at + "mlp.dense_h_to_4h.weight"]
        found = {
            "w_in": w_in * file[at + "post_attention_layernorm.weight"],
            "bias": file[at + "mlp.dense_h_to_4h.bias"] + w_in @ file[at + "post_attention_layernorm.bias"],
            "w_out": file[at + "mlp.dense_4h_to_h.weight"].T,
        }
        unembed = get("embed_out.weight", "lm_head.weight") * file["gpt_neox.final_layer_norm.weight"]
    if arch in ("gpt2", "gpt_neox", "olmo"):
        for name in {"w_in", "w_gate", "w_out"} & set(found):
            found[name] = found[name] - found[name].mean(axis=1, keepdims=True)
    found["unembed"] = unembed - unembed.mean(axis=0)
    return found


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))


@pytest.mark.parametrize("arch", [*ARCHITECTURES, *OTHER_NORMS])
def test_columns_follow_the_definitions(arch: str, folder: Path) -> None:
    model = open_model(folder, arch)
    index = NeuronIndex.open(weights_folder(model))
    assert verify(index.folder) == []
    m = model.info.d_mlp
    for layer in range(model.info.n_layers):
        wanted = from_checkpoint(folder / arch, arch, layer)
        part = slice(layer * m, layer * m + m)
        column = {name: np.array(found.values[part]) for name, found in index.columns.items()}
        for name in ("w_in", "w_gate", "w_out"):
            if name in wanted:
                np.testing.assert_allclose(column[name], np.linalg.norm(wanted[name], axis=1), rtol=1e-5)
        np.testing.assert_allclose(column["bias"], wanted["bias"], atol=1e-5)
        np.testing.assert_allclose(column["cos"], cosine(wanted["w_in"], wanted["w_out"]), atol=1e-5)
        U, w = wanted["unembed"], wanted["w_out"]
        cosines = (w @ U.T) / np.linalg.norm(U, axis=1) / np.linalg.norm(w, axis=1)[:, None]
        centred = cosines - cosines.mean(axis=1, keepdims=True)
        variance = centred.var(axis=1)
        np.testing.assert_allclose(column["vocab_var"], variance, rtol=1e-4)
        np.testing.assert_allclose(column["vocab_skew"], (centred**3).mean(1) / variance**1.5, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(column["vocab_kurtosis"], (centred**4).mean(1) / variance**2, rtol=1e-3)
        _, _, right = np.linalg.svd(U, full_matrices=False)
        rho = np.linalg.norm(w @ right[-8:].T, axis=1) / np.linalg.norm(w, axis=1)
        np.testing.assert_allclose(column["rho"], rho, rtol=1e-3)
        effects = w @ U.T
        for neuron in range(0, m, 13):
            order = np.argsort(-effects[neuron])
            promoted = index.promoted(layer * m + neuron)
            assert [token for token, _ in promoted] == order[:10].tolist()
            np.testing.assert_allclose([value for _, value in promoted], effects[neuron][order[:10]], rtol=1e-4)
            suppressed = index.suppressed(layer * m + neuron)
            assert [token for token, _ in suppressed] == order[::-1][:10].tolist()
    assert index.file.facts["rho_chance"] == pytest.approx(np.sqrt(8 / 32))


@pytest.mark.parametrize("arch", ["llama", "gpt_neox"])
def test_neighbours_are_the_nearest_of_all(arch: str, folder: Path) -> None:
    model = open_model(folder, arch)
    index = NeuronIndex.open(weights_folder(model))
    for name in ("w_in", "w_out"):
        vectors = np.concatenate(
            [from_checkpoint(folder / arch, arch, layer)[name] for layer in range(model.info.n_layers)]
        )
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        all_pairs = unit @ unit.T
        np.fill_diagonal(all_pairs, -np.inf)
        for neuron in range(0, len(unit), 17):
            card = index.card(*divmod(neuron, model.info.d_mlp))
            found = card.neighbours_in if name == "w_in" else card.neighbours_out
            order = np.argsort(-all_pairs[neuron])[:5]
            assert [unit_name for unit_name, _ in found] == [index.unit(other) for other in order]
            np.testing.assert_allclose([value for _, value in found], all_pairs[neuron][order], atol=1e-5)


def test_the_effective_unembedding_and_tokens_are_the_models(folder: Path) -> None:
    model = open_model(folder, "gemma2")
    weights = EffectiveWeights(model)
    np.testing.assert_allclose(
        weights.unembedding().numpy(), from_checkpoint(folder / "gemma2", "gemma2", 0)["unembed"], atol=1e-5
    )
    index = NeuronIndex.open(weights_folder(model))
    assert len(index.tokens) == model.info.d_vocab
    assert index.token_ids(" Paris") == [model.tokens.answer(" Paris").id]
    assert weights.layer(1).w_gate is not None


def test_largest_is_topk() -> None:
    generator = torch.Generator().manual_seed(0)
    for width in (5, 64, 777, 5000):
        values = torch.randn(9, width, generator=generator)
        found, places = largest(values, 5)
        wanted = values.topk(5, dim=1)
        assert torch.equal(found, wanted.values)
        assert torch.equal(values.gather(1, places), wanted.values)


def test_families_follow_their_rules(folder: Path) -> None:
    index = NeuronIndex.open(weights_folder(open_model(folder, "llama")))
    kurtosis, skew = (np.array(index.columns[f"vocab_{name}"].values) for name in ("kurtosis", "skew"))
    codes = np.array(index.columns["family"].values)
    assert set(codes[(kurtosis > 10) & (skew > 0)].tolist()) <= {NAMES.index("prediction")}
    assert set(codes[(kurtosis > 10) & (skew < 0)].tolist()) <= {NAMES.index("suppression")}
    variance = np.array(index.columns["vocab_var"].values)
    for neuron in np.flatnonzero(codes == NAMES.index("partition")):
        assert variance[neuron] > 0.005
        assert kurtosis[neuron] <= 10


@pytest.mark.parametrize("arch", [*ARCHITECTURES, *OTHER_NORMS])
def test_effective_weights_make_the_pre_activation(arch: str, folder: Path) -> None:
    """w · x + bias at the norm's own scale is what the model's activation function is given."""
    lab = Lab(open_model(folder, arch))
    parallel = lab.info.parallel_blocks
    stream_name = "resid_pre" if parallel else "resid_mid"
    prompt = lab.prompt("The river is wide and the water is cold.")
    forward = lab.forward(prompt, sites=[Site(1, stream_name), Site(1, "mlp_pre")])
    stream, pre = (forward.site(Site(1, name))[0].astype(np.float64) for name in (stream_name, "mlp_pre"))
    weights = EffectiveWeights(lab.model).layer(1)
    first = (weights.w_in if weights.w_gate is None else weights.w_gate).double().numpy()
    for x, expected in zip(stream, pre, strict=True):
        made = first @ x
        expected = expected - weights.bias.double().numpy()
        scale = (expected @ made) / (made @ made)  # of the norm at this position
        np.testing.assert_allclose(scale * made, expected, atol=1e-4)
        if arch in OTHER_NORMS[1:]:
            assert scale == pytest.approx(1)  # these read the stream as it is


@pytest.mark.parametrize(
    ("n_columns", "reason"),
    [
        (128, "layer 0 of gpt2 .* keeps gate and linear part in one matrix of 128 rows"),
        (64, "the MLP of layer 0 of gpt2 .* reads is neither the stream nor a norm of it"),
    ],
)
def test_weights_that_are_not_understood_are_refused(
    n_columns: int, reason: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = open_model(folder, "gpt2")
    monkeypatch.setattr(effective, "_first", lambda mlp, gated: (torch.ones(model.info.d_model, n_columns), None))
    with pytest.raises(UserError, match=reason):
        EffectiveWeights(model)
