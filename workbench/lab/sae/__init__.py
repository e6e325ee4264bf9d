"""Sparse autoencoders (SAEs): read from SAELens' and Gemma Scope's folders, checked against a model, used on it.

`sae.py` is what every kind has; `relu.py`, `gated.py`, `topk.py` and `jumprelu.py` are how each makes activations.
"""

from __future__ import annotations

from workbench.lab.sae.kinds import make_sae as make_sae
from workbench.lab.sae.reading import read_sae as read_sae
from workbench.lab.sae.reading import write_sae as write_sae
from workbench.lab.sae.sae import SAE as SAE
