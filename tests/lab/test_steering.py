"""What is measured of steered rows, against plain hooks on the Hugging Face model."""

import math

import numpy as np
import pytest
import torch

from tests.lab.labs import PROMPT, plain, tiny_lab
from workbench.artifacts.direction import Direction
from workbench.edits import parse_edits
from workbench.lab import metrics
from workbench.lab.continuation import Row, distinct, loops
from workbench.lab.steering import clean_surprise, direction_norm, next_tokens, stream_norm


def steered_lab(arch="llama", scale=1.0):
    lab = tiny_lab(arch)
    vector = scale * np.random.default_rng(3).standard_normal(lab.info.d_model).astype("<f4")
    return lab.job(directions={"d": Direction(name="d", vector=vector.tobytes())}), torch.from_numpy(vector)


@pytest.mark.parametrize("arch", ["llama", "gpt2", "gpt_neox"])
def test_kl_and_log_odds_of_the_next_token_equal_plain_hooks(arch):
    lab, vector = steered_lab(arch)
    prompt = lab.prompt(PROMPT)
    longer = lab.prompt("In the morning the sun is red. " + PROMPT)
    plan = lab.plan(parse_edits(["L1.resid_pre+=2*@d"], lab.info))
    rows = [Row(prompt, lab.plan(())), Row(prompt, plan), Row(longer, lab.plan(()))]
    after = next_tokens(lab, prompt, rows, (7, 40))
    reference = plain(arch)
    change = (1, "resid_pre", lambda stream: stream + 2 * vector)
    expected = [
        reference.logits(torch.from_numpy(row.prompt.ids)[None], [change] if row.plan is plan else [])[0, -1].double()
        for row in rows
    ]
    logps = [logits.log_softmax(-1) for logits in expected]
    kls = [float((logps[0].exp() * (logps[0] - logp)).sum()) for logp in logps]
    odds = [float(logp.exp()[[7, 40]].sum()) for logp in logps]
    assert after.kl == pytest.approx(kls, abs=1e-5)
    assert after.kl[0] < 1e-9
    assert after.log_odds == pytest.approx([math.log(p / (1 - p)) for p in odds], abs=1e-4)


def test_log_odds_do_not_saturate_and_take_several_tokens():
    logits = torch.tensor([[60.0, 0.0, 1.0]])
    assert float(metrics.log_odds(logits, [0])) == pytest.approx(60 - math.log(1 + math.e))
    assert float(metrics.log_odds(logits, [1, 2])) == pytest.approx(math.log(1 + math.e) - 60)
    assert metrics.log_odds(logits, []).isnan().all()


@pytest.mark.parametrize("arch", ["llama", "gemma2"])
def test_surprise_is_the_unedited_models_and_of_the_continuation_alone(arch):
    lab, _ = steered_lab(arch)
    prompts = [lab.prompt(PROMPT), lab.prompt("The river is"), lab.prompt(PROMPT)]
    continuations = [[5, 6, 7], [300, 5, 5, 5, 9], [8]]
    surprises = clean_surprise(lab, prompts, continuations)
    for prompt, ids, surprise in zip(prompts, continuations, surprises, strict=True):
        text = torch.tensor([[*prompt.ids.tolist(), *ids]])
        logp = plain(arch).logits(text)[0].double().log_softmax(-1)
        places = range(len(prompt) - 1, len(prompt) - 1 + len(ids))
        assert surprise == pytest.approx(
            [-float(logp[at, token]) for at, token in zip(places, ids, strict=True)], abs=1e-4
        )


def test_distinct_n_by_hand():
    assert distinct([1, 2, 1, 2, 3], 1) == 3 / 5
    assert distinct([1, 2, 1, 2, 3], 2) == 3 / 4
    assert distinct([1, 1, 1, 1], 2) == 1 / 3
    assert math.isnan(distinct([1], 2))


def test_a_text_loops_that_ends_in_copies_of_one_stretch():
    assert loops([9, 8, *[1, 2, 3] * 4])
    assert loops([9, *[4] * 12])
    assert loops([9, *range(20), *range(20), *range(20)])
    assert not loops([9, *[4] * 11])
    assert not loops([*[1, 2, 3] * 4, 9])
    assert not loops(list(range(60)))
    assert not loops([*range(20), *range(20)])


def test_norms():
    lab, vector = steered_lab(scale=3.0)
    assert direction_norm(lab, "d") == pytest.approx(float(vector.double().norm()))
    from workbench.lab.strength import sample_prompts

    streams = [
        plain("llama").read(torch.from_numpy(prompt.ids)[None], 1, "resid_pre")[0, 1:].double()
        for prompt in sample_prompts(lab.model)
    ]
    assert stream_norm(lab, 1) == pytest.approx(float(torch.cat(streams).norm(dim=-1).median()), rel=1e-5)
