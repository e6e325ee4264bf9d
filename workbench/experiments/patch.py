"""Where two prompts part: activations of one put into the other.

Activation patching: the clean prompt's activations go into the run of the corrupted one, at each layer and position of
the stream, of what attention adds and of what the MLP adds; then each head at all positions. Recovery is how much of
the metric comes back: 0 as corrupted, 1 as clean. Both prompts need the same number of tokens. The metric is the logit
of the clean prompt's answer above the corrupted one's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec import Meta

from workbench.edits import Patch
from workbench.errors import UserError
from workbench.experiment import Cost, Experiment
from workbench.experiments._sweep import ABLATION_PASSES
from workbench.lab.metric import Metric
from workbench.params import ChatSwitch, PromptText, TokenText
from workbench.params import Params as BaseParams
from workbench.report import NextStep, Report
from workbench.room import estimated_tokens
from workbench.text import number, quoted, show_token
from workbench.units import Head, Site
from workbench.views import Column, Heatmap, Table

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.study import Study
    from workbench.model_info import ModelInfo

SITES = {
    "resid_pre": "the stream at each block's input",
    "attn_out": "what attention adds",
    "mlp_out": "what the MLP adds",
}


class Params(BaseParams, kw_only=True, frozen=True):
    prompt: Annotated[
        PromptText, Meta(description="the clean prompt", extra={"example": "The capital of France is"})
    ] = ""
    corrupted: Annotated[
        PromptText,
        Meta(description="the prompt that is patched, as many tokens", extra={"example": "The capital of Italy is"}),
    ] = ""
    answer: Annotated[
        TokenText,
        Meta(description="the clean prompt's answer; empty is its top prediction", extra={"example": " Paris"}),
    ] = ""
    foil: Annotated[
        TokenText,
        Meta(description="the corrupted prompt's; empty is its top prediction", extra={"example": " Rome"}),
    ] = ""
    chat: Annotated[ChatSwitch, Meta(description="put the prompts into the model's chat template")] = False


def cost(params: Params, info: ModelInfo) -> Cost:
    tokens = estimated_tokens(params.prompt)
    patches = info.n_layers * (tokens * len(SITES) + info.n_heads)
    return Cost(passes=2 + ABLATION_PASSES * patches, tokens=tokens)


def run(lab: Lab, params: Params, report: Report) -> None:
    from workbench.lab.study import study

    if not params.corrupted:
        raise UserError("a second prompt is needed: --corrupted, with as many tokens as the first")
    prompts = [lab.prompt(text, params.chat) for text in (params.prompt, params.corrupted)]
    if len(prompts[0]) != len(prompts[1]):
        tokens = [" ".join(show_token(token) for token in prompt.tokens) for prompt in prompts]
        raise UserError(
            f"the prompts have {len(prompts[0])} and {len(prompts[1])} tokens, patching needs as many in both: "
            f"{tokens[0]} | {tokens[1]}"
        )
    differing = np.flatnonzero(prompts[0].ids != prompts[1].ids)
    if not len(differing):
        raise UserError("both prompts are the same tokens: nothing can be patched from one into the other")
    clean, corrupted = (study(lab, prompt, lab.edits) for prompt in prompts)
    metric = _metric(lab, params, clean, corrupted, report)
    high, low = clean.value(metric), corrupted.value(metric)
    report.scalar("clean", high)
    report.scalar("corrupted", low)
    names = [show_token(lab.token(metric.answer)), show_token(lab.token(metric.foil or 0))]
    quantity = f"logit {names[0]} − {names[1]}"
    if abs(high - low) < 1e-3:
        raise UserError(
            f"{quantity} is {number(high)} on both prompts: nothing to recover, name another answer and foil"
        )
    on_both = f"{number(high)} after {quoted(params.prompt, 30)}, {number(low)} after {quoted(params.corrupted, 30)}"
    baseline = f"{quantity}: {on_both}"
    report.say(baseline)
    rounding = _rounding(corrupted, metric) / abs(high - low)
    report.scalar("rounding", rounding)
    note = f"recovery of {quantity}: 0 is {number(low)} as corrupted, 1 is {number(high)} as clean"
    note += f"; rounding in {lab.info.dtype} alone makes up to {number(rounding, 2)}"
    largest_recoveries: list[tuple[float, str]] = []
    tokens = [
        show_token(a) if a == b else f"{show_token(a)}/{show_token(b)}"
        for a, b in zip(prompts[0].tokens, prompts[1].tokens, strict=True)
    ]
    for name, description in SITES.items():
        problem = next(
            filter(None, (lab.model.sites.edit_problem(Site(at, name)) for at in range(lab.info.n_layers))), ""
        )
        if problem:
            report.note(f"{description} is not patched: {problem}")
            continue
        patched = _by_position(lab, clean, corrupted, metric, name, int(differing[0]), report)
        recovery = (patched - low) / (high - low)
        report.add(name, _heatmap(f"Patching {description}", note, recovery, tokens, "position"))
        largest = np.unravel_index(int(np.argmax(recovery)), recovery.shape)
        largest_recoveries.append((float(recovery[largest]), f"L{largest[0]}.{name} at {tokens[largest[1]]}"))
        places = " · ".join(f"{where} {number(value, 2)}" for value, where in largest_recoveries)
        report.say(f"{baseline} · recovered most by {places}")
    recovery = (_heads(lab, clean, corrupted, metric, report) - low) / (high - low)
    columns = [f"H{head}" for head in range(lab.info.n_heads)]
    report.add("heads", _heatmap("Patching heads, at all positions", note, recovery, columns, "head"))
    report.add("largest", _table(recovery, note))
    layer, head = np.unravel_index(int(np.argmax(recovery)), recovery.shape)
    largest_recoveries.append((float(recovery.max()), str(Head(int(layer), int(head)))))
    report.scalar("largest_head", float(recovery.max()))
    places = " · ".join(f"{where} {number(value, 2)}" for value, where in largest_recoveries)
    report.say(f"{baseline} · recovered most by {places}")
    clean_params = {"prompt": params.prompt, "answer": lab.token(metric.answer), "chat": params.chat}
    report.suggest(
        NextStep(
            label=f"look at {Head(int(layer), int(head))}",
            experiment="attention",
            params={"prompt": params.prompt, "head": str(Head(int(layer), int(head)))},
        )
    )
    report.suggest(NextStep(label="which parts make the clean answer", experiment="why", params=clean_params))


def _metric(lab: Lab, params: Params, clean: Study, corrupted: Study, report: Report) -> Metric:
    tokens = [lab.answer_token(text) if text else None for text in (params.answer, params.foil)]
    for token in tokens:
        if token and token.note:
            report.note(token.note)
    answer = tokens[0].id if tokens[0] else int(clean.ranking[0])
    foil = tokens[1].id if tokens[1] else int(corrupted.ranking[0])
    if answer == foil and not tokens[1]:
        foil = int(corrupted.ranking[1])
        report.note(
            f"both prompts are answered alike: the foil is {show_token(lab.token(foil))}, the second most likely"
        )
    if answer == foil:
        raise UserError(f"answer and foil are the same token, {show_token(lab.token(answer))}: name another foil")
    return Metric("difference", answer, foil)


def _rounding(corrupted: Study, metric: Metric) -> float:
    """The largest change of the metric that rounding alone makes."""
    changes = [results.value(metric) - corrupted.value(metric) for results in corrupted.run(corrupted.rounding())]
    return float(np.abs(np.concatenate(changes)).max())


def _by_position(
    lab: Lab, clean: Study, corrupted: Study, metric: Metric, name: str, first: int, report: Report
) -> np.ndarray:
    """The metric with one place patched, [layer, position]; before the first difference nothing can change."""
    layers, positions = lab.info.n_layers, len(clean.prompt)
    values = np.full((layers, positions), corrupted.value(metric))
    places = [(layer, position) for layer in range(layers) for position in range(first, positions)]
    plans = corrupted.patches(clean, [(Site(layer, name), None, position) for layer, position in places])
    for results in corrupted.track(plans, report, "places", name):
        for at, value in zip(results.indices, results.value(metric), strict=True):
            values[places[at]] = value
    return values


def _heads(lab: Lab, clean: Study, corrupted: Study, metric: Metric, report: Report) -> np.ndarray:
    """The metric with one head patched at all positions, [layer, head]."""
    layers, heads = lab.info.n_layers, lab.info.n_heads
    places: list[tuple[Site, int | None, int | None]] = [
        (Site(layer, "z"), head, None) for layer in range(layers) for head in range(heads)
    ]
    values = np.zeros(len(places))
    plans = corrupted.patches(clean, places)
    for results in corrupted.track(plans, report, "heads", "heads"):
        values[results.indices] = results.value(metric)
    return values.reshape(layers, heads)


def _heatmap(title: str, note: str, values: np.ndarray, columns: list[str], axis: str) -> Heatmap:
    return Heatmap(
        title=title,
        note=note,
        values=values,
        row_labels=[f"L{layer}" for layer in range(values.shape[0])],
        column_labels=columns,
        row_axis="layer",
        column_axis=axis,
        low_label="away from the clean answer",
        high_label="recovers it",
        value_label="recovery",
        signed=True,
    )


def _table(recovery: np.ndarray, note: str) -> Table:
    order = np.argsort(-np.abs(recovery), axis=None, kind="stable")[:20]
    rows: list[list[Any]] = [
        [str(Head(*map(int, divmod(int(flat), recovery.shape[1])))), float(recovery.flat[flat])] for flat in order
    ]
    columns = [
        Column(key="unit", name="head", kind="unit"),
        Column(key="recovery", name="recovery", kind="signed", help="0 corrupted, 1 clean"),
    ]
    return Table(title="Heads that recover most", note=note, columns=columns, rows=rows)


def cell(params: Params, key: str, view: Heatmap, row: int, column: int) -> NextStep | None:
    """The patch of one place, or of one head at all positions, as an edit of the corrupted prompt."""
    if params.chat:
        return None  # an edit's other prompt is taken as it is typed, without the template
    patch = Patch(f"L{row}.{key}", params.prompt, at=str(column)) if key in SITES else Patch(
        str(Head(row, column)), params.prompt
    )  # fmt: skip
    asked = {"prompt": params.corrupted, "answer": params.answer, "foil": params.foil}
    return NextStep(
        label=f"the corrupted prompt with {patch.units} patched",
        experiment="predict",
        params={name: value for name, value in asked.items() if value},
        edits=[str(patch)],
    )


EXPERIMENT = Experiment(
    name="patch",
    help=__doc__,
    params=Params,
    run=run,
    group="parts",
    order=24,
    long=True,
    cost=cost,
    cell=cell,
    works=lambda params, edited: ("last",),
)
