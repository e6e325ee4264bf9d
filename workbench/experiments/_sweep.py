"""Every unit of a prompt: estimates by one gradient, exact effects of the largest, and what chance gives. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from workbench.experiments._target import Rounding, Target
from workbench.lab.metric import Metric
from workbench.report import Report
from workbench.result_keys import Stages
from workbench.statistics import chance_limits, spearman
from workbench.units import Feature, Head, Neuron

if TYPE_CHECKING:
    from workbench.lab.attribution import Attribution
    from workbench.lab.study import Study
    from workbench.model_info import ModelInfo

Kind = Literal["neurons", "heads", "stream", "features"]
KINDS: tuple[Kind, ...] = ("neurons", "heads", "stream")
OTHER_ANSWERS_FROM, OTHER_ANSWERS_TO = 10, 1010
"""other answers are drawn from these ranks of the prediction: plausible, and not what the model says"""


@dataclass
class UnitEffects:
    """All units of one kind on one prompt. Effects are changes of the metric when a unit is switched off."""

    kind: Kind
    estimate: np.ndarray
    """[layer, neuron | head | position], of features [1, feature]; nan where position 0 is left out"""
    unsaturated: np.ndarray
    """the same of the metric that does not saturate (log-odds)"""
    exact: np.ndarray = field(init=False)
    """nan where it was not measured"""
    exact_unsaturated: np.ndarray = field(init=False)
    low: float = float("nan")
    """what the lowest unsaturated estimate of other answers reaches by chance (2.5 %)"""
    high: float = float("nan")
    """and the highest (97.5 %)"""
    rounding: Rounding | None = None
    """what no effect is beyond, once exact ones are measured"""
    null_sorted: list[np.ndarray] = field(default_factory=list)
    """|unsaturated| of every unit for each other answer, the largest first, cut at the ones that can matter"""

    feature: Feature | None = None
    """one of the SAE whose features these are"""

    def __post_init__(self) -> None:
        self.exact = np.full(self.estimate.shape, np.nan)
        self.exact_unsaturated = np.full(self.estimate.shape, np.nan)

    def unit(self, layer: int, index: int) -> Neuron | Head | Feature:
        """Of neurons, heads and features: the one at this place of the arrays."""
        if self.feature is not None:
            return Feature(self.feature.layer, index, self.feature.sae)
        return (Neuron if self.kind == "neurons" else Head)(layer, index)

    @property
    def count(self) -> int:
        return int(np.isfinite(self.estimate).sum())

    def top(self, n: int) -> list[tuple[int, int]]:
        """The `n` largest by |estimate|, of either metric in turn, as (layer, index)."""
        orders = [
            np.argsort(-np.abs(np.nan_to_num(values)), axis=None, kind="stable")
            for values in (self.estimate, self.unsaturated)
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
    def n_rounding(self) -> int:
        """How many of the exact effects are no larger than what rounding makes."""
        if self.rounding is None:
            return 0
        return int((np.abs(self.exact[np.isfinite(self.exact)]) <= self.rounding.value).sum())

    @property
    def beyond_mask(self) -> np.ndarray | None:
        """bool [layer, index]: further out than other answers have any unit. None before that is known."""
        if np.isnan(self.low):
            return None
        values = np.nan_to_num(self.unsaturated)
        return np.asarray((values < self.low) | (values > self.high))

    @property
    def n_beyond(self) -> int | None:
        """How many units stand out from chance; None before that is known."""
        return None if self.beyond_mask is None else int(self.beyond_mask.sum())

    def expected(self, shown: int) -> float | None:
        """How many units chance puts beyond the least of the `shown` largest."""
        if not self.null_sorted or not self.count:
            return None
        sizes = np.sort(np.abs(self.unsaturated[np.isfinite(self.unsaturated)]))[::-1]
        least = sizes[min(shown, len(sizes)) - 1]
        return float(np.mean([(null_sizes >= least).sum() for null_sizes in self.null_sorted]))

    def agreement(self) -> tuple[float, float, int]:
        """Spearman of estimate and exact, the share of the exact top 20 that the estimates' top 20 has, and n."""
        measured = np.isfinite(self.exact)
        n = int(measured.sum())
        if n < 3:
            return float("nan"), float("nan"), n
        estimate, exact = self.estimate[measured], self.exact[measured]
        top = min(20, n)
        best = [set(np.argsort(-np.abs(values), kind="stable")[:top]) for values in (estimate, exact)]
        return spearman(estimate, exact), len(best[0] & best[1]) / top, n


NULL_KEPT = 4000
"""the largest estimates of each other answer that are kept"""

Sweep = dict[Kind, UnitEffects]


GRADIENT_PASSES = 3.0
"""cost of a pass with its gradient, in forward passes"""
ABLATION_PASSES = 0.5
"""cost of one ablation in forward passes: only its own layer and those after it run, on average half of them"""


def unit_counts(info: ModelInfo, tokens: float) -> dict[Kind, float]:
    """How many units there are of each kind."""
    stream = info.n_layers * max(1.0, tokens - 1)
    return {"neurons": info.n_neurons, "heads": info.n_layers * info.n_heads, "stream": stream}


def sweep_passes(info: ModelInfo, tokens: float, n: int | None, others: int) -> float:
    """Passes of a sweep: two estimates, `n` of each kind exactly (None: all), the estimates of other answers."""
    exact = sum(every if n is None else min(n, every) for every in unit_counts(info, tokens).values())
    return 1 + GRADIENT_PASSES * (2 + others) + ABLATION_PASSES * exact


def estimates(target: Target, feature: Feature | None = None) -> Sweep:
    """Every unit, by one backward pass for each of the two metrics; with a feature, of its SAE, the study's, too."""
    attribution = target.study.attribute([target.metric, target.metric.unsaturated])
    sweep = {kind: UnitEffects(kind, _of_kind(attribution, kind, 0), _of_kind(attribution, kind, 1)) for kind in KINDS}
    if feature is not None:
        both = [_of_kind(attribution, "features", row) for row in (0, 1)]
        sweep["features"] = UnitEffects("features", both[0], both[1], feature=feature)
    return sweep


def _of_kind(attribution: Attribution, kind: Kind, row: int) -> np.ndarray:
    return np.asarray(getattr(attribution, kind)[row], dtype=np.float64)


def exact_effects(target: Target, units: UnitEffects, n: int, report: Report, stage: str) -> None:
    """Switch off the `n` largest one by one; writes `exact`."""
    study = target.study
    chosen = units.top(n)
    if units.kind == "stream":
        plans = [study.erased(layer, position) for layer, position in chosen]
    else:
        plans = [study.off([units.unit(layer, index)]) for layer, index in chosen]
    clean = study.value(target.metric.unsaturated)
    units.rounding = target.rounding
    for results in study.track(plans, report, "units", stage):
        values, unsaturated_values = results.value(target.metric), results.value(target.metric.unsaturated)
        for at, value, unsaturated_value in zip(results.indices, values, unsaturated_values, strict=True):
            units.exact[chosen[at]] = value - target.clean
            units.exact_unsaturated[chosen[at]] = unsaturated_value - clean


def other_answers(study: Study, metric: Metric, n: int, seed: int) -> list[Metric]:
    """The same question asked for other tokens: what chance is measured on."""
    ranking = study.ranking
    pool = ranking[min(OTHER_ANSWERS_FROM, len(ranking) // 4) : OTHER_ANSWERS_TO]
    pool = pool[(pool != metric.answer) & (pool != (-1 if metric.foil is None else metric.foil))]
    random = np.random.default_rng(seed)
    n = min(n, len(pool) // 2)
    answers = random.choice(pool, size=2 * n, replace=False)
    return [metric.for_tokens(int(answer), int(foil)) for answer, foil in zip(answers[:n], answers[n:], strict=True)]


def measure_chance(target: Target, sweep: Sweep, n: int, seed: int, report: Report) -> None:
    """Estimates for other answers on the same prompt; writes thresholds."""
    metrics = other_answers(target.study, target.metric, n, seed)
    rows = target.study.gradient_rows
    batches = [metrics[start : start + rows] for start in range(0, len(metrics), rows)]
    ends: dict[Kind, list[tuple[float, float]]] = {kind: [] for kind in sweep}
    for batch in report.track(batches, "batches", stage=Stages.CHANCE):
        attribution = target.study.attribute(batch)
        for kind, units in sweep.items():
            for row in range(len(batch)):
                values = np.nan_to_num(_of_kind(attribution, kind, row)).ravel()
                sizes = np.abs(values)
                n_kept = min(len(sizes), NULL_KEPT)
                units.null_sorted.append(np.sort(np.partition(sizes, len(sizes) - n_kept)[len(sizes) - n_kept :])[::-1])
                ends[kind].append((float(values.min()), float(values.max())))
    for kind, units in sweep.items():
        if ends[kind]:
            lowest, highest = np.asarray(ends[kind]).T
            units.low, units.high = chance_limits(lowest, highest)
