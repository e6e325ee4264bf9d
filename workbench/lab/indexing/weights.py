"""The weights part of an index: effective weights and what follows from them alone.

Statistics after Gurnee et al. 2024, in float32 beside the model, which is not touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch

from workbench.lab.effective import Effective, EffectiveWeights
from workbench.lab.loaded import Model
from workbench.lab.metrics import as_float64, beside, float64_device

TOKENS = 10
"""promoted and suppressed tokens kept for each neuron"""
NEIGHBOURS = 5
NULL_DIRECTIONS = 40
"""last singular vectors of the unembedding that ρ is about, at most a quarter of d_model"""
GROUP = 32
"""values whose maximum is looked at first, when the largest of a long row are needed"""
NEURONS, VOCABULARY = 256, 2048
"""a tile of neurons × vocabulary: two megabytes, so that it stays in the cache while it is looked at"""


def null_directions(unembed: torch.Tensor) -> torch.Tensor:
    """Directions that the unembedding [vocabulary, d_model] nearly ignores, float32 [d_model, k]."""
    d = unembed.shape[1]
    gram = torch.zeros(d, d, dtype=torch.float64, device=float64_device(unembed.device))
    for tile in unembed.split(VOCABULARY):
        wide = as_float64(tile)
        gram.addmm_(wide.T, wide)
    _, vectors = torch.linalg.eigh(gram)
    return vectors[:, : min(NULL_DIRECTIONS, max(1, d // 4))].float().to(unembed.device)  # ascending eigenvalues


def null_share(w_out: torch.Tensor, least: torch.Tensor) -> torch.Tensor:
    """ρ of each neuron [neuron]: how much of w_out [neuron, d_model] lies along `least`, the null directions."""
    norm = w_out.norm(dim=1).clamp_min(torch.finfo(torch.float32).tiny)
    return (w_out @ least).norm(dim=1) / norm


def layer_columns(weights: Effective, unembed: torch.Tensor) -> dict[str, torch.Tensor]:
    """Columns of the weights part for one layer, each [d_mlp] or [d_mlp, TOKENS]."""
    w_out = weights.w_out
    columns = {
        "w_in": weights.w_in.norm(dim=1),
        "bias": weights.bias,
        "w_out": w_out.norm(dim=1),
        "cos": torch.cosine_similarity(weights.w_in, w_out, dim=1),
    }
    if weights.w_gate is not None:
        columns["w_gate"] = weights.w_gate.norm(dim=1)
        columns["cos_gate"] = torch.cosine_similarity(weights.w_gate, w_out, dim=1)
    return columns | vocabulary_columns(unembed, w_out)


def vocabulary_columns(unembed: torch.Tensor, w_out: torch.Tensor) -> dict[str, torch.Tensor]:
    """What vectors of the stream `w_out` [neuron, d_model] do to logits: moments [neuron], tokens [neuron, TOKENS]."""
    inverse = 1 / unembed.norm(dim=1).clamp_min(torch.finfo(torch.float32).tiny)
    parts = [_vocabulary(unembed, inverse, w_out[start : start + NEURONS]) for start in range(0, len(w_out), NEURONS)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _vocabulary(unembed: torch.Tensor, inverse: torch.Tensor, w_out: torch.Tensor) -> dict[str, torch.Tensor]:
    """Logit effects of some neurons: the tokens at both ends, and moments over the vocabulary of the cosine."""
    n, V = len(w_out), len(unembed)
    effect = torch.empty(n, V, device=w_out.device)
    # Cosines are small and nearly centred: raw power sums in float64 lose nothing.
    sums = torch.zeros(4, n, dtype=torch.float64, device=float64_device(w_out.device))
    for start in range(0, V, VOCABULARY):
        tile = effect[:, start : start + VOCABULARY]
        torch.mm(w_out, unembed[start : start + VOCABULARY].T, out=tile)
        cosine = tile * inverse[start : start + VOCABULARY]
        square = cosine.square()
        sums[0] += beside(cosine.sum(dim=1), sums.device)
        sums[1] += beside(square.sum(dim=1), sums.device)
        sums[2] += beside(cosine.mul_(square).sum(dim=1), sums.device)
        sums[3] += beside(square.square_().sum(dim=1), sums.device)
    norm = as_float64(w_out.norm(dim=1).clamp_min(torch.finfo(torch.float32).tiny))
    moment1, moment2, moment3, moment4 = (sums[power - 1] / V / norm**power for power in (1, 2, 3, 4))
    variance = moment2 - moment1**2
    third = moment3 - 3 * moment1 * moment2 + 2 * moment1**3
    fourth = moment4 - 4 * moment1 * moment3 + 6 * moment1**2 * moment2 - 3 * moment1**4
    n_tokens = min(TOKENS, V)
    high, high_ids = largest(effect, n_tokens)
    low, low_ids = largest(effect.neg_(), n_tokens)
    return {
        "vocab_var": variance,
        "vocab_skew": third / variance**1.5,
        "vocab_kurtosis": fourth / variance**2,
        "promoted_tokens": high_ids.int(),
        "promoted_values": high,
        "suppressed_tokens": low_ids.int(),
        "suppressed_values": -low,
    }


def largest(values: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The k largest of each row, descending, and their places: as `topk`, in one pass over long rows.

    The k largest lie in the k groups with the largest maxima, so that only these have to be sorted.
    """
    rows, width = values.shape
    groups = width // GROUP
    if groups <= 2 * k:
        plain = values.topk(k, dim=1)
        return plain.values, plain.indices
    body = values[:, : groups * GROUP].view(rows, groups, GROUP)
    best = body.amax(dim=2).topk(k, dim=1).indices
    picked = torch.gather(body, 1, best[:, :, None].expand(-1, -1, GROUP)).flatten(1)
    places = (best[:, :, None] * GROUP + torch.arange(GROUP, device=values.device)).flatten(1)
    rest = torch.arange(groups * GROUP, width, device=values.device).expand(rows, -1)
    candidates = torch.cat([picked, values[:, groups * GROUP :]], dim=1)
    top_values, top = candidates.topk(k, dim=1)
    return top_values, torch.cat([places, rest], dim=1).gather(1, top)


class Neighbours:
    """The nearest of all neurons by cosine, each pair of layers looked at once."""

    def __init__(self, vectors: torch.Tensor) -> None:
        """`vectors` float32 [layer, neuron, d_model] are taken over: divided by their norms in place."""
        for of_layer in vectors:
            of_layer /= of_layer.norm(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
        self._unit = vectors
        n_layers, m, _ = vectors.shape
        self._k = min(NEIGHBOURS, n_layers * m - 1)
        shape = (n_layers, m, self._k)
        self.values = torch.full(shape, -torch.inf, device=vectors.device)
        self.ids = torch.full(shape, -1, dtype=torch.int64, device=vectors.device)

    def add(self, layer: int) -> None:
        """Compare all pairs of neurons within `layer`, and between it and the later ones."""
        for later_layer in range(layer, len(self._unit)):
            cosine = self._unit[layer] @ self._unit[later_layer].T
            if layer == later_layer:
                cosine.fill_diagonal_(-torch.inf)
            self._offer(layer, later_layer, cosine)
            if layer != later_layer:
                self._offer(later_layer, layer, cosine.T)

    def _offer(self, layer: int, other_layer: int, cosine: torch.Tensor) -> None:
        """Cosines [neuron of `layer`, neuron of `other_layer`]; only rows where one is near enough are sorted."""
        m = cosine.shape[1]
        rows = (cosine.amax(dim=1) > self.values[layer, :, -1]).nonzero()[:, 0]
        values, ids = largest(cosine[rows].contiguous(), min(self._k, m))
        values = torch.cat([self.values[layer, rows], values], dim=1)
        ids = torch.cat([self.ids[layer, rows], ids + other_layer * m], dim=1)
        best, top = values.topk(self._k, dim=1)
        self.values[layer, rows] = best
        self.ids[layer, rows] = ids.gather(1, top)


def vocabulary(model: Model) -> list[str]:
    """Every row of the embedding as the tokenizer decodes it; rows without a token are empty."""
    n_tokens = len(model.tokens.tokenizer)
    return [model.tokens.token(token) if token < n_tokens else "" for token in range(model.info.d_vocab)]


def weights_arrays(model: Model) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """The weights part step by step: a name for what was done, and the columns that are whole with it.

    Each step takes about a second or less on the device for a model of this size.
    """
    effective = EffectiveWeights(model)
    unembed = effective.unembedding()
    layers: list[dict[str, torch.Tensor]] = []
    for layer in range(model.info.n_layers):
        layers.append(layer_columns(effective.layer(layer), unembed))
        yield f"layer {layer}", {}
    columns = {
        name: torch.cat([columns_of_layer[name] for columns_of_layer in layers]).cpu().numpy() for name in layers[0]
    }
    least = null_directions(unembed)
    del layers, unembed  # neighbours need the room
    rho = [null_share(effective.writes(layer), least) for layer in range(model.info.n_layers)]
    columns["rho"] = torch.cat(rho).cpu().numpy()
    columns["rho_chance"] = np.array(np.sqrt(least.shape[1] / model.info.d_model))
    yield "vocabulary", {name: _narrow(array) for name, array in columns.items()}
    yield from _neighbours(effective, "out")
    yield from _neighbours(effective, "in")


def _neighbours(effective: EffectiveWeights, side: Literal["in", "out"]) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    neighbours = Neighbours(effective.stacked(side))
    for layer in range(len(neighbours.values)):
        neighbours.add(layer)
        yield f"neighbours by w_{side}", {}
    yield (
        f"neighbours by w_{side}",
        {
            f"near_{side}_ids": neighbours.ids.flatten(0, 1).int().cpu().numpy(),
            f"near_{side}_cos": neighbours.values.flatten(0, 1).cpu().numpy(),
        },
    )


def _narrow(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype == np.float64 and array.ndim else array


def n_steps(model: Model) -> int:
    """How many steps `weights_arrays` takes."""
    n = model.info.n_layers
    return n + 1 + 2 * (n + 1)
