"""What follows from an SAE's weights alone, for every feature: its decoder's norm, and what it promotes.

As for neurons (METHODS, "Effective weights"; Gurnee et al. 2024): decoder rows against the effective unembedding,
centred over d_model where the final norm centres. Effects are of a unit of activation; rows are as stored, in units of
the SAE's normalised output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch

from workbench.errors import UserError
from workbench.lab.effective import centres_final, unembedding
from workbench.lab.indexing.weights import NEURONS, vocabulary_columns
from workbench.lab.loaded import Model
from workbench.lab.sae.placing import PlacedSae
from workbench.lab.sae.vectors import feature_vector_site

VOCABULARY_NAMES = (
    "vocab_var", "vocab_skew", "vocab_kurtosis", "promoted_tokens", "promoted_values", "suppressed_tokens",
    "suppressed_values",
)  # fmt: skip
NAMES = ("decoder", *VOCABULARY_NAMES)


def weights(model: Model, placed: PlacedSae, track: Callable[[range], Iterable[int]] = iter) -> dict[str, np.ndarray]:
    """`decoder`, norms float32 [feature], and where features are vectors of the stream the VOCABULARY_NAMES: moments
    float32 [feature], tokens int32 and logits float32 [feature, TOKENS].

    `track` goes through the starts of the parts; each takes a second or less.
    """
    columns = {"decoder": placed.sae.decoder_norms().cpu().numpy()}
    try:
        feature_vector_site(placed, "dec", model.info)
    except UserError:
        return columns
    unembed = unembedding(model)
    centred = centres_final(model)
    parts: list[dict[str, torch.Tensor]] = []
    with torch.inference_mode():
        for start in track(range(0, placed.sae.config.d_sae, NEURONS)):
            rows = placed.sae.W_dec[start : start + NEURONS].float()
            rows = rows - rows.mean(dim=1, keepdim=True) if centred else rows
            parts.append({name: values.cpu() for name, values in vocabulary_columns(unembed, rows).items()})
    for name in VOCABULARY_NAMES:
        together = torch.cat([part[name] for part in parts])
        columns[name] = (together.float() if together.is_floating_point() else together.int()).numpy()
    return columns
