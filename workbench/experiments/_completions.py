"""Completions and what is measured of each: under which conditions they were written is the experiment's. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from workbench.lab.continuation import Continuation, Row, distinct, loops
from workbench.report import Report
from workbench.statistics import Mean, mean

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.editing import Plan
    from workbench.lab.prompts import Prompt


@dataclass(frozen=True)
class Completion:
    """One prompt's, measured."""

    text: str
    tokens: int
    surprise: float
    """mean over its tokens under the unedited model after the plain prompt, nats"""
    kl: float
    """KL(clean ‖ edited) of the next token after the prompt, nats"""
    log_odds: float
    """of the target after the prompt, nats; nan where none is measured"""
    distinct: tuple[float, float]
    """distinct-1 and distinct-2"""
    loops: bool
    end: str
    """why it ended before the limit; empty where it did not"""


class Measured:
    """What has completions, one a prompt."""

    completions: list[Completion]

    @property
    def perplexity(self) -> float:
        """Under the unedited model: e to the mean surprise of a token, every prompt counting alike."""
        return float(np.exp(mean([completion.surprise for completion in self.completions]).value))

    @property
    def kl(self) -> Mean:
        return mean([completion.kl for completion in self.completions])

    @property
    def loops(self) -> int:
        return sum(completion.loops for completion in self.completions)

    @property
    def tokens(self) -> float:
        """Mean length."""
        return mean([completion.tokens for completion in self.completions]).value

    def distinct(self, n: Literal[1, 2]) -> float:
        """Mean distinct-n; nan where no completion has n tokens."""
        values = [completion.distinct[n - 1] for completion in self.completions]
        return mean([value for value in values if not np.isnan(value)]).value


def measure(
    lab: Lab, prompt: Prompt, rows: Sequence[Row], continuations: Sequence[Continuation], targets: Sequence[int] = ()
) -> list[Completion]:
    """The continuations of one prompt's rows; all are read by the unedited model after that prompt itself.

    `targets` are token ids. Raises NotFinite.
    """
    from workbench.lab.steering import clean_surprise, next_tokens

    after = next_tokens(lab, prompt, rows, targets)
    surprises = clean_surprise(lab, [prompt] * len(rows), [continuation.ids for continuation in continuations])
    return [
        Completion(
            text=continuation.text,
            tokens=len(continuation.ids),
            surprise=float(np.mean(surprises[place])),
            kl=float(after.kl[place]),
            log_odds=float(after.log_odds[place]),
            distinct=(distinct(continuation.ids, 1), distinct(continuation.ids, 2)),
            loops=loops(continuation.ids),
            end=continuation.end,
        )
        for place, continuation in enumerate(continuations)
    ]


def rounding_floor(lab: Lab, prompts: Sequence[Prompt], plan: Plan, report: Report) -> float:
    """Mean KL at the last position that rounding alone makes where `plan` begins, the larger of two draws, nats."""
    from workbench.lab.rounding import DRAWS_OF_SETS, rounding_plans
    from workbench.lab.steering import next_tokens

    plans = rounding_plans(plan, lab.info.n_layers, DRAWS_OF_SETS, lab.seed)
    tracked = report.track(prompts, "prompts", stage="what rounding alone does")
    kls = [next_tokens(lab, prompt, [Row(prompt, draw) for draw in plans]).kl for prompt in tracked]
    return float(np.mean(kls, axis=0).max())
