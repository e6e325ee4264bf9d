"""Make a direction of the stream and keep it: `@name` in every edit from then on.

From two sets of prompts: the difference of their means at every layer's input and the last positions, with how well
each separates prompts that it was not made from (AUC and d′ over five folds) beside the same with shuffled labels; the
best is kept, or the one that is asked for. From a class of tokens: the mean of its rows of W_E or W_U less the mean of
the others. Or from directions that there are, saved ones and the model's own weights: `@a - 0.5*@b`,
`orthogonalise(@a, @b)`, `normalise(@a)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from workbench.artifacts.direction import Origin
from workbench.directions.expression import Applied, Expression, Named, evaluate, names_in, parse_expression
from workbench.errors import UserError
from workbench.experiment import Cost, Experiment
from workbench.experiments._direction import DirectionParams, checked_name, keep, suggest_uses
from workbench.experiments._direction_class import from_tokens
from workbench.experiments._direction_means import from_prompts
from workbench.model_info import ModelInfo
from workbench.params import params_builtins
from workbench.report import NextStep, Report
from workbench.room import estimated_tokens
from workbench.text import number
from workbench.views import Heatmap

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.directions.weights import JobWeights


class Params(DirectionParams, kw_only=True, frozen=True):
    pass


def cost(params: Params, info: ModelInfo) -> Cost | None:
    rows = [*params.positive, *params.negative]
    if not rows:
        return None
    return Cost(passes=len(rows), tokens=sum(estimated_tokens(row.prompt) for row in rows) / len(rows))


def run(lab: Lab, params: Params, report: Report) -> None:
    name = checked_name(params)
    sources = {
        "two prompt sets (--positive, --negative)": bool(params.positive or params.negative),
        "a class of tokens (--token-class)": bool(params.token_class),
        "directions that there are (--of)": bool(params.of),
    }
    given = [source for source, there in sources.items() if there]
    if len(given) != 1:
        problem = f"was asked of {' and of '.join(given)}" if given else "has no source"
        raise UserError(f"@{name} {problem}: give one of {', '.join(sources)}")
    if params.token_class:
        from_tokens(lab, params, name, report)
    elif params.of:
        _from_directions(lab, params, name, report)
    else:
        from_prompts(lab, params, name, report)


def _from_directions(lab: Lab, params: Params, name: str, report: Report) -> None:
    from workbench.lab.identify import identify

    identify(lab, report)  # a model's own directions are of its fingerprint
    expression = parse_expression(params.of)
    vector = evaluate(expression, lab.weights.direction)
    copied = isinstance(expression, Named)
    contrast = lab.weights.contrast(expression.name) if isinstance(expression, Named) else {}
    keep(report, name, vector, _origin(expression, lab.weights), contrast)
    norm = float(np.linalg.norm(vector))
    report.scalar("norm", norm)
    report.say(f"@{name} is {'the same as ' if copied else ''}{expression} · norm {number(norm)}")
    suggest_uses(report, name, params)


def _origin(expression: Expression, weights: JobWeights) -> Origin:
    """What is known of all its parts alike; of one direction by itself, what is known of it."""
    origins = [weights.origin(name) for name in names_in(expression)]
    first = origins[0]
    if isinstance(expression, Named):
        return first
    differing = {
        field: None if field in ("layer", "position") else ""
        for field in ("model", "fingerprint", "site", "layer", "position", "purpose")
        if any(getattr(origin, field) != getattr(first, field) for origin in origins)
    }
    normalised = isinstance(expression, Applied) and expression.function == "normalise"
    known = {"method": "arithmetic", "about": str(expression), "normalised": normalised, **differing}
    return msgspec.structs.replace(first, **known)


def cell(params: Params, key: str, view: Heatmap, row: int, column: int) -> NextStep:
    """Keeps the direction of that layer and position instead."""
    asked = {**params_builtins(params), "layer": f"L{row}", "position": column - view.values.shape[1]}
    return NextStep(label=f"keep {view.row_labels[row]} instead", experiment="direction", params=asked)


EXPERIMENT = Experiment(
    name="direction",
    help=__doc__,
    params=Params,
    run=run,
    group="directions",
    order=60,
    takes_edits=False,
    cost=cost,
    cell=cell,
    works=lambda params, edited: ("stream",),
)
