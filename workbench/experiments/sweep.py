"""Switch off every neuron, every head and every place of the stream; with an SAE, every feature of it.

First the gradient's estimate for all of them, then exact ablation of the largest, one by one; their agreement, and how
many units stand out from chance: from the largest that the same estimates give for other likely answers. Effects are
changes of log p(answer) in nats, or of the logit difference to a foil. A neuron or head is off at every position but
the first, which as the attention sink stands for no token; a place is one position of the stream at one block's input,
set to zero. A feature is off where its SAE writes, x − Σ f · W_dec, so that the SAE's error stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec import Meta

from workbench.errors import UserError
from workbench.experiment import Cost, Experiment
from workbench.experiments._sweep import (
    ABLATION_PASSES,
    Sweep,
    UnitEffects,
    estimates,
    exact_effects,
    measure_chance,
    sweep_passes,
)
from workbench.experiments._target import Target, TargetParams, find_target
from workbench.params import SaeName
from workbench.report import NextStep, Report
from workbench.result_keys import Stages
from workbench.result_keys import Units as UnitKeys
from workbench.room import estimated_tokens
from workbench.text import number, quoted, show_token, stand_out
from workbench.units import Feature, Neuron
from workbench.views import Column, Heatmap, Scalar, Scalars, Table

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.model_info import ModelInfo

_STAGES = {"neurons": Stages.NEURONS, "heads": Stages.HEADS, "stream": Stages.STREAM, "features": Stages.FEATURES}
SHOWN = 200
"""rows of a table at most"""


class Params(TargetParams, kw_only=True, frozen=True):
    n: Annotated[
        int,
        Meta(
            ge=0,
            description="how many of each kind to switch off exactly, the largest estimates first",
            extra={"unit": "units"},
        ),
    ] = 200
    exact: Annotated[bool, Meta(description="switch off all of them exactly", extra={"more": True})] = False
    sae: Annotated[
        SaeName,
        Meta(description="an SAE whose features are switched off too", extra={"example": "res-10", "more": True}),
    ] = ""
    others: Annotated[
        int,
        Meta(
            ge=0,
            le=1000,
            description="other likely answers whose largest estimates are chance here",
            extra={"unit": "answers", "more": True},
        ),
    ] = 32


def cost(params: Params, info: ModelInfo) -> Cost:
    tokens = estimated_tokens(params.prompt)
    passes = sweep_passes(info, tokens, None if params.exact else params.n, params.others)
    passes += ABLATION_PASSES * params.n if params.sae else 0
    return Cost(passes=passes, tokens=tokens)


def run(lab: Lab, params: Params, report: Report) -> None:
    target = find_target(lab, params, report)
    sweep_into(lab, target, params, report)
    report.suggest(NextStep(label="the few that matter together", experiment="why", params=params.target()))
    report.suggest(NextStep(label="what they write straight", experiment="dla", params=params.target()))


def sweep_into(
    lab: Lab, target: Target, params: Params, report: Report, on_update: Callable[[], None] = lambda: None
) -> Sweep:
    """The whole sweep, views filling in (`on_update` is called each time); also a part of `why`."""
    feature = _attribute_features(lab, target, params.sae, report) if params.sae else None
    sweep = estimates(target, feature)
    add_views(target, params, sweep, report)
    on_update()
    for kind, units in sweep.items():
        n = units.count if params.exact else min(params.n, units.count)
        exact_effects(target, units, n, report, _STAGES[kind])
        add_views(target, params, sweep, report)
        on_update()
    if params.others:
        measure_chance(target, sweep, params.others, lab.seed, report)
        add_views(target, params, sweep, report)
    return sweep


def _attribute_features(lab: Lab, target: Target, name: str, report: Report) -> Feature:
    """A feature of the SAE that the sweep's study attributes from now on. Raises UserError."""
    from workbench.experiments._sae import open_sae

    opened = open_sae(lab, name, report)
    problem = lab.model.sites.edit_problem(opened.placed.site_out)
    if problem:
        raise UserError(f"features of {opened.name} can't be swept: {problem}")
    target.study.sae = opened.placed
    return Feature(opened.placed.site.layer, 0, opened.name)


def add_views(target: Target, params: Params, sweep: Sweep, report: Report) -> None:
    """All views of what is measured so far."""
    report.add(UnitKeys.NEURONS, table(target, sweep["neurons"]))
    report.add(UnitKeys.HEADS, table(target, sweep["heads"]))
    report.add(UnitKeys.WHERE, heatmap(target, sweep["stream"]))
    if "features" in sweep:
        report.add(UnitKeys.FEATURES, table(target, sweep["features"]))
    items = []
    for kind in sweep:
        report.scalar(kind, float(sweep[kind].count))
        spearman, overlap, n = sweep[kind].agreement()
        if n > 2:
            items += [
                Scalar(name=f"{kind}: estimate against exact, Spearman", value=spearman, n=n),
                Scalar(name=f"{kind}: of the exact top 20 the estimates have", value=100 * overlap, unit="%", n=n),
            ]
            report.scalar(f"{kind}_spearman", spearman)
            report.scalar(f"{kind}_overlap", overlap)
        beyond = sweep[kind].n_beyond
        if beyond is not None:
            items.append(
                Scalar(
                    name=f"{kind} that stand out from chance", value=float(beyond), n=sweep[kind].count, help=_CHANCE
                )
            )
            report.scalar(UnitKeys.beyond(kind), float(beyond))
    rounding = sweep["neurons"].rounding
    if rounding is not None:
        items.append(
            Scalar(
                name=f"rounding alone, largest change of {target.change}",
                value=rounding.value,
                n=rounding.n,
                help=f"draws that change nothing but rounding in {rounding.dtype}; an effect that is no larger is none",
            )
        )
        report.scalar("rounding", rounding.value)
    if items:
        report.add("numbers", Scalars(title="How far to trust it", note=_CHANCE, items=items))
    report.scalar("clean", target.clean)
    report.say(_sentence(target, params, sweep))


_CHANCE = (
    "chance: the lowest and the highest log-odds (with a foil, logit) estimate of all units for other likely answers "
    "on this prompt, 2.5 % to 97.5 %"
)


def _sentence(target: Target, params: Params, sweep: Sweep) -> str:
    sentence = f"{target.quantity} {target.shown(target.clean)} after {quoted(params.prompt)}"
    units = sweep["neurons"]
    layer, index = units.ranked()[0]
    exact = units.exact[layer, index]
    if np.isfinite(exact):
        sentence += f" · the most: {Neuron(layer, index)} off → {target.shown(target.clean + exact)}"
    else:
        estimate = number(units.estimate[layer, index])
        sentence += f" · the most, estimated: {Neuron(layer, index)} {estimate} {target.metric.unit}"
    if units.n_beyond is None:
        return sentence
    n_others = len(units.null_sorted)
    counts = [f"{sweep[kind].n_beyond or 'none'} of {sweep[kind].count:,} {kind}" for kind in ("neurons", "heads")]
    return f"{sentence} · stand out from chance ({n_others} other answers): {', '.join(counts)}"


def chance_note(units: UnitEffects, shown: int) -> str:
    """`9 of 46,080 stand out from chance (32 other answers: 12 units as large as the first 20)`."""
    if units.n_beyond is None:
        return f"{units.count:,}"
    note = stand_out(units.n_beyond, units.count)
    expected = units.expected(shown)
    if expected is not None:
        note += f" ({len(units.null_sorted)} other answers: {number(expected, 2)} units as large as the first {shown})"
    return note


def rounding_note(units: UnitEffects) -> str:
    """`; 180 of 200 exact effects no more than rounding (.094)`; empty where there are none."""
    if units.rounding is None or not units.n_rounding:
        return ""
    measured = int(np.isfinite(units.exact).sum())
    effects = f"{units.n_rounding:,} of {measured:,} exact effects no more than rounding"
    return f"; {effects} ({number(units.rounding.value, 2)} in {units.rounding.dtype}{units.rounding.advice})"


def table(target: Target, units: UnitEffects, rows: int = SHOWN) -> Table:
    """Units by exact effect, then by estimate."""
    cells: list[list[Any]] = []
    mask = units.beyond_mask
    for layer, index in units.ranked()[:rows]:
        exact = units.exact[layer, index]
        measured = bool(np.isfinite(exact))
        beyond = "" if mask is None else UnitKeys.YES if mask[layer, index] else "no"
        cells.append(
            [
                str(units.unit(layer, index)),
                float(units.estimate[layer, index]),
                float(exact) if measured else None,
                float(target.readable(np.asarray(target.clean + exact))) if measured else None,
                beyond,
            ]
        )
    change = f"change of {target.change}"
    return Table(
        title=f"{units.kind.capitalize()} switched off",
        note=chance_note(units, min(20, units.count)) + rounding_note(units),
        columns=[
            Column(key=UnitKeys.UNIT, name=units.kind[:-1], kind="unit"),
            Column(key=UnitKeys.ESTIMATE, name="estimate", kind="signed", help=f"−Σ a·∂: {change}", quantity=change),
            Column(key=UnitKeys.EXACT, name="exact", kind="signed", help=f"{change} when it is off", quantity=change),
            Column(
                key=UnitKeys.LEFT,
                name="then",
                kind=target.kind,
                help=target.quantity,
                quantity=target.quantity,
                gives_way="never",
            ),
            Column(key=UnitKeys.BEYOND, name="stands out", help=_CHANCE),
        ],
        rows=cells,
    )


def heatmap(target: Target, units: UnitEffects) -> Heatmap:
    """Where in the stream: exact effects where every place was measured, else estimates."""
    all_measured = bool(np.isfinite(units.exact[np.isfinite(units.estimate)]).all())
    values = units.exact if all_measured else units.estimate
    how = "exact" if all_measured else "estimates"
    chance = chance_note(units, min(20, units.count)) + rounding_note(units)
    return Heatmap(
        title="Where (layer × position)",
        note=f"change of {target.change}, the stream at a block's input set to zero; {how}; {chance}",
        values=values,
        row_labels=[f"L{layer}" for layer in range(values.shape[0])],
        column_labels=[show_token(token) for token in target.prompt.tokens],
        row_axis="layer",
        column_axis="position",
        low_label="the answer needs it",
        high_label="suppresses the answer",
        value_label=f"change of {target.change}",
        signed=True,
    )


def cell(params: TargetParams, key: str, view: Heatmap, row: int, column: int) -> NextStep | None:
    """What the model says without this place of the stream."""
    place = f"L{row}.resid_pre[{column}]"
    return NextStep(
        label=f"prediction with {place} set to 0", experiment="predict", params=params.target(), edits=[f"{place}=0"]
    )


EXPERIMENT = Experiment(
    name="sweep",
    help=__doc__,
    params=Params,
    run=run,
    group="parts",
    order=21,
    long=True,
    cost=cost,
    cell=cell,
    works=lambda params, edited: ("gradients", "last"),
)
