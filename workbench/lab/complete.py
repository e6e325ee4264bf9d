"""Whether every weight of a model came from its checkpoint: transformers fills the others with random numbers.

Missing or wrongly shaped tensors are refused. Tensors that the model has no place for are a remark: heads for other
tasks, layers that predict further tokens. What transformers itself ties, computes or ignores is neither.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from workbench.errors import UserError
from workbench.text import count

SHOWN = 3
_WRAPPERS = {
    "_orig_mod.": "torch.compile",
    "module.": "torch's parallel training",
    "_fsdp_wrapped_module.": "torch's sharded training",
    "_checkpoint_wrapped_module.": "torch's activation checkpointing",
    "base_model.model.": "an adapter's training (PEFT)",
}
"""what stands in tensors' names when a wrapped model was saved, and who wrapped it"""
_QUANTISED = re.compile(
    r"\.(qweight|qzeros|scales|g_idx|weight_scale|weight_scale_inv|weight_zero_point|weight_packed|SCB|absmax"
    r"|quant_map|quant_state\S*)$"
)
"""names that formats of quantised weights give to tensors beside them, or in their place"""
_COMPUTED = re.compile(r"(^|\.)(attn|attention)\.(bias|masked_bias|causal_mask)$|(^|\.)rotary_emb\.\w+$")
"""buffers that old checkpoints hold and that are computed today: causal masks, rotations"""


def check_complete(name: str, buffers: Collection[str], loading_info: Mapping[str, Any]) -> list[str]:
    """Remarks on a loaded checkpoint; `loading_info` is what transformers' `output_loading_info` says.

    `buffers` are the names of the model's tensors that are no weights: what is missing of them is as the model's code
    makes it. Raises UserError where the model called `name` has weights that its checkpoint does not give.
    """
    missing = sorted(set(loading_info["missing_keys"]) - set(buffers), key=_in_order)
    unexpected = sorted((key for key in loading_info["unexpected_keys"] if not _COMPUTED.search(key)), key=_in_order)
    quantised = [key for key in unexpected if _QUANTISED.search(key)]
    if quantised:
        raise UserError(
            f"the weights of {name} are quantised (its tensors are called {_named(quantised)}): open the original in "
            f"float32, bfloat16 or float16"
        )
    if missing:
        raise UserError(_missing(name, missing, unexpected))
    mismatched = sorted(loading_info["mismatched_keys"], key=lambda mismatch: _in_order(mismatch[0]))
    if mismatched:
        shapes = [f"{key} is {_shape(actual)} and has to be {_shape(expected)}" for key, actual, expected in mismatched]
        raise UserError(
            f"{name}: {_tensors(len(shapes))} the wrong shape for its config.json ({_named(shapes)}): "
            f"download or copy the model again, config and weights together"
        )
    remarks = []
    if unexpected:
        many = "s" * (len(unexpected) > 1)
        remarks.append(
            f"the checkpoint has {len(unexpected)} tensor{many} that this model does not use: {_named(unexpected)}"
        )
    computed = sorted(set(loading_info["missing_keys"]) & set(buffers), key=_in_order)
    if computed:
        many = "s" * (len(computed) > 1)
        remarks.append(
            f"the checkpoint lacks {len(computed)} buffer{many}, left as the model makes them: {_named(computed)}"
        )
    return remarks


def _in_order(key: str) -> list[str | int]:
    """Layer 2 before layer 10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", key)]


def _missing(name: str, missing: list[str], unexpected: list[str]) -> str:
    problem = f"{name} can't be loaded as it is: {_tensors(len(missing))} no weights in the checkpoint"
    for prefix, wrapper in _WRAPPERS.items():
        if set(missing) & {key.replace(prefix, "") for key in unexpected if prefix in key}:
            return (
                f"{problem}, because {wrapper} has put {prefix!r} into their names there "
                f"({next(key for key in unexpected if prefix in key)}): save the model again without the wrapper, "
                f"or take {prefix!r} out of the names in the safetensors files"
            )
    unused = (
        f"; it has others that the model does not use ({_named(unexpected)}): were they renamed?" if unexpected else ""
    )
    return f"{problem} and would be random ({_named(missing)}): download, copy or save it again{unused}"


def _tensors(n: int) -> str:
    return f"{count(n)} tensor{'s have' if n > 1 else ' has'}"


def _named(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {count(len(listed) - SHOWN)} more" if len(listed) > SHOWN else ""
    return f"{', '.join(listed[:SHOWN])}{more}"


def _shape(shape: Iterable[int]) -> str:
    return "×".join(map(str, shape)) or "a single number"
