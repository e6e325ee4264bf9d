"""What the features of an SAE do on text: one of them token by token, all of them counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from workbench.lab.batches import batches, rows_at_once
from workbench.lab.forward import run_forward
from workbench.lab.model import Lab
from workbench.lab.prompts import Prompt
from workbench.lab.sae.placing import PlacedSae
from workbench.report import Report


@dataclass(frozen=True)
class Activity:
    """On a sample of documents; position 0 of each is left out."""

    texts: list[tuple[Prompt, np.ndarray]]
    """each document with the feature's activations, float32 [position]; position 0 is 0"""
    fired: np.ndarray
    """tokens at which each feature is above 0, int64 [d_sae]"""
    n: int
    """tokens counted"""


def activity(lab: Lab, placed: PlacedSae, feature: int, prompts: Sequence[Prompt], report: Report) -> Activity:
    """Of one feature on the clean model, and of all features how often they fire."""
    fired = torch.zeros(placed.sae.config.d_sae, dtype=torch.int64, device=placed.sae.device)
    texts: list[tuple[Prompt, np.ndarray]] = []
    size = rows_at_once(lab.model, max(map(len, prompts)), "last")
    todo = batches(prompts, size, report, lab.model)
    for batch in report.track(todo, "documents", total=len(prompts), stage="activations on text"):
        with batch, torch.inference_mode():
            captured = run_forward(lab.model, batch.rows, capture=[placed.site], keep=None).captured[placed.site]
            for row, prompt in enumerate(batch.rows):
                activations = placed.sae.encode(captured[row, 1 : len(prompt)])
                fired += (activations > 0).sum(0)
                own = np.zeros(len(prompt), np.float32)
                own[1:] = activations[:, feature].cpu().numpy()
                texts.append((prompt, own))
    return Activity(texts, fired.cpu().numpy(), sum(len(prompt) - 1 for prompt in prompts))
