"""Gemma Scope 2 (Google DeepMind 2025): `params.safetensors`, and a `config.json` that names modules of the model.

google/gemma-scope-2-1b-pt/resid_post/layer_13_width_16k_l0_medium. Formats as SAELens' `gemma_3` loader reads them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

from workbench.artifacts.sae import hook_of
from workbench.errors import UserError
from workbench.lab.sae.gemma_scope import saelens_names
from workbench.text import quoted

CONFIG_2, PARAMS_2 = "config.json", "params.safetensors"
_MODULE = re.compile(r"model\.layers\.(\d+)\.(.+)")
_HOOKS = {
    "output": "hook_resid_post",
    "self_attn.o_proj.input": "attn.hook_z",
    "post_feedforward_layernorm.output": "hook_mlp_out",
    "pre_feedforward_layernorm.output": "mlp.hook_in",
}
"""what stands where, by TransformerLens' name of the place in its block"""


def saelens_names_2(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors as SAELens calls them; its W_skip is [d_out, d_in]."""
    renamed = saelens_names(tensors)
    skip = renamed.pop("affine_skip_connection", None)
    return renamed if skip is None else {**renamed, "W_skip": skip.T.contiguous()}


def gemma_config_2(raw: Mapping[str, Any], source: str, site: str, site_out: str) -> dict[str, Any]:
    """A configuration in SAELens' words: all are JumpReLU, and b_dec is not taken off before encoding.

    Raises UserError for another kind, and where neither `raw` nor `site` says where it reads.
    """
    kind = str(raw.get("architecture"))
    if kind != "jump_relu":
        raise UserError(f"{source} is a {quoted(kind)} in {CONFIG_2}: of Gemma Scope 2, jump_relu is read")
    config: dict[str, Any] = {
        "architecture": "jumprelu",
        "apply_b_dec_to_input": False,
        "prepend_bos": True,
        "model_name": str(raw.get("model_name") or "").replace("-v3", "-3"),
        "hook_name": hook_of(site) if site else _hook(raw, "hf_hook_point_in", source, "--site"),
    }
    if raw.get("hf_hook_point_out") and raw["hf_hook_point_out"] != raw.get("hf_hook_point_in"):
        skips = bool(raw.get("affine_connection"))
        config["architecture"] = "jumprelu_skip_transcoder" if skips else "jumprelu_transcoder"
        config["hook_name_out"] = (
            hook_of(site_out) if site_out else _hook(raw, "hf_hook_point_out", source, "--site-out")
        )
    return config


def _hook(raw: Mapping[str, Any], name: str, source: str, flag: str) -> str:
    point = str(raw.get(name) or "")
    match = _MODULE.fullmatch(point)
    if match is None or match[2] not in _HOOKS:
        says = f"says {name} {quoted(point)}" if point else f"has no {name}"
        raise UserError(
            f"{source}: {CONFIG_2} {says}, and a place like model.layers.12.output is needed, or {flag} L12.resid_post"
        )
    return f"blocks.{match[1]}.{_HOOKS[match[2]]}"
