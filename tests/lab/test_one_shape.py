"""What is subtracted comes from passes of one shape: an edit that does nothing changes nothing, whatever the type."""

import numpy as np
import pytest
import torch

from tests.lab.labs import PROMPT, new_report, source_of, tiny_folder
from workbench.edits import parse_edits
from workbench.execute import execute
from workbench.lab import study as studies
from workbench.lab.model import load_lab
from workbench.lab.study import study
from workbench.units import Neuron

NOTHING = ("L0.N0*=1", "L1.N3+=0")
TEXTS = (PROMPT, "The river is wide and the water is", "The capital of Spain is", "When Mary and John went", "The sun")


def by_shape(module, args, output):
    """A kernel whose sums depend on the shape, as those of 16-bit matrix products on a GPU do."""
    rows, columns, _ = output.shape
    return output * (1 + 0.01 * ((7 * rows + 3 * columns) % 11))


@pytest.fixture(scope="module", params=["bfloat16", "bfloat16 by shape", "float32 by shape"])
def lab(request):
    dtype, *by = request.param.split()
    lab = load_lab(source_of(tiny_folder("llama")), "cpu", dtype)
    with torch.no_grad():
        lab.model.bridge.blocks[0].mlp.W_out[5] = 0  # a neuron that writes nothing
    if by:
        lab.model.bridge.blocks[-1].register_forward_hook(by_shape)
    return lab


def ran(lab, name, edits="", **params):
    report = new_report()
    execute(lab, name, params, parse_edits([edits] if edits else [], lab.info), 0, report)
    return report


@pytest.mark.parametrize("edits", NOTHING)
@pytest.mark.parametrize("experiment", ["predict", "effect"])
@pytest.mark.parametrize("n", [1, 4, 5])
def test_an_edit_that_does_nothing_has_no_effect_and_lies_in_the_middle(lab, experiment, edits, n, monkeypatch):
    monkeypatch.setattr(studies, "rows_at_once", lambda model, length, work: 4)
    report = ran(lab, experiment, edits, prompt=PROMPT, controls=n)
    assert report.scalars["kl"] == 0
    assert report.scalars["kl_without_first"] == 0
    assert report.scalars["controls"] == n
    assert report.scalars["kl_controls_high"] == 0
    assert report.scalars["kl_percentile"] == 0.5


@pytest.mark.parametrize("edits", NOTHING)
@pytest.mark.parametrize("experiment", ["predict", "effect"])
def test_so_it_has_over_prompts_that_do_not_fill_their_last_batch(lab, experiment, edits, monkeypatch):
    from workbench.lab import batches

    monkeypatch.setattr(batches, "rows_at_once", lambda model, length, work: 2)
    prompts = [{"prompt": text} for text in TEXTS]
    report = ran(lab, experiment, edits, prompts=prompts, controls=3)
    assert report.scalars["kl"] == report.scalars["kl_mean"] == 0
    assert report.scalars["kl_controls_high"] == 0
    assert report.scalars["kl_percentile"] == 0.5


def test_a_neuron_that_writes_nothing_is_switched_off_without_effect(lab):
    report = ran(lab, "sweep", prompt=PROMPT, exact=True, others=0)
    effects = {row[0]: row[2] for row in report.views["neurons"].rows}
    assert effects["L0.N5"] == 0
    assert np.count_nonzero([effect != 0 for effect in effects.values()]) > 100


def test_a_place_that_is_alike_in_both_prompts_recovers_nothing(lab):
    report = ran(lab, "patch", prompt=PROMPT, corrupted="The capital of Japan is")
    recovery = report.views["resid_pre"].values
    assert (recovery[:, :3] == 0).all()
    assert recovery[0, 4] == 0, "the last token is the same, and so is its embedding"
    assert recovery[0, 3] == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_batches_of_a_study_have_one_shape(lab, n, monkeypatch):
    monkeypatch.setattr(studies, "rows_at_once", lambda model, length, work: 4)
    shapes = []
    run_from = studies.run_from

    def seen(model, trace, layer, plans, **how):
        shapes.append((layer, len(plans)))
        return run_from(model, trace, layer, plans, **how)

    monkeypatch.setattr(studies, "run_from", seen)
    traced = study(lab, lab.prompt(PROMPT))
    results = list(traced.run([traced.off([Neuron(1, index)]) for index in range(n)]))
    assert sorted(int(at) for result in results for at in result.indices) == list(range(n))
    assert len(set(shapes)) == 1
    assert shapes[0][1] <= 4
