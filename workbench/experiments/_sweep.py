"""Every unit of a prompt: estimates by one gradient, exact effects of the largest, and what chance gives. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from workbench.experiments._target import Target
from workbench.lab.metric import Metric
from workbench.report import Report
from workbench.result_keys import Stages
from workbench.statistics import chance_limits, spearman
from workbench.units import Head, Neuron

if TYPE_CHECKING:
    from workbench.lab.attribution import Attribution
    from workbench.lab.study import Study
    from workbench.model_info import ModelInfo

Kind = Literal["neurons", "heads", "stream"]
KINDS: tuple[Kind, ...] = ("neurons", "heads", "stream")
OTHERS_FROM, OTHERS_TO = 10, 1010
"""other answers are drawn from these ranks of the prediction: plausible, and not what the model says"""


@dataclass
class Units:
    """All units of one kind on one prompt. Effects are changes of the metric when a unit is switched off."""

    kind: Kind
    estimate: np.ndarray
    """[layer, neuron | head | position]; nan where position 0 is left out"""
    unlevelled: np.ndarray
    """the same of the metric that does not level off (log-odds)"""
    exact: np.ndarray = field(init=False)
    """nan where it was not measured"""
    exact_unlevelled: np.ndarray = field(init=False)
    low: float = float("nan")
    """what the lowest unlevelled estimate of other answers reaches by chance (2.5 %)"""
    high: float = float("nan")
    """and the highest (97.5 %)"""
    null_sorted: list[np.ndarray] = field(default_factory=list)
    """|unlevelled| of every unit for each other answer, the largest first, cut at the ones that can matter"""

    def __post_init__(self) -> None:
        self.exact = np.full(self.estimate.shape, np.nan)
        self.exact_unlevelled = np.full(self.estimate.shape, np.nan)

    @property
    def count(self) -> int:
        return int(np.isfinite(self.estimate).sum())

    def top(self, n: int) -> list[tuple[int, int]]:
        """The `n` largest by |estimate|, of either metric in turn, as (layer, index)."""
        orders = [
            np.argsort(-np.abs(np.nan_to_num(one)), axis=None, kind="stable")
            for one in (self.estimate, self.unlevelled)
        ]
        chosen: dict[int, None] = {}
        for pair in zip(*orders, strict=True):
            for flat in pair:
                if len(chosen) < min(n, self.count) and np.isfinite(self.estimate.flat[flat]):
                    chosen[int(flat)] = None
            if len(chosen) >= min(n, self.count):
                break
        return [divmod(flat, self.estimate.shape[1]) for flat in chosen]

    def ranked(self) -> list[tuple[int, int]]:
        """What was measured exactly, the largest effect first; before that, by estimate."""
        by = self.exact if np.isfinite(self.exact).any() else self.estimate
        order = np.argsort(-np.abs(np.nan_to_num(by)), axis=None, kind="stable")
        return [divmod(int(flat), by.shape[1]) for flat in order if np.isfinite(by.flat[flat])]

    @property
    def is_beyond(self) -> np.ndarray | None:
        """bool [layer, index]: further out than other answers have any unit. None before that is known."""
        if np.isnan(self.low):
            return None
        known = np.nan_to_num(self.unlevelled)
        return np.asarray((known < self.low) | (known > self.high))

    @property
    def beyond(self) -> int | None:
        """How many those are."""
        return None if self.is_beyond is None else int(self.is_beyond.sum())

    def expected(self, shown: int) -> float | None:
        """How many units chance puts beyond the least of the `shown` largest."""
        if not self.null_sorted or not self.count:
            return None
        own = np.sort(np.abs(self.unlevelled[np.isfinite(self.unlevelled)]))[::-1]
        least = own[min(shown, len(own)) - 1]
        return float(np.mean([(one >= least).sum() for one in self.null_sorted]))

    def agreement(self) -> tuple[float, float, int]:
        """Spearman of estimate and exact, the share of the exact top 20 that the estimates' top 20 has, and n."""
        known = np.isfinite(self.exact)
        n = int(known.sum())
        if n < 3:
            return float("nan"), float("nan"), n
        estimate, exact = self.estimate[known], self.exact[known]
        top = min(20, n)
        best = [set(np.argsort(-np.abs(one), kind="stable")[:top]) for one in (estimate, exact)]
        return spearman(estimate, exact), len(best[0] & best[1]) / top, n


KEPT = 4000
"""the largest estimates of each other answer that are kept"""

Sweep = dict[Kind, Units]


GRADIENT = 3.0
"""passes that a pass with its gradient is worth"""
LATER = 0.5
"""passes that an edit is worth, from its own layer on, on average"""


def counts(info: ModelInfo, tokens: float) -> dict[Kind, float]:
    """How many units there are of each kind."""
    stream = info.n_layers * max(1.0, tokens - 1)
    return {"neurons": info.n_neurons, "heads": info.n_layers * info.n_heads, "stream": stream}


def sweep_passes(info: ModelInfo, tokens: float, n: int | None, others: int) -> float:
    """Passes of a sweep: two estimates, `n` of each kind exactly (None: all), the estimates of other answers."""
    exact = sum(every if n is None else min(n, every) for every in counts(info, tokens).values())
    return 1 + GRADIENT * (2 + others) + LATER * exact


def estimates(target: Target) -> Sweep:
    """Every unit, by one backward pass for each of the two metrics."""
    found = target.study.attribute([target.metric, target.metric.unsaturated])
    return {kind: Units(kind, _of(found, kind, 0), _of(found, kind, 1)) for kind in KINDS}


def _of(found: Attribution, kind: Kind, row: int) -> np.ndarray:
    return np.asarray(getattr(found, kind)[row], dtype=np.float64)


def exact_effects(target: Target, units: Units, n: int, report: Report, stage: str) -> None:
    """Switch off the `n` largest one by one; writes `exact`."""
    study = target.study
    chosen = units.top(n)
    if units.kind == "stream":
        plans = [study.erased(layer, position) for layer, position in chosen]
    else:
        make = Neuron if units.kind == "neurons" else Head
        plans = [study.off([make(layer, index)]) for layer, index in chosen]
    clean = study.value(target.metric.unsaturated)
    for results in study.track(plans, report, "units", stage):
        values, unlevelled = results.value(target.metric), results.value(target.metric.unsaturated)
        for at, own, other in zip(results.indices, values, unlevelled, strict=True):
            units.exact[chosen[at]] = own - target.clean
            units.exact_unlevelled[chosen[at]] = other - clean


def other_answers(study: Study, metric: Metric, n: int, seed: int) -> list[Metric]:
    """The same question asked for other tokens: what chance is measured on."""
    ranking = study.ranking
    pool = ranking[min(OTHERS_FROM, len(ranking) // 4) : OTHERS_TO]
    pool = pool[(pool != metric.answer) & (pool != (-1 if metric.foil is None else metric.foil))]
    random = np.random.default_rng(seed)
    n = min(n, len(pool) // 2)
    answers = random.choice(pool, size=2 * n, replace=False)
    return [metric.for_tokens(int(answer), int(foil)) for answer, foil in zip(answers[:n], answers[n:], strict=True)]


def measure_chance(target: Target, sweep: Sweep, n: int, seed: int, report: Report) -> None:
    """Estimates for other answers on the same prompt; writes thresholds."""
    asked = other_answers(target.study, target.metric, n, seed)
    rows = target.study.gradient_rows
    parts = [asked[start : start + rows] for start in range(0, len(asked), rows)]
    ends: dict[Kind, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    for part in report.track(parts, "batches", stage=Stages.CHANCE):
        found = target.study.attribute(part)
        for kind, units in sweep.items():
            for row in range(len(part)):
                values = np.nan_to_num(_of(found, kind, row)).ravel()
                size = np.abs(values)
                keep = min(len(size), KEPT)
                units.null_sorted.append(np.sort(np.partition(size, len(size) - keep)[len(size) - keep :])[::-1])
                ends[kind].append((float(values.min()), float(values.max())))
    for kind, units in sweep.items():
        if ends[kind]:
            lowest, highest = np.asarray(ends[kind]).T
            units.low, units.high = chance_limits(lowest, highest)
