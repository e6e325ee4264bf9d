"""logit-lens: the grid, the lines, and where the answer enters."""

import numpy as np
import pytest

from tests.lab.labs import EVERY, PROMPT, new_report, tiny_lab
from workbench.edits import parse_edits
from workbench.execute import execute
from workbench.lab.lens import lens as lens_of


def ran(arch="llama", edits="", **params):
    report = new_report()
    lab = tiny_lab(arch)
    execute(lab, "logit-lens", params, parse_edits([edits], lab.info), 0, report)
    return report


@pytest.mark.parametrize("arch", EVERY)
def test_the_views_are_the_lens(arch):
    lab = tiny_lab(arch)
    report = ran(arch, prompt=PROMPT, answer=" Paris")
    prompt = lab.prompt(PROMPT)
    lens = lens_of(lab, prompt)
    answer = lab.answer_token(" Paris").id
    rows = [lens.row(at, answer) for at in range(len(lens))]
    grid = report.views["grid"]
    assert grid.row_labels == ["embed", "L0", "L1", "L2"]
    assert grid.column_labels == prompt.tokens
    np.testing.assert_allclose(grid.values, [row.top_probability for row in rows], rtol=1e-5)
    assert grid.texts == [[lab.token(index) for index in row.top_ids] for row in rows]
    np.testing.assert_array_equal(report.views["rank"].series[0].y, [row.answer_rank for row in rows])
    np.testing.assert_allclose(report.views["kl"].series[0].y, [row.kl for row in rows], atol=1e-6)
    assert report.views["kl"].series[0].y[-1] == 0
    likeliest = lab.token(lab.forward(prompt).top(1)[0][0, 0])
    assert grid.texts[-1][-1] == likeliest


def test_the_sentence_says_where_the_answer_enters_to_stay():
    report = ran(prompt=PROMPT)
    ranks = report.views["rank"].series[0].y
    assert ranks[-1] == 1
    enters = len(ranks) - 1
    while enters and ranks[enters - 1] == 1:
        enters -= 1
    assert report.scalars["enters_layer"] == enters - 1
    assert f"top prediction from layer {enters - 1}" in report.headline


def test_an_answer_that_never_leads_says_its_best_rank():
    report = ran(prompt=PROMPT, answer=" Rome")
    ranks = report.views["rank"].series[0].y
    assert report.scalars["enters_layer"] is None
    assert f"is rank {int(ranks[-1]):,} in the end" in report.headline
    assert f"at best rank {int(ranks.min()):,}" in report.headline


def test_under_edits_both_are_shown():
    report = ran(prompt=PROMPT, edits="L1.N3-20=3")
    assert {"grid", "grid_edited", "rank", "kl"} <= set(report.views)
    assert [series.name for series in report.views["rank"].series] == ["clean", "edited"]
    assert "under the edits" in report.headline
    assert report.scalars["answer_probability"] != report.scalars["answer_probability_edited"]


def test_a_long_prompt_shows_its_last_tokens():
    report = ran(prompt="the " * 60, positions=10)
    grid = report.views["grid"]
    assert grid.values.shape == (4, 10)
    assert "the last 10 are shown" in grid.note
    assert ran(prompt="the " * 60, positions=0).views["grid"].values.shape[1] > 60


def test_a_set_is_medians_and_means_over_prompts():
    texts = [PROMPT, "The river is", "The sun is"]
    report = ran(prompts=[{"prompt": text, "answer": " Paris"} for text in texts])
    singles = [ran(prompt=text, answer=" Paris") for text in texts]
    ranks = [one.views["rank"].series[0].y for one in singles]
    kls = np.asarray([one.views["kl"].series[0].y for one in singles])
    np.testing.assert_allclose(report.views["rank"].series[0].y, np.median(ranks, axis=0))
    np.testing.assert_allclose(report.views["kl"].series[0].y, kls.mean(0), rtol=1e-3, atol=1e-6)
    se = kls.std(0, ddof=1) / np.sqrt(3)
    np.testing.assert_allclose(report.views["kl"].series[0].high - kls.mean(0), se, rtol=1e-2, atol=1e-6)
    assert report.views["grid"].column_labels == texts
    assert "of 3" in report.headline


@pytest.mark.parametrize("arch", EVERY)
def test_the_layer_it_suggests_is_where_the_answers_probability_grows_most(arch):
    report = ran(arch, prompt=PROMPT)
    lab = tiny_lab(arch)
    lens = lens_of(lab, lab.prompt(PROMPT))
    answer = int(lab.forward(lab.prompt(PROMPT)).top(1)[0][0, 0])
    p = [lens.row(at, answer).answer_probability for at in range(len(lens))]
    layer = int(np.diff(p).argmax())
    units = [step.params["units"] for step in report.next_steps if step.experiment == "activations"]
    assert units == ([f"L{layer}.H*"] if np.diff(p).max() > 0 else [])
