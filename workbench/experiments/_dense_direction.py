"""A dense probe's weight as a direction: neurons along it, ordinary text, what is left without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import UserError
from workbench.experiments._dense import DenseTask, predictions
from workbench.experiments._dense_views import Refits
from workbench.experiments._project import add_neurons
from workbench.report import Report
from workbench.result_keys import DenseProbe
from workbench.text import count, number
from workbench.units import Site

if TYPE_CHECKING:
    import torch

    from workbench.lab import Lab
    from workbench.lab.probing.dense import Dense

NEURONS = 10
"""of each kind, that lie along the direction"""
DRAWS = 32
"""random directions that neurons are compared with"""


def refitted(task: DenseTask, x: torch.Tensor, probe: Dense, n: int, report: Report) -> Refits:
    """Probes of x [example, d] fitted anew with the direction projected out, and with `n` random ones of each kind."""
    import torch

    from workbench.lab.probing.dense import random_directions

    values = task.values > np.median(task.values) if task.numeric else task.values
    label = torch.from_numpy(values[task.data.train])
    shuffled, drawn = random_directions(task.part(x, task.data.train), label, n, task.seed)
    own = probe.weight[0]
    directions = [torch.zeros_like(own), own, *shuffled, *drawn]
    test = task.values[task.data.test]
    scores = [
        task.scores(task.fit_without(x, direction), test)[task.lead]
        for direction in report.track(directions, "probes", stage="refitted without a direction")
    ]
    return Refits(scores[0], scores[1], np.array(scores[2 : 2 + n]), np.array(scores[2 + n :]))


def add_along(lab: Lab, probe: Dense, site: Site, name: str, report: Report) -> None:
    """The neurons that write and read the direction, beside random ones."""
    from workbench.lab.directions.projections import along_neurons, bundle

    vector = probe.weight[0].cpu().numpy().astype(np.float32)
    try:
        directions = bundle(lab, vector, site, DRAWS, report)
        along = along_neurons(lab, directions, report)
    except UserError as error:
        report.note(f"without the neurons that write and read it: {error}")
        return
    report.note(f"@{name}: {add_neurons(along, name, NEURONS, report, site)}")


def add_ordinary(
    lab: Lab,
    task: DenseTask,
    probe: Dense,
    site: Site,
    columns: slice,
    test: np.ndarray,
    tokens: int,
    report: Report,
) -> None:
    """Recall at the threshold that 1 % of ordinary text lies above; `test` are the logits of the test examples.

    The probe reads `columns` of the site's numbers.
    """
    import torch

    from workbench.lab.probing.ordinary import RATE, ordinary_examples
    from workbench.lab.probing.scores import recall_above, threshold_at
    from workbench.lab.probing.store import take

    try:
        examples, text = ordinary_examples(lab.model, task.data.examples, tokens)
        with take(lab, examples, site.name, [site.layer], report, data_set="ordinary text") as store:
            logits = predictions(
                probe, torch.from_numpy(np.array(store.layer(site.layer)[:, columns])).to(probe.weight.device)
            )
        threshold = threshold_at(logits, RATE)
    except UserError as error:
        report.note(f"without ordinary text: {error}")
        return
    recall = recall_above(test, task.values[task.data.test], threshold)
    positive = float((logits > 0).mean())
    report.scalar(DenseProbe.RECALL, recall)
    report.scalar("threshold_ordinary", threshold)
    report.scalar("false_positives_ordinary", positive)
    length = int(examples.last[0] - examples.first[0]) + 1
    what = "tokens" if length == 1 else f"spans of {length} tokens"
    report.note(
        f"at 1 % false positives on {count(len(examples))} {what} of ordinary text ({text}): recall {number(recall)} "
        f"on test; at the probe's own threshold {number(100 * positive)} % of them are positive"
    )
