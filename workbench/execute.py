"""One experiment by its name: what the model process and the Python API call."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from workbench import cost as costs
from workbench.artifacts.direction import Direction
from workbench.errors import Cancelled, UserError
from workbench.experiments import experiment as experiment_named
from workbench.judging import JudgeCommand
from workbench.lab.batches import is_out_of_memory
from workbench.lab.directions.fit import check_fit
from workbench.lab.editing import AnyEdit
from workbench.lab.model import Lab
from workbench.lab.sae.recording import record_saes
from workbench.lab.speed import timed_pass
from workbench.params import make_params, naming_fields
from workbench.report import Report


def execute(
    lab: Lab,
    experiment_name: str,
    params: dict[str, Any],
    edits: Sequence[AnyEdit],
    seed: int,
    report: Report,
    directions: Mapping[str, Direction] | None = None,
    judge: JudgeCommand | None = None,
) -> None:
    """Run an experiment; what it finds goes to `report`. `directions` are those that edits and parameters name.

    `judge` is a command that the user gave with this run.

    Raises UserError (unknown name, bad parameters, edits that don't fit the model, memory) and Cancelled.
    """
    experiment = experiment_named(experiment_name)
    if edits and not experiment.takes_edits:
        raise UserError(f"{experiment.name} takes no edits: run it without them")
    values = make_params(experiment.params, params)
    job = lab.job(edits, seed, report, directions, judge)
    for remark in [*lab.remarks, *(direction.remark for direction in (directions or {}).values() if direction.remark)]:
        report.note(remark)
    check_fit(job, directions or {}, report)
    record_saes(job, [params.get(key) for key in naming_fields(experiment.params)], report)
    try:
        cost = costs.cost_of(experiment.name, values, lab.info)
        if cost is not None:
            if costs.FORWARD not in costs.measured(lab.info):
                costs.remember(lab.info, costs.FORWARD, *timed_pass(lab.model))
            report.expect(costs.cost_line(experiment.name, values, lab.info))
        began = time.perf_counter()
        experiment.run(job, values, report)
        if cost is not None and cost.typical:
            costs.remember(lab.info, experiment.name, cost.work, time.perf_counter() - began)
    except (UserError, Cancelled):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            full = " or ".join(lab.info.devices)
            raise UserError(f"out of memory on {full}: take a shorter prompt, or free memory") from error
        raise
