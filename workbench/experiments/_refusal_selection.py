"""Which candidate is chosen, and which rule takes which: numbers alone, no torch (METHODS, "Refusal")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from workbench.text import number

DEPTH = 0.8
"""of the layers: those from int(.8 L) on are too late"""
MOST_KL = 0.1
LEAST_INDUCE = 0.0

Rule = Literal["length", "finite", "layer", "kl", "induce"]
RULES: dict[Rule, str] = {
    "length": "no length",
    "finite": "not finite",
    "layer": "layer too late",
    "kl": f"KL > {number(MOST_KL)}",
    "induce": f"induce < {number(LEAST_INDUCE)}",
}


@dataclass(frozen=True)
class Scored:
    """A candidate and its three scores."""

    layer: int
    position: int
    """from the end: −1 is the last token"""
    norm: float
    bypass: float
    induce: float
    kl: float

    def broken(self, n_layers: int) -> tuple[Rule, ...]:
        """The rules that take it out; empty where none does. One without length or finite scores has no other."""
        if not self.norm > 0:
            return ("length",)
        if not np.isfinite([self.bypass, self.induce, self.kl]).all():
            return ("finite",)
        rules: list[tuple[Rule, bool]] = [
            ("layer", self.layer >= int(DEPTH * n_layers)),
            ("kl", self.kl > MOST_KL),
            ("induce", self.induce < LEAST_INDUCE),
        ]
        return tuple(rule for rule, is_broken in rules if is_broken)


@dataclass(frozen=True)
class Taken:
    """What one rule does."""

    rule: Rule
    n: int
    """candidates that break it"""
    n_alone: int
    """those that break no other: relaxing it gives them back"""
    best: Scored | None
    """of these, the one that would be chosen"""


def select(candidates: Sequence[Scored], n_layers: int, inducing: bool = False) -> Scored | None:
    """The least bypass among those that break no rule; None where there is none.

    With `inducing`, for models without the behaviour, where there is nothing to bypass: the most induce, below 0 too.
    """
    if inducing:
        usable = [each for each in candidates if set(each.broken(n_layers)) <= {"induce"}]
        return max(usable, key=lambda candidate: candidate.induce, default=None)
    whole = [candidate for candidate in candidates if not candidate.broken(n_layers)]
    return min(whole, key=lambda candidate: candidate.bypass, default=None)


def nearest(candidates: Sequence[Scored], n_layers: int) -> Scored | None:
    """The one that breaks the fewest rules, of equal ones the least bypass; None where no one has length and scores."""
    choosable = [each for each in candidates if not {"length", "finite"} & set(each.broken(n_layers))]
    return min(choosable, key=lambda each: (len(each.broken(n_layers)), each.bypass), default=None)


def taken(candidates: Sequence[Scored], n_layers: int) -> list[Taken]:
    """Each rule that takes one, in their order."""
    rules = []
    for rule in RULES:
        broken = [candidate.broken(n_layers) for candidate in candidates]
        alone = [each for each, by in zip(candidates, broken, strict=True) if by == (rule,)]
        choosable = [] if rule in ("length", "finite") else alone
        best = min(choosable, key=lambda candidate: candidate.bypass, default=None)
        n = sum(rule in by for by in broken)
        if n:
            rules.append(Taken(rule, n, len(alone), best))
    return rules
