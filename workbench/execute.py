"""One experiment by its name: what the model process and the Python API call."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from workbench import cost as costs
from workbench.artifacts.direction import Direction
from workbench.datasets.conversation import Turn
from workbench.errors import Cancelled, UserError
from workbench.experiment import Experiment
from workbench.experiments import experiment as experiment_named
from workbench.judging import JudgeCommand
from workbench.lab.batches import free_caches, is_out_of_memory
from workbench.lab.directions.fit import check_fit
from workbench.lab.editing import AnyEdit
from workbench.lab.memory import free_memory, free_on_fullest
from workbench.lab.model import Lab
from workbench.lab.sae.recording import record_saes
from workbench.lab.speed import timed_pass
from workbench.params import Params, make_params, naming_fields
from workbench.report import Report
from workbench.room import check_room


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
    _check_room(lab, experiment, values, bool(edits))
    try:
        cost = costs.cost_of(experiment.name, values, lab.info)
        if cost is not None:
            if costs.FORWARD not in costs.measured(lab.info):
                costs.remember(lab.info, costs.FORWARD, *timed_pass(lab.model))
            report.expect(costs.cost_line(experiment.name, values, lab.info, free_on_fullest(lab.info.devices)))
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


def _check_room(lab: Lab, experiment: Experiment, values: Params, edited: bool) -> None:
    """Raises UserError where not even the smallest batch fits, after what is cached was given up for it."""

    def check() -> None:
        # What each of several devices holds of a batch is not known: only what all of them can't hold is refused.
        free = sum(map(free_memory, lab.info.devices))
        check_room(experiment, values, edited, lab.info, free, free_memory("cpu"), count_tokens)

    def count_tokens(text: str, chat: bool, earlier: Sequence[Turn]) -> int:
        try:
            return len(lab.prompt(text, chat, earlier=earlier))
        except UserError:  # which the experiment raises itself, with the place
            return 0

    try:
        check()
    except UserError:
        free_caches(lab.model)
        check()
