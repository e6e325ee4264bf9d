"""Features of registered SAEs as units of a model: which SAE an address means, at its site, and read once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from workbench.artifacts import Artifact, check_feature, config_of, encoded_site, sae_of_layer
from workbench.lab.loaded import Model
from workbench.lab.sae.placing import PlacedSae, place
from workbench.lab.sae.reading import read_sae
from workbench.lab.sites import MLP_IN
from workbench.model_info import ModelInfo
from workbench.units import Feature, Site

KEPT = 4
"""SAEs that stay on the model's device"""


@dataclass
class RegisteredSae:
    artifact: Artifact
    placed: PlacedSae
    remarks: list[str]
    """what does not fit, or may not, as sentences"""
    flags: list[str] | None = None
    """those of `fitting.fit`, once a job has asked for them"""


def registered_sae(model: Model, artifact: Artifact) -> RegisteredSae:
    """A registered SAE at its site of the model, in float32 on its device; kept for the next time.

    Raises UserError where its folder is damaged, or it can't be this model's.
    """
    kept: dict[str, RegisteredSae] = model.saes
    key = f"{artifact.name} {artifact.hash}"  # the same content may be registered under two names
    registered = kept.pop(key, None)
    if registered is None:
        loaded = read_sae(Path(artifact.path), source=artifact.name)
        placed = place(model, loaded.sae)
        registered = RegisteredSae(artifact, placed, [*placed.remarks, *loaded.remarks])
    kept[key] = registered
    while len(kept) > KEPT:
        del kept[next(iter(kept))]
    return registered


def feature_sae(model: Model, unit: Feature) -> RegisteredSae:
    """The SAE that a feature is of. Raises UserError where there is none, or it has no such feature."""
    artifact = sae_of_layer(unit.layer, unit.sae, model.info)
    check_feature(artifact, unit.index)
    return registered_sae(model, artifact)


def feature_site(unit: Feature, info: ModelInfo) -> Site:
    """What the feature's SAE encodes, from its folder alone. Raises UserError."""
    encoded = encoded_site(config_of(sae_of_layer(unit.layer, unit.sae, info)))
    assert encoded is not None, "sae_of_layer finds no others"
    return Site(encoded[0], encoded[1].replace("mlp_in_normalized", MLP_IN))
