"""predict: what it says of one prompt and of a set, clean and under edits."""

import numpy as np
import pytest
import torch

from tests.lab.labs import EVERY, PROMPT, new_report, plain, tiny_lab
from workbench.edits import parse_edits
from workbench.errors import UserError
from workbench.execute import execute
from workbench.lab.controls import controls as draw_controls
from workbench.text import probability, show_token
from workbench.views import Histogram, Table, Tokens

SET = [
    {"prompt": PROMPT, "answer": " Paris", "foil": " Rome"},
    {"prompt": "When Mary and John went to the store, John gave a drink to", "answer": " Mary"},
    {"prompt": "The capital of Japan is", "answer": " Tokyo"},
]


def ran(arch="llama", edits="", seed=0, **params):
    report = new_report()
    lab = tiny_lab(arch)
    execute(lab, "predict", params, parse_edits([edits], lab.info), seed, report)
    return report


def items(report):
    return {item.name: item for item in report.views["numbers"].items}


@pytest.mark.parametrize("arch", EVERY)
def test_one_prompt_in_numbers(arch):
    lab = tiny_lab(arch)
    report = ran(arch, prompt=PROMPT, answer=" Paris", foil=" Rome", top=5)
    prompt = lab.prompt(PROMPT)
    logits = plain(arch).logits(torch.from_numpy(prompt.ids)[None])[0].double()
    logp = torch.log_softmax(logits, -1)
    paris, rome = lab.answer_token(" Paris").id, lab.answer_token(" Rome").id
    wanted = {
        "top1_probability": logp[-1].max().exp(),
        "entropy": -(logp[-1].exp() * logp[-1]).sum(),
        "answer_probability": logp[-1, paris].exp(),
        "answer_rank": 1 + (logits[-1] > logits[-1, paris]).sum(),
        "logit_difference": logits[-1, paris] - logits[-1, rome],
        "loss": -logp[:-1].gather(-1, torch.from_numpy(prompt.ids[1:])[:, None]).mean(),
    }
    assert report.scalars == {name: pytest.approx(float(value), rel=1e-4) for name, value in wanted.items()}
    table = report.views["next"]
    assert isinstance(table, Table)
    assert [column.key for column in table.columns] == ["rank", "token", "probability", "log_prob"]
    order = logits[-1].argsort(descending=True)[:5]
    assert [row[:2] for row in table.rows] == [[at + 1, lab.token(index)] for at, index in enumerate(order)]
    strip = report.views["surprise"]
    assert isinstance(strip, Tokens)
    assert strip.note == prompt.describe
    assert next(iter(report.views)) == "next"
    assert report.headline.startswith(f"' Paris' {probability(float(wanted['answer_probability']))} after '{PROMPT}'")
    assert f"the top prediction is {show_token(lab.token(order[0]))}" in report.headline


def test_without_an_answer_the_likeliest_is_watched():
    report = ran(prompt=PROMPT)
    assert report.scalars["answer_rank"] == 1
    assert report.scalars["answer_probability"] == report.scalars["top1_probability"]
    assert "rank" not in report.headline


def test_under_edits_clean_stands_beside_edited_and_the_effect_beside_its_controls():
    lab = tiny_lab("llama")
    report = ran(prompt=PROMPT, answer=" Paris", edits="L1.N3=9; L0.H1=0", controls=8)
    prompt = lab.prompt(PROMPT)
    clean, edited = lab.forward(prompt), lab.forward(prompt, parse_edits(["L1.N3=9; L0.H1=0"]))
    kl = edited.kl_from(clean)[0]
    assert report.scalars["kl"] == pytest.approx(kl[-1])
    assert report.scalars["kl_mean"] == pytest.approx(kl[1:].mean())
    assert report.scalars["entropy_edited"] == pytest.approx(edited.entropy()[0])
    assert report.scalars["answer_probability"] != report.scalars["answer_probability_edited"]
    later = lab.forward(prompt, lab.plan(parse_edits(["L1.N3=9; L0.H1=0"]), skip_first=True))
    assert report.scalars["kl_without_first"] == pytest.approx(later.kl_from(clean)[0][-1])
    plans = draw_controls(lab, parse_edits(["L1.N3=9; L0.H1=0"]), 8).plans
    values = [lab.forward(prompt, plan).last_kl_from(clean)[0] for plan in plans]
    assert report.scalars["controls"] == 8
    assert report.scalars["kl_controls_median"] == pytest.approx(np.median(values), rel=1e-4)
    smaller = int((values < kl[-1]).sum())
    assert report.scalars["kl_percentile"] == pytest.approx((smaller + 0.5) / 9)
    assert [row.name for row in report.views["surprise"].rows] == ["clean", "edited"]
    assert [column.key for column in report.views["next"].columns][2:4] == ["probability", "probability_edited"]
    band = report.views["controls"]
    assert isinstance(band, Histogram)
    assert band.series[0].y.sum() == 8
    assert "8 matched random pairs: median " in report.headline
    assert items(report)["entropy"].edited == report.scalars["entropy_edited"]


def test_the_effect_comes_first_and_the_controls_fill_in():
    said = []
    lab = tiny_lab("llama")
    report = new_report(lambda: said.append(report.headline))
    long = "The quick brown fox jumps over the lazy dog. " * 5  # few rows fit a batch
    execute(lab, "predict", {"prompt": long, "controls": 40}, parse_edits(["L1.N3-8=9"]), 0, report)
    assert "KL" in said[0]
    assert " of 40 " not in report.headline
    assert any(" of 40 matched random sets of 6 neurons" in headline for headline in said[1:])
    assert len({headline for headline in said if " of 40 " in headline}) > 1


def test_an_edit_that_does_nothing_is_within_its_controls():
    report = ran(prompt=PROMPT, edits="L1.N3*=1", controls=6)
    assert report.scalars["kl"] == 0
    assert report.scalars["kl_percentile"] == pytest.approx(0.5)
    assert "equal to all 6 within rounding" in report.headline


def test_edits_without_controls_say_why():
    report = ran(prompt=PROMPT, edits="L1.H*=0")
    assert any("nothing to compare them with" in note for note in report.notes)
    assert "controls" not in report.scalars
    assert "KL" in report.headline


def test_a_set_is_a_row_a_prompt_and_means_with_their_errors():
    lab = tiny_lab("llama")
    report = ran(prompts=SET, edits="L1.N3=9", controls=4)
    prompts = [lab.prompt(row["prompt"]) for row in SET]
    answers = [lab.answer_token(row["answer"]).id for row in SET]
    edits = parse_edits(["L1.N3=9"])
    p, kls, losses, tokens = [], [], [], []
    for prompt, answer in zip(prompts, answers, strict=True):
        clean = lab.forward(prompt)
        p.append(float(np.exp(clean.log_prob(np.asarray([answer]))[0])))
        kls.append(lab.forward(prompt, edits).kl_from(clean)[0])
        losses.append(clean.surprise()[0][1:].sum())
        tokens.append(len(prompt) - 1)
    assert report.scalars["answer_probability"] == pytest.approx(np.mean(p), rel=1e-3)
    assert items(report)["probability of the answer"].se == pytest.approx(np.std(p, ddof=1) / np.sqrt(3), rel=1e-3)
    last = [kl[-1] for kl in kls]
    assert report.scalars["kl"] == pytest.approx(np.mean(last), rel=1e-3)
    # Over tokens, with the error clustered by prompt.
    mu = np.sum(losses) / np.sum(tokens)
    se = np.sqrt(3 / 2 * ((np.asarray(losses) - np.asarray(tokens) * mu) ** 2).sum() / np.sum(tokens) ** 2)
    loss = items(report)["loss along the prompts"]
    assert (loss.value, loss.se, loss.n) == (pytest.approx(mu, rel=1e-3), pytest.approx(se, rel=1e-2), 3)
    table = report.views["prompts"]
    assert [row[0] for row in table.rows] == [row["prompt"] for row in SET]
    assert [row[1] for row in table.rows] == [row["answer"] for row in SET]
    assert items(report)["logit of answer − foil"].n == 1  # the others name no foil
    controls = [
        np.mean([lab.forward(one, plan).last_kl_from(lab.forward(one))[0] for one in prompts])
        for plan in draw_controls(lab, edits, 4).plans
    ]
    assert report.scalars["kl_controls_median"] == pytest.approx(np.median(controls), rel=1e-2)
    assert "over 3 prompts" in report.headline


def test_a_set_names_the_prompt_that_is_wrong():
    with pytest.raises(UserError, match="prompt 2 of the set: the prompt is empty"):
        ran(prompts=[{"prompt": "The"}, {"prompt": ""}])
    with pytest.raises(UserError, match="both given"):
        ran(prompt="The", prompts=[{"prompt": "The"}])


def test_a_prompt_of_one_token_has_no_loss():
    report = ran(prompt="The", edits="L1.N3=9", controls=2)
    assert report.scalars["loss"] is None
    assert "kl_mean" not in report.scalars
    assert "loss along the prompt" not in items(report)


def test_an_answer_of_several_tokens_says_which_is_measured():
    report = ran(prompt=PROMPT, answer=" Parisian")
    assert report.notes == ["' Parisian' is 3 tokens: its first, ' Paris', is measured"]


@pytest.mark.parametrize("edits", ["", "L1.N3=9"])
def test_next_steps_can_be_taken_as_they_are(edits):
    report = ran(prompt=PROMPT, edits=edits, controls=2)
    assert 1 <= len(report.next_steps) <= 3
    for step in report.next_steps:
        taken = new_report()
        lab = tiny_lab("llama")
        execute(lab, step.experiment, step.params, parse_edits(step.edits or [edits]), 0, taken)
        assert taken.headline
