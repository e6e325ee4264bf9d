"""Which units make an answer: a first-order estimate for all of them in one backward pass (METHODS, "Attribution").

The estimate of switching a unit off is −Σ a · ∂metric/∂a over positions, the first-order effect of a → 0. Position 0 is
left out of the sum where the prompt has more than one token: as the attention sink it stands for no token.
Never of a KL: its gradient at the clean point is zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from workbench.errors import UserError
from workbench.lab import metrics
from workbench.lab.applying import Hook
from workbench.lab.editing import Plan
from workbench.lab.finite import OTHER_DTYPE
from workbench.lab.loaded import Model
from workbench.lab.metric import Metric
from workbench.lab.sae.placing import PlacedSae
from workbench.lab.trace import Trace, run_from
from workbench.units import Site


def value(metric: Metric, logits: torch.Tensor) -> torch.Tensor:
    """The metric of each row of `logits` [row, vocabulary], [row]; differentiable. In float64 where they are, else in
    float32."""
    logits = metrics.at_least_float32(logits)
    if metric.kind == "log-prob":
        return metrics.log_probs(logits)[:, metric.answer]
    answer = logits[:, metric.answer]
    if metric.kind == "log-odds":
        other_tokens = torch.ones(logits.shape[-1], dtype=torch.bool, device=logits.device)
        other_tokens[metric.answer] = False
        if metric.without is not None:
            other_tokens[metric.without] = False
        return answer - torch.logsumexp(logits.masked_fill(~other_tokens, -torch.inf), -1)
    if metric.kind == "difference":
        assert metric.foil is not None
        return answer - logits[:, metric.foil]
    return answer - logits.mean(-1)


@dataclass(frozen=True)
class Attribution:
    """Estimated change of a metric when each unit is switched off, float32; one row for each metric and plan."""

    neurons: np.ndarray
    """[row, layer, neuron]"""
    heads: np.ndarray
    """[row, layer, head]"""
    stream: np.ndarray
    """[row, layer, position]: the stream at the block's input set to zero; nan where position 0 is left out"""
    features: np.ndarray | None = None
    """[row, 1, feature] of one SAE, its error kept"""


def first_counted(length: int) -> int:
    """The first position that counts in a prompt of so many tokens."""
    return 1 if length > 1 else 0


def joined(parts: Sequence[Attribution]) -> Attribution:
    """The rows of several, one after the other."""
    return Attribution(
        np.concatenate([part.neurons for part in parts]),
        np.concatenate([part.heads for part in parts]),
        np.concatenate([part.stream for part in parts]),
        _joined_features([part.features for part in parts]),
    )


def _joined_features(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    present = [part for part in parts if part is not None]
    return np.concatenate(present) if present else None


def attribute(
    model: Model, trace: Trace, questions: Sequence[tuple[Metric, Plan]], sae: PlacedSae | None = None
) -> Attribution:
    """Estimates for every unit: a row for each metric and the edits that are on for it, beside the trace's own.

    With an SAE, for its features too: −Σ f · (∂metric/∂x · W_dec), x where it writes, its error kept.
    One forward and one backward pass of as many copies of the prompt.
    """
    rows = len(questions)
    info, n_layers = model.info, model.info.n_layers
    first = first_counted(len(trace.prompt))
    activations: dict[Site, torch.Tensor] = {}
    with torch.enable_grad():
        stream = trace.starts[0].stream.detach().expand(rows, -1, -1).clone().requires_grad_()
        watch, plans = _watch(model, activations, sae), [plan for _, plan in questions]
        logits = run_from(model, trace, 0, plans, stream=stream, watch=watch, gradients=torch.enable_grad).last
        assert logits is not None
        total = torch.stack(
            [value(metric, logits[row : row + 1])[0] for row, (metric, _) in enumerate(questions)]
        ).sum()
        sites = list(activations)
        gradients = torch.autograd.grad(total, [activations[site] for site in sites])
    neurons = np.zeros((rows, n_layers, info.d_mlp), np.float32)
    heads = np.zeros((rows, n_layers, info.n_heads), np.float32)
    by_position = np.full((rows, n_layers, len(trace.prompt)), np.nan, np.float32)
    with torch.no_grad():
        for site, gradient in zip(sites, gradients, strict=True):
            product = -(activations[site].detach() * gradient).float()[:, first:]
            if site.name == "mlp_post":
                neurons[:, site.layer] = product.sum(1).cpu().numpy()
            elif site.name == "z":
                by_head = product.reshape(rows, product.shape[1], info.n_heads, -1)
                heads[:, site.layer] = by_head.sum((1, 3)).cpu().numpy()
            elif site.name == "resid_pre":
                by_position[:, site.layer, first:] = product.sum(-1).cpu().numpy()
        features: np.ndarray | None = None
        if sae is not None:
            gradient = gradients[sites.index(sae.site_out)]
            features = _of_features(sae, activations[sae.site].detach(), gradient, first)
    if not (np.isfinite(neurons).all() and np.isfinite(heads).all()):
        raise UserError(f"the gradients are NaN or infinite in {info.dtype}, though the logits are not: {OTHER_DTYPE}")
    return Attribution(neurons, heads, by_position, features)


def _of_features(sae: PlacedSae, encoded: torch.Tensor, gradient: torch.Tensor, first: int) -> np.ndarray:
    """−Σ f · ∂metric/∂f, float32 [row, 1, feature]; `encoded` and `gradient` [row, position, …]."""
    rows = []
    for x, toward in zip(encoded[:, first:], gradient[:, first:].flatten(2), strict=True):
        slope = toward.float() @ sae.sae.W_dec.T * sae.sae.output_scale(x)
        rows.append(-(sae.sae.encode(x) * slope).sum(0).cpu().numpy())
    return np.stack(rows)[:, None]


def _watch(model: Model, activations: dict[Site, torch.Tensor], sae: PlacedSae | None) -> dict[Site, Hook]:
    """Hooks that keep the tensors themselves (no copies) at the sites that are attributed: gradients reach them."""

    def keep_hook(site: Site) -> Hook:
        def hook(activation: torch.Tensor, hook: object = None) -> torch.Tensor:
            activations[site] = activation
            return activation  # what the model goes on with: it may have been reshaped for the hook

        return hook

    sites = [Site(layer, name) for layer in range(model.info.n_layers) for name in ("resid_pre", "mlp_post", "z")]
    sites += [site for site in dict.fromkeys([sae.site, sae.site_out]) if site not in sites] if sae else []
    return {site: keep_hook(site) for site in sites}
