"""What every layer of a model has to have, and its end, for our numbers to exist: checked once, when it is loaded.

A neuron is a row of its layer's one W_out, a head a slice of W_O, and what the last layer leaves in the stream goes
through a final norm and the unembedding. Layers are asked one by one: mixtures of experts often begin behind a dense
layer, and hybrids have attention in some layers only.
"""

from __future__ import annotations

from typing import Any

import torch

from workbench.errors import UserError
from workbench.lab.sites import SiteMap
from workbench.units import Site

_INSTEAD = "open a model that has attention heads and one MLP in every layer; `workbench models` lists what is here"


def check_supported(name: str, bridge: Any, hf: Any, sites: SiteMap) -> None:
    """Raises UserError, with the layer, where the model called `name` is built in a way that has no units of ours."""
    model = f"{name} ({type(hf).__name__})"
    if not len(bridge.blocks):
        raise UserError(f"{model} has no layers: its config.json may be wrong")
    for layer, block in enumerate(bridge.blocks):
        lack = _lack(layer, block, bridge, sites)
        if lack:
            raise UserError(f"layer {layer} of {model} {lack}: {_INSTEAD}")
    unembedding = _shape(hf.get_output_embeddings(), "weight")
    if len(unembedding) != 2 or unembedding[1] != int(bridge.cfg.d_model):
        raise UserError(
            f"the unembedding of {model} reads {unembedding[-1] if unembedding else 'no'} numbers and its stream has "
            f"{int(bridge.cfg.d_model)}: a projection stands between them, which the workbench does not follow"
        )
    if not _has_module(bridge, "ln_final"):
        raise UserError(
            f"{model} has no final norm before its unembedding (a post-norm model, as GPT-1 and OPT-350m are): "
            f"open a model that has one, which every layer is read through here"
        )


def check_layers(name: str, bridge: Any, hf: Any) -> None:
    """Raises UserError where the model called `name` is not one stack of layers."""
    if not hasattr(bridge, "blocks"):
        raise UserError(f"{name} ({type(hf).__name__}) is not one stack of layers: {_INSTEAD}")


def embedded_tokens(hf: Any) -> int:
    """How many tokens the model can read and generate: rows of the smaller of embedding and unembedding."""
    return min(int(embedding.weight.shape[0]) for embedding in (hf.get_input_embeddings(), hf.get_output_embeddings()))


def _lack(layer: int, block: Any, bridge: Any, sites: SiteMap) -> str:
    """What a layer lacks, as the end of a sentence; empty where it has all."""
    config = bridge.cfg
    heads = (int(config.n_heads), int(config.d_head), int(config.d_model))
    if Site(layer, "z") not in sites:
        return "has no plain attention heads (state-space, recurrent and convolution layers have none)"
    if _shape(getattr(block, "attn", None), "W_O") != heads:
        return f"has attention whose W_O is not {heads[0]} heads of {heads[1]} × {heads[2]}"
    mlp = getattr(block, "mlp", None)
    width = _shape(mlp, "W_out")
    if Site(layer, "mlp_post") not in sites or len(width) != 2:
        experts = mlp is not None and any("expert" in part.lower() for part, _ in mlp.named_modules())
        return "is a mixture of experts, whose neurons are no units here" if experts else "has no MLP of one W_out"
    first = _shape(bridge.blocks[0].mlp, "W_out")
    if width != first or width[1] != heads[2]:
        return f"has an MLP of {width[0]} neurons, and layer 0 one of {first[0]}"
    for name in ("mlp_pre_linear", "mlp_pre", "resid_pre", "resid_post"):
        expected = Site(0, name) in sites if name == "mlp_pre_linear" else True
        if (Site(layer, name) in sites) != expected:
            return f"has {'no' if expected else 'a'} {name}, unlike the others"
    return ""


def _shape(module: Any, name: str) -> tuple[int, ...]:
    """Of a weight; empty where the module has none. TransformerLens raises various errors where it can't show one."""
    try:
        weight = getattr(module, name)
    except (AttributeError, RuntimeError, ValueError, NotImplementedError):
        return ()
    return tuple(weight.shape) if isinstance(weight, torch.Tensor) else ()


def _has_module(bridge: Any, name: str) -> bool:
    """Whether the bridge has a part and the model the module that it stands for."""
    part = getattr(bridge, name, None)
    return part is not None and part.original_component is not None
