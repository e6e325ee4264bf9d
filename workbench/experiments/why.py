"""Why does it say that: from an answer to the neurons that make it, switched off, beside matched random ones.

What writes the answer straight (dla), every unit switched off (sweep), then the few neurons that lower the answer most
together, found by a greedy search that also looks for pairs that hide behind each other; with --sae the search takes
features as well, whose SAE keeps its error. Beside them: as many matched random units, random directions of the same
norm, and, since these were picked as the best, as many picked in the same way for other answers on the same prompt. It
ends in a sentence, which says "nothing found" as plainly as the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec import Meta

from workbench.experiment import Cost, Experiment
from workbench.experiments import dla, sweep
from workbench.experiments._explanation import Explanation, picked_table
from workbench.experiments._search import SearchResult, search, search_passes
from workbench.experiments._sweep import ABLATION_PASSES, GRADIENT_PASSES, Sweep, other_answers, sweep_passes
from workbench.experiments._target import Target, TargetParams, find_target
from workbench.params import SaeName
from workbench.report import NextStep, Report
from workbench.result_keys import Direct, NextToken, Picked, Stages, Verdict
from workbench.result_keys import Units as UnitKeys
from workbench.room import estimated_tokens
from workbench.statistics import band
from workbench.text import quoted, show_token
from workbench.units import Feature, format_units
from workbench.views import Column, Table

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.model_info import ModelInfo

LIKELIEST = 20
"""next tokens that are listed, beside answer and foil"""


class Params(TargetParams, kw_only=True, frozen=True):
    size: Annotated[
        int, Meta(ge=1, le=50, description="how many neurons (with --sae or features) to pick", extra={"unit": "units"})
    ] = 5
    controls: Annotated[
        int, Meta(ge=0, le=10000, description="matched random sets of as many units", extra={"unit": "controls"})
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
    sae: Annotated[
        SaeName,
        Meta(
            description="an SAE whose features are switched off too: the few are picked among neurons and features",
            extra={"example": "res-10", "more": True},
        ),
    ] = ""


def cost(params: Params, info: ModelInfo) -> Cost:
    tokens = estimated_tokens(params.prompt)
    passes = sweep_passes(info, tokens, params.n, sweep.Params().others) + GRADIENT_PASSES
    passes += (1 + params.unrelated) * search_passes(params.size) + 2 * ABLATION_PASSES * params.controls
    return Cost(passes=passes, tokens=tokens)


def run(lab: Lab, params: Params, report: Report) -> None:
    target = find_target(lab, params, report)
    after = f" after {quoted(params.prompt)}"
    report.scalar("clean", target.clean)
    report.say(f"{target.quantity} {target.shown(target.clean)}{after}")
    dla_params = dla.Params(**params.target())
    with report.part("dla", dla_params, lab.plain_edits) as part:
        dla.add_parts(target, target.study.direct(target.metric), dla_params, part)
    report.add(Direct.VIEW, part.views[Direct.VIEW])
    report.add(NextToken.VIEW, _next_table(lab, target))
    sweep_params = sweep.Params(**params.target(), n=params.n, sae=params.sae)
    with report.part("sweep", sweep_params, lab.plain_edits) as part:
        swept = sweep.sweep_into(lab, target, sweep_params, part, on_update=lambda: _copy_sweep_views(report, part))
        _copy_sweep_views(report, part)
    metric = target.metric.unsaturated
    feature = swept["features"].feature if "features" in swept else None
    picked = search(target.study, metric, params.size, report, Stages.SEARCH, feature)
    explanation = _explain(target, picked, swept, params)
    _add_views(explanation, report, after)
    _compare(lab, explanation, feature, params, report, after)
    _suggest(explanation, params, report)


def _copy_sweep_views(report: Report, part: Report) -> None:
    """Copy the sweep's views into the report of the whole, and how many units there are."""
    for key in (UnitKeys.NEURONS, UnitKeys.HEADS, UnitKeys.FEATURES, UnitKeys.WHERE):
        if key in part.views:
            report.add(key, part.views[key])
    for kind in (UnitKeys.NEURONS, UnitKeys.HEADS, UnitKeys.FEATURES):
        for key in (kind, UnitKeys.beyond(kind)):
            if key in part.scalars:
                report.scalar(key, part.scalars[key])


def _next_table(lab: Lab, target: Target) -> Table:
    """What the prompt is followed by, with nothing switched off; the answer and the foil wherever they are."""
    ranking = target.study.ranking
    named = (
        {target.answer: NextToken.ANSWER}
        if target.foil is None
        else {target.answer: NextToken.ANSWER, target.foil: NextToken.FOIL}
    )
    rows: list[list[Any]] = []
    for index in dict.fromkeys([*map(int, ranking[:LIKELIEST]), *named]):
        rank = int(np.flatnonzero(ranking == index)[0]) + 1
        p = float(np.exp(target.study.log_prob(index)))
        rows.append([rank, lab.token(index), p, named.get(index, "")])
    return Table(
        title="Next token",
        note=target.prompt.describe,
        tokenization=target.prompt.tokenization,
        columns=[
            Column(key="rank", name="rank", kind="int", help="1 is the top prediction"),
            Column(key=NextToken.TOKEN, name="token", kind="token"),
            Column(key=NextToken.PROBABILITY, name="probability", kind="probability"),
            Column(key=NextToken.ASKED, name="asked", help="answer and foil of the question"),
        ],
        rows=rows,
    )


def _explain(target: Target, picked: SearchResult, swept: Sweep, params: Params) -> Explanation:
    pair = list(picked.pair.units) if picked.pair else []
    sets = [picked.units, *([unit] for unit in picked.units), pair, *([unit] for unit in pair)]
    values = np.full(len(picked.units) + 4, np.nan)
    for results in target.study.run([target.study.off(units_off) for units_off in sets if units_off]):
        values[results.indices] = results.value(target.metric)
    all_off, *alone = map(float, values[: len(picked.units) + 1])
    together, first, second = map(float, values[len(picked.units) + 1 :])
    estimates = [
        float(swept["features"].estimate[0, unit.index])
        if isinstance(unit, Feature)
        else float(swept["neurons"].estimate[unit.layer, unit.index])
        for unit in picked.units
    ]
    return Explanation(target, picked, all_off, alone, estimates, (together, first, second), params.controls)


def _compare(
    lab: Lab, explanation: Explanation, feature: Feature | None, params: Params, report: Report, after: str
) -> None:
    """Controls, then the picks for other answers; the sentence rewrites as they come."""
    from workbench.lab.controls import off_controls
    from workbench.lab.kinds.kind import EditedAt
    from workbench.lab.study import same_distance

    target, study = explanation.target, explanation.target.study
    spans = [EditedAt(study.prompt, study.first, len(study.prompt))]
    controls = off_controls(explanation.picked.units, lab.model, study.first, params.controls, lab.seed, spans)
    explanation.control_kind, explanation.n_controls = controls.kind, len(controls.plans)
    if controls.problem:
        report.note(controls.problem)
    for results in study.track(controls.plans, report, "controls", Stages.RANDOM):
        explanation.random += [float(value) for value in results.value(target.metric)]
        _add_views(explanation, report, after)
    directions = same_distance(lab, study, study.off(explanation.picked.units), params.controls)
    if directions.problem:
        report.note(directions.problem)
    for results in study.track(directions.plans, report, "controls", Stages.SAME_DISTANCE):
        explanation.same_distance += [float(value) for value in results.value(target.metric)]
        _add_views(explanation, report, after)
    for other in other_answers(study, target.metric, params.unrelated, lab.seed + 1):
        name = show_token(lab.token(other.answer))
        picked = search(study, other, params.size, report, Stages.OTHER_ANSWERS, feature)
        value = next(iter(study.run([study.off(picked.units)]))).value(target.metric)
        explanation.unrelated.append((name, float(value[0])))
        explanation.own_effects.append(picked.effects[-1])
        _add_views(explanation, report, after)


def _add_views(explanation: Explanation, report: Report, after: str) -> None:
    target = explanation.target
    report.add(Verdict.VIEW, explanation.table())
    report.add(Picked.VIEW, picked_table(explanation))
    if explanation.random:
        report.add("controls", explanation.histogram())
        quantiles = band(explanation.random)
        report.scalar("controls", len(explanation.random))
        report.scalar("controls_low", quantiles.low)
        report.scalar("controls_median", quantiles.median)
        report.scalar("controls_high", quantiles.high)
        report.scalar("percentile", explanation.percentile)
    report.scalar("off", explanation.off)
    report.scalar("own", explanation.picked.effects[-1])
    if explanation.unrelated:
        report.scalar("unrelated_lowest", min(value for _, value in explanation.unrelated))
    report.scalar(Verdict.IS_BEYOND, float(explanation.beyond))
    if target.metric.kind == "log-prob":
        report.scalar("probability", float(np.exp(target.clean)))
        report.scalar("probability_off", float(np.exp(explanation.off)))
    report.say(f"{explanation.sentence()} ·{after}")


def _suggest(explanation: Explanation, params: Params, report: Report) -> None:
    first = explanation.target.study.first
    units = format_units(explanation.picked.units)
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


EXPERIMENT = Experiment(
    name="why",
    help=__doc__,
    params=Params,
    run=run,
    group="parts",
    order=19,
    long=True,
    cost=cost,
    cell=sweep.cell,
    works=lambda params, edited: ("gradients", "last"),
)
