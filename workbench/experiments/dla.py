"""Which parts write the answer straight into the logits.

Direct logit attribution: what the embedding, every head and every MLP with its neurons add to the answer's logit
(above the vocabulary's mean), or to its difference from a foil's, with the final norm's scale frozen. The parts sum to
the whole, before a softcap. What they lack of it has its name: rounding, edits of the stream, or not accounted for.
What a part does through later parts is not in it: switch it off to see that (sweep).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec import Meta

from workbench.experiment import Experiment
from workbench.experiments._target import Target, TargetParams, find_target
from workbench.report import NextStep, Report
from workbench.result_keys import Direct
from workbench.text import number, quoted
from workbench.units import Head, Neuron
from workbench.views import Bars, Column, Heatmap, Scalar, Scalars, Series, Table

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.dla import Parts


SHOWN_REMAINDER = 1e-3
"""of the sum, or of one logit: what the parts lack of it is shown from there on"""


class Params(TargetParams, kw_only=True, frozen=True):
    top: Annotated[
        int, Meta(ge=1, le=1000, description="how many heads and neurons to list", extra={"unit": "rows", "more": True})
    ] = 20


def run(lab: Lab, params: Params, report: Report) -> None:
    target = find_target(lab, params, report)
    add_parts(target, target.study.direct(target.metric), params, report)
    suggested = params.target()
    report.suggest(NextStep(label="switch each part off", experiment="sweep", params=suggested))
    report.suggest(NextStep(label="the few that matter together", experiment="why", params=suggested))


def add_parts(target: Target, parts: Parts, params: Params, report: Report) -> None:
    """Bars, tables and the sentence."""
    quantity = f"logit {target.name} − " + (target.foil_name or "the vocabulary's mean")
    labels = ["embedding", "heads", "MLPs", "biases"]
    keys = [Direct.EMBEDDING, Direct.HEADS, Direct.MLPS, Direct.BIASES]
    bias = parts.bias + parts.attention_bias.sum() + parts.mlp_bias.sum()
    values = np.asarray([parts.embedding, parts.heads.sum(), parts.neurons.sum(), bias])
    remainder = ""
    if abs(parts.remainder) > SHOWN_REMAINDER * max(1.0, abs(parts.whole)):
        key, label = _remainder(parts)
        keys.append(key)
        labels.append(label)
        values = np.append(values, parts.remainder)
        remainder = f"  {label} {parts.remainder:+.2g}"
    note = f"sum {number(parts.whole)} = {quantity}, final norm's scale frozen"
    report.add(
        Direct.VIEW,
        Bars(
            title="Direct effect",
            note=note,
            labels=labels,
            keys=keys,
            series=[Series(name="", y=values)],
            y_label="logits",
        ),
    )
    report.add("parts", _table(parts, params.top))
    report.add("heads", _heatmap(parts, note))
    report.add(
        "layers",
        Bars(
            title="Direct effect by layer",
            note=note,
            labels=[f"L{layer}" for layer in range(len(parts.mlps))],
            series=[Series(name="attention", y=parts.attention), Series(name="MLP", y=parts.mlps)],
            y_label="logits",
        ),
    )
    items = [Scalar(name=name, value=float(value), unit="logits") for name, value in zip(labels, values, strict=True)]
    items.append(Scalar(name="sum", value=float(values.sum()), unit="logits", help=quantity))
    report.add("numbers", Scalars(title="In numbers", note=note, items=items))
    for name, value in zip(keys, values, strict=True):
        report.scalar(name, float(value))
    report.scalar("sum", parts.whole)
    shares = "  ".join(f"{name} {value:+.2g}" for name, value in zip(labels[:3], values[:3], strict=True))
    report.say(f"{shares}{remainder} · sum {number(parts.whole)} = {quantity} after {quoted(params.prompt)}")


def _remainder(parts: Parts) -> tuple[str, str]:
    """What the parts lack of the whole: its key, and what it is called."""
    if abs(parts.remainder) <= parts.rounding:
        return Direct.ROUNDING, "rounding"
    if parts.stream_edited:
        return Direct.EDITS, "edits of the stream"
    return Direct.UNACCOUNTED, "not accounted for"


def _table(parts: Parts, top: int) -> Table:
    rows: list[list[Any]] = [["embedding", "embedding", parts.embedding]]
    for kind, make, values in (("head", Head, parts.heads), ("neuron", Neuron, parts.neurons)):
        order = np.argsort(-np.abs(values), axis=None, kind="stable")[:top]
        for flat in order:
            layer, index = divmod(int(flat), values.shape[1])
            rows.append([str(make(layer, index)), kind, float(values[layer, index])])
    rows.sort(key=lambda row: -abs(row[2]))
    total = parts.heads.size + parts.neurons.size
    return Table(
        title="Parts",
        note=f"the {top} largest of each kind, {total:,} in all; later parts read them too, which is not in it",
        columns=[
            Column(key="unit", name="part", kind="unit"),
            Column(key="kind", name="kind"),
            Column(key="logits", name="logits", kind="signed", help="what it adds to the answer's logit, straight"),
        ],
        rows=rows,
    )


def _heatmap(parts: Parts, note: str) -> Heatmap:
    layers, heads = parts.heads.shape
    return Heatmap(
        title="Heads, direct effect",
        note=note,
        values=parts.heads,
        row_labels=[f"L{layer}" for layer in range(layers)],
        column_labels=[f"H{head}" for head in range(heads)],
        row_axis="layer",
        column_axis="head",
        low_label="against the answer",
        high_label="for the answer",
        value_label="logits",
        signed=True,
    )


def cell(params: Params, key: str, view: Heatmap, row: int, column: int) -> NextStep | None:
    """The head's attention."""
    head = str(Head(row, column))
    asked = {**params.target(), "head": head}
    return NextStep(label=f"attention of {head}", experiment="attention", params=asked)


EXPERIMENT = Experiment(name="dla", help=__doc__, params=Params, run=run, group="parts", order=22, cell=cell)
