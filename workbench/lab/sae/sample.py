"""The sample behind the mean, the covariance and the pairs of the substitutions: the evaluated tokens themselves.

Mean and covariance are of all of them, streamed in float64. Activations and errors are kept of as many as fit into
`KEPT`, drawn by seed before the first is read, so that memory does not grow with the corpus.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from workbench.errors import UserError
from workbench.lab.metrics import as_float64
from workbench.units import Site

KEPT = 1 << 28
"""bytes of activations and errors of the tokens that pairs are drawn from, for all SAEs together"""
FEWEST = 4
"""tokens, so that every token has two others"""


@dataclass(frozen=True)
class Sample:
    """On the model's device, in float32."""

    mean: torch.Tensor
    """[width]"""
    factor: torch.Tensor
    """Σ = F Fᵀ, the centred covariance, [width, width]"""
    x: torch.Tensor
    """activations of the tokens that are kept, [token, width]"""
    error: torch.Tensor
    """s − x of the same, [token, width]"""
    numbers: torch.Tensor
    """of the same among all tokens, ascending, int64 [token]"""
    tokens: int
    """behind mean and covariance"""

    def places(self, numbers: torch.Tensor) -> torch.Tensor:
        """Where tokens are among those kept, int64 [token]; as many as there are for one that is not."""
        at = torch.searchsorted(self.numbers, numbers)
        there = self.numbers[at.clamp(max=len(self.numbers) - 1)] == numbers
        return torch.where(there, at, len(self.numbers))


class Sampling:
    """Makes a sample, window by window."""

    def __init__(self, site: Site, width: int, numbers: np.ndarray, seed: int, device: torch.device, saes: int) -> None:
        """`numbers` are those of all tokens that will come, ascending; `saes` is how many samples share `KEPT`."""
        most = max(FEWEST, KEPT // (8 * width * saes))
        random = np.random.default_rng([seed, site.layer, *site.name.encode()])
        kept = numbers if len(numbers) <= most else np.sort(random.choice(numbers, most, replace=False))
        self._site = site
        self._numbers = torch.from_numpy(kept).to(device)
        self._x = torch.zeros(len(kept), width, device=device)
        self._error = torch.zeros_like(self._x)
        self._n = 0
        self._near: torch.Tensor | None = None
        """a point near the mean, so that sums of squares lose nothing"""
        self._sum = torch.zeros(width, dtype=torch.float64)
        self._squares = torch.zeros(width, width, dtype=torch.float64)

    def add(self, x: torch.Tensor, s: torch.Tensor, numbers: torch.Tensor) -> None:
        """Some tokens with their numbers, int64 [token]; x and s float32 [token, width]."""
        if self._near is None:
            self._near = x.mean(0)
        shifted = as_float64(x - self._near)
        self._sum = self._sum.to(shifted.device) + shifted.sum(0)
        self._squares = self._squares.to(shifted.device).addmm_(shifted.T, shifted)
        self._n += len(x)
        at = torch.searchsorted(self._numbers, numbers).clamp(max=len(self._numbers) - 1)
        chosen = self._numbers[at] == numbers
        self._x[at[chosen]] = x[chosen]
        self._error[at[chosen]] = (s - x)[chosen]

    def sample(self) -> Sample:
        """Raises UserError where the site does not vary."""
        assert self._near is not None, "no token was added"
        mean = self._sum / self._n
        covariance = (self._squares - self._n * torch.outer(mean, mean)) / max(self._n - 1, 1)
        values, vectors = torch.linalg.eigh(covariance.cpu())
        if not values[-1] > 0:
            raise UserError(f"{self._site} does not vary over the text that is read: there is no covariance")
        # Fewer tokens than dimensions: the smallest are 0 but for rounding.
        factor = (vectors * values.clamp(min=0).sqrt()).float().to(self._x.device)
        centre = (as_float64(self._near) + mean).float().to(self._x.device)
        return Sample(centre, factor, self._x, self._error, self._numbers, self._n)
