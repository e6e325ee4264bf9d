"""Matched random controls: alike in kind, different in draw, honest in their percentile."""

import numpy as np
import pytest
import torch

from tests.lab.labs import PROMPT, plain, tiny_lab
from workbench.edits import parse_edits
from workbench.lab.compiling import _Lookup
from workbench.lab.controls import controls as draw_controls
from workbench.lab.editing import Replacement
from workbench.lab.strength import BINS, deciles, neuron_strength, sample_prompts
from workbench.lab.study import study
from workbench.units import Head, Neuron, Site


def draws(lab, text, n=16, seed=0):
    return draw_controls(lab.job(seed=seed), parse_edits([text], lab.info), n)


def test_neurons_are_drawn_from_their_layer_and_bin():
    lab = tiny_lab("llama")
    bins = deciles(neuron_strength(lab.model))
    found = draws(lab, "L1.N3=0; L2.N8=5", 32)
    assert len(found.plans) == 32
    assert found.kind == "matched random pairs of neurons"
    seen = set()
    for plan in found.plans:
        by_layer = {unit.layer: unit.index for unit in plan.units}
        assert set(by_layer) == {1, 2}
        assert bins[1, by_layer[1]] == bins[1, 3]
        assert bins[2, by_layer[2]] == bins[2, 8]
        assert plan.units != {Neuron(1, 3), Neuron(2, 8)}
        # The edit is done the same way.
        assert [change.value for change in plan.changes[Site(1, "mlp_post")]] == [0.0]
        assert [change.value for change in plan.changes[Site(2, "mlp_post")]] == [5.0]
        seen.add(plan.units)
    assert len(seen) == 32


def test_the_same_unit_in_two_edits_stays_one_unit():
    lab = tiny_lab("llama")
    for plan in draws(lab, "L1.N3=2; L1.N3*=3", 4).plans:
        assert len(plan.units) == 1
        first, second = plan.changes[Site(1, "mlp_post")]
        assert first.part == second.part


def test_heads_are_drawn_from_their_layer_and_named_as_they_are():
    found = draws(tiny_lab("llama"), "L1.H2=0", 32)
    assert {unit for plan in found.plans for unit in plan.units} == {Head(1, 0), Head(1, 1), Head(1, 3)}
    assert found.kind == "other heads of its layer"
    assert found.problem == "there are only 3 different controls for these edits"


def test_edits_of_all_of_a_kind_have_no_controls():
    found = draws(tiny_lab("llama"), "L1.H*=0")
    assert found.plans == ()
    assert "nothing to compare them with" in found.problem


def test_draws_follow_the_seed():
    lab = tiny_lab("llama")

    def units(seed):
        return [plan.units for plan in draws(lab, "L1.N3-5=0", 8, seed).plans]

    assert units(1) == units(1) != units(2)


def test_bins_are_equal_tenths_by_strength():
    strength = np.random.default_rng(0).random((2, 100))
    bins = deciles(strength)
    assert (np.bincount(bins[0]) == 10).all()
    assert bins.max() == BINS - 1
    for group in range(BINS - 1):
        assert strength[1][bins[1] == group].max() < strength[1][bins[1] == group + 1].min()


@pytest.mark.parametrize("arch", ["llama", "gpt2", "gemma2"])
def test_strength_is_rms_times_what_is_written(arch):
    import torch

    lab = tiny_lab(arch)
    total, n = np.zeros(lab.info.d_mlp), 0
    for prompt in sample_prompts(lab.model):
        activations = plain(arch).read(torch.from_numpy(prompt.ids)[None], 1, "mlp_post")[0, 1:].double().numpy()
        total += (activations**2).sum(0)
        n += len(activations)
    module, _ = plain(arch)._place(1, "mlp_post")
    w_out = module.weight.detach().double().numpy()
    w_out = w_out if arch == "gpt2" else w_out.T
    if arch == "gemma2":  # the norm after the MLP scales what a neuron writes
        w_out = w_out * (1 + plain(arch).layers[1].post_feedforward_layernorm.weight.detach().double().numpy())
    wanted = np.sqrt(total / n) * np.linalg.norm(w_out, axis=1)
    np.testing.assert_allclose(neuron_strength(lab.model)[1], wanted, rtol=1e-4)


def test_the_sample_is_windows_of_equal_length_with_the_tokenizers_bos():
    for arch in ("llama", "gemma2"):
        lab = tiny_lab(arch)
        windows = sample_prompts(lab.model)
        assert len(windows) > 2
        assert {len(window) for window in windows} == {256}
        first = lab.model.tokens.token(windows[1].ids[0])
        assert (first == "<|im_start|>") is (arch == "gemma2")


def test_strength_is_measured_once_for_a_model(monkeypatch):
    from dataclasses import replace

    import msgspec

    from workbench.lab import strength

    lab = tiny_lab("llama")
    info = msgspec.structs.replace(lab.info, fingerprint="f" * 64)
    measured = []
    measure = strength._measure
    monkeypatch.setattr(strength, "_measure", lambda model: measured.append(1) or measure(model))
    first = neuron_strength(replace(lab.model, info=info, strength=None))
    again = neuron_strength(replace(lab.model, info=info, strength=None))
    np.testing.assert_array_equal(first, again)
    assert len(measured) == 1


def test_kls_of_controls_are_those_of_single_passes():
    lab = tiny_lab("llama")
    prompt = lab.prompt(PROMPT)
    plans = draws(lab, "L1.N3=9; L0.H1=0", 5).plans
    found = np.zeros(len(plans))
    for results in study(lab, prompt).run(plans):
        found[results.indices] = results.kl()
    alone = [lab.forward(prompt, plan).last_kl_from(lab.forward(prompt))[0] for plan in plans]
    np.testing.assert_allclose(found, alone, atol=1e-5)
    assert found.max() > 1e-3


def test_what_stands_in_for_a_direction_is_where_the_direction_is():
    class OnADevice:
        device = torch.device("meta")

        def direction(self, name):
            return torch.zeros(3, device="meta")

    drawn = Replacement({}, {"r": torch.ones(3)})
    assert _Lookup(OnADevice(), drawn).direction("r").device.type == "meta"
    assert _Lookup(OnADevice(), Replacement()).direction("r").device.type == "meta"
