"""What Enter on a cell of a heat map, or on a row about a head or a direction, leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.errors import UserError

if TYPE_CHECKING:
    from workbench.report import NextStep
    from workbench.views import Heatmap


def cell_step(
    experiment_name: str, params: dict[str, Any], key: str, view: Heatmap, row: int, column: int
) -> NextStep | None:
    """The step to run for a cell; None where it stands for none, or the step is of a version that asked otherwise."""
    from workbench.experiments import experiment
    from workbench.params import make_params

    try:
        made = experiment(experiment_name)
        return made.cell(make_params(made.params, params), key, view, row, column) if made.cell else None
    except UserError:
        return None


def row_step(experiment_name: str, params: dict[str, Any], unit: str) -> NextStep | None:
    """What Enter on a row about this unit runs: a head's attention, a direction's projections; None for others."""
    from workbench.units import Direction, Head, parse_unit

    try:
        row_unit = parse_unit(unit)
    except UserError:
        return None
    if isinstance(row_unit, Direction):
        return direction_step(experiment_name, params, unit)
    return head_step(experiment_name, params, unit) if isinstance(row_unit, Head) else None


def direction_step(experiment_name: str, params: dict[str, Any], direction: str) -> NextStep:
    """What a direction promotes and what is like it; on the same text and corpus where the step was about that too."""
    from workbench.report import NextStep

    same = params if experiment_name == "project" else {}
    asked = {name: value for name, value in same.items() if name not in ("site", "beside")}
    return NextStep(label=f"what {direction} promotes", experiment="project", params={**asked, "direction": direction})


def head_step(experiment_name: str, params: dict[str, Any], unit: str) -> NextStep | None:
    """A head's attention over the prompt that a step was about; None where there was none.

    Nor after other turns of a conversation, which `attention` does not read.
    """
    from workbench.experiments import experiment
    from workbench.params import CONVERSATION, PROMPT, TEMPLATE, TOKEN, fields, make_params, params_builtins
    from workbench.report import NextStep

    try:
        made = experiment(experiment_name)
        values = params_builtins(make_params(made.params, params))
    except UserError:
        return None
    kinds = {field.name: field.kind for field in fields(experiment("attention").params)}
    carried = {
        field.name: values[field.name]
        for field in fields(made.params)
        if field.kind in (PROMPT, TOKEN, TEMPLATE) and kinds.get(field.name) is field.kind and values[field.name]
    }
    in_conversation = any(field.kind is CONVERSATION and values[field.name] for field in fields(made.params))
    if in_conversation or not any(kinds[name] is PROMPT for name in carried):
        return None
    return NextStep(label=f"attention of {unit}", experiment="attention", params={**carried, "head": unit})
