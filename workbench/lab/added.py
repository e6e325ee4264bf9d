"""What attention and the MLP add to the stream, of what W_O and W_out multiply."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch

from workbench.lab.loaded import Model
from workbench.lab.metrics import beside
from workbench.units import Site


class Writer(NamedTuple):
    """How z or mlp_post becomes attn_out or mlp_out, before the gain."""

    weight: torch.Tensor
    """[head · d_head, d_model] or [d_mlp, d_model]"""
    bias: torch.Tensor | None
    """[d_model]"""
    norm: Any
    """the norm that follows, None where there is none"""


def writer(model: Model, site: Site) -> Writer:
    """Of a layer's `z` or `mlp_post`, in the model's own type and on that layer's device."""
    block = model.bridge.blocks[site.layer]
    if site.name == "z":
        weight, bias, norm = block.attn.W_O.flatten(0, 1), getattr(block.attn, "b_O", None), "ln1_post"
    else:
        weight, bias, norm = block.mlp.W_out, getattr(block.mlp, "b_out", None), "ln2_post"
    after = getattr(block, norm, None)
    return Writer(weight.detach(), bias, None if after is None else after.original_component)


def change_added(model: Model, site: Site, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """The change of attn_out where z goes from `before` to `after`, of mlp_out where mlp_post does; float32.

    `before` and `after` [position, d_mlp] or [position, head, d_head]; gives [position, d_model].
    """
    weight, bias, norm = writer(model, site)
    weight, gain = weight.float(), model.sites.weight_gain(site)
    home = before.device
    before, after = (beside(values.flatten(1).float(), weight.device) for values in (before, after))
    if norm is None:
        return gain * beside((after - before) @ weight, home)
    exact_norm = copy.deepcopy(norm).float()
    offset = 0 if bias is None else bias.detach().float()
    change: torch.Tensor = exact_norm(after @ weight + offset) - exact_norm(before @ weight + offset)
    return gain * beside(change, home)
