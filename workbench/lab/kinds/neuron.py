"""Neurons: entries of mlp_post, compared with neurons of their layer that usually write as much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from workbench.lab.kinds.indexed import places_by_layer
from workbench.lab.kinds.kind import EditedAt, LabKind, Lookup, Matched, Place, Pool, Reading, Weights, array, sets_of
from workbench.lab.loaded import Model
from workbench.lab.parts import Entries
from workbench.lab.strength import deciles, neuron_strength
from workbench.model_info import ModelInfo
from workbench.units import Neuron, Site, Unit

_ACTIVATION = "activation"


class MatchedNeurons(Matched[Neuron]):
    """From the unit's layer and decile of rms(activation) · ‖w_out‖ (`strength.py`)."""

    def pools(
        self, units: Sequence[Neuron], model: Model, edited_at: Mapping[Unit, Sequence[EditedAt]]
    ) -> list[Pool[Neuron]]:
        bins = deciles(neuron_strength(model))
        edited: dict[tuple[int, int], list[Neuron]] = {}
        for unit in units:
            edited.setdefault((unit.layer, int(bins[unit.layer, unit.index])), []).append(unit)
        return [
            Pool(members, [Neuron(layer, int(index)) for index in np.flatnonzero(bins[layer] == decile)])
            for (layer, decile), members in edited.items()
        ]

    def describe(self, n: int) -> str:
        return "matched random neurons" if n == 1 else sets_of(n, "neurons")


class LabNeuron(LabKind[Neuron]):
    matched = MatchedNeurons()

    def sites(self, unit: Neuron, info: ModelInfo) -> list[Site]:
        return [Site(unit.layer, site) for site in _parts(info).values()]

    def read(
        self, unit: Neuron, captured: Mapping[Site, torch.Tensor], info: ModelInfo, weights: Weights
    ) -> list[Reading]:
        return [
            Reading(str(unit), part, array(captured[Site(unit.layer, site)][:, unit.index]), main=part == _ACTIVATION)
            for part, site in _parts(info).items()
        ]

    def places(self, units: Sequence[Neuron], info: ModelInfo, lookup: Lookup) -> list[Place]:
        return places_by_layer(units, "mlp_post", Entries)


def _parts(info: ModelInfo) -> dict[str, str]:
    """A reading's parts, and the sites they stand at."""
    before = {"gate": "mlp_pre", "linear": "mlp_pre_linear"} if info.gated_mlp else {"before": "mlp_pre"}
    return {_ACTIVATION: "mlp_post", **before}


LAB_KIND = LabNeuron()
