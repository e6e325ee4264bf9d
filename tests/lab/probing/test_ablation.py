"""Neurons set to 0 at the tokens that examples read, against plain hooks one text at a time."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.lab.labs import PROMPT, new_report, plain, tiny_lab
from tests.lab.probing.made_examples import made_examples
from tests.lab.sae.made import STREAM, keep
from tests.lab.sae.test_features import decode, encode, firing, random_sae
from workbench import batch_memory
from workbench.lab.probing import pooling as pooling_of
from workbench.lab.probing.ablation import Place, measure, prepare
from workbench.lab.probing.store import take_features
from workbench.lab.sae.features import feature_sae
from workbench.units import Feature, Neuron, Site

NEURONS = [Neuron(1, 7), Neuron(2, 3)]


def places(lab, pooling="token"):
    examples = made_examples(lab, pooling, n=17)
    return [
        Place(examples.windows[window][: last + 4], max(first, 1), last)
        for window, first, last in zip(
            examples.window.tolist(), examples.first.tolist(), examples.last.tolist(), strict=True
        )
    ]


def measured(lab, spots, controls=3, directions=2):
    ablations = prepare(lab, NEURONS, spots, controls, directions)
    report = new_report()
    passes = list(report.track(measure(lab, spots, ablations, report), "passes"))
    return ablations, passes


def expected(arch, place, neuron):
    """KL over the positions that are set, and the change of loss behind the first, in float64."""
    ids = torch.tensor([place.ids])

    def off(values):
        values = values.clone()
        values[:, place.first : place.last + 1, neuron.index] = 0
        return values

    model = plain(arch)
    clean = model.logits(ids)[0].double().log_softmax(-1)
    edited = model.logits(ids, [(neuron.layer, "mlp_post", off)])[0].double().log_softmax(-1)
    kl = (clean.exp() * (clean - edited)).sum(-1)[place.first : place.last + 1].mean()
    after = torch.arange(place.first + 1, len(place.ids))
    targets = ids[0, after]
    loss = (clean[after - 1, targets] - edited[after - 1, targets]).sum()
    return float(kl), float(loss)


@pytest.mark.parametrize("pooling", ["token", "mean"])
@pytest.mark.parametrize("arch", ["llama", "gemma2", "gpt2", "gpt_neox", "olmo3"])
def test_effects_are_those_of_plain_hooks(arch, pooling):
    lab = tiny_lab(arch)
    spots = places(lab, pooling)
    ablations, _ = measured(lab, spots)
    for ablation in ablations:
        for neuron, effects in [(ablation.unit, ablation.effects), *ablation.controls]:
            wanted = np.array([expected(arch, place, neuron) for place in spots])
            np.testing.assert_allclose(effects.kl, wanted[:, 0], rtol=2e-3, atol=1e-9)
            np.testing.assert_allclose(effects.loss, wanted[:, 1], rtol=1e-3, atol=5e-5)
        assert {neuron.layer for neuron, _ in ablation.controls} == {ablation.unit.layer}
        assert ablation.unit not in [neuron for neuron, _ in ablation.controls]


def test_random_directions_move_what_the_mlp_adds_as_far(monkeypatch):
    lab = tiny_lab("llama")
    spots = places(lab, "mean")[:3]
    from workbench.lab.probing import ablation as module

    pushed = []
    as_pushed = module._Example._pushed
    monkeypatch.setattr(
        module._Example, "_pushed", lambda self, *args: pushed.append(as_pushed(self, *args)) or pushed[-1]
    )
    (one, _), _ = measured(lab, spots, controls=0, directions=2)
    weight = plain("llama").model.model.layers[1].mlp.down_proj.weight[:, 7].detach()
    by_place = {len(plan.changes[site][0].values): plan for plan in pushed for site in plan.changes if site.layer == 1}
    for place in spots:
        activation = plain("llama").read(torch.tensor([place.ids]), 1, "mlp_post")[0, :, 7]
        (change,) = next(iter(by_place[place.last + 1].changes.values()))
        norms = change.values.norm(dim=-1)
        np.testing.assert_allclose(
            norms[place.first :], (activation.abs() * weight.norm())[place.first : place.last + 1].detach(), rtol=1e-4
        )
        assert not norms[: place.first].any()
    assert all(np.isfinite(draw.kl).all() and (draw.kl > 0).all() for draw in one.distance)
    assert not np.allclose(one.distance[0].kl, one.distance[1].kl)


def test_rounding_is_far_below_and_batches_do_not_matter(monkeypatch):
    lab = tiny_lab("llama")
    spots = places(lab)
    whole, passes = measured(lab, spots)
    assert max(draw.kl.max() for draw in whole[0].rounding) < 1e-8
    assert len(passes) == len(spots)
    monkeypatch.setitem(batch_memory.TOKENS, "forward", (12, 12))
    small, _ = measured(lab, spots)
    for one, other in zip(whole, small, strict=True):
        np.testing.assert_allclose(one.effects.kl, other.effects.kl, rtol=1e-3, atol=1e-9)
        np.testing.assert_allclose(one.distance[1].kl, other.distance[1].kl, rtol=1e-3, atol=1e-9)


def test_a_model_that_can_not_begin_later_runs_whole_passes():
    lab = tiny_lab("llama")
    spots = places(lab)[:4]
    usual, _ = measured(lab, spots)
    restarts = lab.model.restarts
    lab.model.restarts = False
    try:
        whole, _ = measured(lab, spots)
    finally:
        lab.model.restarts = restarts
    np.testing.assert_allclose(whole[0].effects.kl, usual[0].effects.kl, rtol=1e-4, atol=1e-7)


def test_without_anything_else_like_it_the_lack_is_said():
    lab = tiny_lab("llama")
    (one,) = prepare(lab, NEURONS[:1], places(lab)[:2], 1000, 1)
    assert "there are only" in one.problems[0]
    (none,) = prepare(lab, NEURONS[:1], places(lab)[:2], 0, 0)
    assert (none.controls, none.distance, none.problems) == ([], [], [])
    assert dataclasses.is_dataclass(none)
    assert lab.prompt(PROMPT).ids.shape == (5,)


@pytest.mark.parametrize("arch", ["gemma2", "olmo3"])
def test_a_text_longer_than_the_sliding_window(arch):
    lab = tiny_lab(arch)
    ids = tuple(np.random.default_rng(3).integers(3, 60, 150).tolist())
    spots = [Place(ids, 100, 120), Place(ids[:90], 89, 89)]
    (ablation, _), _ = measured(lab, spots, controls=0, directions=0)
    wanted = np.array([expected(arch, place, ablation.unit) for place in spots])
    np.testing.assert_allclose(ablation.effects.kl, wanted[:, 0], rtol=2e-3, atol=1e-9)
    np.testing.assert_allclose(ablation.effects.loss, wanted[:, 1], rtol=1e-3, atol=5e-5)


@pytest.mark.parametrize("pooling", ["token", "mean"])
@pytest.mark.parametrize("site", ["resid_post", "mlp_post"])
def test_a_feature_set_to_0_is_what_plain_hooks_make_of_it(site, pooling):
    lab = tiny_lab("llama")
    where = STREAM if site == "resid_post" else Site(1, site)
    sae = random_sae(where, normalisation="layer_norm")
    keep(sae, "ablated")
    unit = Feature(1, firing(sae, site=where)[0], "ablated")
    spots = places(lab, pooling)
    (ablation,) = prepare(lab, [unit], spots, 3, 2)
    report = new_report()
    list(report.track(measure(lab, spots, [ablation], report), "passes"))
    for feature, effects in [(unit, ablation.effects), *ablation.controls]:
        wanted = [expected_of_feature(sae, where, place, feature.index) for place in spots]
        np.testing.assert_allclose(effects.kl, wanted, rtol=2e-3, atol=1e-9)
    assert max(ablation.effects.kl) > 1e-5
    assert len(ablation.controls) == 3
    assert ablation.kind == "matched random features"
    assert all(
        (draw.kl[np.array(wanted_moves(sae, where, spots, unit.index)) > 0] > 0).all() for draw in ablation.distance
    )


def expected_of_feature(sae, site, place, index):
    """KL over the positions that are set, in float64; the SAE's error stays."""
    ids = torch.tensor([place.ids])

    def off(x):
        f = encode(sae, x)
        without = f.clone()
        without[:, place.first : place.last + 1, index] = 0
        return x + decode(sae, without, x) - decode(sae, f, x)

    model = plain("llama")
    clean = model.logits(ids)[0].double().log_softmax(-1)
    edited = model.logits(ids, [(site.layer, site.name, off)])[0].double().log_softmax(-1)
    return float((clean.exp() * (clean - edited)).sum(-1)[place.first : place.last + 1].mean())


def wanted_moves(sae, site, spots, index):
    """The feature's largest activation where each example sets it."""
    model = plain("llama")
    return [
        float(
            encode(sae, model.read(torch.tensor([place.ids]), site.layer, site.name))[
                0, place.first : place.last + 1, index
            ].max()
        )
        for place in spots
    ]


@pytest.mark.parametrize("pooling", ["token", "mean", "max"])
@pytest.mark.parametrize("at_once", [None, 50])
def test_features_at_examples_are_encoded_token_by_token_then_pooled(pooling, at_once, monkeypatch):
    lab = tiny_lab("llama")
    if at_once:  # so few features are encoded at once that the examples come in parts
        monkeypatch.setattr(pooling_of, "ENCODED", at_once)
    sae = random_sae()
    keep(sae, "read")
    examples = made_examples(lab, pooling, n=17)
    indices = firing(sae)
    read = feature_sae(lab.model, Feature(1, 0, "read"))
    with take_features(lab, examples, read.placed, read.artifact.hash, new_report()) as store:
        assert store.layer(1).shape == (len(examples), sae.config.d_sae)
        values = store.layer(1)[:, indices]
    model, wanted = plain("llama"), []
    for window, first, last in zip(examples.window, examples.first, examples.last, strict=True):
        x = model.read(torch.tensor([examples.windows[window]]), STREAM.layer, STREAM.name)[0]
        f = encode(sae, x)[:, indices]
        span = f[max(first, 1) : last + 1]
        wanted.append({"token": f[last], "mean": span.mean(0), "max": span.amax(0)}[pooling].numpy())
    np.testing.assert_allclose(values, np.array(wanted), rtol=1e-4, atol=1e-5)
    assert (values > 0).any()
