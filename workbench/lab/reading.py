"""What units do over a prompt: one number a token (for a direction, one a token and layer)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from workbench.errors import UserError
from workbench.lab.editing import AnyEdit
from workbench.lab.forward import Forward
from workbench.lab.model import Lab
from workbench.lab.prompts import Prompt
from workbench.model_info import ModelInfo
from workbench.units import Component, Direction, Head, Neuron, Site, Unit


@dataclass(frozen=True)
class Reading:
    """A unit over one prompt."""

    unit: str
    part: str
    """`activation`; of a gated neuron also `gate` (before its activation function) and `linear`, whose product with
    the activated gate the activation is; `norm` of a head or site; `projection` on a direction"""
    values: np.ndarray
    """float32 [position]; of a direction [layer, position]"""


def sites_of(units: Sequence[Unit], info: ModelInfo) -> list[Site]:
    """What a pass has to capture to read these units. Raises UserError for what is no number per token."""
    sites: dict[Site, None] = {}
    for unit in units:
        if isinstance(unit, Neuron):
            names = ["mlp_post", "mlp_pre", "mlp_pre_linear"] if info.gated_mlp else ["mlp_post", "mlp_pre"]
            sites.update(dict.fromkeys(Site(unit.layer, name) for name in names))
        elif isinstance(unit, Head):
            sites[Site(unit.layer, "z")] = None
        elif isinstance(unit, Direction):
            sites.update(dict.fromkeys(Site(layer, "resid_post") for layer in range(info.n_layers)))
        elif isinstance(unit, Component):
            sites[Site(unit.layer, unit.site)] = None
        elif unit.name == "pattern":
            raise UserError(f"{unit} is a matrix of attention, not a number per token: name a head (L{unit.layer}.H0)")
        else:
            sites[unit] = None
    return list(sites)


class Weights(Protocol):
    """What reading needs of a model's weights."""

    def head_output(self, layer: int, head: int) -> torch.Tensor:
        """W_O's slice, [d_head, d_model]."""

    def direction(self, name: str) -> np.ndarray:
        """float32 [d_model]"""


def read_units(units: Sequence[Unit], forward: Forward, info: ModelInfo, weights: Weights) -> list[Reading]:
    """The units over the one prompt of `forward`."""
    return [reading for unit in units for reading in _read(unit, forward, info, weights)]


def _read(unit: Unit, forward: Forward, info: ModelInfo, weights: Weights) -> list[Reading]:
    name = str(unit)
    if isinstance(unit, Neuron):
        parts = {"activation": "mlp_post"}
        parts |= {"gate": "mlp_pre", "linear": "mlp_pre_linear"} if info.gated_mlp else {"before": "mlp_pre"}
        return [
            Reading(name, part, forward.captured[Site(unit.layer, site)][0, :, unit.index].float().cpu().numpy())
            for part, site in parts.items()
        ]
    with torch.inference_mode():
        if isinstance(unit, Head):
            z = forward.captured[Site(unit.layer, "z")][0]
            own = z.reshape(len(z), info.n_heads, -1)[:, unit.index].float()
            added = own @ weights.head_output(unit.layer, unit.index).float()
            return [Reading(name, "norm", added.norm(dim=-1).cpu().numpy())]
        if isinstance(unit, Direction | Component):
            vector = torch.from_numpy(weights.direction(unit.name if isinstance(unit, Direction) else unit.direction))
            if isinstance(unit, Direction):
                at = torch.stack([forward.captured[Site(layer, "resid_post")][0] for layer in range(info.n_layers)])
            else:
                at = forward.captured[Site(unit.layer, unit.site)][0]
            along = at.float() @ (vector / vector.norm()).to(at.device)
            return [Reading(name, "projection", along.cpu().numpy())]
        at = forward.captured[unit][0].float()
        return [Reading(name, "norm", at.flatten(1).norm(dim=-1).cpu().numpy())]


def read(lab: Lab, units: Sequence[Unit], prompt: Prompt, edits: Sequence[AnyEdit] = ()) -> list[Reading]:
    """What units do over one prompt."""
    passed = lab.forward(prompt, edits, sites_of(units, lab.info), logits=None)
    return read_units(units, passed, lab.info, lab.model)
