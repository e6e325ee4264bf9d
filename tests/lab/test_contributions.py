"""What parts add to the stream in a model that multiplies it first (Granite), against plain hooks; and remainders."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

from tests.lab.labs import PROMPT, new_report, plain, source_of, tiny_folder, tiny_lab
from tests.tiny import randomise, tiny_config, tiny_tokenizer
from workbench.artifacts.direction import Direction
from workbench.edits import parse_edits
from workbench.execute import execute
from workbench.lab.effective import EffectiveWeights
from workbench.lab.finding.source import ModelSource
from workbench.lab.loading import wrap
from workbench.lab.metric import Metric
from workbench.lab.model import Lab, load_lab
from workbench.lab.norms import written
from workbench.lab.reading import read
from workbench.lab.study import study as new_study
from workbench.units import Head, Neuron, Site

MULTIPLIER = 0.4
LONG = "The quick brown fox jumps over the lazy dog. She said that he was happy, but he was not happy at all."
OTHER = "The capital of Spain is"
ANSWER, FOIL = 5, 7


@pytest.fixture
def lab():
    return tiny_lab("granite")


@pytest.fixture
def reference():
    return plain("granite")


def ids_of(lab, text=PROMPT):
    return torch.from_numpy(lab.prompt(text).ids)[None]


def added(change):
    """A change of what is added to the stream, as one of the module's output, which the model multiplies after it."""
    return lambda output: change(output * MULTIPLIER) / MULTIPLIER


def middle(change):
    """A change of layer 1's stream between attention and the MLP, as what attention then has to add to it."""
    kept = []

    def keep(stream):
        kept.append(stream)
        return stream

    def missing(output):
        before = kept.pop()
        return (change(before + output * MULTIPLIER) - before) / MULTIPLIER

    return [(1, "resid_pre", keep), (1, "attn_out", missing)]


def at_position(position, change):
    def edit(activation):
        activation = activation.clone()
        activation[:, position] = change(activation[:, position])
        return activation

    return edit


def assert_edit(lab, reference, edit, changes):
    logits = lab.forward(lab.prompt(PROMPT), parse_edits([edit], lab.info)).logits
    expected = reference.logits(ids_of(lab), changes)
    assert torch.allclose(logits, expected, atol=1e-5, rtol=1e-5), f"off by {(logits - expected).abs().max():.2g}"
    assert not torch.allclose(expected, reference.logits(ids_of(lab)), atol=1e-4), f"{edit} changes nothing"


def in_memory(hf) -> Lab:
    """A lab of a model that is in memory alone."""
    hf.config.architectures = [type(hf).__name__]
    folder = tiny_folder("llama")
    return Lab(wrap(hf, tiny_tokenizer(), ModelSource(name="made", ref=str(folder), path=folder, origin="folder")))


def made(config) -> transformers.PreTrainedModel:
    torch.manual_seed(0)
    hf = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    randomise(hf, 0)
    return hf


# --- measured at load --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_factor_that_is_measured_is_the_configs_own_number(dtype):
    model = load_lab(source_of(tiny_folder("granite")), device="cpu", dtype=dtype).model
    sites = {Site(layer, name) for layer in range(3) for name in ("attn_out", "mlp_out")}
    assert model.sites.gains == dict.fromkeys(sites, MULTIPLIER)
    assert model.remarks == []


def test_the_model_is_asked_and_not_its_config():
    hf = made(tiny_config("granite"))
    hf.model.layers[1].residual_multiplier = 0.37
    hf.model.layers[2].residual_multiplier = 1.0
    lab = in_memory(hf)
    gains = lab.model.sites.gains
    assert set(gains) == {Site(layer, name) for layer in (0, 1) for name in ("attn_out", "mlp_out")}
    assert gains[Site(0, "mlp_out")] == MULTIPLIER
    assert gains[Site(1, "attn_out")] == pytest.approx(0.37, rel=1e-6)
    parts = new_study(lab, lab.prompt(PROMPT)).direct(Metric("difference", ANSWER, FOIL))
    assert parts.total == pytest.approx(parts.whole, abs=1e-6)


def test_models_that_add_it_as_it_is_have_no_factors():
    for arch in ("llama", "gpt2", "gpt_neox", "gemma2"):
        assert tiny_lab(arch).model.sites.gains == {}


# --- sites and edits ---------------------------------------------------------------------------------


def test_sites_hold_what_is_added(lab, reference):
    names = ("resid_pre", "attn_out", "mlp_out", "resid_post")
    forward = lab.forward(lab.prompt(PROMPT), sites=[Site(1, name) for name in names])
    values = {name: forward.site(Site(1, name)) for name in names}
    for name in ("attn_out", "mlp_out"):
        expected = MULTIPLIER * reference.read(ids_of(lab), 1, name).numpy()
        np.testing.assert_allclose(values[name], expected, atol=1e-6)
    np.testing.assert_allclose(
        values["resid_pre"] + values["attn_out"] + values["mlp_out"], values["resid_post"], atol=1e-6
    )


@pytest.mark.parametrize("site", ["attn_out", "mlp_out"])
def test_edits_act_on_what_is_added(lab, reference, site):
    vector = np.random.default_rng(0).normal(size=lab.info.d_model).astype(np.float32)
    direction = torch.from_numpy(vector)
    unit = direction / direction.norm()
    lab = lab.job(directions={"d": Direction(name="d", vector=vector.tobytes())})
    there = MULTIPLIER * reference.read(ids_of(lab, OTHER), 1, site)
    changes = {
        f"L1.{site}=0": lambda x: x * 0,
        f"L1.{site}*=.5": lambda x: x * 0.5,
        f"L1.{site}[2]=0": at_position(2, lambda x: x * 0),
        f"L1.{site}+=3*@d": lambda x: x + 3 * direction,
        f"L1.{site}@d=7": lambda x: x + (7 - x @ unit)[..., None] * unit,
        f'L1.{site}<"{OTHER}"': lambda x: there,
    }
    for edit, change in changes.items():
        assert_edit(lab, reference, edit, [(1, site, added(change))])


def test_positions_that_are_not_edited_keep_their_bits():
    """In bfloat16 times .22 and divided by it again, one number in a hundred would not."""
    lab = in_memory(made(tiny_config("granite", residual_multiplier=0.22)).bfloat16())
    prompt = lab.prompt(LONG)
    clean = lab.forward(prompt).logits
    for site in ("attn_out", "mlp_out"):
        edited = lab.forward(prompt, parse_edits([f"L0.{site}[last]*=2"], lab.info)).logits
        assert torch.equal(edited[:, :-1], clean[:, :-1])
        assert not torch.equal(edited[:, -1], clean[:, -1])


def test_edits_of_the_stream_between_attention_and_mlp(lab, reference):
    assert_edit(lab, reference, "L1.resid_mid*=.5", middle(lambda x: x * 0.5))
    assert_edit(lab, reference, "L1.resid_mid[2]*=-2", middle(at_position(2, lambda x: x * -2)))


@pytest.mark.parametrize("arch", ["granite", "llama", "gpt2", "gemma2"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_stream_that_is_set_is_set_exactly_in_every_number_type(arch, dtype):
    lab = load_lab(source_of(tiny_folder(arch)), device="cpu", dtype=dtype)
    sites = [Site(1, name) for name in ("resid_mid", "mlp_out", "resid_post")]
    prompt = lab.prompt(PROMPT)
    edited = lab.forward(prompt, parse_edits(["L1.resid_mid[last]=0"], lab.info), sites).captured
    middle, mlp, post = (edited[site][0, -1] for site in sites)
    assert not middle.any()
    assert torch.equal(post, mlp)  # nothing is left of the stream that was there
    patched = lab.forward(prompt, parse_edits([f'L1.resid_mid[last]<"{OTHER}"'], lab.info), sites).captured
    assert torch.equal(patched[sites[0]][0, -1], lab.forward(lab.prompt(OTHER), sites=sites).captured[sites[0]][0, -1])


def test_gradients_go_through_an_edit_of_the_stream(lab):
    """A head's estimated effect under an edit of resid_mid is its exact one, for a step that is small."""
    prompt = lab.prompt(PROMPT)
    edited = new_study(lab, prompt, parse_edits(["L1.resid_mid*=.9"], lab.info))
    metric = Metric("difference", ANSWER, FOIL)
    estimate = -edited.attribute([metric]).neurons[0, 2]
    neuron = int(np.abs(estimate).argmax())
    plans = [lab.plan(parse_edits([f"L2.N{neuron}[1-]*={scale}"], lab.info)) for scale in (1.01, 0.99)]
    values = np.concatenate([results.value(metric) for results in edited.run(plans)])
    assert (values[0] - values[1]) / 0.02 == pytest.approx(estimate[neuron], rel=2e-2)


# --- what is computed from the weights ---------------------------------------------------------------


def test_norms_of_heads_are_of_what_they_add(lab, reference):
    (reading,) = read(lab, [Head(1, 2)], lab.prompt(PROMPT))
    z = reference.read(ids_of(lab), 1, "z")[0, :, 16:24]
    weight = reference.layers[1].self_attn.o_proj.weight.detach()[:, 16:24]
    np.testing.assert_allclose(reading.values, MULTIPLIER * (z @ weight.T).norm(dim=-1).numpy(), rtol=1e-5)


def test_effective_weights_are_what_reaches_the_stream(lab, reference):
    w_out = reference.layers[1].mlp.down_proj.weight.detach().T
    torch.testing.assert_close(EffectiveWeights(lab.model).layer(1).w_out, MULTIPLIER * w_out)
    torch.testing.assert_close(written(lab.model, 1).norm(dim=-1), MULTIPLIER * w_out.norm(dim=1))
    torch.testing.assert_close(torch.from_numpy(lab.weights.direction("L1.N9.out")), MULTIPLIER * w_out[9])
    stored = lab.weights.direction("L1.N9.out.raw")
    np.testing.assert_array_equal(stored, w_out[9].numpy())


def test_direct_parts_are_what_each_adds_to_the_logits(lab, reference):
    ids, layer = ids_of(lab), 1
    study = new_study(lab, lab.prompt(PROMPT))
    parts = study.direct(Metric("difference", ANSWER, FOIL))
    logits = reference.logits(ids)[0, -1].double()
    difference = float(logits[ANSWER] - logits[FOIL])
    assert parts.whole == pytest.approx(difference, abs=1e-6)
    assert parts.total == pytest.approx(difference, abs=1e-6)
    final = reference.read(ids, 2, "resid_post")[0, -1].double()
    model = reference.model
    scale = final.square().mean().add(model.config.rms_norm_eps).rsqrt()
    rows = model.lm_head.weight.detach().double()
    toward = (rows[ANSWER] - rows[FOIL]) * model.model.norm.weight.detach().double() * scale / 3.0
    z = reference.read(ids, layer, "z")[0, -1].double().reshape(4, 8)
    w_o = reference.layers[layer].self_attn.o_proj.weight.detach().double().T.reshape(4, 8, 32)
    heads = torch.einsum("hz,hzd,d->h", z, w_o, toward) * MULTIPLIER
    np.testing.assert_allclose(parts.heads[layer], heads.numpy(), rtol=1e-4, atol=1e-7)
    activation = reference.read(ids, layer, "mlp_post")[0, -1].double()
    w_out = reference.layers[layer].mlp.down_proj.weight.detach().double().T
    np.testing.assert_allclose(
        parts.neurons[layer], (activation * (w_out @ toward) * MULTIPLIER).numpy(), rtol=1e-4, atol=1e-7
    )
    report = new_report()
    named = {"prompt": PROMPT, "head": "L1.H2", "answer": lab.token(ANSWER), "foil": lab.token(FOIL)}
    execute(lab, "attention", named, [], 0, report)
    assert report.scalars["direct"] == pytest.approx(float(heads[2]), rel=1e-4)


def test_random_directions_move_granites_stream_as_far(lab, reference):
    ids = ids_of(lab)
    study = new_study(lab, lab.prompt(PROMPT))

    def moved(layer, site, change):
        """How far the stream after a block goes, position by position."""
        streams = []
        for changes in ([], [(layer, site, change)]):
            kept = []
            reference.logits(ids, [*changes, (layer, "resid_post", lambda x, kept=kept: kept.append(x.clone()) or x)])
            streams.append(kept[0][0])
        return (streams[1] - streams[0]).norm(dim=-1)

    def off(activation):
        activation = activation.clone()
        activation[:, 1:, 5] = 0
        return activation

    expected = moved(1, "mlp_post", off)
    (control,) = study.same_distance(study.off([Neuron(1, 5)]), 1, seed=1)
    site = Site(1, "resid_post")
    distance = (study.activations([site], control)[site] - study.activations([site])[site]).norm(dim=-1)
    torch.testing.assert_close(distance, expected, rtol=1e-4, atol=1e-6)


def test_a_factor_inside_the_mlp_is_one_of_its_weights():
    """Falcon-H1's: what the MLP puts out is added as it is, and not what W_out makes of the activations."""
    config = transformers.FalconH1Config(
        vocab_size=512,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        attention_out_multiplier=0.7,
        mlp_multipliers=[0.9, 0.35],
    )
    lab = in_memory(made(config))
    gains = {Site(layer, name): gain for layer in (0, 1) for name, gain in (("attn_out", 0.7), ("mlp_post", 0.35))}
    assert lab.model.sites.gains == gains
    mlp = lab.model.bridge.blocks[1].mlp
    torch.testing.assert_close(EffectiveWeights(lab.model).layer(1).w_out, 0.35 * mlp.W_out)
    study = new_study(lab, lab.prompt(PROMPT))
    activations = study.activations([Site(1, "mlp_post"), Site(1, "mlp_out")])
    written = activations[Site(1, "mlp_post")] @ EffectiveWeights(lab.model).layer(1).w_out
    torch.testing.assert_close(written, activations[Site(1, "mlp_out")], rtol=1e-4, atol=1e-5)
    head = lab.model.head_output(1, 2)
    torch.testing.assert_close(head, 0.7 * lab.model.bridge.blocks[1].attn.W_O[2])


def test_weights_that_do_not_make_an_output_are_remarked():
    hf = made(tiny_config("llama"))
    hf.model.layers[1].mlp.down_proj.register_forward_hook(lambda module, args, output: output.round())
    (remark,) = in_memory(hf).remarks
    assert remark.startswith("layer 1: W_out times mlp_post is not what the MLP adds to the stream")
