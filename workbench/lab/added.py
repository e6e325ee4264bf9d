"""What attention and the MLP add to the stream, in float32, of what W_O and W_out multiply."""

from __future__ import annotations

import copy

import torch

from workbench.lab.loaded import Model
from workbench.units import Site


def change_added(model: Model, site: Site, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """The change of attn_out where z goes from `before` to `after`, of mlp_out where mlp_post does; float32.

    `before` and `after` [position, d_mlp] or [position, head, d_head]; gives [position, d_model].
    """
    block = model.bridge.blocks[site.layer]
    if site.name == "z":
        weight, bias, norm = block.attn.W_O.flatten(0, 1), getattr(block.attn, "b_O", None), "ln1_post"
    else:
        weight, bias, norm = block.mlp.W_out, getattr(block.mlp, "b_out", None), "ln2_post"
    weight = weight.detach().float()
    before, after = before.flatten(1).float(), after.flatten(1).float()
    post_norm = getattr(block, norm, None)
    if post_norm is None:
        return (after - before) @ weight
    exact_norm = copy.deepcopy(post_norm.original_component).float()
    offset = 0 if bias is None else bias.detach().float()
    return torch.as_tensor(exact_norm(after @ weight + offset) - exact_norm(before @ weight + offset))
