"""KL is right where float32 would drown it, and where a token is ruled out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.lab import metrics


def exact(clean: torch.Tensor, edited: torch.Tensor) -> float:
    """With 40 digits, from the definition."""
    from mpmath import mp, mpf  # of sympy, which torch needs

    with mp.workdps(40):
        p_logits, q_logits = ([mpf(float(value)) for value in row] for row in (clean, edited))
        p_sum, q_sum = sum(map(mp.exp, p_logits)), sum(map(mp.exp, q_logits))
        return float(
            sum(
                mp.exp(p) / p_sum * ((p - mp.log(p_sum)) - (q - mp.log(q_sum)))
                for p, q in zip(p_logits, q_logits, strict=True)
            )
        )


@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("shift", [0.0, 30.0])
def test_small_effects_are_exact(scale: float, shift: float) -> None:
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(2, 60, generator=generator) * 4
    edited = (clean.double() + scale * torch.randn(2, 60, generator=generator) + shift).float()
    expected = [exact(*rows) for rows in zip(clean, edited, strict=True)]
    np.testing.assert_allclose(metrics.kl(clean, edited).numpy(), expected, rtol=1e-6)


def test_what_is_equal_has_none() -> None:
    logits = torch.randn(3, 5, 100)
    assert metrics.kl(logits, logits).tolist() == [[0.0] * 5] * 3
    assert metrics.kl(logits, logits + 2).max() < 1e-12


def test_a_token_that_is_ruled_out_counts_as_nothing_where_it_had_nothing() -> None:
    clean = torch.tensor([0.0, 1.0, -torch.inf])
    assert float(metrics.kl(clean, clean)) == 0
    expected = float(torch.logsumexp(torch.tensor([0.0, 1.0, 5.0]), 0) - torch.logsumexp(torch.tensor([0.0, 1.0]), 0))
    assert float(metrics.kl(clean, torch.tensor([0.0, 1.0, 5.0]))) == pytest.approx(expected, rel=1e-6)
    far = torch.tensor([0.0, 1.0, -200.0])  # p of the last is 0 in float32
    assert float(metrics.kl(far, torch.tensor([0.0, 1.0, 5.0]))) == pytest.approx(expected, rel=1e-6)
    assert float(metrics.kl(torch.tensor([0.0, 1.0, 5.0]), clean)) == torch.inf
