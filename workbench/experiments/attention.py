"""Where a head looks, and what it writes.

A head's attention over the prompt; all heads of its layer from one position; the tokens it attends to from there, and
what it adds straight to the answer's logit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec import Meta

from workbench.errors import UserError
from workbench.experiment import Experiment
from workbench.experiments._target import TargetParams, find_target
from workbench.params import UnitText
from workbench.report import NextStep, Report
from workbench.text import number, probability, show_token
from workbench.units import Head, parse_unit
from workbench.views import Column, Heatmap, Scalar, Scalars, Table

if TYPE_CHECKING:
    from workbench.lab import Lab


class Params(TargetParams, kw_only=True, frozen=True):
    head: Annotated[UnitText, Meta(description="a head", extra={"example": "L5.H3"})] = ""
    position: Annotated[
        int,
        Meta(
            ge=-1,
            description="the position it looks from; -1 is the last",
            extra={"unit": "position", "example": -1, "more": True},
        ),
    ] = -1


def run(lab: Lab, params: Params, report: Report) -> None:
    if not params.head:
        raise UserError("a head is needed: --head L5.H3")
    unit = parse_unit(params.head, lab.info)
    if not isinstance(unit, Head):
        raise UserError(f"{unit} is no head: name one like L5.H3")
    target = find_target(lab, params, report)
    tokens = [show_token(token) for token in target.prompt.tokens]
    if params.position >= len(tokens):
        raise UserError(
            f"there is no position {params.position}: the prompt has {len(tokens)} tokens, 0 to {len(tokens) - 1}"
        )
    position = len(tokens) - 1 if params.position < 0 else params.position
    pattern = target.study.pattern(unit.layer)
    head_pattern = pattern[unit.index]
    labels = [f"{place} {token}" for place, token in enumerate(tokens)]
    order = np.argsort(-head_pattern[position, : position + 1], kind="stable")
    report.add("looks", _attention_table(unit, head_pattern[position], tokens, order, position))
    report.add(
        "pattern",
        Heatmap(
            title=f"Attention of {unit}",
            note="each row sums to 1",
            values=np.where(np.tri(len(tokens), dtype=bool), head_pattern, np.nan),
            row_labels=labels,
            column_labels=labels,
            row_axis="query position",
            column_axis="key position",
            low_label="none",
            high_label="all of it",
            value_label="attention",
            first_row_low=False,
        ),
    )
    report.add(
        "layer",
        Heatmap(
            title=f"All heads of L{unit.layer}, from {labels[position]}",
            values=pattern[:, position, : position + 1],
            row_labels=[f"H{head}" for head in range(lab.info.n_heads)],
            column_labels=labels[: position + 1],
            row_axis="head",
            column_axis="key position",
            low_label="none",
            high_label="all of it",
            value_label="attention",
            first_row_low=False,
        ),
    )
    parts = target.study.direct(target.metric)
    effect = float(parts.heads[unit.layer, unit.index])
    above = int((np.abs(parts.heads) > abs(effect)).sum())
    weights = head_pattern[position, : position + 1]
    first = float(weights[0])
    entropy = float(-(weights * np.log(np.maximum(weights, 1e-12))).sum())
    items = [
        Scalar(
            name=f"direct effect on {target.name}",
            value=effect,
            unit="logits",
            n=parts.heads.size,
            help="at the last position",
        ),
        Scalar(name="heads with a larger one", value=float(above), n=parts.heads.size),
        Scalar(name="attention to position 0", value=first, help="the attention sink"),
        Scalar(
            name="entropy of its attention", value=entropy, unit="nats", help=f"uniform: {number(np.log(position + 1))}"
        ),
    ]
    report.add("numbers", Scalars(title="In numbers", items=items))
    report.scalar("direct", effect)
    report.scalar("sink", first)
    report.scalar("entropy", entropy)
    best = int(order[0])
    report.say(
        f"{unit} looks from {tokens[position]} most at {tokens[best]} ({probability(float(weights[best]))}) · "
        f"adds {effect:+.2g} to the logit of {target.name}, {above} of {parts.heads.size:,} heads add or take more"
    )
    report.suggest(
        NextStep(label=f"switch {unit} off", experiment="effect", params=params.target(), edits=[f"{unit}=0"])
    )
    report.suggest(NextStep(label="every head switched off", experiment="sweep", params=params.target()))


def _attention_table(unit: Head, row: np.ndarray, tokens: list[str], order: np.ndarray, at: int) -> Table:
    cells: list[list[Any]] = [[int(position), tokens[position], float(row[position])] for position in order[:50]]
    return Table(
        title=f"What {unit} looks at from {tokens[at]}",
        note=f"position {at}; {at + 1} positions to look at",
        columns=[
            Column(key="position", name="position", kind="position"),
            Column(key="token", name="token"),
            Column(key="attention", name="attention", kind="probability", gives_way="never"),
        ],
        rows=cells,
    )


def cell(params: Params, key: str, view: Heatmap, row: int, column: int) -> NextStep | None:
    """The head at the cell's query position; in the view of a layer's heads, the row's head."""
    head = parse_unit(params.head)
    if not isinstance(head, Head):
        return None
    if key == "pattern":
        position = row
        label = f"{head} from {view.row_labels[row]}"
    else:
        head, position = Head(head.layer, row), params.position
        label = f"attention of {head}"
    asked = {**params.target(), "head": str(head), "position": position}
    return NextStep(label=label, experiment="attention", params=asked)


EXPERIMENT = Experiment(name="attention", help=__doc__, params=Params, run=run, group="parts", order=23, cell=cell)
