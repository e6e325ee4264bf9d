"""Why does it say that: from an answer to the neurons that make it, switched off, against chance.

What writes the answer straight (dla), every unit switched off (sweep), then the few neurons that lower the answer most
together, found by a greedy search that also looks for pairs that hide behind each other. Beside them: as many random
neurons of the same kinds, random directions that move the stream as far, and, since these were picked as the
best, as many picked in the same way for other answers on the same prompt. It ends in a sentence, which says "nothing
beyond noise" as plainly as the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec import Meta

from workbench.experiment import Cost, Experiment
from workbench.experiments import dla, sweep
from workbench.experiments._common import about_tokens
from workbench.experiments._search import Found, search, search_passes
from workbench.experiments._sweep import GRADIENT, LATER, Units, other_answers, sweep_passes
from workbench.experiments._target import Target, TargetParams, find_target
from workbench.report import NextStep, Report
from workbench.result_keys import Direct, NextToken, Picked, Stages, Verdict
from workbench.result_keys import Units as UnitKeys
from workbench.statistics import band, place_among
from workbench.text import number, quoted, show_token
from workbench.units import format_units
from workbench.views import Column, Histogram, Mark, Series, Table

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.model_info import ModelInfo

LIKELIEST = 20
"""next tokens that are listed, beside answer and foil"""
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


class Params(TargetParams, kw_only=True, frozen=True):
    size: Annotated[int, Meta(ge=1, le=50, description="how many neurons to pick", extra={"unit": "neurons"})] = 5
    controls: Annotated[
        int, Meta(ge=0, le=10000, description="random sets of as many neurons", extra={"unit": "controls"})
    ] = 64
    unrelated: Annotated[
        int,
        Meta(
            ge=0,
            le=20,
            description="other answers to pick for in the same way",
            extra={"unit": "answers", "more": True},
        ),
    ] = 3
    n: Annotated[
        int,
        Meta(
            ge=0, description="how many units of each kind to switch off exactly", extra={"unit": "units", "more": True}
        ),
    ] = 200


@dataclass
class Case:
    """What was picked, and what it is judged against. Values are those of the metric on the answer."""

    target: Target
    found: Found
    off: float
    """with the picked neurons off"""
    alone: list[float]
    """with each of them off by itself"""
    estimates: list[float]
    """changes of the metric by the gradient, one a picked neuron"""
    pair: tuple[float, float, float]
    """with both, the first, the second of the strongest pair off; nan where there is none"""
    wanted: int
    """controls that will come"""
    kind: str = ""
    random: list[float] = field(default_factory=list)
    as_far: list[float] = field(default_factory=list)
    unrelated: list[tuple[str, float]] = field(default_factory=list)
    """the other answer, and the metric with its own pick off"""
    own: list[float] = field(default_factory=list)
    """what each of those picks does to the answer it was picked for, as `found.effects`"""

    @property
    def picked_by(self) -> str:
        """What the search lowers, with its unit."""
        metric = self.target.metric.unsaturated
        return f"{'logit difference' if metric.kind == 'difference' else 'log-odds'}, {metric.unit}"

    @property
    def percentile(self) -> float:
        """Where the pick lies among the random sets, 0 is the lowest."""
        return place_among(self.off, self.random).percentile

    @property
    def beyond(self) -> bool:
        """Lower than every random set, and than every set picked in the same way for another answer."""
        others = [*self.random, *(value for _, value in self.unrelated)]
        return self.off < min([self.target.clean, *others])

    @property
    def made_twice(self) -> bool:
        """Whether neither of a pair alone shows what both do, and both do more than 95 % of the random sets."""
        together, *alone = (value - self.target.clean for value in self.pair)
        floor = band(self.random or [self.target.clean]).low - self.target.clean
        return together < min(floor, -0.1) and all(4 * abs(one) < abs(together) for one in alone)

    def sentence(self) -> str:
        """The point of it all."""
        target, n = self.target, len(self.found.units)
        what = f"{_word(n)} neuron{'s' * (n != 1)}"
        said = f"{what} off: {target.quantity} {target.shown(target.clean)} → {target.shown(self.off)}"
        parts = [said]
        if self.wanted:
            count = str(len(self.random)) if len(self.random) == self.wanted else f"{len(self.random)} of {self.wanted}"
            text = f"{count} random {_word(n)}s" if n > 1 else f"{count} random neurons of its kind"
            if self.random:
                text += f": {self._band(self.random)}"
            parts.append(text)
        if self.unrelated:
            shown = ", ".join(f"{name} {target.shown(value)}" for name, value in self.unrelated)
            parts.append(f"picked the same way for {shown}")
        pair = self.found.pair
        if pair is not None and self.made_twice:
            values = " and ".join(
                f"{unit} alone {target.shown(one)}" for unit, one in zip(pair.units, self.pair[1:], strict=True)
            )
            parts.append(f"made twice: {values}, both {target.shown(self.pair[0])}")
        done = len(self.random) == self.wanted
        if done and (self.wanted or self.unrelated) and not self.beyond:
            parts.insert(0, "nothing beyond noise")
        return " · ".join(parts)

    def _band(self, values: list[float]) -> str:
        of = band(values)
        return f"{self.target.shown(of.median)} ({self.target.shown(of.low)}–{self.target.shown(of.high)})"

    def table(self) -> Table:
        target = self.target
        rows: list[list[Any]] = [
            ["nothing", "", *self._cells([target.clean]), None],
            ["these", format_units(self.found.units), *self._cells([self.off]), self.found.effects[-1]],
        ]
        keys = [Verdict.CLEAN, Verdict.PICKED]
        for (name, value), own in zip(self.unrelated, self.own, strict=True):
            keys.append(Verdict.OTHER_ANSWER)
            rows.append([f"picked for {name}", "", *self._cells([value]), own])
        if self.random:
            keys.append(Verdict.RANDOM)
            rows.append([self.kind, f"n {len(self.random)}", *self._cells(self.random), None])
        if self.as_far:
            keys.append(Verdict.SAME_DISTANCE)
            rows.append(["random directions, as far", f"n {len(self.as_far)}", *self._cells(self.as_far), None])
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
                ),
                Column(key=Verdict.LOW, name="5 %", kind=kind),
                Column(key=Verdict.HIGH, name="95 %", kind=kind),
                Column(
                    key=Verdict.OWN,
                    name="own answer",
                    kind="signed",
                    help=f"change of the {self.picked_by}, of what each was picked for",
                ),
            ],
            rows=rows,
            row_keys=keys,
        )

    def _cells(self, values: list[float]) -> list[float | None]:
        of = band(values)
        low, median, high = self.target.readable(np.asarray([of.low, of.median, of.high]))
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
        return Histogram(
            title="These among random ones",
            note=f"{self.kind}, n = {len(values)}",
            edges=edges,
            series=[Series(name="random", y=np.histogram(values, edges)[0].astype(np.float64))],
            x_label=target.quantity,
            marks=[Mark(x=place, label=name) for place, (name, _) in zip(places, marks, strict=True)],
        )


def cost(params: Params, info: ModelInfo) -> Cost:
    tokens = about_tokens(params.prompt)
    passes = sweep_passes(info, tokens, params.n, sweep.Params().others) + GRADIENT
    passes += (1 + params.unrelated) * search_passes(params.size) + 2 * LATER * params.controls
    return Cost(passes=passes, tokens=tokens)


def run(lab: Lab, params: Params, report: Report) -> None:
    target = find_target(lab, params, report)
    after = f" after {quoted(params.prompt)}"
    report.scalar("clean", target.clean)
    report.say(f"{target.quantity} {target.shown(target.clean)}{after}")
    straight = dla.Params(**params.target())
    with report.part("dla", straight, lab.plain_edits) as part:
        dla.add_parts(target, target.study.direct(target.metric), straight, part)
    report.add(Direct.VIEW, part.views[Direct.VIEW])
    report.add(NextToken.VIEW, _next(lab, target))
    swept = sweep.Params(**params.target(), n=params.n)
    with report.part("sweep", swept, lab.plain_edits) as part:
        units = sweep.sweep_into(lab, target, swept, part, shown=lambda: _show(report, part))["neurons"]
        _show(report, part)
    metric = target.metric.unsaturated
    found = search(target.study, metric, params.size, report, Stages.SEARCH)
    case = _case(target, found, units, params)
    _tell(case, report, after)
    _compare(lab, case, params, report, after)
    _suggest(case, params, report)


def _show(report: Report, part: Report) -> None:
    """The sweep's views in the whole's own list, and how many units there are."""
    for key in (UnitKeys.NEURONS, UnitKeys.HEADS, UnitKeys.WHERE):
        if key in part.views:
            report.add(key, part.views[key])
    for kind in (UnitKeys.NEURONS, UnitKeys.HEADS):
        for key in (kind, UnitKeys.beyond(kind)):
            if key in part.scalars:
                report.scalar(key, part.scalars[key])


def _next(lab: Lab, target: Target) -> Table:
    """What the prompt is followed by, with nothing switched off; the answer and the foil wherever they are."""
    ranking = target.study.ranking
    asked = (
        {target.answer: NextToken.ANSWER}
        if target.foil is None
        else {target.answer: NextToken.ANSWER, target.foil: NextToken.FOIL}
    )
    rows: list[list[Any]] = []
    for index in dict.fromkeys([*map(int, ranking[:LIKELIEST]), *asked]):
        rank = int(np.flatnonzero(ranking == index)[0]) + 1
        p = float(np.exp(target.study.log_prob(index)))
        rows.append([rank, lab.token(index), p, asked.get(index, "")])
    return Table(
        title="Next token",
        note=target.prompt.describe,
        tokenization=target.prompt.tokenization,
        columns=[
            Column(key="rank", name="rank", kind="int", help="1 is the likeliest"),
            Column(key=NextToken.TOKEN, name="token", kind="token"),
            Column(key=NextToken.PROBABILITY, name="probability", kind="probability"),
            Column(key=NextToken.ASKED, name="asked", help="answer and foil of the question"),
        ],
        rows=rows,
    )


def _case(target: Target, found: Found, units: Units, params: Params) -> Case:
    pair = list(found.pair.units) if found.pair else []
    sets = [found.units, *([unit] for unit in found.units), pair, *([unit] for unit in pair)]
    values = np.full(len(found.units) + 4, np.nan)
    for results in target.study.run([target.study.off(one) for one in sets if one]):
        values[results.indices] = results.value(target.metric)
    off, *alone = map(float, values[: len(found.units) + 1])
    together, first, second = map(float, values[len(found.units) + 1 :])
    estimates = [float(units.estimate[unit.layer, unit.index]) for unit in found.units]
    return Case(target, found, off, alone, estimates, (together, first, second), params.controls)


def _compare(lab: Lab, case: Case, params: Params, report: Report, after: str) -> None:
    """Controls, then the picks for other answers; the sentence rewrites as they come."""
    from workbench.lab.controls import off_controls
    from workbench.lab.study import same_distance

    target, study = case.target, case.target.study
    controls = off_controls(case.found.units, lab.model, study.first, params.controls, lab.seed)
    case.kind, case.wanted = controls.kind, len(controls.plans)
    if controls.problem:
        report.note(controls.problem)
    for results in study.track(controls.plans, report, "controls", Stages.RANDOM):
        case.random += [float(value) for value in results.value(target.metric)]
        _tell(case, report, after)
    far = same_distance(lab, study, study.off(case.found.units), params.controls)
    for results in study.track(far.plans, report, "controls", Stages.SAME_DISTANCE):
        case.as_far += [float(value) for value in results.value(target.metric)]
        _tell(case, report, after)
    for other in other_answers(study, target.metric, params.unrelated, lab.seed + 1):
        name = show_token(lab.token(other.answer))
        picked = search(study, other, params.size, report, Stages.OTHER_ANSWERS)
        value = next(iter(study.run([study.off(picked.units)]))).value(target.metric)
        case.unrelated.append((name, float(value[0])))
        case.own.append(picked.effects[-1])
        _tell(case, report, after)


def _tell(case: Case, report: Report, after: str) -> None:
    target = case.target
    report.add(Verdict.VIEW, case.table())
    report.add(Picked.VIEW, _picked(case))
    if case.random:
        report.add("controls", case.histogram())
        of = band(case.random)
        report.scalar("controls", len(case.random))
        report.scalar("controls_low", of.low)
        report.scalar("controls_median", of.median)
        report.scalar("controls_high", of.high)
        report.scalar("percentile", case.percentile)
    report.scalar("off", case.off)
    report.scalar("own", case.found.effects[-1])
    if case.unrelated:
        report.scalar("unrelated_lowest", min(value for _, value in case.unrelated))
    report.scalar(Verdict.IS_BEYOND, float(case.beyond))
    if target.metric.kind == "log-prob":
        report.scalar("probability", float(np.exp(target.clean)))
        report.scalar("probability_off", float(np.exp(case.off)))
    report.say(f"{case.sentence()} ·{after}")


def _picked(case: Case) -> Table:
    rows: list[list[Any]] = []
    picked = zip(case.found.units, case.found.effects, case.estimates, case.alone, strict=True)
    for at, (unit, effect, estimate, alone) in enumerate(picked, 1):
        then = float(case.target.readable(np.asarray(alone)))
        rows.append([at, str(unit), effect, estimate, alone - case.target.clean, then])
    pair = case.found.pair
    note = "in the order in which they were taken, each with those above it off"
    if pair is not None:
        note += (
            f"; the strongest pair {pair.units[0]}, {pair.units[1]}: {number(pair.together)} together, "
            f"{number(pair.alone[0])} and {number(pair.alone[1])} alone"
        )
    return Table(
        title="Picked together",
        note=note,
        columns=[
            Column(key="place", name="", kind="int"),
            Column(key=UnitKeys.UNIT, name="neuron", kind="unit"),
            Column(
                key=Picked.TOGETHER,
                name="together",
                kind="signed",
                help=f"change of the {case.picked_by}, with it and those above it off",
            ),
            Column(
                key=UnitKeys.ESTIMATE, name="estimate", kind="signed", help=f"−Σ a·∂: change of {case.target.change}"
            ),
            Column(
                key=UnitKeys.EXACT,
                name="exact",
                kind="signed",
                help=f"change of {case.target.change} when it alone is off",
            ),
            Column(key=UnitKeys.LEFT, name="then", kind=case.target.kind, help=case.target.quantity),
        ],
        rows=rows,
    )


def _suggest(case: Case, params: Params, report: Report) -> None:
    first = case.target.study.first
    units = format_units(case.found.units)
    edit = f"{units}[{first}-]=0" if first else f"{units}=0"
    target = {"prompt": params.prompt, "chat": params.chat} if params.chat else {"prompt": params.prompt}
    report.suggest(
        NextStep(
            label="the next token with them off",
            experiment="predict",
            params={**target, "answer": params.answer},
            edits=[edit],
        )
    )
    report.suggest(
        NextStep(label="what they do on the prompt", experiment="activations", params={**target, "units": units})
    )
    report.suggest(
        NextStep(label="what they do elsewhere", experiment="effect", params={"corpus": "stdlib"}, edits=[edit])
    )


def _word(n: int) -> str:
    return NUMBERS[n] if n < len(NUMBERS) else str(n)


EXPERIMENT = Experiment(name="why", help=__doc__, params=Params, run=run, group="parts", order=19, long=True, cost=cost)
