"""What a head writes most: singular vectors of W_V W_O (Elhage et al. 2021, "A Mathematical Framework").

Effective weights, as everywhere (METHODS, "Effective weights"): the γ of the norm before attention is part of W_V, a
norm after it and the factor with which attention is added are part of W_O. Which norm that is, and which key-value head
a query head reads, is asked of a pass: of a single token every head's z is its own value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from workbench.errors import UserError
from workbench.lab.loaded import Model
from workbench.lab.loading import CHECKED_TEXT
from workbench.lab.metrics import as_float64
from workbench.lab.norms import norm_map, norm_output, through_norm
from workbench.lab.passes import run_pass
from workbench.units import Head, Site

TOLERANCE = 0.1
"""of z's norm: half precision is off by a hundredth of it, another head or norm by most of it"""


@dataclass(frozen=True)
class ValueMap:
    """What the query heads of a layer make values of, at the norm's scale 1, biases apart."""

    reads: torch.Tensor
    """W_V ⊙ γ of every key-value head, float64 [kv head, d_head, d_model]"""
    kv_heads: tuple[int, ...]
    """of each query head, the one that it reads"""


def output_directions(model: Model, head: Head) -> tuple[torch.Tensor, torch.Tensor]:
    """Singular values, float64 [d_head], descending, and what they write: vectors [d_head, d_model] of length 1.

    Of each vector the entry with the largest absolute value is positive. Raises UserError where the values of the layer
    are not known.
    """
    values = _value_map(model, head.layer)
    reads = values.reads[values.kv_heads[head.index]]
    writes = through_norm(model, head.layer, "ln1_post", model.head_output(head.layer, head.index)).cpu().double()
    _, triangle = torch.linalg.qr(reads.T)
    _, singular_values, vectors = torch.linalg.svd(triangle @ writes, full_matrices=False)
    largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
    return singular_values, vectors * largest.sign()


def output_direction(model: Model, head: Head, k: int) -> torch.Tensor:
    """The k-th of them, from 1, float64 [d_model]. Raises UserError for a k that the head does not have."""
    d_head = model.info.d_head
    if not 1 <= k <= d_head:
        raise UserError(
            f"there is no @{head}.ov{k}: a head of {model.info.name} writes along {d_head}, ov1 to ov{d_head}"
        )
    values, vectors = output_directions(model, head)
    # Behind the map's rank singular vectors are arbitrary; what rounding leaves of a zero is about this large.
    rank = int((values > values[0] * torch.finfo(torch.float32).eps * model.info.d_model).sum())
    if k > rank:
        raise UserError(f"there is no @{head}.ov{k}: the rank of W_V W_O of this head is {rank}")
    return vectors[k - 1]


def _value_map(model: Model, layer: int) -> ValueMap:
    if layer not in model.value_maps:
        model.value_maps[layer] = _measure(model, layer)
    value_map: ValueMap = model.value_maps[layer]
    return value_map


def _measure(model: Model, layer: int) -> ValueMap:
    """One pass over one token."""
    info, block = model.info, model.bridge.blocks[layer]
    weight = model.optional_weight(layer, "attn.W_V")
    if weight is None or weight.ndim != 3 or weight.shape[1:] != (info.d_model, info.d_head):
        raise _unknown(model, layer)
    sites = [Site(layer, "resid_pre"), Site(layer, "z")]
    ids = torch.from_numpy(model.tokens.prompt(CHECKED_TEXT).ids[:1]).to(model.hf.device)
    captured = run_pass(model, ids[None], head=None, capture=sites).captured
    stream, z = captured[sites[0]], captured[sites[1]].float().reshape(info.n_heads, 1, info.d_head)
    own_bias = model.optional_weight(layer, "attn.b_V")
    bias = 0 if own_bias is None else own_bias.float()
    norms: list[Any] = [None, *(getattr(block, name) for name in ("ln1", "ln2") if hasattr(block, name))]
    with torch.inference_mode():
        read_by_norm = [stream if norm is None else norm_output(norm, stream) for norm in norms]
        values = torch.stack([read[0, 0].float() @ weight.float() + bias for read in read_by_norm])
        # [norm, query head, kv head]
        errors = (values[:, None] - z).norm(dim=-1) / z.norm(dim=-1)
        best = int(errors.amin(dim=2).amax(dim=1).argmin())
    if float(errors[best].amin(dim=1).max()) > TOLERANCE:
        raise _unknown(model, layer)
    rows = as_float64(weight.transpose(1, 2))
    if norms[best] is not None:
        rows = norm_map(norms[best].original_component, info.d_model, weight.device).pull_back(rows)
    return ValueMap(rows.cpu(), tuple(errors[best].argmin(dim=1).tolist()))


def _unknown(model: Model, layer: int) -> UserError:
    return UserError(
        f"what the heads of layer {layer} of {model.info.name} ({model.info.architecture}) make values of is neither "
        f"the stream nor a norm of it times W_V: their singular vectors are not known"
    )
