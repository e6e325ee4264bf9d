"""The few units that matter most together: greedy, with pairs that hide behind each other. No torch.

Units are neurons and, where the study has an SAE, its features. Each step re-estimates every unit with the chosen ones
off and measures the best candidates exactly. Since a unit
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
from workbench.units import Feature, Neuron

if TYPE_CHECKING:
    from workbench.lab.attribution import Attribution
    from workbench.lab.study import Study

CANDIDATES = 24
"""units measured exactly at each step"""
SEEDS = 24
"""units whose absence is tried for pairs"""


def search_passes(size: int) -> float:
    """Passes of one search: a gradient and the candidates at each step, a gradient and a pair for each seed."""
    return (
        size * (GRADIENT_PASSES + ABLATION_PASSES * CANDIDATES)
        + SEEDS * (GRADIENT_PASSES + 2 * ABLATION_PASSES)
        + GRADIENT_PASSES
    )


PickedUnit = Neuron | Feature


class _Scores:
    """One number for each unit that can be picked: neurons layer by layer, then features."""

    def __init__(self, attribution: Attribution, row: int, feature: Feature | None) -> None:
        """Of a row's estimates; with a `feature` of the study's SAE the SAE's features are units, too."""
        neurons, features = attribution.neurons[row], attribution.features
        self._width, self._n_neurons, self._feature = int(neurons.shape[1]), int(neurons.size), feature
        parts = [neurons.ravel()]
        if feature is not None:
            assert features is not None, "the study attributes an SAE's features where a search picks them"
            parts.append(features[row].ravel())
        self.flat = np.concatenate(parts).astype(np.float64)

    def unit(self, at: int) -> PickedUnit:
        if self._feature is not None and at >= self._n_neurons:
            return Feature(self._feature.layer, at - self._n_neurons, self._feature.sae)
        return Neuron(*divmod(at, self._width))

    def place(self, unit: PickedUnit) -> int:
        """Where the unit stands in `flat`."""
        if isinstance(unit, Feature):
            return self._n_neurons + unit.index
        return unit.layer * self._width + unit.index

    def lowest(self, n: int) -> list[int]:
        """Places of the `n` lowest, the lowest first."""
        return [int(at) for at in np.argsort(self.flat, kind="stable")[:n]]


@dataclass(frozen=True)
class Pair:
    """Two units that do more together than the sum of both."""

    units: tuple[PickedUnit, PickedUnit]
    together: float
    """change of the metric with both off"""
    alone: tuple[float, float]


@dataclass(frozen=True)
class SearchResult:
    """What a search came to. Effects are changes of the unsaturated metric."""

    units: list[PickedUnit]
    """in the order in which they were taken"""
    effects: list[float]
    """with the first, the first two, … off"""
    pair: Pair | None
    """the strongest pair that was tried"""


def search(
    study: Study, metric: Metric, size: int, report: Report, stage: str, feature: Feature | None = None
) -> SearchResult:
    """The `size` units that lower `metric` most when they are off together, as far as a greedy search finds them.

    With a `feature` of the study's SAE its features are candidates beside neurons, each with the SAE's error kept.
    """
    steps = iter(report.track(range(size + 1), "steps", stage=stage))
    next(steps)
    base = study.value(metric)
    first = _candidates(study, metric, [], feature)
    singles = _measure(study, metric, [[unit] for unit in first]) - base
    pair = best_pair(study, metric, dict(zip(first, map(float, singles), strict=True)), feature)
    best = int(np.argmin(singles))
    units, effects = [first[best]], [float(singles[best])]
    for _ in steps:
        if len(units) == size:
            continue
        candidates = _candidates(study, metric, units, feature)
        effects_with = _measure(study, metric, [[*units, unit] for unit in candidates]) - base
        best = int(np.argmin(effects_with))
        if pair is not None and len(units) == 1 and pair.together < effects_with[best]:
            units, effects = list(pair.units), [pair.alone[0], pair.together]
        else:
            units, effects = [*units, candidates[best]], [*effects, float(effects_with[best])]
    return SearchResult(units, effects, pair)


def best_pair(
    study: Study, metric: Metric, singles: dict[PickedUnit, float], feature: Feature | None = None
) -> Pair | None:
    """The pair that lowers the metric most, among those that one absence makes likely. `singles`: effects known."""
    base = study.value(metric)
    seeds = _likely(study, metric, singles, feature)
    proposed: dict[frozenset[PickedUnit], float] = {}
    rows = study.gradient_rows
    for start in range(0, len(seeds), rows):
        part = seeds[start : start + rows]
        plans = [study.off([seed]) for seed in part]
        under = study.attribute_under(plans, metric)
        alone = _measure(study, metric, [[seed] for seed in part]) - base
        for row, (seed, effect) in enumerate(zip(part, alone, strict=True)):
            singles.setdefault(seed, float(effect))
            scores = _Scores(under, row, feature)
            scores.flat[scores.place(seed)] = 0
            for at in map(int, np.argpartition(scores.flat, 2)[:2]):
                proposed[frozenset((seed, scores.unit(at)))] = float(effect + scores.flat[at])
    likely = sorted(proposed, key=lambda pair: proposed[pair])[:CANDIDATES]
    pairs = [sorted(pair, key=_order) for pair in likely]
    if not pairs:
        return None
    together = _measure(study, metric, pairs) - base
    best = pairs[int(np.argmin(together))]
    unknown = [unit for unit in best if unit not in singles]
    for unit, effect in zip(unknown, _measure(study, metric, [[unit] for unit in unknown]) - base, strict=True):
        singles[unit] = float(effect)
    return Pair((best[0], best[1]), float(together.min()), (singles[best[0]], singles[best[1]]))


def _order(unit: PickedUnit) -> tuple[str, int, int]:
    """Neurons before features."""
    return "" if isinstance(unit, Neuron) else unit.sae, unit.layer, unit.index


def _likely(
    study: Study, metric: Metric, singles: dict[PickedUnit, float], feature: Feature | None
) -> list[PickedUnit]:
    """Units that may hide: large by the gradient of the metric, neurons by their direct effect, by what they do
    alone."""
    scores = _Scores(study.attribute([metric]), 0, feature)
    direct = np.argsort(-study.direct(metric).neurons, axis=None)[:SEEDS]
    chosen: dict[PickedUnit, None] = dict.fromkeys(sorted(singles, key=lambda unit: singles[unit])[: SEEDS // 3])
    for pair in zip(scores.lowest(SEEDS), map(int, direct), strict=False):
        for at in pair:
            chosen.setdefault(scores.unit(at))
    return list(chosen)[:SEEDS]


def _candidates(study: Study, metric: Metric, chosen: list[PickedUnit], feature: Feature | None) -> list[PickedUnit]:
    """The units whose absence, beside those chosen, would lower the metric most by the gradient."""
    scores = _Scores(study.attribute_under([study.off(chosen)], metric), 0, feature)
    for unit in chosen:
        scores.flat[scores.place(unit)] = np.inf
    return [scores.unit(at) for at in scores.lowest(CANDIDATES)]


def _measure(study: Study, metric: Metric, sets: list[list[PickedUnit]]) -> np.ndarray:
    """The metric with each set off, float64 [set]."""
    values = np.zeros(len(sets))
    for results in study.run([study.off(units) for units in sets]):
        values[results.indices] = results.value(metric)
    return values
