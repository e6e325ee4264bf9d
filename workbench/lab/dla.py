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
from workbench.lab.metrics import as_float64, mean_float64
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

    def __init__(self, norm: Any, at: torch.Tensor, device: torch.device) -> None:
        """`at` [d_model], the input whose scale is frozen; computed on `device`."""
        module = norm.original_component
        free = norm_map(module, len(at), device)
        at = at.float().to(device)
        shaped, output = free(at), as_float64(copy.deepcopy(module).float().to(device)(at[None])[0]) - free.bias
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
        last = {site: tensor[0, -1] for site, tensor in captured.items()}
        norm = FrozenNorm(model.bridge.ln_final, last[final], last[final].device)
        covector, constant = _covector(model, metric.direct)
        toward = norm.pull_back(covector)
        heads, neurons, attention_bias, mlp_bias = [], [], [], []
        for layer, block in enumerate(blocks):
            attention_gain, mlp_gain = (model.sites.weight_gain(Site(layer, name)) for name in ("z", "mlp_post"))
            z = last[Site(layer, "z")].reshape(info.n_heads, 1, -1)
            added = (as_float64(z) @ as_float64(model.weight(layer, "attn.W_O")))[:, 0]  # [head, d_model]
            own_bias = model.optional_weight(layer, "attn.b_O")
            reads, bias = _through_norm(block, "ln1_post", added.sum(0), own_bias, toward * attention_gain, z.device)
            heads.append((added @ reads).cpu().numpy())
            attention_bias.append(bias)
            # Products of the weights in float32, sums in float64: a copy of every W_out in float64 would cost more.
            activation, w_out = last[Site(layer, "mlp_post")].float(), model.weight(layer, "mlp.W_out").float()
            added = as_float64(activation @ w_out)
            own_bias = model.optional_weight(layer, "mlp.b_out")
            reads, bias = _through_norm(block, "ln2_post", added, own_bias, toward * mlp_gain, z.device)
            read_by_neuron = as_float64(w_out @ reads.float().to(z.device))
            neurons.append((as_float64(activation) * read_by_neuron).cpu().numpy())
            mlp_bias.append(bias)
        whole = float((norm(last[final]) + norm.bias) @ covector) + constant
        return Parts(
            embedding=float(as_float64(last[embedded]) @ toward),
            heads=np.stack(heads),
            neurons=np.stack(neurons),
            attention_bias=np.asarray(attention_bias),
            mlp_bias=np.asarray(mlp_bias),
            bias=float(norm.bias @ covector) + constant,
            whole=whole if model.ends_in_unembedding else float(value(metric.direct, as_float64(trace.last[None]))[0]),
            rounding=_rounding([last[site] for site in streams], toward, torch.finfo(model.hf.dtype).eps),
            stream_edited=any(site.name in STREAM for site in trace.plan.changes),
        )


def _rounding(streams: Sequence[torch.Tensor], toward: torch.Tensor, step: float) -> float:
    """How far rounding in every layer may take what `toward` reads off the last of `streams`, [d_model] each.

    `step` is the number type's.
    """
    return ROUNDINGS * step * float(torch.stack([(as_float64(stream) * toward).norm() for stream in streams]).norm())


def _covector(model: Model, metric: Metric) -> tuple[torch.Tensor, float]:
    """The metric as a covector on the final norm's output, float64 [d_model], and a constant."""
    head = model.hf.get_output_embeddings()
    scale, weight, bias = model.tail.scale, head.weight, head.bias
    covector = as_float64(weight[metric.answer])
    other = _mean_row(model) if metric.foil is None else as_float64(weight[metric.foil])
    constant = 0.0
    if bias is not None:
        wide = as_float64(bias)
        against = wide.mean() if metric.foil is None else wide[metric.foil]
        constant = float(wide[metric.answer] - against)
    return (covector - other) * scale, constant * scale


def _mean_row(model: Model) -> torch.Tensor:
    if model.unembedding_mean is None:
        model.unembedding_mean = mean_float64(model.hf.get_output_embeddings().weight, 0)
    return model.unembedding_mean


def _through_norm(
    block: Any,
    name: str,
    added: torch.Tensor,
    bias: torch.Tensor | None,
    toward: torch.Tensor,
    device: torch.device,
) -> tuple[torch.Tensor, float]:
    """How what attention or the MLP adds is read: a covector [d_model], and what its biases contribute.

    `added` [d_model] without the bias; a norm that follows it is frozen at their sum.
    """
    constant = torch.zeros_like(added) if bias is None else as_float64(bias)
    whole = added + constant
    norm = getattr(block, name, None)
    if norm is None:
        return toward, float(constant @ toward)
    frozen = FrozenNorm(norm, whole, device)
    reads = frozen.pull_back(toward)
    return reads, float(constant @ reads + frozen.bias @ toward)
