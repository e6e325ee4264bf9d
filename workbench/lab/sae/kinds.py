"""Every kind of sparse autoencoder by the name of its kind."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from workbench.artifacts.sae import SaeConfig, SaeKind
from workbench.lab.sae.gated import Gated
from workbench.lab.sae.jumprelu import JumpReLU
from workbench.lab.sae.relu import ReLU
from workbench.lab.sae.sae import SAE
from workbench.lab.sae.topk import TopK

KINDS: dict[SaeKind, type[SAE]] = {
    "standard": ReLU,
    "gated": Gated,
    "topk": TopK,
    "batchtopk": JumpReLU,
    "jumprelu": JumpReLU,
    "matryoshka": JumpReLU,
}


def make_sae(config: SaeConfig, tensors: Mapping[str, torch.Tensor]) -> SAE:
    """The SAE of a configuration and its weights, which have been checked."""
    return KINDS[config.kind](config, tensors)
