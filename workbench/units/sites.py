"""Names of places in a block."""

from __future__ import annotations

from workbench.errors import GrammarError
from workbench.model_info import ModelInfo
from workbench.units.scan import NAME

SITES: dict[str, str] = {
    "resid_pre": "residual stream at the block's input",
    "resid_mid": "residual stream between attention and MLP",
    "resid_post": "residual stream at the block's output",
    "attn_out": "what attention adds to the stream",
    "mlp_out": "what the MLP adds to the stream",
    "mlp_pre": "MLP before the activation function (the gate, where gated)",
    "mlp_pre_linear": "the linear part of a gated MLP",
    "mlp_post": "MLP activations: the vector that W_out multiplies",
    "z": "attention heads' outputs before W_O",
    "pattern": "attention patterns",
}
HOOKS: dict[str, str] = {
    "resid_pre": "hook_resid_pre",
    "resid_mid": "hook_resid_mid",
    "resid_post": "hook_resid_post",
    "attn_out": "hook_attn_out",
    "mlp_out": "hook_mlp_out",
    "mlp_pre": "mlp.hook_pre",
    "mlp_pre_linear": "mlp.hook_pre_linear",
    "mlp_post": "mlp.hook_post",
    "z": "attn.hook_z",
    "pattern": "attn.hook_pattern",
}
"""TransformerLens' name of each in its block: `blocks.5.` and this"""
STREAM: frozenset[str] = frozenset({"resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"})
"""sites whose vectors have d_model numbers, where a direction can be read and written"""
ADDED_AS: dict[str, str] = {"z": "attn_out", "mlp_post": "mlp_out"}
"""sites that W_O and W_out multiply, and the site of what that adds to the stream"""


def site_problem(name: str, info: ModelInfo) -> str:
    """Why the model has no such site, as a sentence; empty where it has."""
    if name == "resid_mid" and info.parallel_blocks:
        return "this model's blocks are parallel: attention and MLP read resid_pre, there is no resid_mid"
    if name == "mlp_pre_linear" and not info.gated_mlp:
        return "this model's MLP is not gated: it has mlp_pre and mlp_post only"
    return ""


def read_site(text: str, at: int, info: ModelInfo | None) -> tuple[str, int] | None:
    """The site named at `at`, and where its name ends; None where none is. Raises GrammarError."""
    match = NAME.match(text, at)
    if not match or match.group() not in SITES:
        return None
    problem = site_problem(match.group(), info) if info is not None else ""
    if problem:
        raise GrammarError(text, at, problem)
    return match.group(), match.end()
