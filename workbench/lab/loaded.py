"""A loaded model as data: what all jobs share. `loading.py` makes one, `passes.py` runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from workbench.lab.clean import CleanCache
from workbench.lab.finding.identity import Identity
from workbench.lab.metrics import beside
from workbench.lab.prompts import Tokenization
from workbench.lab.rotations import Rotations
from workbench.lab.sites import SiteMap
from workbench.lab.tail import Tail
from workbench.lab.wrappers import Wrappers
from workbench.model_info import ModelInfo
from workbench.units import Site


@dataclass
class Model:
    """What all jobs share."""

    bridge: Any
    hf: Any
    """the Hugging Face model whose modules the bridge has wrapped; `passes.py` alone calls it"""
    tokens: Tokenization
    sites: SiteMap
    tail: Tail
    info: ModelInfo
    stop_ids: frozenset[int]
    """tokens that end a generation"""
    identity: Identity
    """reads the fingerprint, where `info` does not have it"""
    clean: CleanCache = field(default_factory=CleanCache)
    remarks: list[str] = field(default_factory=list)
    """what the check at load found to differ, as sentences"""
    caches: bool = True
    """whether generation can use a key-value cache"""
    restarts: bool = True
    """whether a pass can begin at a later block, from that block's input alone"""
    ends_in_unembedding: bool = True
    """whether the final norm and the unembedding are all that stands between the stream and the logits"""
    rotations: Rotations = field(default_factory=Rotations)
    """those that depend on how long a pass is"""
    wrappers: Wrappers = field(default_factory=Wrappers)
    """the bridge's, that a pass goes without where nothing is hooked"""
    cancel_check: Callable[[], None] | None = None
    """called at every block of every pass; raises Cancelled to stop it"""
    sampled: dict[Site, torch.Tensor] = field(default_factory=dict)
    """sites over the fixed text, float32 [token, width], once an edit needed them"""
    unembedding_mean: torch.Tensor | None = None
    """the mean of the unembedding over the vocabulary, float64 [d_model], once it was needed"""
    starts: tuple[Any, ...] | None = None
    """`passes.BlockStart` of every block at one token, once a stream was read out"""
    effective: Any = None
    """`effective.EffectiveWeights`, once they were needed"""
    value_maps: dict[int, Any] = field(default_factory=dict)
    """`directions.heads.ValueMap` by layer, once a head's directions were needed"""
    random_draws: dict[tuple[Site, int], Any] = field(default_factory=dict)
    """`directions.covariance.SiteDraws` by site and seed, once controls needed them"""
    saes: dict[str, Any] = field(default_factory=dict)
    """`sae.features.RegisteredSae` by name and hash, once features were read or edited"""
    strength: np.ndarray | None = None
    """rms(a) · ‖w_out‖, float32 [layer, neuron], once measured"""

    def weight(self, layer: int, name: str) -> torch.Tensor:
        """A block's `attn.W_O`, `mlp.W_out`, …, as TransformerLens shapes it, on the model's first device."""
        weight = self.optional_weight(layer, name)
        assert weight is not None, f"layer {layer} has no {name}"
        return weight

    def optional_weight(self, layer: int, name: str) -> torch.Tensor | None:
        """The same of what not every model has, as biases; None where it has none."""
        part, _, parameter = name.partition(".")
        weight = getattr(getattr(self.bridge.blocks[layer], part), parameter, None)
        return None if weight is None else beside(weight.detach(), self.hf.device)

    def head_output(self, layer: int, head: int) -> torch.Tensor:
        """What a query head's z adds to the stream with: W_O's slice times its gain, float32 [d_head, d_model].

        Before the norm that follows attention, where there is one.
        """
        return self.weight(layer, "attn.W_O")[head].float() * self.sites.weight_gain(Site(layer, "z"))
