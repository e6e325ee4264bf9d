"""Gemma Scope (Lieberum et al. 2024, arXiv 2408.05147): `params.npz`, and a path that says the rest.

google/gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from workbench.artifacts.sae import hook_of
from workbench.errors import UserError

PARAMS = "params.npz"
_REPOSITORY = re.compile(r"gemma-scope-(\d+b)-(pt|it)-(res|mlp|att|transcoders)")
_HOOKS = {"res": "hook_resid_post", "mlp": "hook_mlp_out", "att": "attn.hook_z", "transcoders": "ln2.hook_normalized"}


def saelens_names(arrays: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The arrays as SAELens calls them: `w_enc` is W_enc."""
    return {f"W_{name[2:]}" if name.startswith("w_") else name: array for name, array in arrays.items()}


def gemma_config(source: str, folder: Path, tensors: Mapping[str, torch.Tensor], site: str) -> dict[str, Any]:
    """A configuration in SAELens' words: all are JumpReLU, and b_dec is not taken off before encoding.

    Raises UserError where neither the path nor `site` says where it reads.
    """
    path = f"{source}/{folder}"
    repository, layer = _REPOSITORY.search(path), re.search(r"layer_(\d+)", path)
    if "embedding" in path and layer is None:
        raise UserError(f"{source} is an SAE of the embedding: SAEs of places in a block are read")
    config: dict[str, Any] = {"architecture": "jumprelu", "apply_b_dec_to_input": False, "prepend_bos": True}
    if repository is not None:
        size, training, place = repository.groups()
        config["model_name"] = f"gemma-2-{size}" + ("-it" if training == "it" else "")
        if layer is not None:
            config["hook_name"] = f"blocks.{layer[1]}.{_HOOKS[place]}"
        if place == "transcoders" and layer is not None:
            config |= {"architecture": "jumprelu_transcoder", "hook_name_out": f"blocks.{layer[1]}.hook_mlp_out"}
    if site:
        config["hook_name"] = hook_of(site)
    if "hook_name" not in config:
        raise UserError(
            f"{source} does not say where it reads: a path like gemma-scope-2b-pt-res/layer_20/width_16k/… does, or "
            "--site L20.resid_post"
        )
    if "threshold" not in tensors:
        raise UserError(f"{source}: {PARAMS} has no threshold: it holds {', '.join(sorted(tensors))}")
    return config
