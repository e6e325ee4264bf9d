"""What steering did, as numbers: completions, their effect by a measure, their damage; what is chosen. No torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from workbench.experiments._completions import Completion, Measured
from workbench.statistics import NORMAL_95, Mean, mean, wilson
from workbench.text import number

BROKEN = 1.5
"""times the clean completions' perplexity, under the unedited model: text beyond this counts as broken"""
Aim = Literal["more", "less"]


@dataclass(frozen=True)
class Measure:
    """What the effect is measured by, never by the direction itself."""

    name: str
    """`log-odds of ' Paris'`, `share matching 'arr+'`"""
    pattern: re.Pattern[str] | None = None
    """of the share of completions that match it; None is the target's log-odds"""

    @property
    def unit(self) -> str:
        return "" if self.pattern else "nats"

    def effect(self, completions: Sequence[Completion]) -> Interval:
        if self.pattern is None:
            return _interval(mean([completion.log_odds for completion in completions]))
        pattern = self.pattern
        n_matching = sum(pattern.search(completion.text) is not None for completion in completions)
        n = len(completions)
        return Interval(n_matching / n, *wilson(n_matching, n), n)


@dataclass(frozen=True)
class Interval:
    """A value with the 95 % interval over prompts; of a single prompt nan for a mean."""

    value: float
    low: float
    high: float
    n: int


def _interval(values: Mean) -> Interval:
    reach = NORMAL_95 * values.se
    return Interval(values.value, values.value - reach, values.value + reach, values.n)


@dataclass
class Arm(Measured):
    """One way to run the prompts, and its completions as they come, one a prompt."""

    kind: Literal["clean", "as prompt", "steered", "random"]
    layer: int = -1
    strength: float = 0.0
    completions: list[Completion] = field(default_factory=list)

    @property
    def label(self) -> str:
        """`L14 +4`; `clean`, `as a prompt`."""
        if self.kind in ("clean", "as prompt"):
            return "clean" if self.kind == "clean" else "as a prompt"
        return f"L{self.layer} {'+' if self.strength > 0 else ''}{number(self.strength)}"


@dataclass
class Steered:
    """All arms of a run, each with the same prompts so far."""

    measure: Measure
    aim: Aim
    clean: Arm
    cells: list[Arm]
    """every layer and strength"""
    as_prompt: Arm | None = None
    random: list[Arm] = field(default_factory=list)
    """random directions of the same norm at the chosen layer"""
    floors: dict[int, float] = field(default_factory=dict)
    """by layer, the mean KL of the next token that rounding alone makes, nats; empty before it is measured"""

    @property
    def n(self) -> int:
        """Prompts measured."""
        return len(self.clean.completions)

    @property
    def arms(self) -> list[Arm]:
        """Those that run together, in their order."""
        return [self.clean, *([self.as_prompt] if self.as_prompt else []), *self.cells]

    @property
    def layers(self) -> list[int]:
        return list(dict.fromkeys(cell.layer for cell in self.cells))

    def of_layer(self, layer: int) -> list[Arm]:
        """By strength."""
        return sorted((cell for cell in self.cells if cell.layer == layer), key=lambda cell: cell.strength)

    def effect(self, arm: Arm) -> Interval:
        return self.measure.effect(arm.completions)

    def log_ratio(self, arm: Arm) -> Mean:
        """Log of the perplexity over the clean one's, prompt by prompt: nats a token."""
        pairs = zip(arm.completions, self.clean.completions, strict=False)
        return mean([completion.surprise - clean.surprise for completion, clean in pairs])

    def ratio(self, arm: Arm) -> float:
        """Perplexity over the clean completions'."""
        return float(np.exp(self.log_ratio(arm).value))

    def change(self, arm: Arm) -> Interval:
        """Of the effect, from the clean one: log-odds prompt by prompt, a share by the interval of its own."""
        if self.measure.pattern is None:
            pairs = zip(arm.completions, self.clean.completions, strict=False)
            return _interval(mean([completion.log_odds - clean.log_odds for completion, clean in pairs]))
        share, before = self.effect(arm), self.effect(self.clean).value
        return Interval(share.value - before, share.low - before, share.high - before, share.n)

    def gain(self, arm: Arm) -> float:
        """The change of the effect in the direction that is aimed at."""
        return self._sign * self.change(arm).value

    def breaks(self, layer: int, sign: int) -> Arm | None:
        """The first strength of a sign, outward from 0, whose perplexity is beyond BROKEN; None where none is."""
        outward = sorted(self.of_layer(layer), key=lambda cell: abs(cell.strength))
        return next((cell for cell in outward if cell.strength * sign > 0 and self.ratio(cell) > BROKEN), None)

    def best(self, cells: Iterable[Arm]) -> Arm | None:
        """The largest gain among those that are not broken, of equal ones the least damage; None where all are."""
        whole = (cell for cell in cells if self.ratio(cell) <= BROKEN)
        return max(whole, key=lambda cell: (self.gain(cell), -self.ratio(cell)), default=None)

    def random_at(self, strength: float) -> list[Arm]:
        return [arm for arm in self.random if arm.strength == strength and arm.completions]

    def changes_nothing(self, cell: Arm) -> bool:
        """Whether its KL after the prompt is no more than rounding alone makes where it is added."""
        return cell.kl.value <= self.floors.get(cell.layer, -1)

    def stands_out(self, cell: Arm) -> bool:
        """Its whole interval is beyond the clean effect, and beyond every random direction's at this strength.

        The value alone where there is one prompt.
        """
        change = self.change(cell)
        near_end = change.low if self._sign > 0 else change.high
        near_end = change.value if np.isnan(near_end) else near_end
        others = [0.0, *(self.change(arm).value for arm in self.random_at(cell.strength))]
        return all(self._sign * (near_end - other) > 0 for other in others)

    @property
    def _sign(self) -> int:
        return 1 if self.aim == "more" else -1


def nearest_strengths(cell: Arm, cells: Sequence[Arm], n: int) -> list[float]:
    """The cell's own strength and the nearest others of its layer: at most `n`, in their order."""
    strengths = sorted(
        {other.strength for other in cells if other.layer == cell.layer},
        key=lambda strength: (abs(strength - cell.strength), abs(strength)),
    )
    return sorted(strengths[:n])
