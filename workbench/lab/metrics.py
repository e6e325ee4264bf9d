"""Numbers from logits. Log-softmax in float32, sums in float64; KL in nats, KL(clean ‖ edited), in float64.

A token with logit −∞ is ruled out: it has probability 0, and 0 · log 0 counts as 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import cross_entropy, log_softmax

from workbench.batch_memory import ROWS

KL_BLOCK = {"cpu": 1 << 18, "other": 1 << 24}
"""logits at a time, so that what is made of them in float64 stays in the processor's cache, or in little memory"""

WITHOUT_FLOAT64 = {"mps"}
"""kinds of devices that don't compute in float64: what needs it is computed on the CPU"""


def log_probs(logits: torch.Tensor) -> torch.Tensor:
    """Log-softmax over the last axis, [..., vocabulary]; in float64 where the logits are, else in float32."""
    return log_softmax(at_least_float32(logits), dim=-1)


def at_least_float32(tensor: torch.Tensor) -> torch.Tensor:
    """In float64 where it is, else in float32."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def as_float64(tensor: torch.Tensor) -> torch.Tensor:
    """On the tensor's device, or on the CPU where the device has no float64."""
    return beside(tensor, float64_device(tensor.device)).double()


def sum_float64(tensor: torch.Tensor, dim: int) -> torch.Tensor:
    """Summed in float64, without a copy in it; on the CPU where the device has none."""
    return beside(tensor, float64_device(tensor.device)).sum(dim, dtype=torch.float64)


def mean_float64(tensor: torch.Tensor, dim: int) -> torch.Tensor:
    """As `sum_float64`."""
    return beside(tensor, float64_device(tensor.device)).mean(dim, dtype=torch.float64)


def beside(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """On that device; where it is there already, nothing is asked of it."""
    return tensor if tensor.device == device else tensor.to(device)


def float64_device(device: torch.device) -> torch.device:
    """Where numbers of the device are summed in float64."""
    return torch.device("cpu") if device.type in WITHOUT_FLOAT64 else device


def entropy(logp: torch.Tensor) -> torch.Tensor:
    """Nats, float64 [...], of log-probabilities [..., vocabulary]."""
    p = logp.exp()
    return -sum_float64(torch.where(p > 0, p * logp, 0), -1)


def log_odds(logits: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
    """log p/(1 − p), p the probability of the tokens `ids` together: nats, float64 [...]; nan without any.

    `logits` [..., vocabulary]. From sums over both sides: it does not saturate where p is nearly 0 or 1.
    """
    if not ids:
        return torch.full(logits.shape[:-1], float("nan"), dtype=torch.float64)
    wide = as_float64(logits)
    inside = torch.zeros(logits.shape[-1], dtype=torch.bool, device=wide.device)
    inside[list(ids)] = True
    return wide[..., inside].logsumexp(-1) - wide[..., ~inside].logsumexp(-1)


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
    """KL(clean ‖ edited) in nats, float64 [...], of logits [..., vocabulary] of equal shape; never below 0.

    With p the clean distribution and δ the change of the logits, less its mean under p, it is log Σ p·e^δ =
    log1p Σ p·(e^δ − 1 − δ): what cancels in Σ p·(log p − log q), and drowned effects under 1e-5 in float32, is gone
    before anything is summed. On the CPU where the device has no float64.
    """
    vocabulary = clean.shape[-1]
    p_logits, q_logits = clean.reshape(-1, vocabulary), edited.reshape(-1, vocabulary)
    divergences = torch.empty(len(p_logits), dtype=torch.float64, device=float64_device(clean.device))
    rows = max(1, KL_BLOCK["cpu" if clean.device.type == "cpu" else "other"] // vocabulary)
    for start in range(0, len(p_logits), rows):
        block, other = (each[start : start + rows].to(divergences.device).float() for each in (p_logits, q_logits))
        divergences[start : start + rows] = _kl_of_block(block, other)
    return divergences.clamp_(min=0).view(clean.shape[:-1])


def _kl_of_block(p_logits: torch.Tensor, q_logits: torch.Tensor) -> torch.Tensor:
    """Of float32 logits [row, vocabulary]; float64 [row]."""
    p = torch.softmax(p_logits, dim=-1).double()
    p /= p.sum(-1, keepdim=True)
    delta = torch.where(p > 0, q_logits.double() - p_logits.double(), 0)
    mean = (p * delta).sum(-1, keepdim=True)
    delta -= mean
    gained = (p * (torch.expm1(delta) - delta)).sum(-1)
    without = p == 0  # ruled out by the clean model, or too unlikely for float32
    if without.any():
        start = p_logits.double().logsumexp(-1, keepdim=True) + mean
        gained += torch.where(without, (q_logits.double() - start).exp(), 0).sum(-1)
    ruled_out = ((p > 0) & (q_logits == -torch.inf)).any(-1)
    return torch.where(ruled_out, torch.inf, torch.log1p(gained))
