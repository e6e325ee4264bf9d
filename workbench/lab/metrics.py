"""Numbers from logits. Log-softmax in float32, sums in float64; KL in nats, KL(clean ‖ edited).

A token with logit −∞ is ruled out: it has probability 0, and 0 · log 0 counts as 0.
"""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy, log_softmax

ROWS = 64
"""positions at a time: a block of [64, vocabulary] stays near the processor"""


def log_probs(logits: torch.Tensor) -> torch.Tensor:
    """float32 log-softmax over the last axis, [..., vocabulary]."""
    return log_softmax(logits.float(), dim=-1)


def entropy(logp: torch.Tensor) -> torch.Tensor:
    """Nats, float64 [...], of log-probabilities [..., vocabulary]."""
    p = logp.exp()
    return -torch.where(p > 0, p * logp, 0).sum(-1, dtype=torch.float64)


def rank(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """1 + how many tokens have a larger logit, int64 [...]; `logits` [..., vocabulary], `ids` [...]."""
    token_logits = logits.gather(-1, ids.unsqueeze(-1))
    return (logits > token_logits).sum(-1) + 1


def surprise(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """−log p of each token given those before it, nats, float32 [batch, position]; nan at position 0.

    `logits` [batch, position, vocabulary], `ids` [batch, position].
    """
    batch, length, vocabulary = logits.shape
    surprises = torch.full((batch, length), float("nan"), device=logits.device)
    for start in range(0, length - 1, ROWS):
        stop = min(start + ROWS, length - 1)
        block = logits[:, start:stop].float()
        targets = ids[:, start + 1 : stop + 1]
        loss = cross_entropy(block.reshape(-1, vocabulary), targets.reshape(-1), reduction="none")
        surprises[:, start + 1 : stop + 1] = loss.view(batch, stop - start)
    return surprises


def kl(clean: torch.Tensor, edited: torch.Tensor) -> torch.Tensor:
    """KL(clean ‖ edited) in nats, float64 [...], of logits [..., vocabulary] of equal shape; never below 0."""
    vocabulary = clean.shape[-1]
    p, q = clean.reshape(-1, vocabulary), edited.reshape(-1, vocabulary)
    divergences = torch.empty(len(p), dtype=torch.float64, device=p.device)
    for start in range(0, len(p), ROWS):
        logp, logq = log_probs(p[start : start + ROWS]), log_probs(q[start : start + ROWS])
        likely = logp.exp()
        terms = torch.where(likely > 0, likely * (logp - logq), 0)
        divergences[start : start + ROWS] = terms.sum(-1, dtype=torch.float64)
    return divergences.clamp_(min=0).view(clean.shape[:-1])
