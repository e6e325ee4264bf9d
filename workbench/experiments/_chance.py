"""A probe's score beside those of permuted labels: whether it is beyond chance, and in words. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from workbench.text import count, number

SIGNIFICANT = 0.05
ENOUGH = ceil(1 / SIGNIFICANT) - 1
"""permutations with which p can be as low as that"""


@dataclass(frozen=True)
class Chance:
    """A score, and the same score of the probe fitted to permuted labels."""

    value: float
    null: Sequence[float] | np.ndarray
    """one a permutation; empty without any"""

    @property
    def p(self) -> float:
        """(permutations that reach the score + 1) / (permutations + 1); nan without any."""
        if not len(self.null):
            return float("nan")
        return float((np.sum(np.asarray(self.null) >= self.value) + 1) / (len(self.null) + 1))

    @property
    def too_few(self) -> bool:
        """No permutation reaches the score, and yet p is above .05: there are too few of them to tell."""
        return 0 < len(self.null) < ENOUGH and float(np.max(self.null)) < self.value

    @property
    def beyond(self) -> bool:
        """False where permutations say that chance does as well; too few, or none, don't say so."""
        return not self.p > SIGNIFICANT or self.too_few

    @property
    def p_text(self) -> str:
        """`p = .0099`; where there are too few permutations how many it takes."""
        few = f", too few to tell: {ENOUGH} or more can" if self.too_few else ""
        return f"p = {number(self.p)}{few}"

    @property
    def text(self) -> str:
        """`100 permutations of the labels: at most .318, p = .0099`; empty without any."""
        if not len(self.null):
            return ""
        times = "1 permutation" if len(self.null) == 1 else f"{count(len(self.null))} permutations"
        return f"{times} of the labels: at most {number(float(np.max(self.null)))}, {self.p_text}"
