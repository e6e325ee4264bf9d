"""Direct logit attribution (METHODS, "Attribution"): what each part adds to the answer's logit, final-norm scale
frozen.

Parts: the embedding, every head, each layer's attention bias, every neuron, each layer's MLP bias, the final norm's
and the unembedding's bias. They sum to the whole, before a softcap. The frozen scale makes every norm an affine map of
its input; a norm after attention or the MLP (Gemma 2) is frozen in the same way. What the maps are is read off the
modules themselves by probing them, so that offsets (1 + weight) and centring need no case of their own.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from workbench.lab.attribution import value
from workbench.lab.loaded import Model
from workbench.lab.metric import Metric
from workbench.lab.norms import NormMap, norm_map
from workbench.lab.trace import Trace, run_from
from workbench.units import STREAM, Site

ROUNDINGS = 4
"""roundings of a layer's numbers that may add up, as if independent (2.4 of them were the most seen, in float32)"""


@dataclass(frozen=True)
class Parts:
    """Contributions to the metric at the last position, in logits, float64."""

    embedding: float
    heads: np.ndarray
    """[layer, head]"""
    neurons: np.ndarray
    """[layer, neuron]"""
    attention_bias: np.ndarray
    """[layer]"""
    mlp_bias: np.ndarray
    """[layer]"""
    bias: float
    """of the final norm and the unembedding"""
    whole: float
    """what they have to sum to: the metric before a softcap"""
    rounding: float
    """by how much the sum may miss `whole` because the model's own numbers are rounded, an upper bound"""
    stream_edited: bool
    """whether edits of the stream itself are on, which add to `whole` what no part does"""

    @property
    def attention(self) -> np.ndarray:
        """[layer], heads and bias"""
        return np.asarray(self.heads.sum(1) + self.attention_bias)

    @property
    def mlps(self) -> np.ndarray:
        """[layer], neurons and bias"""
        return np.asarray(self.neurons.sum(1) + self.mlp_bias)

    @property
    def total(self) -> float:
        """The sum of the parts."""
        return float(self.embedding + self.attention.sum() + self.mlps.sum() + self.bias)

    @property
    def remainder(self) -> float:
        """What the parts lack of the whole: rounding, what edits of the stream or something else in the model added."""
        return self.whole - self.total


class FrozenNorm(NormMap):
    """A norm as the affine map it is at one input: its scale is part of the gain."""

    def __init__(self, norm: Any, at: torch.Tensor) -> None:
        """`at` [d_model], the input whose scale is frozen."""
        module = norm.original_component
        free = norm_map(module, len(at), at.device)
        at = at.float()
        shaped, output = free(at), copy.deepcopy(module).float()(at[None])[0].double() - free.bias
        size = shaped @ shaped
        # Of an input of zeros nothing is made at any scale.
        super().__init__(free.gain * ((shaped @ output) / size if size > 0 else 1), free.bias, free.centred)


def direct(model: Model, trace: Trace, metric: Metric) -> Parts:
    """Direct attribution of `metric.direct` on the traced prompt, under the trace's own edits."""
    info, blocks = model.info, model.bridge.blocks
    sites = [Site(layer, name) for layer in range(info.n_layers) for name in ("z", "mlp_post")]
    embedded, streams = Site(0, "resid_pre"), [Site(layer, "resid_post") for layer in range(info.n_layers)]
    final = streams[-1]
    with torch.inference_mode():
        captured = run_from(model, trace, 0, capture=[*sites, embedded, *streams]).captured
        last = {site: tensor[0, -1].double() for site, tensor in captured.items()}
        norm = FrozenNorm(model.bridge.ln_final, last[final])
        covector, constant = _covector(model, metric.direct)
        toward = norm.pull_back(covector)
        heads, neurons, attention_bias, mlp_bias = [], [], [], []
        for layer, block in enumerate(blocks):
            attention_gain, mlp_gain = (model.sites.weight_gain(Site(layer, name)) for name in ("z", "mlp_post"))
            z = last[Site(layer, "z")].reshape(info.n_heads, 1, -1)
            added = (z @ block.attn.W_O.double())[:, 0]  # [head, d_model]
            reads, bias = _through_norm(
                block, "ln1_post", added.sum(0), getattr(block.attn, "b_O", None), toward * attention_gain
            )
            heads.append((added @ reads).cpu().numpy())
            attention_bias.append(bias)
            # Products of the weights in float32, sums in float64: a copy of every W_out in float64 would cost more.
            activation, w_out = last[Site(layer, "mlp_post")], block.mlp.W_out.float()
            added = (activation.float() @ w_out).double()
            reads, bias = _through_norm(block, "ln2_post", added, getattr(block.mlp, "b_out", None), toward * mlp_gain)
            neurons.append((activation * (w_out @ reads.float())).cpu().numpy())
            mlp_bias.append(bias)
        whole = float((norm(last[final]) + norm.bias) @ covector) + constant
        return Parts(
            embedding=float(last[embedded] @ toward),
            heads=np.stack(heads),
            neurons=np.stack(neurons),
            attention_bias=np.asarray(attention_bias),
            mlp_bias=np.asarray(mlp_bias),
            bias=float(norm.bias @ covector) + constant,
            whole=whole if model.ends_in_unembedding else float(value(metric.direct, trace.last[None].double())[0]),
            rounding=_rounding([last[site] for site in streams], toward, torch.finfo(model.hf.dtype).eps),
            stream_edited=any(site.name in STREAM for site in trace.plan.changes),
        )


def _rounding(streams: Sequence[torch.Tensor], toward: torch.Tensor, step: float) -> float:
    """How far rounding in every layer may take what `toward` reads off the last of `streams`, [d_model] each.

    `step` is the number type's.
    """
    return ROUNDINGS * step * float(torch.stack([(stream * toward).norm() for stream in streams]).norm())


def _covector(model: Model, metric: Metric) -> tuple[torch.Tensor, float]:
    """The metric as a covector on the final norm's output, float64 [d_model], and a constant."""
    head = model.hf.get_output_embeddings()
    scale, weight, bias = model.tail.scale, head.weight, head.bias
    covector = weight[metric.answer].double()
    other = _mean_row(model) if metric.foil is None else weight[metric.foil].double()
    constant = 0.0
    if bias is not None:
        against = bias.double().mean() if metric.foil is None else bias[metric.foil].double()
        constant = float(bias[metric.answer].double() - against)
    return (covector - other) * scale, constant * scale


def _mean_row(model: Model) -> torch.Tensor:
    if model.unembedding_mean is None:
        model.unembedding_mean = model.hf.get_output_embeddings().weight.mean(0, dtype=torch.float64)
    return model.unembedding_mean


def _through_norm(
    block: Any, name: str, added: torch.Tensor, bias: torch.Tensor | None, toward: torch.Tensor
) -> tuple[torch.Tensor, float]:
    """How what attention or the MLP adds is read: a covector [d_model], and what its biases contribute.

    `added` [d_model] without the bias; a norm that follows it is frozen at their sum.
    """
    whole = added if bias is None else added + bias.double()
    constant = torch.zeros_like(added) if bias is None else bias.double()
    norm = getattr(block, name, None)
    if norm is None:
        return toward, float(constant @ toward)
    frozen = FrozenNorm(norm, whole)
    reads = frozen.pull_back(toward)
    return reads, float(constant @ reads + frozen.bias @ toward)
