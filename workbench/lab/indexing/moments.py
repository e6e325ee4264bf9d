"""Sums, counts and extremes of each row of a layer's activations, in float32.

A CPU looks at one row at a time, which its cache holds for all that is computed of it. A GPU looks at many rows
together, whatever their lengths, in few operations: it would wait for each row's to be sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from workbench.index.memory import SLAB
from workbench.lab.indexing.blocks import Block
from workbench.lab.sending import sent


class RowMoments(NamedTuple):
    """Of every row's counted positions."""

    sums: torch.Tensor
    """float32 [6, row, neuron]: of a, a², a³ and a⁴, how many are positive, of the positive ones' squares"""
    highs: torch.Tensor
    """float32 [row, neuron]"""
    lows: torch.Tensor
    """float32 [row, neuron]"""


class Slab(NamedTuple):
    """Neighbouring rows that a GPU looks at together."""

    first: int
    end: int
    left_out: torch.Tensor
    """int64 [place]: what is not counted, position 0 and padding, as indices into the slab's [row · position]"""


def slabs(block: Block, d_mlp: int, device: torch.device) -> list[Slab]:
    """A block's rows in slabs of up to SLAB activations."""
    n_rows, width = block.ids.shape
    together = max(1, SLAB // (width * d_mlp))
    left_out = ~block.counted
    parts = [(first, min(first + together, n_rows)) for first in range(0, n_rows, together)]
    return [
        Slab(first, end, sent(torch.from_numpy(np.flatnonzero(left_out[first:end])), device)) for first, end in parts
    ]


def moments_together(activation: torch.Tensor, parts: Sequence[Slab]) -> RowMoments:
    """Of activations [row, position, neuron] whose rows are in `parts`; nothing in it waits for the device."""
    moments = _empty(activation)
    for first, end, left_out in parts:
        sums = moments.sums[:, first:end]
        x = activation[first:end].clone(memory_format=torch.contiguous_format)
        places = x.view(-1, x.shape[-1])  # [row · position, neuron]
        moments.highs[first:end] = places.index_fill_(0, left_out, -torch.inf).view_as(x).amax(1)
        moments.lows[first:end] = places.index_fill_(0, left_out, torch.inf).view_as(x).amin(1)
        places.index_fill_(0, left_out, 0)  # adds nothing to any sum
        torch.sum(x, 1, dtype=torch.float32, out=sums[0])
        power = x.to(torch.float32, copy=True)
        square = power * power
        torch.sum(square, 1, out=sums[1])
        torch.sum(power.mul_(square), 1, out=sums[2])
        torch.sum(square.mul_(square), 1, out=sums[3])
        del power, square
        x.clamp_(min=0)
        # As norms: read once and summed in float32, where products would be written and read again.
        sums[4] = torch.linalg.vector_norm(x, 0, dim=1, dtype=torch.float32)
        sums[5] = torch.linalg.vector_norm(x, 2, dim=1, dtype=torch.float32).square_()
    return moments


class RowByRow:
    """One row at a time, in buffers that are kept."""

    def __init__(self) -> None:
        self._scratch = torch.empty(2, 0)

    def moments(self, activation: torch.Tensor, lengths: np.ndarray) -> RowMoments:
        """Of activations [row, position, neuron]; `lengths` [row]."""
        moments = _empty(activation)
        for row, length in enumerate(lengths.tolist()):
            sums = moments.sums[:, row]
            x = activation[row, 1:length].float()
            scratch, scratch2 = self._buffers(x)
            torch.sum(x, 0, out=sums[0])
            torch.mul(x, x, out=scratch)
            torch.sum(scratch, 0, out=sums[1])
            torch.mul(x, scratch, out=scratch2)
            torch.sum(scratch2, 0, out=sums[2])
            scratch.mul_(scratch)
            torch.sum(scratch, 0, out=sums[3])
            torch.clamp(x, min=0, out=scratch)
            torch.sign(scratch, out=scratch2)
            torch.sum(scratch2, 0, out=sums[4])
            scratch.mul_(scratch)
            torch.sum(scratch, 0, out=sums[5])
            torch.amax(x, 0, out=moments.highs[row])
            torch.amin(x, 0, out=moments.lows[row])
        return moments

    def _buffers(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        size = x.numel()
        if self._scratch.shape[1] < size:
            self._scratch = torch.empty(2, size, device=x.device)
        return self._scratch[0, :size].view(x.shape), self._scratch[1, :size].view(x.shape)


def _empty(activation: torch.Tensor) -> RowMoments:
    n_rows, _, m = activation.shape
    highs, lows = (activation.new_empty((n_rows, m), dtype=torch.float32) for _ in range(2))
    return RowMoments(activation.new_empty((6, n_rows, m), dtype=torch.float32), highs, lows)
