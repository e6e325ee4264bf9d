"""16-bit models: edits rounded once, controls as long as they should be, and effects that rounding drowns say so."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.lab.labs import PROMPT, new_report, source_of, tiny_lab
from tests.tiny import tiny_model
from workbench.artifacts.direction import Direction
from workbench.edits import parse_edits
from workbench.execute import execute
from workbench.lab import metrics
from workbench.lab.model import load_lab
from workbench.lab.passes import run_pass
from workbench.lab.rounding import rounding_plans
from workbench.lab.study import study
from workbench.units import Head, Neuron, Site

POST = Site(1, "resid_post")
QUIET = 1
"""the layer whose MLP writes next to nothing"""


@pytest.fixture(scope="module")
def labs(tmp_path_factory):
    """The same weights, all of them bfloat16 numbers, computed in bfloat16 and in float32; as jobs with `@d`."""
    folder = tiny_model("llama", tmp_path_factory.mktemp("half") / "llama")
    file = folder / "model.safetensors"
    weights = {name: weight.bfloat16().float() for name, weight in load_file(file).items()}
    weights[f"model.layers.{QUIET}.mlp.down_proj.weight"] *= 2**-11
    save_file(weights, file, metadata={"format": "pt"})
    vector = np.random.default_rng(0).standard_normal(32).astype(np.float32)
    labs = {}
    for dtype in ("bfloat16", "float32"):
        lab = load_lab(source_of(folder), "cpu", dtype)
        labs[dtype] = lab.job(directions={"d": Direction(name="d", vector=vector.tobytes())})
    return labs


@pytest.fixture(scope="module")
def half(labs):
    return labs["bfloat16"]


def sites_of(lab, edit, *sites):
    """Sites under an edit and without it, [position, …] each."""
    prompt = lab.prompt(PROMPT)
    edited = lab.forward(prompt, parse_edits([edit], lab.info), sites)
    clean = lab.forward(prompt, (), sites)
    return [(edited.captured[site][0], clean.captured[site][0]) for site in sites]


def rounded_once(values):
    return values.bfloat16()


@pytest.mark.parametrize(
    ("edit", "exact"),
    [
        ("L1.resid_post@d=0", lambda x, u, d: x - (x @ u)[:, None] * u),
        ("L1.resid_post@d=7", lambda x, u, d: x + (7 - x @ u)[:, None] * u),
        ("L1.resid_post@d*=3", lambda x, u, d: x + 2 * (x @ u)[:, None] * u),
        ("L1.resid_post+=1.7*@d", lambda x, u, d: x + 1.7 * d),
        ("L1.resid_post*=.3", lambda x, u, d: 0.3 * x),
    ],
)
def test_an_edit_is_computed_exactly_and_rounded_once(half, edit, exact):
    ((edited, clean),) = sites_of(half, edit, POST)
    d = torch.from_numpy(half.weights.direction("d")).double()
    expected = exact(clean.double(), d / d.norm(), d)
    assert (edited != clean).any()
    # float32 and float64 round to different neighbours only where they lie next to the middle between them.
    assert (edited == rounded_once(expected)).float().mean() > 0.98
    largest_step = torch.finfo(torch.bfloat16).eps * expected.abs()
    assert ((edited.double() - expected).abs() <= 0.51 * largest_step + 1e-6).all()


def test_resid_mid_at_zero_is_zero_and_the_rest_stays(half):
    mid, pre = Site(1, "resid_mid"), Site(1, "resid_pre")
    (edited, clean), (edited_pre, clean_pre) = sites_of(half, "L1.resid_mid[2-3]=0", mid, pre)
    assert (edited[2:4] == 0).all()
    assert torch.equal(edited[:2], clean[:2])
    assert torch.equal(edited_pre, clean_pre)


@pytest.mark.parametrize("unit", [Neuron(0, 5), Neuron(QUIET, 7), Head(1, 2)])
def test_directions_of_equal_distance_are_as_long_as_what_the_unit_writes(half, unit):
    prompt = half.prompt(PROMPT)
    traced = study(half, prompt)
    (control,) = traced.same_distance(traced.off([unit]), 1, 0)
    ((_, (change,)),) = control.changes.items()
    lengths = change.values.norm(dim=-1)
    block = half.model.bridge.blocks[unit.layer]
    if isinstance(unit, Neuron):
        a = half.forward(prompt, (), [Site(unit.layer, "mlp_post")]).captured[Site(unit.layer, "mlp_post")][0]
        written = a[:, unit.index].double()[:, None] * block.mlp.W_out[unit.index].double()
    else:
        z = half.forward(prompt, (), [Site(1, "z")]).captured[Site(1, "z")][0]
        written = z[:, unit.index].double() @ block.attn.W_O[unit.index].double()
    torch.testing.assert_close(lengths[1:].double(), written.norm(dim=-1)[1:], rtol=1e-5, atol=1e-9)
    assert lengths[0] == 0


# --- rounding -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_a_draw_moves_every_number_to_its_neighbour(labs, dtype):
    lab = labs[dtype]
    site = Site(1, "resid_pre")
    prompt = lab.prompt(PROMPT)
    zero = lab.plan(parse_edits(["L1.resid_pre[2]=0"], lab.info))
    streams = []
    for plan in rounding_plans(zero, lab.info.n_layers, 2, 0):
        passed = lab.forward(prompt, plan, [site]).captured[site][0]
        clean = lab.forward(prompt, (), [site]).captured[site][0]
        up = torch.nextafter(clean, torch.full_like(clean, torch.inf))
        down = torch.nextafter(clean, torch.full_like(clean, -torch.inf))
        assert ((passed == up) | (passed == down)).all()
        streams.append(passed)
    assert not torch.equal(*streams)
    traced = study(lab, prompt, parse_edits(["L1.resid_pre[2]=0"], lab.info))
    moved = traced.activations([site], traced.rounding(zero)[0])[site]
    assert (moved[2] == 0).all()
    assert (moved[1] != 0).all()


def test_rounding_is_as_large_as_another_batch_makes_it_in_float32(labs):
    lab = labs["float32"]
    prompt = lab.prompt(PROMPT)
    traced = study(lab, prompt)
    draws = np.concatenate([results.kl() for results in traced.run(traced.rounding())])
    assert 1e-18 < draws.max() < 1e-10
    ids = torch.from_numpy(prompt.ids)[None]
    alone, beside = run_pass(lab.model, ids), run_pass(lab.model, ids.expand(7, -1).contiguous())
    assert float(metrics.kl(alone.last, beside.last[:1])) <= 10 * draws.max()


@pytest.mark.parametrize("experiment", ["predict", "effect"])
@pytest.mark.parametrize("prompts", [{"prompt": PROMPT}, {"prompts": [{"prompt": PROMPT}, {"prompt": "The sun"}]}])
def test_an_effect_that_rounding_drowns_says_so_and_one_that_it_does_not_drown_is_ranked(labs, experiment, prompts):
    reports = {}
    for dtype, lab in labs.items():
        reports[dtype] = report = new_report()
        more = {"generate": 0} if experiment == "effect" else {}
        edits = parse_edits([f"L{QUIET}.N5=0"], lab.info)
        execute(lab, experiment, {**prompts, "controls": 5, **more}, edits, 0, report)
    half, full = reports["bfloat16"], reports["float32"]
    measured = "kl" if "prompt" in prompts or experiment == "predict" else "kl_mean"
    assert 0 < full.scalars["kl_rounding"] < 1e-10 < full.scalars[measured] < half.scalars["kl_rounding"]
    assert "rounding" not in full.headline
    if half.scalars[measured] <= half.scalars["kl_rounding"]:
        assert "no more than rounding in bfloat16 makes here" in half.headline
        assert "--dtype float32" in half.headline
    assert half.scalars["kl_percentile"] == 0.5, "among controls that rounding drowns too it is a tie"
    assert full.scalars["kl_percentile"] != 0.5


def test_most_effects_of_a_quiet_layer_are_no_more_than_rounding(labs):
    lab = labs["bfloat16"]
    traced = study(lab, lab.prompt(PROMPT))
    plans = [traced.off([Neuron(QUIET, index)]) for index in range(64)]
    drowned = np.concatenate([results.kl() for results in traced.run(plans)])
    floor = max(np.concatenate([results.kl() for results in traced.run(traced.rounding(plans[0]))]))
    assert np.mean(drowned <= floor) > 0.7
    assert np.mean(drowned > 0) > 0.1


def test_a_sweep_counts_exact_effects_that_are_rounding(labs):
    drowned = {}
    for dtype, lab in labs.items():
        report = new_report()
        execute(lab, "sweep", {"prompt": PROMPT, "exact": True, "others": 0}, [], 0, report)
        neurons, rounding = report.views["neurons"], report.scalars["rounding"]
        drowned[dtype] = sum(abs(row[2]) <= rounding for row in neurons.rows)
        assert f"; {drowned[dtype]} of 192 exact effects no more than rounding" in neurons.note
        assert ("--dtype float32" in neurons.note) == (dtype == "bfloat16")
        assert (rounding < 1e-5) == (dtype == "float32")
    assert drowned["bfloat16"] > 60 > 15 > drowned["float32"]


def test_what_why_picks_is_beyond_only_by_more_than_rounding(monkeypatch):
    from workbench.experiments import _target

    lab = tiny_lab("llama")
    report = new_report()
    execute(lab, "why", {"prompt": PROMPT, "controls": 4, "unrelated": 1, "n": 4}, [], 0, report)
    assert report.scalars["beyond"] == 1
    assert "rounding" not in report.headline
    loud = _target.Rounding(1e3, 1e3, 8, "bfloat16")
    monkeypatch.setattr(_target.Target, "rounding", loud)
    drowned = new_report()
    execute(lab, "why", {"prompt": PROMPT, "controls": 4, "unrelated": 1, "n": 4}, [], 0, drowned)
    assert drowned.scalars["off"] == report.scalars["off"]
    assert drowned.scalars["beyond"] == 0
    assert drowned.scalars["percentile"] == 0.5
    assert "no more than rounding in bfloat16 makes here" in drowned.headline
