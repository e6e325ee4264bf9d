"""What a block adds to the index: sums, extremes, counts and top lists of every neuron, layer by layer.

The activations of a layer are looked at once: on a CPU row by row, on a GPU a whole block's together, waiting for the
device twice a layer. Sums of a row in float32, everything across rows and blocks in float64. Position 0 and padding are
in nothing. Gate and linear part, histogram and sign cases come from the sample only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from workbench.index import bins
from workbench.index.format import BINS, SIGN_TOP, IndexSettings, Units
from workbench.index.memory import PEAKS
from workbench.lab.indexing.blocks import Block
from workbench.lab.indexing.merging import RowGroup, row_groups
from workbench.lab.indexing.moments import RowByRow, Slab, moments_together, slabs
from workbench.lab.indexing.toplists import NewEntries, TopLists
from workbench.lab.indexing.windows import WaitingWindows, WindowLog, around, at_peaks
from workbench.lab.metrics import beside, float64_device, sum_float64
from workbench.lab.sending import sent


def looks_at_rows_together(device: torch.device) -> bool:
    """Whether a block's rows are looked at together; a CPU takes one at a time, and only what is high enough."""
    return bool(device.type != "cpu")


@dataclass
class BlockTensors:
    """A block's bookkeeping as tensors."""

    block: Block
    counted: torch.Tensor
    """bool [row, position]"""
    sampled: torch.Tensor
    """bool [row, position]"""
    sample: torch.Tensor
    """int64 [sampled token]: index into [row · position]"""
    row_ends: list[int]
    """[row + 1]: where each row's tokens begin in `sample`"""
    per_row: torch.Tensor
    """int64 [row]: tokens of each row in `sample`"""
    documents: torch.Tensor
    """int32 [row]"""
    starts: torch.Tensor
    """int64 [row]: place in its document of the row's position 0"""
    slabs: list[Slab]
    """the rows, where they are looked at together"""
    groups: list[RowGroup]
    """the same, as they are offered to the lists"""
    features: list[torch.Tensor]
    """by half: float32 [feature, token of that half's rows], zero where not counted; empty without `explain`"""


class Accumulators:
    """Everything that a data index accumulates. Feed each layer of a block once, then `end_block`."""

    def __init__(self, units: Units, settings: IndexSettings, n_features: int, device: torch.device) -> None:
        self.units, self.settings, self.device = units, settings, device
        L, m = units.layers, units.width

        self._wide = float64_device(device)

        def zeros(*shape: int) -> torch.Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=self._wide)

        self.sums = zeros(2, 4, L, m)
        self.positive_counts = zeros(L, m)
        self.positive_squares = zeros(L, m)
        self.minimum = torch.full((L, m), torch.inf, device=device)
        self.maximum = torch.full((L, m), -torch.inf, device=device)
        self.histogram = torch.zeros(L, m * BINS, dtype=torch.int32, device=device)
        self.features = zeros(L, 2, n_features, m)
        # Of what is never negative only the highest count, and zeros are no examples.
        signs, floor = ((1, -1), -torch.inf) if units.tails == 2 else ((1,), 0.0)
        self.top = TopLists(L, m, settings.top, signs, floor, device)
        if units.gated:
            self.sign_counts = zeros(L, 4, m)
            self.sign_sums = zeros(L, 4, 2, m)
            self.part_sums = zeros(L, 2, 2, m)
            self.part_low = torch.full((L, 2, m), torch.inf, device=device)
            self.part_high = torch.full((L, 2, m), -torch.inf, device=device)
            self.sign_top = TopLists(L, m, SIGN_TOP, (1, -1, -1, 1), 0.0, device)
        self._table = torch.from_numpy(bins.table()).int().to(device)
        self._neuron_bins = (torch.arange(m, device=device, dtype=torch.int32) * BINS)[None, :]
        self._parts: dict[str, torch.Tensor] = {}
        self._together = looks_at_rows_together(device)
        self._row_by_row = RowByRow()
        self._waiting = WaitingWindows(device)
        self.row_sums = torch.empty(0)
        """float32 [row, layer, neuron] of the block that was fed"""

    def begin_block(self, block: Block, features: list[np.ndarray]) -> BlockTensors:
        """Bookkeeping for a block; `features` by half as in BlockTensors."""
        sampled = block.sampled(self.settings.sample)
        per_row = sampled.sum(axis=1)
        self.row_sums = torch.empty(len(block.lengths), self.units.layers, self.units.width, device=self.device)

        def put(array: np.ndarray) -> torch.Tensor:
            return sent(torch.from_numpy(array), self.device)

        return BlockTensors(
            block=block,
            counted=put(block.counted),
            sampled=put(sampled),
            sample=put(np.flatnonzero(sampled)),
            row_ends=[0, *np.cumsum(per_row).tolist()],
            per_row=put(per_row),
            documents=put(block.documents.astype(np.int32)),
            starts=put(block.starts),
            slabs=slabs(block, self.units.width, self.device) if self._together else [],
            groups=row_groups(block.documents, self.device) if self._together else [],
            features=[put(array) for array in features],
        )

    # --- one layer ------------------------------------------------------------------------------------

    def keep_part(self, part: str, activation: torch.Tensor, tensors: BlockTensors) -> None:
        """The gate's or the linear part's sample, until the product comes. `activation` [row, position, neuron]."""
        self._parts[part] = activation.flatten(0, 1).index_select(0, tensors.sample).float()

    def layer(self, layer: int, activation: torch.Tensor, tensors: BlockTensors, log: WindowLog) -> None:
        """Add a layer's activations [row, position, neuron]."""
        activation = activation.detach()
        highs, lows = self._sum_rows(layer, activation, tensors)
        entries = self._offer(layer, self.top, torch.stack([highs, -lows][: self.units.tails], dim=1), tensors)
        self._place(layer, self.top, entries, activation, tensors, log, "windows")
        if tensors.features:
            half = tensors.block.first_half
            for half_index, rows in enumerate((activation[:half], activation[half:])):
                if len(rows):
                    by_feature = tensors.features[half_index] @ rows.flatten(0, 1).float()
                    self.features[layer, half_index] += beside(by_feature, self._wide)
        self._sample(layer, activation, tensors, log)

    def _sum_rows(
        self, layer: int, activation: torch.Tensor, tensors: BlockTensors
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Moments, counts and extremes; returns each row's highest and lowest activation, float32 [row, neuron]."""
        if self._together:
            sums, highs, lows = moments_together(activation, tensors.slabs)
        else:
            sums, highs, lows = self._row_by_row.moments(activation, tensors.block.lengths)
        half = tensors.block.first_half
        for half_index, rows in enumerate((slice(0, half), slice(half, None))):
            self.sums[half_index, :, layer] += sum_float64(sums[:4, rows], 1)
        self.positive_counts[layer] += sum_float64(sums[4], 0)
        self.positive_squares[layer] += sum_float64(sums[5], 0)
        self.row_sums[:, layer] = sums[0]
        torch.minimum(self.minimum[layer], lows.amin(dim=0), out=self.minimum[layer])
        torch.maximum(self.maximum[layer], highs.amax(dim=0), out=self.maximum[layer])
        return highs, lows

    def _offer(self, layer: int, lists: TopLists, scores: torch.Tensor, tensors: BlockTensors) -> NewEntries:
        """Each row's best, float32 [row, series, neuron], to a layer's lists."""
        if self._together:
            return lists.offer_together(layer, scores, tensors.groups)
        return lists.offer(layer, scores, tensors.documents)

    def _sample(self, layer: int, activation: torch.Tensor, tensors: BlockTensors, log: WindowLog) -> None:
        """Histogram, and for gated MLPs parts and sign cases, over the sampled tokens."""
        if not len(tensors.sample):
            self._parts.clear()
            return
        a = activation.flatten(0, 1).index_select(0, tensors.sample).float()
        binned = self._table.index_select(0, ((a.view(torch.int32) >> 15) & 0x1FFFF).view(-1)).view(a.shape)
        places = (binned + self._neuron_bins).view(-1).long()
        self.histogram[layer].scatter_add_(0, places, torch.ones_like(places, dtype=torch.int32))
        if not self.units.gated:
            return
        gate, linear = self._parts.pop("gate"), self._parts.pop("linear")
        for part_index, part in enumerate((gate, linear)):
            self.part_sums[layer, part_index, 0] += beside(part.sum(dim=0), self._wide)
            self.part_sums[layer, part_index, 1] += beside(part.square().sum(dim=0), self._wide)
            torch.minimum(self.part_low[layer, part_index], part.amin(dim=0), out=self.part_low[layer, part_index])
            torch.maximum(self.part_high[layer, part_index], part.amax(dim=0), out=self.part_high[layer, part_index])
        size, flipped = a.abs(), self.sign_top.sign_of_series
        scores = a.new_zeros(len(tensors.row_ends) - 1, 4, a.shape[1])
        gate_on, linear_on = gate > 0, linear > 0
        for case, inside in enumerate(
            (gate_on & linear_on, gate_on & ~linear_on, ~gate_on & linear_on, ~(gate_on | linear_on))
        ):
            mask = inside.float()
            self.sign_counts[layer, case] += beside(mask.sum(dim=0), self._wide)
            masked = size * mask
            self.sign_sums[layer, case, 0] += beside(masked.sum(dim=0) * flipped[case], self._wide)
            self.sign_sums[layer, case, 1] += beside(masked.square().sum(dim=0), self._wide)
            if self._together:
                scores[:, case] = torch.segment_reduce(masked, "max", lengths=tensors.per_row, unsafe=True, initial=0)
            else:
                for row, (first, end) in enumerate(pairwise(tensors.row_ends)):
                    if end > first:
                        torch.amax(masked[first:end], 0, out=scores[row, case])
        entries = self._offer(layer, self.sign_top, scores, tensors)
        self._place(layer, self.sign_top, entries, activation, tensors, log, "sign_windows")

    # --- positions and windows of what entered a list -----------------------------------------------------

    def _place(
        self,
        layer: int,
        lists: TopLists,
        entries: NewEntries,
        activation: torch.Tensor,
        tensors: BlockTensors,
        log: WindowLog,
        name: str,
    ) -> None:
        """Find the peaks of new entries, write their positions and keep their windows for the log."""
        m, k = lists.scores.shape[2:]
        allowed = tensors.counted if lists is self.top else tensors.sampled
        by_neuron = activation.transpose(1, 2)  # as a view: a copy costs more than reading the few columns needed
        at_once = PEAKS["cpu" if self.device.type == "cpu" else "other"]
        for start in range(0, len(entries.row), at_once):
            series, neuron, slot, row, score = (part[start : start + at_once] for part in entries)
            values = by_neuron[row, neuron].float()
            peak = at_peaks(values, score * lists.sign_of_series[series], allowed[row])
            lists.positions[layer, series, neuron, slot] = (tensors.starts[row] + peak).int()
            slots = ((series * self.units.layers + layer) * m + neuron) * k + slot
            self._waiting.add(name, slots, around(values, peak, tensors.counted[row]), log)

    def end_block(self, log: WindowLog) -> None:
        """After a block's last layer: what waits for the log goes there."""
        self._waiting.take(log)

    # --- to and from arrays ---------------------------------------------------------------------------------

    def arrays(self) -> dict[str, np.ndarray]:
        """The accumulators as named arrays over the model's neurons, as `workbench.index` keeps them."""

        def flat(tensor: torch.Tensor) -> np.ndarray:
            array: np.ndarray = tensor.flatten(-2).cpu().numpy()
            return array

        values, documents, positions = self.top.state()
        arrays = {
            "sums": flat(self.sums),
            "positive_counts": flat(self.positive_counts).astype(np.int64),
            "positive_squares": flat(self.positive_squares),
            "minimum": flat(self.minimum),
            "maximum": flat(self.maximum),
            "histogram": self.histogram.view(-1, BINS).cpu().numpy().astype(np.uint32),
            "example_values": values,
            "example_documents": documents,
            "example_positions": positions,
        }
        if self.features.shape[2]:
            arrays["features"] = flat(self.features.permute(1, 2, 0, 3))
        if self.units.gated:
            values, documents, positions = self.sign_top.state()
            arrays |= {
                "sign_counts": flat(self.sign_counts.transpose(0, 1)).astype(np.int64),
                "sign_sums": flat(self.sign_sums.permute(1, 2, 0, 3)),
                "part_sums": flat(self.part_sums.permute(1, 2, 0, 3)),
                "part_extremes": flat(torch.stack([self.part_low, self.part_high]).permute(2, 0, 1, 3)),
                "sign_values": values,
                "sign_documents": documents,
                "sign_positions": positions,
            }
        return arrays

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from what `arrays` gave."""
        L, m = self.units.layers, self.units.width

        def shaped(name: str) -> torch.Tensor:
            array = np.array(arrays[name])
            return torch.from_numpy(array).view(*array.shape[:-1], L, m)

        for tensor, name in (
            (self.sums, "sums"),
            (self.positive_counts, "positive_counts"),
            (self.positive_squares, "positive_squares"),
            (self.minimum, "minimum"),
            (self.maximum, "maximum"),
        ):
            tensor.copy_(shaped(name))
        self.histogram.copy_(torch.from_numpy(arrays["histogram"].astype(np.int32)).view(L, -1))
        self.top.restore(*(arrays[f"example_{kind}"] for kind in ("values", "documents", "positions")))
        if self.features.shape[2]:
            self.features.copy_(shaped("features").permute(2, 0, 1, 3))
        if self.units.gated:
            self.sign_counts.copy_(shaped("sign_counts").transpose(0, 1))
            self.sign_sums.copy_(shaped("sign_sums").permute(2, 0, 1, 3))
            self.part_sums.copy_(shaped("part_sums").permute(2, 0, 1, 3))
            extremes = shaped("part_extremes")  # [part, end, layer, neuron]
            self.part_low.copy_(extremes[:, 0].transpose(0, 1))
            self.part_high.copy_(extremes[:, 1].transpose(0, 1))
            self.sign_top.restore(*(arrays[f"sign_{kind}"] for kind in ("values", "documents", "positions")))
