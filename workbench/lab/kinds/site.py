"""Sites: whole vectors, read as their norm, compared with the same site in other layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from workbench.errors import UserError
from workbench.lab.kinds.kind import EditedAt, LabKind, Lookup, Matched, Place, Pool, Reading, Weights, array
from workbench.lab.loaded import Model
from workbench.lab.parts import Heads, Part, Whole
from workbench.lab.sites import position_axis
from workbench.model_info import ModelInfo
from workbench.units import Site, Unit


class MatchedSites(Matched[Site]):
    """The same site, in any layer."""

    def pools(
        self, units: Sequence[Site], model: Model, edited_at: Mapping[Unit, Sequence[EditedAt]]
    ) -> list[Pool[Site]]:
        edited: dict[str, list[Site]] = {}
        for unit in units:
            edited.setdefault(unit.name, []).append(unit)
        layers = range(model.info.n_layers)
        return [Pool(members, [Site(layer, name) for layer in layers]) for name, members in edited.items()]

    def describe(self, n: int) -> str:
        return "the same site in other layers" if n == 1 else f"random sets of {n:,} such sites"


class LabSite(LabKind[Site]):
    matched = MatchedSites()

    def sites(self, unit: Site, info: ModelInfo) -> list[Site]:
        if unit.name == "pattern":
            raise UserError(f"{unit} is a matrix of attention, not a number per token: name a head (L{unit.layer}.H0)")
        return [unit]

    def read(
        self, unit: Site, captured: Mapping[Site, torch.Tensor], info: ModelInfo, weights: Weights
    ) -> list[Reading]:
        return [Reading(str(unit), "norm", array(captured[unit].float().flatten(1).norm(dim=-1)))]

    def places(self, units: Sequence[Site], info: ModelInfo, lookup: Lookup) -> list[Place]:
        return [Place(unit, whole(unit, info)) for unit in units]


def whole(site: Site, info: ModelInfo) -> Part:
    """All of a site, with its own axes."""
    if site.name == "z":
        return Heads(tuple(range(info.n_heads)))
    return Whole(position_axis(site))


LAB_KIND = LabSite()
