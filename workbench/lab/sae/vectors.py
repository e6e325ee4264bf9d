"""A feature's two vectors as directions of the stream: what it writes (`dec`) and what it reads (`enc`)."""

from __future__ import annotations

import torch

from workbench.errors import UserError
from workbench.lab.loaded import Model
from workbench.lab.norms import norm_map
from workbench.lab.sae.placing import PlacedSae
from workbench.lab.sites import MLP_IN
from workbench.model_info import ModelInfo
from workbench.units import STREAM, Feature, Site


def feature_vector_site(placed: PlacedSae, side: str, info: ModelInfo) -> Site:
    """The site of the stream where a feature is written (`dec`) or read (`enc`). Raises UserError where it is none."""
    site = placed.site_out if side == "dec" else placed.site
    if site.name == MLP_IN:
        return Site(site.layer, "resid_pre" if info.parallel_blocks else "resid_mid")
    if site.name not in STREAM:
        raise UserError(f"the SAE's features are vectors of {site}, not of the stream: they are no directions")
    return site


def feature_vector(model: Model, placed: PlacedSae, unit: Feature, side: str) -> torch.Tensor:
    """float32 [d_model]: the decoder's row as stored, in units of the SAE's normalised output; or the encoder's column
    as it acts on the stream, through the norm before it where there is one. Raises UserError."""
    feature_vector_site(placed, side, model.info)
    sae = placed.sae
    if side == "dec":
        return sae.W_dec[unit.index].detach().float()
    vector = sae.W_enc[:, unit.index].detach().float()
    if sae.gain is not None:
        vector = vector / sae.gain.float()
    if sae.centred:
        vector = vector - vector.mean()
    if placed.site.name == MLP_IN:
        norm = getattr(model.bridge.blocks[placed.site.layer], "ln2", None)
        if norm is not None:
            own = norm_map(norm.original_component, model.info.d_model, vector.device)
            vector = own.pull_back(vector).float()
    return vector
