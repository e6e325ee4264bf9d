"""Jobs between each other's batches see nothing of each other."""

import numpy as np
import pytest

from tests.lab.labs import PROMPT, new_report, tiny_lab
from workbench.edits import parse_edits
from workbench.errors import Cancelled, UserError
from workbench.execute import execute
from workbench.lab.cache import cache as activations_of
from workbench.views import to_builtins

SET = {
    "prompts": [
        {"prompt": f"The {word} is"} for word in ["capital", "river", "city", "sun", "moon", "fox", "dog", "store"]
    ]
}


def everything(report):
    views = {key: repr(to_builtins(view)) for key, view in report.views.items()}  # repr: nan is nan
    return report.headline, report.scalars, views


@pytest.mark.parametrize("arch", ["llama", "gemma2"])
def test_a_long_job_with_predicts_under_edits_between_its_batches_ends_as_one_alone(arch):
    lab = tiny_lab(arch)
    edits = parse_edits(["L1.N3=2; L0.H1=0"])
    alone = new_report()
    execute(lab, "predict", {**SET, "controls": 4}, edits, 3, alone)
    lab.model.clean.clear()
    nested = []

    def between():
        assert lab.hooks_installed() == 0
        if len(nested) < 50:
            inner = new_report()
            nested.append(inner)
            text = f"L2.N{len(nested)}=7; L1.H{len(nested) % 4}*=-3"
            execute(lab, "predict", {"prompt": PROMPT, "controls": 2}, parse_edits([text]), 9, inner)

    long = new_report(between)
    execute(lab, "predict", {**SET, "controls": 4}, edits, 3, long)
    assert nested
    assert everything(long) == everything(alone)
    assert len({report.scalars["kl"] for report in nested}) > len(nested) // 2


def test_a_nested_jobs_failure_does_not_touch_the_outer_one():
    lab = tiny_lab("llama")
    failures = []

    def between():
        try:
            execute(lab, "predict", {"prompt": ""}, [], 0, new_report())
        except UserError as error:
            failures.append(str(error))

    report = new_report(between)
    execute(lab, "logit-lens", {"prompt": PROMPT}, [], 0, report)
    assert failures
    assert report.headline


def test_a_view_of_the_lab_has_its_own_edits_and_seed():
    lab = tiny_lab("llama")
    job = lab.job(parse_edits(["L1.N3=0"]), seed=5)
    other = lab.job(seed=6)
    assert (job.edits, job.seed) != (other.edits, other.seed)
    assert lab.edits == other.edits == ()
    assert job.info is other.info


def test_results_repeat_to_the_bit():
    lab = tiny_lab("qwen2")
    found = []
    for _ in range(2):
        lab.model.clean.clear()
        report = new_report()
        execute(lab, "predict", {"prompt": PROMPT, "controls": 6}, parse_edits(["L1.N3=0"]), 11, report)
        found.append(everything(report))
    assert found[0] == found[1]


def test_a_cancel_between_batches_keeps_what_there_is():
    lab = tiny_lab("llama")

    def between():
        if report.views.get("continuations"):
            raise Cancelled

    report = new_report(between)
    with pytest.raises(Cancelled):
        execute(lab, "generate", {"prompts": SET["prompts"], "tokens": 9}, [], 0, report)
    first = new_report()
    execute(lab, "generate", {"prompts": SET["prompts"], "tokens": 1}, [], 0, first)
    assert report.views["continuations"].rows == first.views["continuations"].rows
    assert lab.hooks_installed() == 0


def test_edits_that_contradict_or_do_not_fit_are_sentences():
    lab = tiny_lab("llama")
    for text in ("L9.N3=0", "L1.N64=0", "L1.H4=0"):
        with pytest.raises(UserError, match="there is no"):
            lab.job(parse_edits([text]))
    with pytest.raises(UserError, match="contradict"):
        lab.job(parse_edits(["L1.N3=0; L1.N3=1"]))


def test_an_unknown_experiment_names_those_there_are():
    with pytest.raises(UserError, match="predict, generate"):
        execute(tiny_lab("llama"), "predictt", {}, [], 0, new_report())


def test_remarks_of_the_load_reach_every_report(monkeypatch):
    lab = tiny_lab("llama")
    monkeypatch.setattr(lab.model, "remarks", ["layer 0: something differs"])
    report = new_report()
    execute(lab, "predict", {"prompt": PROMPT}, [], 0, report)
    assert "layer 0: something differs" in report.notes


def test_a_cache_is_arrays_by_site_with_padding_as_nan():
    lab = tiny_lab("llama")
    texts = ["The river", PROMPT]
    cache = activations_of(lab, texts, ["L1.resid_post", "L0.pattern", "L*.mlp_post"])
    assert set(cache) == {"L1.resid_post", "L0.pattern", "L0.mlp_post", "L1.mlp_post", "L2.mlp_post"}
    assert cache["L1.resid_post"].shape == (2, 5, 32)
    assert cache["L0.pattern"].shape == (2, 4, 5, 5)
    assert cache.tokens[0] == ["The", " river"]
    np.testing.assert_array_equal(cache.mask, [[1, 1, 0, 0, 0], [1, 1, 1, 1, 1]])
    np.testing.assert_array_equal(np.isnan(cache["L1.resid_post"]).all(-1), ~cache.mask)
    assert not np.isnan(cache["L0.pattern"][0, :, :2, :2]).any()
    assert np.isnan(cache["L0.pattern"][0, :, 2:]).all()
    edited = activations_of(lab, PROMPT, "L0.mlp_post", parse_edits(["L0.N3=9"]))
    assert (edited["L0.mlp_post"][0, :, 3] == 9).all()
    with pytest.raises(UserError, match="it holds"):
        cache["L2.resid_post"]
    with pytest.raises(UserError, match="is no site"):
        activations_of(lab, PROMPT, "L0.N3")
