"""What is measured of steered rows: their next token beside the clean one, and their text under the unedited model.

Damage is never measured by the model that was edited: a broken one finds its own text likely.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from workbench.lab import metrics
from workbench.lab.batches import batches, rows_at_once
from workbench.lab.continuation import Row
from workbench.lab.editing import CLEAN, Plan
from workbench.lab.forward import run_forward
from workbench.lab.model import Lab
from workbench.lab.prompts import Prompt
from workbench.lab.values import Values
from workbench.units import Site


@dataclass(frozen=True)
class NextTokens:
    """Of rows, at each one's last prompt position."""

    kl: np.ndarray
    """KL(clean ‖ row), nats, float64 [row]"""
    log_odds: np.ndarray
    """log p/(1 − p) of the target tokens together, nats, float64 [row]; nan without targets"""


def next_tokens(lab: Lab, clean: Prompt, rows: Sequence[Row], targets: Sequence[int] = ()) -> NextTokens:
    """Rows beside the prompt `clean` without edits, which goes through in every batch: both have one shape.

    `targets` are token ids, each once. Raises NotFinite.
    """
    kls: list[np.ndarray] = []
    log_odds: list[np.ndarray] = []
    longest = max(len(prompt) for prompt in (clean, *(row.prompt for row in rows)))
    size = max(1, rows_at_once(lab.model, longest, "forward") - 1)
    for batch in batches(rows, size, lab.report, lab.model, progress_per_row=0):
        with batch:
            prompts = [clean, *(row.prompt for row in batch.rows)]
            forward = run_forward(lab.model, prompts, [CLEAN, *(row.plan for row in batch.rows)], keep="last")
            assert forward.last is not None
            kl = forward.last_kl_from(forward.row(0))[1:]
            odds = metrics.log_odds(forward.last[1:], targets).cpu().numpy()
        if not batch.failed:
            kls.append(kl)
            log_odds.append(odds)
    return NextTokens(np.concatenate(kls), np.concatenate(log_odds))


def clean_surprise(lab: Lab, prompts: Sequence[Prompt], continuations: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """−log p under the unedited model of each token of the `continuations` (ids) after their prompts.

    Nats, float64 [token] for each row; all of them in as few passes as memory allows. Raises NotFinite.
    """
    texts = [followed_by(prompt, ids) for prompt, ids in zip(prompts, continuations, strict=True)]
    kept: list[np.ndarray] = []
    size = rows_at_once(lab.model, max(map(len, texts)), "forward")
    for batch in batches(texts, size, lab.report, lab.model, progress_per_row=0):
        with batch:
            rows = surprises(lab, batch.rows)
        if not batch.failed:
            kept += rows
    return [surprise[len(prompt) :] for prompt, surprise in zip(prompts, kept, strict=True)]


def followed_by(prompt: Prompt, ids: Sequence[int]) -> Prompt:
    """A prompt and the tokens that came after it, to be read in one pass."""
    return replace(prompt, ids=np.concatenate([prompt.ids, np.asarray(ids, dtype=np.int64)]))


def surprises(lab: Lab, texts: Sequence[Prompt], plan: Plan = CLEAN) -> list[np.ndarray]:
    """−log p of each token of each text under a plan, in one pass: nats, float64 [token], nan at position 0."""
    return [row.astype(np.float64) for row in run_forward(lab.model, texts, [plan]).surprise()]


def direction_norm(lab: Lab, name: str) -> float:
    """‖@name‖ as stored."""
    return float(np.linalg.norm(lab.weights.direction(name).astype(np.float64)))


def stream_norm(lab: Lab, layer: int) -> float:
    """Median of ‖resid_pre‖ of a layer over the workbench's own sample text, position 0 left out."""
    stream = Values(lab.model, 0, False, lab.weights).sample(Site(layer, "resid_pre"))
    return float(torch.linalg.vector_norm(stream.cpu().double(), dim=-1).median())
