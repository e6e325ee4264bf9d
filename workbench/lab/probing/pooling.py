"""What a labelled set reads of a site in one pass: the positions of its examples, and no others.

An example reads positions first…last of a row. They become one number a unit: that of the one token, the mean, the
largest, or the *signed extreme*, the value of largest size, since a gated neuron can say what it says with its sign
(METHODS, "Sparse probes"; Gurnee et al. 2023 take mean and max). An SAE's features are encoded token by token, and then
pooled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from workbench.datasets.labelled.examples import Pooling
from workbench.lab.metrics import as_float64
from workbench.lab.sae.sae import SAE

TOGETHER = 4096
"""positions that are read at once"""
ENCODED = 1 << 24
"""features, of all positions together, that are encoded at once"""


@dataclass(frozen=True)
class Reads:
    """Where the examples of a pass read; tensors on the model's device."""

    rows: torch.Tensor
    """int64 [example]"""
    first: torch.Tensor
    """int64 [example]"""
    last: torch.Tensor
    """int64 [example], read too"""
    pooling: Pooling
    longest: int
    """positions of the example that reads most"""

    @classmethod
    def of(cls, rows: np.ndarray, first: np.ndarray, last: np.ndarray, pooling: Pooling, device: torch.device) -> Reads:
        """From int64 [example] each; at least one example."""
        at, begin, end = (torch.from_numpy(array).to(device) for array in (rows, first, last))
        return cls(at, begin, end, pooling, int((last - first).max()) + 1)

    def take(self, activation: torch.Tensor, sae: SAE | None = None) -> torch.Tensor:
        """Of a site's [row, position, …], or of what an SAE makes of it, one row an example: float32 [example, number].

        Numbers are the site's own, or the SAE's features.
        """
        if self.pooling == "token" and sae is None:
            return activation[self.rows, self.last].flatten(1).float()
        positions = TOGETHER if sae is None else min(TOGETHER, ENCODED // sae.config.d_sae)
        room = max(1, positions // self.longest)
        parts = [self._pool(activation, slice(start, start + room), sae) for start in range(0, len(self.rows), room)]
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def _pool(self, activation: torch.Tensor, some: slice, sae: SAE | None) -> torch.Tensor:
        first, last = self.first[some, None], self.last[some, None]
        positions = first + torch.arange(self.longest, device=first.device)
        inside = (positions <= last)[:, :, None]
        values = activation[self.rows[some, None], positions.minimum(last)].flatten(2)
        if sae is not None:
            values = sae.encode(values)
        if self.pooling == "token":
            return values[:, 0].float()
        if self.pooling == "mean":
            sums = as_float64(values.masked_fill(~inside, 0)).sum(1)
            return (sums / (last - first + 1).to(sums.device)).float()
        largest = values.masked_fill(~inside, -torch.inf).amax(1)
        if self.pooling == "extreme":
            smallest = values.masked_fill(~inside, torch.inf).amin(1)
            largest = torch.where(-smallest > largest, smallest, largest)
        return largest.float()
