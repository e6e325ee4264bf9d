"""What units do over a prompt: one number a token (for a direction, one a token and layer)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from workbench.lab.editing import AnyEdit
from workbench.lab.forward import Forward
from workbench.lab.kinds import Reading, Weights, lab_kind
from workbench.lab.model import Lab
from workbench.lab.prompts import Prompt
from workbench.model_info import ModelInfo
from workbench.units import Site, Unit


def sites_of(units: Sequence[Unit], info: ModelInfo) -> list[Site]:
    """What a pass has to capture to read these units. Raises UserError for what is no number per token."""
    return list(dict.fromkeys(site for unit in units for site in lab_kind(unit).sites(unit, info)))


def read_units(units: Sequence[Unit], forward: Forward, info: ModelInfo, weights: Weights) -> list[Reading]:
    """The units over the one prompt of `forward`."""
    captured = {site: activation[0] for site, activation in forward.captured.items()}
    with torch.inference_mode():
        return [reading for unit in units for reading in lab_kind(unit).read(unit, captured, info, weights)]


def read(lab: Lab, units: Sequence[Unit], prompt: Prompt, edits: Sequence[AnyEdit] = ()) -> list[Reading]:
    """What units do over one prompt."""
    passed = lab.forward(prompt, edits, sites_of(units, lab.info), logits=None)
    return read_units(units, passed, lab.info, lab.weights)


def remarks(units: Sequence[Unit], info: ModelInfo) -> str:
    """What a reader has to know of how these units are read in this model; empty where there is nothing."""
    return "; ".join(dict.fromkeys(filter(None, (lab_kind(unit).remark(info) for unit in units))))
