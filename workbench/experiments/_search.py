"""The few neurons that matter most together: greedy, with pairs that hide behind each other. No torch.

Each step re-estimates every neuron with the chosen ones off and measures the best candidates exactly. Since a unit
whose work another takes over shows nothing alone, pairs are looked for too: with one of the likely units off, the
gradient shows who has taken over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workbench.experiments._sweep import ABLATION_PASSES, GRADIENT_PASSES
from workbench.lab.metric import Metric
from workbench.report import Report
from workbench.units import Neuron

if TYPE_CHECKING:
    from workbench.lab.study import Study

CANDIDATES = 24
"""neurons measured exactly at each step"""
SEEDS = 24
"""neurons whose absence is tried for pairs"""


def search_passes(size: int) -> float:
    """Passes of one search: a gradient and the candidates at each step, a gradient and a pair for each seed."""
    return (
        size * (GRADIENT_PASSES + ABLATION_PASSES * CANDIDATES)
        + SEEDS * (GRADIENT_PASSES + 2 * ABLATION_PASSES)
        + GRADIENT_PASSES
    )


@dataclass(frozen=True)
class Pair:
    """Two neurons that do more together than the sum of both."""

    units: tuple[Neuron, Neuron]
    together: float
    """change of the metric with both off"""
    alone: tuple[float, float]


@dataclass(frozen=True)
class SearchResult:
    """What a search came to. Effects are changes of the unsaturated metric."""

    units: list[Neuron]
    """in the order in which they were taken"""
    effects: list[float]
    """with the first, the first two, … off"""
    pair: Pair | None
    """the strongest pair that was tried"""


def search(study: Study, metric: Metric, size: int, report: Report, stage: str) -> SearchResult:
    """The `size` neurons that lower `metric` most when they are off together, as far as a greedy search finds them."""
    steps = iter(report.track(range(size + 1), "steps", stage=stage))
    next(steps)
    base = study.value(metric)
    first = _candidates(study, metric, [])
    singles = _measure(study, metric, [[unit] for unit in first]) - base
    pair = best_pair(study, metric, dict(zip(first, map(float, singles), strict=True)))
    best = int(np.argmin(singles))
    units, effects = [first[best]], [float(singles[best])]
    for _ in steps:
        if len(units) == size:
            continue
        candidates = _candidates(study, metric, units)
        effects_with = _measure(study, metric, [[*units, unit] for unit in candidates]) - base
        best = int(np.argmin(effects_with))
        if pair is not None and len(units) == 1 and pair.together < effects_with[best]:
            units, effects = list(pair.units), [pair.alone[0], pair.together]
        else:
            units, effects = [*units, candidates[best]], [*effects, float(effects_with[best])]
    return SearchResult(units, effects, pair)


def best_pair(study: Study, metric: Metric, singles: dict[Neuron, float]) -> Pair | None:
    """The pair that lowers the metric most, among those that one absence makes likely. `singles`: effects known."""
    base = study.value(metric)
    seeds = _likely(study, metric, singles)
    proposed: dict[frozenset[Neuron], float] = {}
    rows = study.gradient_rows
    for start in range(0, len(seeds), rows):
        part = seeds[start : start + rows]
        plans = [study.off([seed]) for seed in part]
        under = study.attribute_under(plans, metric).neurons
        alone = _measure(study, metric, [[seed] for seed in part]) - base
        for seed, effect, estimate in zip(part, alone, under, strict=True):
            singles.setdefault(seed, float(effect))
            estimate[seed.layer, seed.index] = 0
            for flat in np.argpartition(estimate, 2, axis=None)[:2]:
                other = Neuron(*map(int, divmod(int(flat), estimate.shape[1])))
                proposed[frozenset((seed, other))] = float(effect + estimate.flat[flat])
    likely = sorted(proposed, key=lambda pair: proposed[pair])[:CANDIDATES]
    pairs = [sorted(pair) for pair in likely]
    if not pairs:
        return None
    together = _measure(study, metric, pairs) - base
    best = pairs[int(np.argmin(together))]
    unknown = [unit for unit in best if unit not in singles]
    for unit, effect in zip(unknown, _measure(study, metric, [[unit] for unit in unknown]) - base, strict=True):
        singles[unit] = float(effect)
    return Pair((best[0], best[1]), float(together.min()), (singles[best[0]], singles[best[1]]))


def _likely(study: Study, metric: Metric, singles: dict[Neuron, float]) -> list[Neuron]:
    """Units that may hide: large by the gradient of the metric, by their direct effect, by what they do alone."""
    estimate = study.attribute([metric]).neurons[0]
    direct = -study.direct(metric).neurons
    orders = [np.argsort(scores, axis=None)[:SEEDS] for scores in (estimate, direct)]
    chosen: dict[Neuron, None] = dict.fromkeys(sorted(singles, key=lambda unit: singles[unit])[: SEEDS // 3])
    for pair in zip(*orders, strict=True):
        for flat in pair:
            chosen.setdefault(Neuron(*map(int, divmod(int(flat), estimate.shape[1]))))
    return list(chosen)[:SEEDS]


def _candidates(study: Study, metric: Metric, chosen: list[Neuron]) -> list[Neuron]:
    """The neurons whose absence, beside those chosen, would lower the metric most by the gradient."""
    estimate = study.attribute_under([study.off(chosen)], metric).neurons[0]
    for unit in chosen:
        estimate[unit.layer, unit.index] = np.inf
    order = np.argsort(estimate, axis=None, kind="stable")[:CANDIDATES]
    return [Neuron(*map(int, divmod(int(flat), estimate.shape[1]))) for flat in order]


def _measure(study: Study, metric: Metric, sets: list[list[Neuron]]) -> np.ndarray:
    """The metric with each set off, float64 [set]."""
    values = np.zeros(len(sets))
    for results in study.run([study.off(units) for units in sets]):
        values[results.indices] = results.value(metric)
    return values
