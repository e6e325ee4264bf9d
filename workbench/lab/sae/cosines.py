"""The features nearest to one by their decoder rows, beside what random directions and random features have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from workbench.lab.directions.projections import TINY, Bundle, Compared
from workbench.lab.sae.sae import SAE


@dataclass(frozen=True)
class FeatureCosines:
    decoder: np.ndarray
    """of the feature's decoder row with every feature's, float32 [d_sae]; with its own it is 1"""
    nearest: Compared
    """the largest of them but its own; the same of random directions"""
    nearest_of_features: np.ndarray
    """the largest of random features of the SAE with any but themselves, float64 [draw]"""
    encoder: float
    """cosine of its encoder column with its decoder row; nan where these have other widths"""
    encoder_of_features: np.ndarray
    """the same of the random features, float64 [draw]"""


def decoder_cosines(sae: SAE, feature: int, directions: Bundle, seed: int) -> FeatureCosines:
    """`directions` begin with the feature's decoder row; as many random features as it has random directions of a kind
    are drawn by seed among the others."""
    random = np.random.default_rng([0xFEA7, seed])
    others = np.delete(np.arange(sae.config.d_sae), feature)
    drawn = torch.from_numpy(random.permutation(others)[: directions.draws]).to(sae.device)
    with torch.inference_mode():
        rows = _unit(sae.W_dec.float())
        cosines = rows @ directions.vectors.T  # [feature, vector]
        own = cosines[:, 0].cpu().numpy()
        cosines[feature, 0] = -torch.inf
        of_features = rows @ rows[drawn].T
        of_features[drawn, torch.arange(len(drawn), device=sae.device)] = -torch.inf
        own_encoder, of_encoders = float("nan"), np.zeros(0)
        if sae.config.d_in == sae.config.d_out:
            columns = _unit(sae.W_enc.float().T)
            own_encoder = float(columns[feature] @ rows[feature])
            of_encoders = (columns[drawn] * rows[drawn]).sum(-1).cpu().double().numpy()
        return FeatureCosines(
            own,
            directions.compared(cosines.amax(0)),
            of_features.amax(0).cpu().double().numpy(),
            own_encoder,
            of_encoders,
        )


def _unit(rows: torch.Tensor) -> torch.Tensor:
    return rows / rows.norm(dim=1, keepdim=True).clamp_min(TINY)
