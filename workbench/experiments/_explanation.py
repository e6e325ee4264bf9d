"""The units that `why` picked, beside what they are compared with: sentence, tables, histogram. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workbench.experiments._search import SearchResult
from workbench.experiments._target import Target
from workbench.lab.metric import Metric
from workbench.result_keys import Picked, Verdict
from workbench.result_keys import Units as UnitKeys
from workbench.statistics import Place, band, place_among
from workbench.text import number, spread
from workbench.units import Neuron, format_units
from workbench.views import Column, Histogram, Mark, Series, Table

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass
class Explanation:
    """What was picked, and what it is judged against. Values are those of the metric on the answer."""

    target: Target
    picked: SearchResult
    off: float
    """with the picked units off"""
    alone: list[float]
    """with each of them off by itself"""
    estimates: list[float]
    """changes of the metric by the gradient, one a picked unit"""
    pair: tuple[float, float, float]
    """with both, the first, the second of the strongest pair off; nan where there is none"""
    n_controls: int
    """controls that will come"""
    control_kind: str = ""
    random: list[float] = field(default_factory=list)
    same_distance: list[float] = field(default_factory=list)
    unrelated: list[tuple[str, float]] = field(default_factory=list)
    """the other answer, and the metric with its own pick off"""
    own_effects: list[float] = field(default_factory=list)
    """what each of those picks does to the answer it was picked for, as `picked.effects`"""

    @property
    def picked_kind(self) -> str:
        """What was picked, in the singular."""
        kinds = {type(unit) for unit in self.picked.units}
        return "unit" if len(kinds) > 1 else "neuron" if kinds <= {Neuron} else "feature"

    @property
    def picked_by(self) -> str:
        """What the search lowers, with its unit: not what the answer's own effects are changes of."""
        metric = self.target.metric.unsaturated
        return f"{_scale(metric)}, {metric.unit}"

    @property
    def percentile(self) -> float:
        """Where the pick lies among the random sets, 0 is the lowest."""
        return self._place.percentile

    @property
    def _place(self) -> Place:
        return place_among(self.off, self.random, self.target.rounding.value)

    @property
    def beyond(self) -> bool:
        """Lower, by more than rounding, than clean, every random set, and every set picked for another answer."""
        others = [*self.random, *(value for _, value in self.unrelated)]
        return self.off < min([self.target.clean, *others]) - self.target.rounding.value

    @property
    def is_backup_pair(self) -> bool:
        """Whether neither of a pair alone shows what both do, and both do more than 95 % of the random sets."""
        together, *alone = (value - self.target.clean for value in self.pair)
        floor = band(self.random or [self.target.clean]).low - self.target.clean
        return together < min(floor, -0.1) and all(4 * abs(change) < abs(together) for change in alone)

    def sentence(self) -> str:
        """The point of it all."""
        target, n = self.target, len(self.picked.units)
        picked = f"{_word(n)} {self.picked_kind}{'s' * (n != 1)}"
        left = f"{picked} off: {target.quantity} {target.shown(target.clean)} → {target.shown(self.off)}"
        parts = [left]
        rounding = target.rounding
        if abs(self.off - target.clean) <= rounding.value:
            moved = target.shown(target.clean - rounding.value)
            parts.append(f"no more than rounding in {rounding.dtype} makes here, to {moved}{rounding.advice}")
        if self.n_controls:
            n_run = len(self.random)
            count = str(n_run) if n_run == self.n_controls else f"{n_run} of {self.n_controls}"
            beside = f"{count} {self.control_kind}"
            if self.random:
                quantiles = band(self.random)
                median = spread(*map(target.shown, (quantiles.median, quantiles.low, quantiles.high)))
                beside += f": {median}; {self._place_text()}"
            parts.append(beside)
        if self.unrelated:
            shown = ", ".join(f"{name} {target.shown(value)}" for name, value in self.unrelated)
            parts.append(f"picked the same way for {shown}")
        pair = self.picked.pair
        if pair is not None and self.is_backup_pair:
            values = " and ".join(
                f"{unit} alone {target.shown(value)}" for unit, value in zip(pair.units, self.pair[1:], strict=True)
            )
            parts.append(f"made twice: {values}, both {target.shown(self.pair[0])}")
        done = len(self.random) == self.n_controls
        if done and (self.n_controls or self.unrelated) and not self.beyond:
            parts.insert(0, self._not_beyond())
        return " · ".join(parts)

    def _place_text(self) -> str:
        """Where the pick lies among the random sets; rounding apart, so that ties are not lower."""
        place, n = self._place, len(self.random)
        return f"lower than {'all ' if place.larger == n else f'{place.larger} of '}{n}"

    def _not_beyond(self) -> str:
        """What lowers the answer as much as those picked do, of what they are compared with."""
        off = self.off + self.target.rounding.value
        alike = [f"those picked for {name}" for name, value in self.unrelated if value <= off]
        n_random = sum(value <= off for value in self.random)
        if n_random:
            alike.insert(0, f"{n_random} of {len(self.random)} random sets")
        if not alike:
            return "nothing found: they do not lower it"
        return f"nothing found: {' and '.join(alike)} leave as little"

    def table(self) -> Table:
        target = self.target
        rows: list[list[Any]] = [
            ["nothing", "", *self._cells([target.clean]), None],
            ["these", format_units(self.picked.units), *self._cells([self.off]), self.picked.effects[-1]],
        ]
        keys = [Verdict.CLEAN, Verdict.PICKED]
        for (name, value), own_effect in zip(self.unrelated, self.own_effects, strict=True):
            keys.append(Verdict.OTHER_ANSWER)
            rows.append([f"picked for {name}", "", *self._cells([value]), own_effect])
        if self.random:
            keys.append(Verdict.RANDOM)
            rows.append([self.control_kind, f"n {len(self.random)}", *self._cells(self.random), None])
        if self.same_distance:
            keys.append(Verdict.SAME_DISTANCE)
            rows.append(
                ["random directions, same norm", f"n {len(self.same_distance)}", *self._cells(self.same_distance), None]
            )
        kind = target.kind
        note = f"percentile of these among the random ones {number(100 * self.percentile)} %" if self.random else ""
        return Table(
            title="Switched off",
            note=note,
            columns=[
                Column(key=Verdict.WHAT, name="what"),
                Column(key=Verdict.WHICH, name="which"),
                Column(
                    key=Verdict.LEFT,
                    name=target.quantity,
                    kind=kind,
                    help="the median, where there are many",
                    quantity=target.quantity,
                    gives_way="never",
                ),
                Column(key=Verdict.LOW, name="5 %", kind=kind, gives_way="never"),
                Column(key=Verdict.HIGH, name="95 %", kind=kind, gives_way="never"),
                Column(
                    key=Verdict.OWN,
                    name=f"own answer, {_scale(target.metric.unsaturated)}",
                    kind="signed",
                    help=f"change of the {self.picked_by}, of what each was picked for",
                ),
            ],
            rows=rows,
            row_keys=keys,
        )

    def _cells(self, values: list[float]) -> list[float | None]:
        quantiles = band(values)
        low, median, high = self.target.readable(np.asarray([quantiles.low, quantiles.median, quantiles.high]))
        return [float(median), float(low) if len(values) > 1 else None, float(high) if len(values) > 1 else None]

    def histogram(self) -> Histogram:
        """The random sets by what they leave of the answer, and where the picks lie."""
        target = self.target
        values = target.readable(np.asarray(self.random))
        marks = [("these", self.off), ("clean", target.clean), *self.unrelated]
        places = [float(target.readable(np.asarray(value))) for _, value in marks]
        low, high = min([*values, *places]), max([*values, *places])
        room = 0.05 * (high - low) + 1e-9
        edges = np.linspace(low - room, high + room, 31)
        quantiles = band(self.random)
        ends = target.readable(np.asarray([quantiles.low, quantiles.median, quantiles.high]))
        return Histogram(
            title="These among random ones",
            note=f"{self.control_kind}, n = {len(values)}",
            edges=edges,
            series=[Series(name="random", y=np.histogram(values, edges)[0].astype(np.float64))],
            x_label=target.quantity,
            marks=[Mark(x=place, label=name) for place, (name, _) in zip(places, marks, strict=True)],
            band=(float(ends[0]), float(ends[2])),
            median=float(ends[1]),
        )


def picked_table(explanation: Explanation) -> Table:
    rows: list[list[Any]] = []
    steps = zip(
        explanation.picked.units, explanation.picked.effects, explanation.estimates, explanation.alone, strict=True
    )
    for at, (unit, effect, estimate, alone) in enumerate(steps, 1):
        left = float(explanation.target.readable(np.asarray(alone)))
        rows.append([at, str(unit), effect, estimate, alone - explanation.target.clean, left])
    pair = explanation.picked.pair
    note = "in the order in which they were taken, each with those above it off"
    if pair is not None:
        note += (
            f"; the strongest pair, by {_scale(explanation.target.metric.unsaturated)}: "
            f"{pair.units[0]}, {pair.units[1]}: {number(pair.together)} together, "
            f"{number(pair.alone[0])} and {number(pair.alone[1])} alone"
        )
    return Table(
        title="Picked together",
        note=note,
        columns=[
            Column(key="place", name="", kind="int"),
            Column(key=UnitKeys.UNIT, name=explanation.picked_kind, kind="unit"),
            Column(
                key=Picked.TOGETHER,
                name=f"together, {_scale(explanation.target.metric.unsaturated)}",
                kind="signed",
                help=f"change of the {explanation.picked_by}, with it and those above it off",
            ),
            Column(
                key=UnitKeys.ESTIMATE,
                name=f"estimate, {_scale(explanation.target.metric)}",
                kind="signed",
                help=f"−Σ a·∂: change of {explanation.target.change}",
            ),
            Column(
                key=UnitKeys.EXACT,
                name=f"exact, {_scale(explanation.target.metric)}",
                kind="signed",
                help=f"change of {explanation.target.change} when it alone is off",
            ),
            Column(
                key=UnitKeys.LEFT,
                name="then",
                kind=explanation.target.kind,
                help=explanation.target.quantity,
                gives_way="never",
            ),
        ],
        rows=rows,
    )


def _scale(metric: Metric) -> str:
    """What the metric is, in a column's name."""
    return {"log-prob": "log p", "log-odds": "log-odds"}.get(metric.kind, "logits")


def _word(n: int) -> str:
    return NUMBERS[n] if n < len(NUMBERS) else str(n)
