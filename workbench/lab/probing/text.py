"""A fitted probe on a text, token by token."""

from __future__ import annotations

import numpy as np
import torch

from workbench.artifacts.probe import Probe
from workbench.artifacts.sae import find_sae
from workbench.errors import UserError
from workbench.lab.model import Lab
from workbench.lab.prompts import Prompt
from workbench.lab.sae.features import registered_sae
from workbench.lab.sae.placing import PlacedSae
from workbench.units import Site


def read_text(lab: Lab, probe: Probe, prompt: Prompt) -> np.ndarray:
    """The probe's score at each token under the lab's edits, float64 [token]; nan at position 0, which never counts.

    One pass. A probe of pooled positions is given each token's own activations: its threshold was chosen for means or
    maxima, whose spread is another one. Raises UserError for a probe of another model, or of an SAE that is not there.
    """
    check_model(lab, probe)
    placed = probe_sae(lab, probe)
    site = placed.site if placed is not None else Site(probe.reading.layer, probe.reading.site)
    values = lab.forward(prompt, lab.edits, [site], logits=None).site(site)[0]
    values = values.reshape(len(values), -1)
    if placed is not None:
        x = torch.from_numpy(values).to(lab.model.hf.device)
        values = placed.sae.encode(x).cpu().numpy()
    scores = probe.scores(values)
    scores[0] = np.nan
    return scores


def probe_sae(lab: Lab, probe: Probe) -> PlacedSae | None:
    """The SAE of a probe's features at its site; None of a probe that reads a site's own numbers.

    Raises UserError where it is not registered, or is not the one any more that the probe was fitted on.
    """
    reading = probe.reading
    if not reading.sae:
        return None
    artifact = find_sae(reading.sae)
    if artifact.hash != reading.sae_hash:
        raise UserError(
            f"the probe reads features of the SAE {reading.sae} with the hash {reading.sae_hash[:12]}, and the one "
            f"registered now has {artifact.hash[:12]}: fit the probe again, or add that SAE"
        )
    return registered_sae(lab.model, artifact).placed


def check_model(lab: Lab, probe: Probe) -> None:
    """Raises UserError for a probe of another model."""
    reading, info = probe.reading, lab.info
    if reading.layer >= info.n_layers or info.fingerprint not in ("", reading.fingerprint):
        raise UserError(
            f"the probe was fitted on {reading.model} ({reading.fingerprint[:8]}), and this is {info.name} "
            f"({info.fingerprint[:8]}): fit it here, or open that model"
        )
