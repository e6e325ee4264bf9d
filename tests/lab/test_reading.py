"""Units over a prompt."""

import numpy as np
import pytest
import torch

from tests.lab.labs import EVERY, PROMPT, plain, tiny_lab, with_directions
from workbench import paths
from workbench.edits import parse_edits
from workbench.errors import UserError
from workbench.lab.directions.weights import JobWeights
from workbench.lab.reading import read
from workbench.units import parse_units


def readings(lab, units, prompt=PROMPT, edits=""):
    found = read(lab, parse_units(units, lab.info), lab.prompt(prompt), parse_edits([edits], lab.info))
    return {(one.unit, one.part): one.values for one in found}


@pytest.mark.parametrize("arch", EVERY)
def test_neurons_and_their_parts(arch):
    lab = tiny_lab(arch)
    found = readings(lab, "L1.N3, L1.N9")
    wanted = plain(arch).read(torch.from_numpy(lab.prompt(PROMPT).ids)[None], 1, "mlp_post")[0]
    np.testing.assert_array_equal(found["L1.N3", "activation"], wanted[:, 3].numpy())
    np.testing.assert_array_equal(found["L1.N9", "activation"], wanted[:, 9].numpy())
    act = plain(arch).layers[1].mlp
    act = act.act_fn if hasattr(act, "act_fn") else act.act
    if lab.info.gated_mlp:
        gate, linear = (torch.from_numpy(found["L1.N3", part]) for part in ("gate", "linear"))
        torch.testing.assert_close(act(gate) * linear, wanted[:, 3], atol=1e-6, rtol=1e-5)
    else:
        torch.testing.assert_close(act(torch.from_numpy(found["L1.N3", "before"])), wanted[:, 3], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("arch", EVERY)
def test_what_heads_add_is_through_their_part_of_the_output_matrix(arch):
    """The norm of the difference that the head's z makes to the output projection."""
    lab = tiny_lab(arch)
    z = plain(arch).read(torch.from_numpy(lab.prompt(PROMPT).ids)[None], 1, "z")[0]
    module, _ = plain(arch)._place(1, "z")
    for head in range(lab.info.n_heads):
        without = z.clone()
        without.view(len(z), lab.info.n_heads, -1)[:, head] = 0
        with torch.no_grad():
            wanted = (module(z) - module(without)).norm(dim=-1)
        found = readings(lab, f"L1.H{head}")[f"L1.H{head}", "norm"]
        np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4)


def test_sites_are_their_norm():
    lab = tiny_lab("llama")
    wanted = plain("llama").read(torch.from_numpy(lab.prompt(PROMPT).ids)[None], 1, "resid_post")[0]
    np.testing.assert_allclose(
        readings(lab, "L1.resid_post")["L1.resid_post", "norm"], wanted.norm(dim=-1).numpy(), rtol=1e-5
    )
    with pytest.raises(UserError, match="matrix of attention"):
        readings(lab, "L1.pattern")


@pytest.mark.parametrize("ending", ["npy", "safetensors"])
def test_directions_are_projections_at_every_layer(ending):
    from safetensors.numpy import save_file

    lab = tiny_lab("llama")
    vector = np.random.default_rng(0).standard_normal(32).astype(np.float32)
    folder = paths.data_dir() / "directions"
    folder.mkdir()
    if ending == "npy":
        np.save(folder / "mine.npy", vector)
    else:
        save_file({"direction": vector}, folder / "mine.safetensors")
    found = readings(with_directions(lab, "mine"), "@mine, L1.resid_post@mine")
    ids = torch.from_numpy(lab.prompt(PROMPT).ids)[None]
    for layer in range(lab.info.n_layers):
        wanted = plain("llama").read(ids, layer, "resid_post")[0].numpy() @ (vector / np.linalg.norm(vector))
        np.testing.assert_allclose(found["@mine", "projection"][layer], wanted, atol=1e-4)
    np.testing.assert_allclose(found["L1.resid_post@mine", "projection"], found["@mine", "projection"][1], atol=1e-5)


def test_a_neurons_own_weights_are_directions():
    lab = tiny_lab("llama")
    mlp = plain("llama").layers[2].mlp
    weights = {"in": mlp.up_proj.weight[5], "gate": mlp.gate_proj.weight[5], "out": mlp.down_proj.weight[:, 5]}
    for part, wanted in weights.items():
        np.testing.assert_array_equal(JobWeights(lab.model, {}).direction(f"L2.N5.{part}.raw"), wanted.detach().numpy())
    with pytest.raises(UserError, match="has no gates"):
        JobWeights(tiny_lab("gpt2").model, {}).direction("L2.N5.gate")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (np.ones(31, np.float32), "has 31 numbers, and the stream of llama 32"),
        (np.zeros(32, np.float32), "holds no direction"),
        (np.full(32, np.nan, np.float32), "holds no direction"),
        (np.array([{"a": 1}], dtype=object), "can't be read"),
    ],
)
def test_a_file_that_is_no_direction_is_a_sentence(content, said):
    folder = paths.data_dir() / "directions"
    folder.mkdir()
    np.save(folder / "bad.npy", content)
    with pytest.raises(UserError, match=said):
        readings(with_directions(tiny_lab("llama"), "bad"), "@bad")


def test_a_direction_that_is_not_there_names_those_that_are():
    folder = paths.data_dir() / "directions"
    folder.mkdir()
    np.save(folder / "refusal.npy", np.ones(32, np.float32))
    with pytest.raises(UserError, match="no direction @refused .*@refusal"):
        readings(with_directions(tiny_lab("llama"), "refused"), "@refused")


def test_units_are_read_under_the_edits():
    found = readings(tiny_lab("llama"), "L1.N3, L1.N4", edits="L1.N3=5")
    assert (found["L1.N3", "activation"] == 5).all()
    assert not (found["L1.N4", "activation"] == 5).any()
