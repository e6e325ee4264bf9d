"""Top lists per neuron: the k highest scores, at most one of a document, kept as tensors where the model is.

Ties at a list's end keep what came first. Used for both tails of the activation and for the four sign cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from workbench.lab.indexing.merging import RowGroup, merge


class NewEntries(NamedTuple):
    """Entries that a block put into a layer's lists: where, and from which row."""

    series: torch.Tensor
    """int64 [entry]: which of the lists' series"""
    neuron: torch.Tensor
    """int64 [entry], within the layer"""
    slot: torch.Tensor
    """int64 [entry]"""
    row: torch.Tensor
    """int64 [entry], of the block"""
    score: torch.Tensor
    """float32 [entry]"""


class TopLists:
    """`scores`, `documents`, `positions`: [layer, series, neuron, k]. Empty slots hold `floor` and document −1.

    A score is a value times the sign of its series, so that the best is always the highest.
    """

    def __init__(
        self, n_layers: int, width: int, k: int, signs: Sequence[int], floor: float, device: torch.device
    ) -> None:
        shape = (n_layers, len(signs), width, k)
        self._signs = signs
        self.sign_of_series = torch.tensor(signs, dtype=torch.float32, device=device)
        """float32 [series]: 1 or −1"""
        self.scores = torch.full(shape, floor, dtype=torch.float32, device=device)
        self.documents = torch.full(shape, -1, dtype=torch.int32, device=device)
        self.positions = torch.full(shape, -1, dtype=torch.int32, device=device)
        self._lowest = self.scores.amin(dim=3)
        """what a list's last entry has: nearly every offer is below it"""

    def offer(self, layer: int, scores: torch.Tensor, documents: torch.Tensor) -> NewEntries:
        """Offer each row's best to a layer's lists; `scores` float32 [row, series, neuron], `documents` int32 [row].

        Positions of what entered are still to be written by the caller.
        """
        n_rows, n_series, width = scores.shape
        lists = self.scores[layer].view(n_series * width, -1)
        owners = self.documents[layer].view(n_series * width, -1)
        flat = scores.view(n_rows, -1)
        row, list_index = (flat > self._lowest[layer].view(-1)).nonzero().unbind(1)
        taken = [torch.empty(3, 0, dtype=torch.int64, device=list_index.device)]
        if len(list_index):
            list_index, by_list = torch.sort(list_index, stable=True)
            row = row[by_list]
            # A list takes one entry at a time: the j-th round holds every list's j-th candidate, in the rows' order.
            first = torch.ones_like(list_index, dtype=torch.bool)
            first[1:] = list_index[1:] != list_index[:-1]
            index = torch.arange(len(list_index), device=list_index.device)
            turn = index - torch.cummax(torch.where(first, index, torch.zeros_like(index)), dim=0).values
            order = torch.argsort(turn, stable=True)
            offered = flat[row, list_index]
            for turns in torch.split(order, torch.bincount(turn).tolist()):
                taken.append(self._enter(lists, owners, list_index[turns], row[turns], offered[turns], documents))
            changed = torch.unique_consecutive(list_index)
            self._lowest[layer].view(-1)[changed] = lists[changed].amin(dim=1)
        entries = torch.cat(taken, dim=1)
        if len(taken) > 2:
            entries = entries[:, _last_of_each(entries[0] * lists.shape[1] + entries[1])]
        list_index, slot, row = entries
        return NewEntries(
            series=list_index // width, neuron=list_index % width, slot=slot, row=row, score=lists[list_index, slot]
        )

    @staticmethod
    def _enter(
        lists: torch.Tensor,
        owners: torch.Tensor,
        list_index: torch.Tensor,
        row: torch.Tensor,
        score: torch.Tensor,
        documents: torch.Tensor,
    ) -> torch.Tensor:
        """One candidate for each of these lists: it replaces its document's entry, or the lowest, if it is higher.

        Gives list, slot and row of those that did, int64 [3, entry].
        """
        document = documents[row]
        present = owners[list_index] == document[:, None]
        held_scores = lists[list_index]
        slot = torch.where(present.any(dim=1), present.view(torch.uint8).argmax(dim=1), held_scores.argmin(dim=1))
        accepted = (score > held_scores.gather(1, slot[:, None])[:, 0]).nonzero()[:, 0]
        list_index, slot = list_index[accepted], slot[accepted]
        lists[list_index, slot] = score[accepted]
        owners[list_index, slot] = document[accepted]
        return torch.stack([list_index, slot, row[accepted]])

    def offer_together(self, layer: int, scores: torch.Tensor, groups: Sequence[RowGroup]) -> NewEntries:
        """The same as `offer`, for all lists at once, waiting for the device once; `groups` are the block's rows."""
        n_rows, n_series, width = scores.shape
        lists = self.scores[layer].view(n_series * width, -1)
        owners = self.documents[layer].view(n_series * width, -1)
        came_from = torch.full(lists.shape, -1, dtype=torch.int64, device=lists.device)
        for group in groups:
            merge(lists, owners, came_from, scores.view(n_rows, -1), group)
        torch.amin(lists, dim=1, out=self._lowest[layer].view(-1))
        list_index, slot = (came_from >= 0).nonzero().unbind(1)
        return NewEntries(
            series=list_index // width,
            neuron=list_index % width,
            slot=slot,
            row=came_from[list_index, slot],
            score=lists[list_index, slot],
        )

    def state(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Values float32, documents and positions int32, each [series, neuron of the model, k]."""

        def flat(tensor: torch.Tensor) -> np.ndarray:
            array: np.ndarray = tensor.transpose(0, 1).flatten(1, 2).cpu().numpy()
            return array

        values = flat(self.scores) * np.array(self._signs, dtype=np.float32)[:, None, None]
        return values, flat(self.documents), flat(self.positions)

    def restore(self, values: np.ndarray, documents: np.ndarray, positions: np.ndarray) -> None:
        """Go on from what `state` gave."""
        n_layers, series, width, k = self.scores.shape
        scores = values * np.array(self._signs, dtype=np.float32)[:, None, None]
        for tensor, array in ((self.scores, scores), (self.documents, documents), (self.positions, positions)):
            shaped = torch.from_numpy(np.array(array)).view(series, n_layers, width, k).transpose(0, 1)
            tensor.copy_(shaped)
        self._lowest = self.scores.amin(dim=3)


def _last_of_each(keys: torch.Tensor) -> torch.Tensor:
    """Where each key occurs last, int64."""
    order = torch.argsort(keys, stable=True)
    ordered = keys[order]
    last = torch.ones_like(ordered, dtype=torch.bool)
    last[:-1] = ordered[1:] != ordered[:-1]
    return order[last]
