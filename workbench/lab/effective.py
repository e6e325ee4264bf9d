"""Effective weights: what the MLP reads and writes, with the norms around it worked in, beside the untouched model.

METHODS, "Effective weights": input weights times the γ of the norm before them, biases with its β; the
unembedding times the final γ, centred over the vocabulary; output weights times the γ of a norm after the MLP and the
factor with which the MLP's output is added to the stream; where norms subtract the mean (LayerNorm) w_in and w_out
are centred over d_model. Which norm stands before an MLP, if one does, is not in a name: it is the one whose output,
multiplied by the MLP's own weights, is the pre-activation of a pass. What norms do is read off the modules. All in
float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from workbench.errors import UserError
from workbench.lab.loaded import Model
from workbench.lab.loading import CHECKED_TEXT
from workbench.lab.norms import NormMap, norm_map, norm_output, written
from workbench.lab.passes import run_pass
from workbench.units import Site

TOLERANCE = 0.1
"""of a pre-activation's norm: half precision is off by a hundredth of it, a wrong norm by most of it"""


@dataclass(frozen=True)
class Effective:
    """Effective weights of one layer, float32."""

    w_in: torch.Tensor
    """[d_mlp, d_model]; the linear part, where gated"""
    w_gate: torch.Tensor | None
    """[d_mlp, d_model]"""
    bias: torch.Tensor
    """[d_mlp]: of the activation function's input (the gate's, where gated)"""
    w_out: torch.Tensor
    """[d_mlp, d_model]"""


class EffectiveWeights:
    """Effective weights of a model, layer by layer, and of its unembedding."""

    def __init__(self, model: Model) -> None:
        """One pass over a short text. Raises UserError where an MLP reads neither the stream nor a norm of it."""
        self._model = model
        self._before = _norms_before(model)
        self._final = _map(model, model.bridge.ln_final)

    def layer(self, layer: int) -> Effective:
        before, gated = self._before[layer], self._model.info.gated_mlp
        first, own_bias = _first(self._model, layer)
        bias = torch.zeros(first.shape[1], device=first.device) if own_bias is None else own_bias.float()
        if before is not None:
            bias = bias + first.float().T @ before.bias.float().to(first.device)
        gate = self.reads(layer, "gate") if gated else None
        return Effective(self.reads(layer, "in"), gate, bias, self.writes(layer))

    def reads(self, layer: int, side: Literal["in", "gate"], neurons: slice = slice(None)) -> torch.Tensor:
        """What neurons of a layer read the stream along: w_in or w_gate ⊙ γ, float32 [neuron, d_model]."""
        # [d_model, d_mlp] in TransformerLens' layout
        rows = self._model.weight(layer, f"mlp.W_{side}")[:, neurons].T
        before = self._before[layer]
        return rows.float() if before is None else before.pull_back(rows).float().to(rows.device)

    def writes(self, layer: int) -> torch.Tensor:
        """w_out of a layer, float32 [neuron, d_model]."""
        w_out = written(self._model, layer)
        return w_out - w_out.mean(dim=1, keepdim=True) if self._final.centred else w_out

    def stacked(self, side: Literal["in", "out"]) -> torch.Tensor:
        """w_in or w_out of every layer, float32 [layer, neuron, d_model], in memory of its own."""
        info = self._model.info
        stacked = torch.empty(info.n_layers, info.d_mlp, info.d_model, device=self._model.hf.device)
        for layer, rows in enumerate(stacked):
            rows.copy_(self.writes(layer) if side == "out" else self.reads(layer, "in"))
        return stacked

    def unembedding(self) -> torch.Tensor:
        """W_U ⊙ γ_final, centred over the vocabulary, float32 [vocabulary, d_model]."""
        return unembedding(self._model)


def unembedding(model: Model) -> torch.Tensor:
    """W_U ⊙ γ_final, centred over the vocabulary, float32 [vocabulary, d_model]; any model has it."""
    weight = model.hf.get_output_embeddings().weight.detach().float()
    scaled: torch.Tensor = weight * _map(model, model.bridge.ln_final).gain.float().to(weight.device)
    return scaled.sub_(scaled.mean(dim=0, keepdim=True))


def centres_final(model: Model) -> bool:
    """Whether the norm before the unembedding takes the mean over d_model off: no logit depends on it then."""
    return _map(model, model.bridge.ln_final).centred


def effective_weights(model: Model) -> EffectiveWeights:
    """Of a model, asked once: which norms stand before its MLPs needs a pass. Raises UserError."""
    if model.effective is None:
        model.effective = EffectiveWeights(model)
    weights: EffectiveWeights = model.effective
    return weights


def _first(model: Model, layer: int) -> tuple[torch.Tensor, torch.Tensor | None]:
    """What makes the activation function's input: weights [d_model, d_mlp] and bias [d_mlp]."""
    name = "gate" if model.info.gated_mlp else "in"
    return model.weight(layer, f"mlp.W_{name}"), model.optional_weight(layer, f"mlp.b_{name}")


def _map(model: Model, norm: Any) -> NormMap:
    return norm_map(norm.original_component, model.info.d_model, model.hf.device)


def _norms_before(model: Model) -> list[NormMap | None]:
    """The norm that each layer's MLP reads the stream through; None where it reads the stream itself (OLMo 2)."""
    ids = torch.from_numpy(model.tokens.prompt(CHECKED_TEXT).ids[: model.info.n_ctx]).to(model.hf.device)
    inputs = "resid_pre" if model.info.parallel_blocks else "resid_mid"
    sites = [Site(layer, name) for layer in range(model.info.n_layers) for name in (inputs, "mlp_pre")]
    captured = run_pass(model, ids[None], head=None, capture=sites).captured
    norms = []
    with torch.inference_mode():
        for layer in range(model.info.n_layers):
            stream, pre = captured[Site(layer, inputs)].float(), captured[Site(layer, "mlp_pre")].float()
            norms.append(_norm_before(model, layer, stream, pre))
    return norms


def _norm_before(model: Model, layer: int, stream: torch.Tensor, pre: torch.Tensor) -> NormMap | None:
    """Of one layer: `stream` [row, position, d_model] and the pre-activation `pre` [row, position, d_mlp]."""
    weight, bias = _first(model, layer)
    name = f"{model.info.name} ({model.info.architecture})"
    if weight.shape[1] != model.info.d_mlp:
        raise UserError(
            f"layer {layer} of {name} keeps gate and linear part in one matrix of {weight.shape[1]} rows: which row is "
            f"which neuron's is not known"
        )
    own_bias, block = 0 if bias is None else bias.float(), model.bridge.blocks[layer]
    norms = [None, *(norm for norm in (getattr(block, "ln2", None), getattr(block, "ln1", None)) if norm is not None)]
    errors = []
    for norm in norms:
        read = stream if norm is None else norm_output(norm, stream.to(model.hf.dtype)).float()
        errors.append(float((read @ weight.float() + own_bias - pre).norm() / pre.norm()))
    best = min(range(len(norms)), key=errors.__getitem__)
    if errors[best] > TOLERANCE:
        raise UserError(
            f"what the MLP of layer {layer} of {name} reads is neither the stream nor a norm of it: "
            f"its effective weights are not known"
        )
    norm = norms[best]
    return None if norm is None else _map(model, norm)
