"""The next token of a prompt in numbers: entropy, the answer and its rank, surprise along the prompt. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from workbench.lab.forward import Forward


@dataclass(frozen=True)
class PromptNumbers:
    """One prompt in numbers; `nan` where there is none."""

    top1: float
    entropy: float
    answer: float
    rank: int
    difference: float
    surprise: np.ndarray
    """nats, [position]; nan at position 0"""

    @property
    def loss(self) -> float:
        return float(np.mean(self.surprise[1:], dtype=np.float64)) if len(self.surprise) > 1 else float("nan")


def prompt_numbers(forward: Forward, answers: np.ndarray, foils: Sequence[int | None]) -> list[PromptNumbers]:
    """`answers` int64 [batch]; a foil is None where there is none."""
    has_foil = np.asarray([foil is not None for foil in foils])
    difference = forward.logit(answers) - forward.logit(np.asarray([foil or 0 for foil in foils]))
    columns = (
        np.exp(forward.top(1)[1][:, 0]),
        forward.entropy(),
        np.exp(forward.log_prob(answers)),
        forward.rank(answers),
        np.where(has_foil, difference, np.nan),
    )
    return [
        PromptNumbers(float(a), float(b), float(c), int(d), float(e), surprise)
        for a, b, c, d, e, surprise in zip(*columns, forward.surprise(), strict=True)
    ]
