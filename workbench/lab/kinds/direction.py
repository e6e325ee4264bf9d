"""Directions: read at every block's output, written wherever the stream is written (METHODS, "Refusal")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from workbench.lab.kinds.component import component_along, projected
from workbench.lab.kinds.kind import LabKind, Lookup, Place, Reading, Weights, array
from workbench.model_info import ModelInfo
from workbench.units import Direction, Site

WRITTEN_AT = ("resid_pre", "attn_out", "mlp_out")
"""every block's input, and what attention and the MLP add"""


class LabDirection(LabKind[Direction]):
    per_layer = True

    def sites(self, unit: Direction, info: ModelInfo) -> list[Site]:
        return [Site(layer, "resid_post") for layer in range(info.n_layers)]

    def read(
        self, unit: Direction, captured: Mapping[Site, torch.Tensor], info: ModelInfo, weights: Weights
    ) -> list[Reading]:
        stream = torch.stack([captured[site] for site in self.sites(unit, info)])
        return [Reading(str(unit), "projection", array(projected(stream, unit.name, weights)))]

    def places(self, units: Sequence[Direction], info: ModelInfo, lookup: Lookup) -> list[Place]:
        parts = [component_along(lookup.direction(unit.name)) for unit in units]
        sites = [Site(layer, name) for layer in range(info.n_layers) for name in WRITTEN_AT]
        return [Place(site, part) for part in parts for site in sites]


LAB_KIND = LabDirection()
