"""Components: a site of the stream along a named direction, one number a position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from workbench.lab.kinds.kind import LabKind, Lookup, Place, Reading, Weights, array
from workbench.lab.parts import Along
from workbench.model_info import ModelInfo
from workbench.units import Component, Site


class LabComponent(LabKind[Component]):
    def sites(self, unit: Component, info: ModelInfo) -> list[Site]:
        return [Site(unit.layer, unit.site)]

    def read(
        self, unit: Component, captured: Mapping[Site, torch.Tensor], info: ModelInfo, weights: Weights
    ) -> list[Reading]:
        stream = captured[Site(unit.layer, unit.site)]
        return [Reading(str(unit), "projection", array(projected(stream, unit.direction, weights)))]

    def places(self, units: Sequence[Component], info: ModelInfo, lookup: Lookup) -> list[Place]:
        return [Place(Site(unit.layer, unit.site), component_along(lookup.direction(unit.direction))) for unit in units]


def projected(stream: torch.Tensor, name: str, weights: Weights) -> torch.Tensor:
    """The stream [..., d_model] along a named direction, [...]."""
    vector = torch.from_numpy(weights.direction(name))
    return stream.float() @ (vector / vector.norm()).to(stream.device)


def component_along(vector: torch.Tensor) -> Along:
    """The part of a stream along `vector`, [d_model]."""
    return Along(vector / vector.norm())


LAB_KIND = LabComponent()
