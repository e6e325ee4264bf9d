"""Directions that stand in for one as its controls: of its own prompts, labels shuffled, else of a covariance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from workbench.errors import UserError
from workbench.lab.contrast import read_contrast, shuffled_differences
from workbench.lab.controls import controls
from workbench.lab.editing import AnyEdit, Plan, Replacement
from workbench.lab.model import Lab

_SEED = 0x5F


@dataclass(frozen=True)
class StandIns:
    """For several edits of one direction."""

    kind: str
    """what the directions are"""
    plans: tuple[tuple[Plan, ...], ...]
    """[edit][direction]: the same ones for every edit, where they are from shuffled labels"""
    cosines: tuple[float, ...]
    """with the direction itself; empty for random ones"""
    remark: str
    """why they are not from shuffled labels; else empty"""


def stand_ins(lab: Lab, name: str, edits: Sequence[AnyEdit], n: int) -> StandIns:
    """`n` directions of @name's length in its place in each of `edits`, drawn with the job's seed (METHODS,
    "Controls").

    Mean differences of the same prompts with shuffled labels, half of each class on each side; where its prompts are
    not known, g ~ N(0, Σ), Σ the covariance of each edit's sites.
    """
    try:
        vectors = _shuffled(lab, name, n)
    except UserError as sentence:
        return _random(lab, edits, n, str(sentence))
    if vectors is None:
        return _random(lab, edits, n, f"the prompts that @{name} is the difference of are not known")
    direction = torch.from_numpy(lab.weights.direction(name)).double()
    length = direction.norm()
    cosines = [float(vector.double() @ direction / (vector.double().norm() * length)) for vector in vectors]
    scaled = [vector * float(length / vector.double().norm()) for vector in vectors]
    plans = []
    for edit in edits:
        compiled = lab.compiler([edit])
        plans.append(tuple(compiled(replacement=Replacement({}, {name: vector})) for vector in scaled))
    return StandIns("mean differences of the same prompts, labels shuffled", tuple(plans), tuple(cosines), "")


def _shuffled(lab: Lab, name: str, n: int) -> list[torch.Tensor] | None:
    contrast = read_contrast(name, lab.weights.contrast(name), lab.info)
    if contrast is None:
        return None
    random = np.random.default_rng([_SEED, lab.seed])
    return shuffled_differences(lab.model, contrast, lab.weights.direction(name), n, random)


def _random(lab: Lab, edits: Sequence[AnyEdit], n: int, why: str) -> StandIns:
    drawn = [controls(lab, [edit], n) for edit in edits]
    problems = [made.problem for made in drawn if made.problem]
    kind = "random directions of the covariance of the edited sites"
    return StandIns(kind, tuple(made.plans for made in drawn), (), "; ".join([why, *dict.fromkeys(problems)]))
