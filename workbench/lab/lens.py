"""Logit lens (METHODS, "Lenses"): what the model would say if it ended after each layer.

Rows are the embedding, then every block's `resid_post`, each through the model's own end: final norm, head, scale,
softcap, whatever it has. The last row equals the model's logits. KL is KL(final ‖ row), in nats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from workbench.errors import UserError
from workbench.lab import metrics
from workbench.lab.editing import AnyEdit
from workbench.lab.finite import OTHER_DTYPE
from workbench.lab.forward import Forward
from workbench.lab.loaded import Model
from workbench.lab.model import Lab
from workbench.lab.passes import read_out
from workbench.lab.prompts import Prompt
from workbench.units import Site


@dataclass(frozen=True)
class LensRow:
    """One row: what is read off the stream at one depth of one prompt."""

    name: str
    """`embed`, or the layer after which it is read: `L7`"""
    top_ids: np.ndarray
    """the likeliest token, int64 [position]"""
    top_probability: np.ndarray
    """float32 [position]"""
    answer_probability: float
    """at the last token"""
    answer_rank: int
    """at the last token; 1 is the likeliest"""
    kl: float
    """KL(final ‖ row) of the next token, nats"""


class Lens:
    """The rows of one prompt's pass, computed one by one: each costs an unembedding."""

    def __init__(self, model: Model, forward: Forward, sites: list[Site], positions: int) -> None:
        assert len(forward.lengths) == 1
        assert forward.last is not None
        self._model = model
        self._final = forward.last[0]
        self.first_position = max(0, int(forward.lengths[0]) - positions) if positions else 0
        """the position of the rows' first column"""
        self._stream = [forward.captured[site][:, self.first_position :] for site in sites]

    def __len__(self) -> int:
        return len(self._stream)

    def logits(self, row: int) -> torch.Tensor:
        """[1, position, vocabulary], from `first_position` on."""
        return read_out(self._model, self._stream[row])

    def row(self, row: int, answer: int) -> LensRow:
        """What row `row` says; `answer` is a token id. Raises UserError where it says no number."""
        logits = self.logits(row)[0].float()
        name = "embed" if row == 0 else f"L{row - 1}"
        with torch.inference_mode():
            best, ids = logits.max(dim=-1)
            if not torch.isfinite(best).all():
                raise UserError(
                    f"the lens' row {name} is NaN or infinite, though the model's logits are not: {OTHER_DTYPE}"
                )
            probability = (best - torch.logsumexp(logits, dim=-1)).exp()
            last = logits[-1]
            return LensRow(
                name,
                ids.cpu().numpy(),
                probability.cpu().numpy(),
                float(metrics.log_probs(last)[answer].exp()),
                int(metrics.rank(last, torch.tensor(answer, device=last.device))),
                float(metrics.kl(self._final.float(), last)),
            )


def lens_sites(n_layers: int) -> list[Site]:
    """What a pass has to capture for the lens: row 0 is the embedding."""
    return [Site(0, "resid_pre"), *(Site(layer, "resid_post") for layer in range(n_layers))]


def lens(lab: Lab, prompt: Prompt, edits: Sequence[AnyEdit] = (), positions: int = 0) -> Lens:
    """The logit lens of one prompt, row by row, at its last `positions` tokens (0: all)."""
    sites = lens_sites(lab.info.n_layers)
    return Lens(lab.model, lab.forward(prompt, edits, sites, logits="last"), sites, positions)
