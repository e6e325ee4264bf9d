"""What a dense probe leaves in the session: the probe, and its weight as a direction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from workbench.artifacts.direction import Origin
from workbench.artifacts.probe import Probe, Reading
from workbench.experiments._dense import DenseTask
from workbench.experiments._direction import keep, of_this_model
from workbench.experiments._sparse_baselines import Row
from workbench.report import Report
from workbench.units import Site

if TYPE_CHECKING:
    import torch

    from workbench.lab import Lab
    from workbench.lab.probing.dense import Dense


def keep_probe(
    lab: Lab,
    task: DenseTask,
    probe: Dense,
    x: torch.Tensor,
    site: Site,
    indices: tuple[int, ...],
    name: str,
    on_test: Row,
    report: Report,
) -> None:
    """The probe of activations x [example, d] as an artifact, with its scores `on_test`.

    `indices` are the site's numbers that it reads, empty for all.
    """
    info, data = lab.info, task.data
    train = task.part(x, data.train).cpu().numpy().astype(np.float64)
    weight, intercept = probe.weight[0].cpu().numpy(), float(probe.intercept[0])
    mean, sd = train.mean(0), train.std(0)
    sd[sd == 0] = 1
    reading = Reading(
        site=site.name,
        layer=site.layer,
        indices=indices,
        intercept=intercept + float(weight @ mean),
        threshold=float(data.examples.label[data.train].mean()) if task.numeric else 0.0,
        pooling=data.examples.pooling,
        classes=data.examples.classes,
        data_set=data.name,
        set_hash=data.set_hash,
        method=f"dense, {task.words}",
        model=info.name,
        fingerprint=info.fingerprint,
        numeric=task.numeric,
        seed=lab.seed,
        test=on_test.with_intervals,
    )
    kept = Probe(reading=reading, weights=weight * sd, mean=mean, sd=sd)
    report.uses(kept.content, name, "made")


def keep_direction(lab: Lab, task: DenseTask, probe: Dense, site: Site, name: str, report: Report) -> None:
    """The weight as a direction of the stream: of length 1, but a difference of means as long as it is."""
    weight = probe.weight[0].cpu().numpy()
    means = task.method == "means"
    about = task.data.describe.partition(" · test")[0] + ("" if means else f", {task.words}")
    origin = Origin(
        method="mean difference" if means else "probe",
        about=about,
        site=site.name,
        layer=site.layer,
        purpose="add" if means else "project",
        normalised=not means,
    )
    length = 1.0 if means else float(np.linalg.norm(weight)) or 1.0
    keep(report, name, weight / length, of_this_model(lab, report, origin), {})
