"""Features of SAEs, compared with features that fire at the same prompts as strongly (METHODS, "Controls")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from workbench.lab.forward import run_forward
from workbench.lab.kinds.kind import EditedAt, LabKind, Lookup, Matched, Place, Pool, Reading, Weights, array, sets_of
from workbench.lab.loaded import Model
from workbench.lab.sae.features import feature_sae, feature_site
from workbench.lab.sae.part import Features
from workbench.lab.sae.placing import PlacedSae
from workbench.lab.strength import sample_prompts
from workbench.model_info import ModelInfo
from workbench.units import Feature, Site, Unit

IN_A_BIN = 20
"""features that are exchanged for each other, at least where so many fire"""
MAX_BINS = 10
PROMPTS = 64
"""on which it is measured how strongly features fire"""


class MatchedFeatures(Matched[Feature]):
    """Of the unit's SAE, from its bin of max(activation) · ‖W_dec‖ among features that fire where it is edited.

    Over the positions that the edit acts on, position 0 among them only where there is no other.

    A feature that does not fire there itself is from its bin of ‖W_dec‖ among those that do not either."""

    def pools(
        self, units: Sequence[Feature], model: Model, edited_at: Mapping[Unit, Sequence[EditedAt]]
    ) -> list[Pool[Feature]]:
        exchanged: dict[tuple[_Alike, int], list[Feature]] = {}
        bins: dict[_Alike, np.ndarray] = {}
        for unit in units:
            spans = list(edited_at.get(unit, ()))
            alike = _Alike(
                unit.layer, unit.sae, unit.reconstructed, tuple((id(at.prompt), at.first, at.end) for at in spans)
            )
            if alike not in bins:
                bins[alike] = _bins(model, feature_sae(model, unit).placed, _measured_at(spans, model))
            exchanged.setdefault((alike, int(bins[alike][unit.index])), []).append(unit)
        return [
            Pool(
                members,
                [
                    Feature(alike.layer, int(index), alike.sae, alike.reconstructed)
                    for index in np.flatnonzero(bins[alike] == bin_)
                ],
            )
            for (alike, bin_), members in exchanged.items()
        ]

    def describe(self, n: int) -> str:
        return "matched random features" if n == 1 else sets_of(n, "features")


class _Alike(NamedTuple):
    """What features have in common that are compared: their SAE, and where they are edited."""

    layer: int
    sae: str
    reconstructed: bool
    spans: tuple[tuple[int, int, int], ...]


def _measured_at(spans: Sequence[EditedAt], model: Model) -> list[EditedAt]:
    """Spans evenly out of those that are edited; the whole fixed text where none is known or none has a token."""
    there = [at for at in spans if at.first < min(at.end, len(at.prompt))]
    if not there:
        there = [EditedAt(prompt, 0, len(prompt)) for prompt in sample_prompts(model)]
    return there[:: -(-len(there) // PROMPTS)]


def _bins(model: Model, placed: PlacedSae, spans: Sequence[EditedAt]) -> np.ndarray:
    """Of every feature, int64 [d_sae]: 0 and up for those that fire, below 0 for the others."""
    peaks = torch.zeros(placed.sae.config.d_sae, device=placed.sae.device)
    for prompt, first, end in spans:
        captured = run_forward(model, [prompt], capture=[placed.site], keep=None).captured[placed.site]
        with torch.inference_mode():
            counted = captured[0, max(first, min(1, end - 1)) : end]
            peaks = torch.maximum(peaks, placed.sae.encode(counted).amax(0))
    norms = placed.sae.decoder_norms()
    fires = array(peaks) > 0
    bins = np.empty(len(fires), np.int64)
    bins[fires] = _ranked(array(peaks * norms)[fires])
    bins[~fires] = -1 - _ranked(array(norms)[~fires])
    return bins


def _ranked(strength: np.ndarray) -> np.ndarray:
    """Bins of equal size by rank, int64, from 0."""
    n_bins = min(MAX_BINS, max(1, len(strength) // IN_A_BIN))
    order = np.argsort(np.argsort(strength, kind="stable"), kind="stable")
    return np.asarray(order * n_bins // max(1, len(strength)))


class LabFeature(LabKind[Feature]):
    matched = MatchedFeatures()

    def sites(self, unit: Feature, info: ModelInfo) -> list[Site]:
        return [feature_site(unit, info)]

    def read(
        self, unit: Feature, captured: Mapping[Site, torch.Tensor], info: ModelInfo, weights: Weights
    ) -> list[Reading]:
        placed = weights.sae(unit)
        activations = Features(placed, (unit.index,)).take(captured[placed.site], info.n_heads)
        return [Reading(str(unit), "activation", array(activations[:, 0]))]

    def places(self, units: Sequence[Feature], info: ModelInfo, lookup: Lookup) -> list[Place]:
        together: dict[tuple[int, str, bool], list[Feature]] = {}
        for unit in units:
            together.setdefault((unit.layer, unit.sae, unit.reconstructed), []).append(unit)
        places = []
        for (_, _, reconstructed), members in together.items():
            placed = lookup.sae(max(members))  # which has the largest index: it is there if all are
            part = Features(placed, tuple(unit.index for unit in members), reconstructed)
            places.append(Place(placed.site_out, part))
        return places


LAB_KIND = LabFeature()
