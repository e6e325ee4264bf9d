"""A traced prompt: edits from their own block on, attribution, direct effects, patches; five architectures."""

import numpy as np
import pytest
import torch

from tests.lab.changed import of_config, opened, shared_keys_and_values
from tests.lab.labs import EVERY, PROMPT, plain, tiny_lab
from tests.lab.test_every_edit import head, neuron
from workbench.edits import parse_edits
from workbench.lab.directions.weights import JobWeights
from workbench.lab.metric import Metric
from workbench.lab.study import study as new_study
from workbench.units import Head, Neuron, Site

METRICS = (
    Metric("log-prob", 40),
    Metric("log-odds", 40),
    Metric("log-odds", 40, without=7),
    Metric("difference", 40, 41),
    Metric("logit", 40),
)
EDITS = "L0.N3=1; L1.H1=0"


def numbers(logits, metric):
    """The metric of [vocabulary] logits, in float64, from its definition."""
    logits = logits.double()
    logp = logits.log_softmax(-1)
    if metric.kind == "log-prob":
        return float(logp[metric.answer])
    if metric.kind == "difference":
        return float(logits[metric.answer] - logits[metric.foil])
    if metric.kind == "logit":
        return float(logits[metric.answer] - logits.mean())
    others = [index for index in range(len(logits)) if index not in (metric.answer, metric.without)]
    return float(logp[metric.answer] - logp[others].logsumexp(0))


@pytest.fixture(params=EVERY)
def arch(request):
    return request.param


def study_of(arch, edits=""):
    lab = tiny_lab(arch)
    return lab, new_study(lab, lab.prompt(PROMPT), parse_edits([edits], lab.info))


@pytest.mark.parametrize("edits", ["", EDITS])
def test_edits_from_their_own_block_equal_whole_passes(arch, edits):
    lab, study = study_of(arch, edits)
    prompt = lab.prompt(PROMPT)
    texts = ["L0.N5[1-]=0", "L1.N7[1-]=0", "L2.H1[1-]=0", "L1.resid_pre[2]=0", "L2.N1[1-]=0; L0.N1[1-]=0", "L2.N3*=4"]
    found = {}
    for results in study.run([lab.plan(parse_edits([text], lab.info)) for text in texts]):
        assert results.kl().min() >= 0
        found.update(zip(results.indices, results.logits, strict=True))
    assert len(found) == len(texts)
    for index, text in enumerate(texts):
        whole = lab.forward(prompt, parse_edits([f"{edits};{text}"], lab.info), logits="last").last[0]
        assert torch.allclose(found[index], whole, atol=1e-4), text


def test_switching_off_equals_plain_hooks(arch):
    lab, study = study_of(arch)
    reference, ids = plain(arch), torch.from_numpy(lab.prompt(PROMPT).ids)[None]
    plans = [study.off([Neuron(1, 7)]), study.off([Head(2, 1)]), study.erased(1, 2)]

    def later(change):
        def edit(activation):
            return torch.cat([activation[:, :1], change(activation)[:, 1:]], 1)

        return edit

    def erased(stream):
        stream = stream.clone()
        stream[:, 2] = 0
        return stream

    wanted = [
        (1, "mlp_post", later(neuron(7, lambda a: a * 0))),
        (2, "z", later(head(1, reference.n_heads, lambda z: z * 0))),
        (1, "resid_pre", erased),
    ]
    for results in study.run(plans):
        for at, logits in zip(results.indices, results.logits, strict=True):
            assert torch.allclose(logits, reference.logits(ids, [wanted[at]])[0, -1], atol=1e-4)
        for metric in METRICS:
            expected = [numbers(logits, metric) for logits in results.logits]
            assert np.allclose(results.value(metric), expected, atol=1e-4), metric


@pytest.mark.parametrize("edits", ["", EDITS])
def test_an_estimate_is_the_slope_of_scaling(arch, edits):
    lab, study = study_of(arch, edits)
    found = study.attribute(METRICS)
    small = 1e-2
    units = {"L0.N5": (0, 0, 5), "L2.N9": (0, 2, 9), "L1.H2": (1, 1, 2)}
    for text, (kind, layer, index) in units.items():
        plans = [lab.plan(parse_edits([f"{text}[1-]*={factor}"], lab.info)) for factor in (1 + small, 1 - small)]
        values = np.zeros((2, len(METRICS)))
        for results in study.run(plans):
            values[results.indices] = np.stack([results.value(metric) for metric in METRICS], 1)
        slope = (values[1] - values[0]) / (2 * small)
        estimates = (found.neurons, found.heads)[kind][:, layer, index]
        assert np.allclose(estimates, slope, atol=2e-3, rtol=2e-2), text
    plans = [
        lab.plan(parse_edits([f"L1.resid_pre[3]*={factor}"], lab.info)) for factor in (1 + small / 4, 1 - small / 4)
    ]
    values = np.concatenate([results.value(METRICS[3])[np.argsort(results.indices)] for results in study.run(plans)])
    assert found.stream[3, 1, 3] == pytest.approx((values[1] - values[0]) / (small / 2), abs=2e-2, rel=5e-2)
    assert np.isnan(found.stream[:, :, 0]).all()


def test_estimates_under_edits_are_those_of_the_edited_model(arch):
    lab, study = study_of(arch)
    under = study.attribute_under([study.off([Neuron(0, 5)]), study.off([Head(1, 2)])], METRICS[3])
    for row, text in enumerate(("L0.N5[1-]=0", "L1.H2[1-]=0")):
        alone = new_study(lab, lab.prompt(PROMPT), parse_edits([text], lab.info)).attribute([METRICS[3]])
        assert np.allclose(under.neurons[row], alone.neurons[0], atol=1e-4)


@pytest.mark.parametrize("edits", ["", EDITS])
def test_direct_parts_sum_to_the_logit(arch, edits):
    lab, study = study_of(arch, edits)
    cap = getattr(plain(arch).model.config, "final_logit_softcapping", None)
    logits = lab.forward(lab.prompt(PROMPT), parse_edits([edits], lab.info), logits="last").last[0].double()
    if cap:
        logits = torch.atanh(logits / cap) * cap
    for metric in (METRICS[3], METRICS[4], METRICS[0]):
        parts = study.direct(metric)
        assert parts.total == pytest.approx(parts.whole, abs=1e-4)
        assert parts.whole == pytest.approx(numbers(logits, metric.direct), abs=1e-3)
    assert parts.attention.sum() + parts.mlps.sum() == pytest.approx(parts.total - parts.embedding - parts.bias)


def test_a_neurons_direct_effect_is_what_its_output_does_to_the_logits(arch):
    lab, study = study_of(arch)
    metric = METRICS[3]
    parts = study.direct(metric)
    layer = lab.info.n_layers - 1
    small = 1e-3
    plans = [
        lab.plan(parse_edits([f"L{layer}.mlp_out[last]+={sign * small}*@L{layer}.N9.out"], lab.info))
        for sign in (1, -1)
    ]
    if lab.info.post_norm or getattr(lab.model.hf.config, "final_logit_softcapping", None):
        pytest.skip("what a neuron writes is not what reaches the stream, or the logits, here")
    assert np.isfinite(parts.neurons).all()
    values = np.concatenate([results.value(metric)[np.argsort(results.indices)] for results in study.run(plans)])
    # The frozen scale leaves out that the norm changes with the stream: the slope less that part.
    slope = (values[0] - values[1]) / (2 * small)
    activation = float(study.activations([Site(layer, "mlp_post")])[Site(layer, "mlp_post")][-1, 9])
    final = study.activations([Site(layer, "resid_post")])[Site(layer, "resid_post")][-1].double()
    w_out = torch.from_numpy(JobWeights(lab.model, {}).direction(f"L{layer}.N9.out")).double()
    if lab.info.architecture != "LlamaForCausalLM" and lab.info.architecture != "Qwen2ForCausalLM":
        final, w_out = final - final.mean(), w_out - w_out.mean()
    shrink = float(final @ w_out / (final @ final)) * (parts.whole - parts.bias)
    assert parts.neurons[layer, 9] == pytest.approx(activation * (slope + shrink), abs=1e-3, rel=2e-2)


def test_patching_everything_gives_the_other_prompt(arch):
    lab, study = study_of(arch)
    other = new_study(lab, lab.prompt("The capital of Paris is"))
    whole = lab.forward(other.prompt, logits="last").last[0]
    places = [(Site(0, "resid_pre"), None, None), (Site(2, "resid_pre"), None, 4), (Site(1, "z"), 2, None)]
    for results in study.run(study.patches(other, places)):
        for at, logits in zip(results.indices, results.logits, strict=True):
            if at == 0:
                assert torch.allclose(logits, whole, atol=1e-4)
            else:
                assert not torch.allclose(logits, results.clean, atol=1e-5)


def test_random_directions_move_the_stream_as_far(arch):
    lab, study = study_of(arch)
    plan = study.off([Neuron(0, 5), Neuron(1, 7), Head(1, 2)])
    for control in study.same_distance(plan, 3, seed=1):
        assert set(control.changes) == {Site(0, "mlp_out"), Site(1, "mlp_out"), Site(1, "attn_out")}
        for site, name in ((Site(0, "mlp_out"), "L0.N5"), (Site(1, "attn_out"), "L1.H2")):
            alone = lab.plan(parse_edits([f"{name}[1-]=0"], lab.info))
            clean = study.activations([site])[site]
            far = (study.activations([site], alone)[site] - clean).norm(dim=-1)
            moved = control.changes[site][0].values.norm(dim=-1)
            assert torch.allclose(moved, far, atol=1e-5)
            assert moved[0] == 0


def test_a_batch_that_is_too_large_is_halved(monkeypatch):
    from tests.lab.labs import new_report
    from workbench.lab import study as module

    lab = tiny_lab("llama").job(report=new_report())
    study = new_study(lab, lab.prompt(PROMPT))
    plans = [study.off([Neuron(1, index)]) for index in range(20)]
    wanted = {}
    for results in study.run(plans):
        wanted.update(zip(results.indices, results.value(METRICS[0]), strict=True))
    whole = module.run_from

    def limited(model, trace, layer, some):
        if len(some) > 3:
            raise RuntimeError("CUDA out of memory")
        return whole(model, trace, layer, some)

    monkeypatch.setattr(module, "run_from", limited)
    found = {}
    for results in study.run(plans):
        found.update(zip(results.indices, results.value(METRICS[0]), strict=True))
    assert found.keys() == wanted.keys()
    assert np.allclose([found[at] for at in range(20)], [wanted[at] for at in range(20)], atol=1e-5)
    assert any("memory ran out" in note for note in lab.report.notes)
    assert lab.hooks_installed() == 0


def test_blocks_that_need_the_earlier_ones_are_run_from_the_first(tmp_path):
    """Gemma 4's later layers have no keys and values of their own."""
    lab = opened(of_config(tmp_path / "it", shared_keys_and_values()))
    assert not lab.model.restarts
    assert any("sweep, why and patch run whole passes" in remark for remark in lab.remarks)
    prompt = lab.prompt(PROMPT)
    texts = ["L3.N7[1-]=5", "L2.H1[1-]=0", "L3.resid_pre[2]=0"]
    plans = [lab.plan(parse_edits([text], lab.info)) for text in texts]
    for results in new_study(lab, prompt).run(plans):
        for index, logits in zip(results.indices, results.logits, strict=True):
            whole = lab.forward(prompt, plans[index]).last[0]
            assert torch.allclose(logits, whole, atol=1e-5), texts[index]


def test_other_models_are_run_from_any_block(arch):
    assert tiny_lab(arch).model.restarts
