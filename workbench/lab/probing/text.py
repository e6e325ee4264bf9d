"""A fitted probe on a text, token by token."""

from __future__ import annotations

import numpy as np

from workbench.artifacts.probe import Probe
from workbench.errors import UserError
from workbench.lab.model import Lab
from workbench.lab.prompts import Prompt
from workbench.units import Site


def read_text(lab: Lab, probe: Probe, prompt: Prompt) -> np.ndarray:
    """The probe's score at each token under the lab's edits, float64 [token]; nan at position 0, which never counts.

    One pass. A probe of pooled positions is given each token's own activations: its threshold was chosen for means or
    maxima, whose spread is another one. Raises UserError for a probe of another model.
    """
    check_model(lab, probe)
    site = Site(probe.reading.layer, probe.reading.site)
    values = lab.forward(prompt, lab.edits, [site], logits=None).site(site)[0]
    scores = probe.scores(values.reshape(len(values), -1))
    scores[0] = np.nan
    return scores


def check_model(lab: Lab, probe: Probe) -> None:
    """Raises UserError for a probe of another model."""
    reading, info = probe.reading, lab.info
    if reading.layer >= info.n_layers or info.fingerprint not in ("", reading.fingerprint):
        raise UserError(
            f"the probe was fitted on {reading.model} ({reading.fingerprint[:8]}), and this is {info.name} "
            f"({info.fingerprint[:8]}): fit it here, or open that model"
        )
