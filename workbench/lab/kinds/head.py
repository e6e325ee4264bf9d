"""Heads: parts of z, read as the norm of what they add to the stream, compared with the other heads of their layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from workbench.lab.kinds.indexed import places_by_layer
from workbench.lab.kinds.kind import EditedAt, LabKind, Lookup, Matched, Place, Pool, Reading, Weights, array, sets_of
from workbench.lab.loaded import Model
from workbench.lab.parts import Heads
from workbench.model_info import ModelInfo
from workbench.units import Head, Site, Unit


class MatchedHeads(Matched[Head]):
    """From the unit's layer."""

    def pools(
        self, units: Sequence[Head], model: Model, edited_at: Mapping[Unit, Sequence[EditedAt]]
    ) -> list[Pool[Head]]:
        edited: dict[int, list[Head]] = {}
        for unit in units:
            edited.setdefault(unit.layer, []).append(unit)
        all_heads = range(model.info.n_heads)
        return [Pool(members, [Head(layer, index) for index in all_heads]) for layer, members in edited.items()]

    def describe(self, n: int) -> str:
        return "other heads of its layer" if n == 1 else sets_of(n, "heads")


class LabHead(LabKind[Head]):
    matched = MatchedHeads()

    def sites(self, unit: Head, info: ModelInfo) -> list[Site]:
        return [Site(unit.layer, "z")]

    def read(
        self, unit: Head, captured: Mapping[Site, torch.Tensor], info: ModelInfo, weights: Weights
    ) -> list[Reading]:
        z = captured[Site(unit.layer, "z")]
        z_head = z.reshape(len(z), info.n_heads, -1)[:, unit.index].float()
        added = z_head @ weights.head_output(unit.layer, unit.index)
        return [Reading(str(unit), "norm", array(added.norm(dim=-1)))]

    def remark(self, info: ModelInfo) -> str:
        if not info.post_norm:
            return ""
        return "norms of heads are taken before the norm that follows attention in this model"

    def places(self, units: Sequence[Head], info: ModelInfo, lookup: Lookup) -> list[Place]:
        return places_by_layer(units, "z", Heads)


LAB_KIND = LabHead()
