"""Bypass, induce and KL of many directions in one pass: against plain hooks, one prompt and one direction at a time."""

import numpy as np
import pytest
import torch

from tests.lab.labs import EVERY, new_report, plain, tiny_lab
from workbench.lab.directions.scores import Scores, behaviour_scores, replies, scores

TEXTS = ("The capital of France is", "Mary gave it", "I cannot help", "The quick brown fox jumps over the lazy dog.")


@pytest.mark.parametrize("arch", EVERY)
def test_every_row_is_what_hooks_of_that_direction_alone_give(arch):
    lab, reference, report = tiny_lab(arch), plain(arch), new_report()
    prompts = [lab.prompt(text, chat=True) for text in TEXTS]
    targets = [lab.model.tokens.reply_token(text) for text in ("I", "The")]
    of_prompts = replies(lab.model, prompts, targets, report, keep=True)
    vectors = np.random.default_rng(0).normal(size=(4, 32)) * 3
    vectors[3] = 0
    *tokens, scored = scores(of_prompts, of_prompts, 1, vectors, report)
    assert isinstance(scored, Scores)
    assert sum(tokens) == 3 * 4 * sum(map(len, prompts))

    def probabilities(ids, changes=()):
        return torch.softmax(reference.logits(ids, changes)[:, -1].double(), -1)[0]

    def score(p):
        inside = p[targets].sum()
        return float(torch.log(inside + 1e-8) - torch.log(1 - inside + 1e-8))

    for at, prompt in enumerate(prompts):
        ids = torch.from_numpy(prompt.ids)[None]
        base = probabilities(ids)
        assert of_prompts.scores[at] == pytest.approx(score(base), abs=1e-4)
        for row, vector in enumerate(torch.from_numpy(vectors).float()):
            unit = vector / vector.norm() if vector.any() else vector
            out = [
                (layer, site, lambda x, unit=unit: x - (x @ unit)[..., None] * unit)
                for layer in range(3)
                for site in ("resid_pre", "attn_out", "mlp_out")
            ]
            ablated = probabilities(ids, out)
            added = probabilities(ids, [(1, "resid_pre", lambda x, vector=vector: x + vector)])
            kl = float((base * (torch.log(base + 1e-6) - torch.log(ablated + 1e-6))).sum())
            assert scored.bypass[row, at] == pytest.approx(score(ablated), abs=1e-3)
            assert scored.away[row, at] == scored.bypass[row, at]
            assert scored.induce[row, at] == pytest.approx(score(added), abs=1e-3)
            assert scored.kl[row, at] == pytest.approx(kl, abs=1e-4)


def test_numbers_that_are_not_finite_are_nan_and_stop_nothing():
    lab, report = tiny_lab("llama"), new_report()
    prompts = [lab.prompt(text, chat=True) for text in TEXTS]
    of_prompts = replies(lab.model, prompts, [5], report, keep=True)
    vectors = np.stack([np.full(32, np.inf), np.ones(32)])
    *_, scored = scores(of_prompts, of_prompts, 1, vectors, report)
    assert np.isnan(scored.induce[0]).all()
    assert np.isfinite(scored.induce[1]).all()
    assert lab.hooks_installed() == 0


def test_a_score_is_the_log_odds_with_1e_8():
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0]]))
    expected = [np.log(0.7 + 1e-8) - np.log(0.3 + 1e-8), np.log(1 + 1e-8) - np.log(1e-8)]
    np.testing.assert_allclose(behaviour_scores(logits, [0, 2]), expected, rtol=1e-6)
