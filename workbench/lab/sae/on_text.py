"""Features of SAEs on a text, and how often each fires on a sample of a corpus. Position 0 is left out of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from workbench.lab.batches import batches, rows_at_once
from workbench.lab.editing import AnyEdit
from workbench.lab.forward import Forward, run_forward
from workbench.lab.metrics import as_float64
from workbench.lab.model import Lab
from workbench.lab.prompts import Prompt
from workbench.lab.sae.placing import PlacedSae
from workbench.lab.sae.quality import ENCODED
from workbench.report import Report
from workbench.units import Site


@dataclass(frozen=True)
class FiredOn:
    """What one SAE makes of one text: an entry for every feature that fires on a token, by position."""

    positions: np.ndarray
    """int64 [entry], from 1 on, ascending"""
    features: np.ndarray
    """int64 [entry]"""
    activations: np.ndarray
    """positive, float32 [entry]"""
    contributions: np.ndarray
    """activation · ‖W_dec[f]‖, float32 [entry]"""
    explained: np.ndarray
    """1 − ‖y − s‖² / ‖y‖² at each position, y what the SAE gives back, float64 [position]; nan at position 0"""
    width: int
    """features that the SAE has"""

    @property
    def l0(self) -> np.ndarray:
        """Features that fire at each position, float64 [position]; nan at position 0."""
        fired = np.bincount(self.positions, minlength=len(self.explained)).astype(np.float64)
        fired[0] = np.nan
        return fired

    @property
    def tokens(self) -> np.ndarray:
        """On how many tokens each feature fires, int64 [feature]."""
        return np.bincount(self.features, minlength=self.width)

    @property
    def total(self) -> np.ndarray:
        """Each feature's contributions, summed over the tokens, float64 [feature]."""
        return np.bincount(self.features, self.contributions, self.width)

    @property
    def largest(self) -> np.ndarray:
        """Each feature's largest contribution, float64 [feature]; 0 where it never fires."""
        most = np.zeros(self.width)
        np.maximum.at(most, self.features, self.contributions)
        return most

    def along(self, feature: int) -> tuple[np.ndarray, np.ndarray]:
        """One feature's activation and contribution, float64 [position]; nan at position 0."""
        own = self.features == feature
        both = np.zeros((2, len(self.explained)))
        both[:, 0] = np.nan
        both[:, self.positions[own]] = self.activations[own], self.contributions[own]
        return both[0], both[1]


def read_text(lab: Lab, saes: Sequence[PlacedSae], prompt: Prompt, edits: Sequence[AnyEdit] = ()) -> list[FiredOn]:
    """One pass for all SAEs, in their order."""
    forward = lab.forward(prompt, edits, _sites(saes), logits=None)
    return [_fired(placed, forward) for placed in saes]


def _fired(placed: PlacedSae, forward: Forward) -> FiredOn:
    sae = placed.sae
    x, y = (forward.captured[site][0, 1:].float() for site in (placed.site, placed.site_out))
    positions, features, activations = [], [], []
    explained = np.full(len(x) + 1, np.nan)
    step = max(1, ENCODED // sae.config.d_sae)
    with torch.inference_mode():
        for start in range(0, len(x), step):
            some, given = x[start : start + step], y[start : start + step].flatten(1)
            encoded = sae.encode(some)
            error = sae.decode(encoded, some).float().reshape(given.shape) - given
            share = 1 - as_float64(error).square().sum(-1) / as_float64(given).square().sum(-1)
            explained[1 + start : 1 + start + len(some)] = share.cpu().numpy()
            at, feature = encoded.nonzero(as_tuple=True)
            positions.append((at + 1 + start).cpu().numpy())
            features.append(feature.cpu().numpy())
            activations.append(encoded[at, feature].float().cpu().numpy())
    none: list[np.ndarray] = [np.zeros(0, np.int64)]
    each = np.concatenate(features or none)
    values = np.concatenate(activations or [np.zeros(0, np.float32)])
    norms = sae.decoder_norms().cpu().numpy()
    return FiredOn(np.concatenate(positions or none), each, values, values * norms[each], explained, len(norms))


def firing(lab: Lab, saes: Sequence[PlacedSae], prompts: Sequence[Prompt], report: Report) -> list[np.ndarray]:
    """On how many of the sample's tokens each feature of each SAE fires, unedited: int64 [feature] each."""
    counts = [np.zeros(placed.sae.config.d_sae, np.int64) for placed in saes]
    sites = list(dict.fromkeys(placed.site for placed in saes))
    size = rows_at_once(lab.model, max(map(len, prompts)), "last")
    stage = "how often features fire on the sample"
    for batch in report.track(batches(prompts, size, report, lab.model), "documents", len(prompts), stage):
        report.progress.done -= 1  # track counts the batch, `batches` its rows
        with batch:
            forward = run_forward(lab.model, batch.rows, capture=sites, keep=None)
            fired = [_firing(placed, forward) for placed in saes]
            for total, some in zip(counts, fired, strict=True):
                total += some
    return counts


def _firing(placed: PlacedSae, forward: Forward) -> np.ndarray:
    sae, read = placed.sae, forward.captured[placed.site]
    x = torch.cat([row[1:length] for row, length in zip(read, forward.lengths.tolist(), strict=True)]).float()
    fired = np.zeros(sae.config.d_sae, np.int64)
    with torch.inference_mode():
        for some in x.split(max(1, ENCODED // sae.config.d_sae)):
            fired += (sae.encode(some) > 0).sum(0).cpu().numpy()
    return fired


def _sites(saes: Sequence[PlacedSae]) -> list[Site]:
    return list(dict.fromkeys(site for placed in saes for site in (placed.site, placed.site_out)))
