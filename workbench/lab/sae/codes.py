"""The few features that fire on each token of a batch, as training needs them: chosen, decoded, and back.

Of width features a token has k, so that nothing but the choice itself is as wide as the SAE: decoding and the weights'
gradients gather k rows a token (`embedding_bag`), in place of products with a matrix that is mostly zeros.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import embedding_bag


@dataclass(frozen=True)
class Codes:
    """Entries in the order of their tokens."""

    features: torch.Tensor
    """int64 [entry]"""
    values: torch.Tensor
    """activations, not negative, [entry]"""
    starts: torch.Tensor
    """int64 [token], where each token's entries begin"""
    width: int
    """features that there are"""

    def decode(self, rows: torch.Tensor) -> torch.Tensor:
        """Σ value · row of its feature: [token, d] of rows [feature, d]."""
        return embedding_bag(self.features, rows, self.starts, mode="sum", per_sample_weights=self.values)

    def dots(self, rows: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """What `gradient` [token, d] of decoding says of the values: its product with each entry's row, [entry]."""
        with torch.enable_grad():
            values = self.values.detach().requires_grad_()
            decoded = embedding_bag(self.features, rows, self.starts, mode="sum", per_sample_weights=values)
            (found,) = torch.autograd.grad(decoded, values, gradient)
        return found

    def by_feature(self) -> ByFeature:
        return ByFeature.of(self)


@dataclass(frozen=True)
class ByFeature:
    """The same entries in the order of their features: sums over tokens."""

    order: torch.Tensor
    """int64 [entry], among those of the codes"""
    tokens: torch.Tensor
    """int64 [entry]"""
    starts: torch.Tensor
    """int64 [feature], where each feature's entries begin"""
    fired: torch.Tensor
    """int64 [feature], entries of each"""

    @classmethod
    def of(cls, codes: Codes) -> ByFeature:
        order = torch.argsort(codes.features, stable=True)
        counts = torch.bincount(codes.features, minlength=codes.width)
        positions = torch.arange(len(order), device=order.device)
        tokens = torch.searchsorted(codes.starts, positions, right=True) - 1
        return cls(order, tokens[order], counts.cumsum(0) - counts, counts)

    def sums(self, weights: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """Σ weight · vector of its token, [feature, d]: weights [entry] as the codes have them, vectors [token, d]."""
        return embedding_bag(
            self.tokens, vectors, self.starts, mode="sum", per_sample_weights=weights[self.order].contiguous()
        )


def top_k(before: torch.Tensor, k: int) -> Codes:
    """The k largest of each token, where they are positive (Gao et al. 2024). `before` [token, feature]."""
    values, features = before.topk(k, dim=-1, sorted=False)
    starts = torch.arange(0, before.shape[0] * k, k, device=before.device)
    return Codes(features.flatten(), values.flatten().relu_(), starts, before.shape[1])


def batch_top_k(before: torch.Tensor, k: int, likely: float = 0.0) -> Codes:
    """The k · tokens largest of a batch together, where they are positive (Bussmann et al. 2024).

    Where enough of them are above `likely`, only these are sorted: it changes how long this takes, not what is chosen.
    """
    tokens, width = before.shape
    flat, n = before.flatten(), k * tokens
    candidates = (flat > likely).nonzero()[:, 0]
    if len(candidates) >= n:
        values, among = flat[candidates].topk(n, sorted=False)
        places = candidates[among]
    else:
        values, places = flat.topk(n, sorted=False)
    places, order = places.sort()  # by token
    of_token = places // width
    counts = torch.bincount(of_token, minlength=tokens)
    return Codes(places % width, values[order].relu_(), counts.cumsum(0) - counts, width)
