"""A block's rows into all of a layer's top lists at once, in operations whose shapes are known: for a GPU.

What `TopLists.offer` does candidate by candidate, for the few that are high enough, is done here for all of them. The
lists hold the same scores of the same documents, in other slots.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from workbench.lab.sending import sent

ROWS = 64
"""rows that are offered together"""


class RowGroup(NamedTuple):
    """Some rows of a block, by document."""

    documents: torch.Tensor
    """int32 [document], in the order of their first rows"""
    ascending: torch.Tensor
    """int32 [document]: the same in order"""
    order: torch.Tensor
    """int64 [document]: where each of `ascending` is in `documents`"""
    rows: torch.Tensor
    """int64 [document, window]: the rows of each; one with fewer windows than another repeats its first"""


def row_groups(documents: np.ndarray, device: torch.device) -> list[RowGroup]:
    """A block's rows in groups of ROWS; `documents` [row]."""
    return [_group(documents, first, device) for first in range(0, len(documents), ROWS)]


def _group(documents: np.ndarray, first: int, device: torch.device) -> RowGroup:
    part = documents[first : first + ROWS]
    names = list(dict.fromkeys(part.tolist()))
    rows_of = [first + np.flatnonzero(part == name) for name in names]
    rows = np.empty((len(names), max(map(len, rows_of))), dtype=np.int64)
    for document, own in zip(rows, rows_of, strict=True):
        document[:] = own[0]
        document[: len(own)] = own
    order = np.argsort(names)
    numbers = np.array(names, dtype=np.int32)
    return RowGroup(*(sent(torch.from_numpy(array), device) for array in (numbers, numbers[order], order, rows)))


def merge(
    lists: torch.Tensor, owners: torch.Tensor, came_from: torch.Tensor, scores: torch.Tensor, group: RowGroup
) -> None:
    """Offer a group's rows; in place `lists` float32, `owners` int32 and `came_from` int64, all [list, slot].

    `scores` float32 [row, list] of the whole block. `came_from` becomes the row of what enters a slot.
    """
    n_lists, k = lists.shape
    n_documents = len(group.documents)
    best, window = scores[group.rows].max(dim=1)
    best, row = best.T.contiguous(), group.rows.gather(1, window).T.contiguous()  # [list, document]

    # A document that a list has grows in its place.
    place = group.order[torch.searchsorted(group.ascending, owners).clamp_(max=n_documents - 1)]
    known = group.documents[place] == owners
    offered = best.gather(1, place)
    grows = known & (offered > lists)
    lists.copy_(torch.where(grows, offered, lists))
    came_from.copy_(torch.where(grows, row.gather(1, place), came_from))

    # The others compete with all that the list has. Of equal scores what is there stays, and its first slots go first.
    no_document = torch.full_like(place, n_documents)
    is_known = torch.zeros(n_lists, n_documents + 1, dtype=torch.bool, device=lists.device)
    is_known.scatter_(1, torch.where(known, place, no_document), True)
    competing = torch.cat([lists.flip(1), best.masked_fill(is_known[:, :-1], -torch.inf)], dim=1)
    winners = torch.sort(competing, dim=1, descending=True, stable=True).indices[:, :k]
    is_new = winners >= k
    stays = torch.zeros(n_lists, k + 1, dtype=torch.bool, device=lists.device)
    stays.scatter_(1, torch.where(is_new, torch.full_like(winners, k), k - 1 - winners), True)

    # The j-th of the new, best first, gets the j-th slot that falls free.
    slot = stays[:, :-1].byte().argsort(dim=1, stable=True)
    candidate = (winners.gather(1, (~is_new).byte().argsort(dim=1, stable=True)) - k).clamp_(min=0)
    enters = torch.arange(k, device=lists.device) < is_new.sum(dim=1, keepdim=True)
    for held, new in (
        (lists, best.gather(1, candidate)),
        (owners, group.documents[candidate]),
        (came_from, row.gather(1, candidate)),
    ):
        held.scatter_(1, slot, torch.where(enters, new, held.gather(1, slot)))
