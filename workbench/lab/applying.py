"""Plans carried out: hooks that change activations.

Each site's activation is copied once and the changes act on the copy, never on what other modules share. Positions are
counted from each row's own first token, whatever stands in front of it: padding on the left, or a cached prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, cast

import torch

from workbench.lab.changes import Change, Fill, Rows, Stretch, alike
from workbench.lab.editing import Plan
from workbench.lab.parts import Entries
from workbench.units import Site

Hook = Callable[[torch.Tensor, Any], torch.Tensor | None]


@dataclass(frozen=True)
class Pass:
    """What hooks have to know of the pass they act in."""

    lengths: tuple[int, ...]
    """tokens of each row's prompt"""
    n_heads: int
    start: int = 0
    """column of the pass's first one, counted with padding; above 0 when a cached prefix is continued"""
    padding: tuple[int, ...] = ()
    """columns of padding on the left of each row; empty where there is none"""


def edit_hooks(plans: Sequence[Plan], run: Pass) -> dict[Site, Hook]:
    """Hooks by site. One plan is for every row of the batch; several are one for each row."""
    # resid_mid comes last: it is built from what edits of resid_pre and attn_out left.
    sites = sorted({site for plan in plans for site in plan.changes}, key=lambda site: site.name == "resid_mid")
    hooks: dict[Site, Hook] = {}
    for site in sites:
        if site.name == "resid_mid":
            pre, added = Site(site.layer, "resid_pre"), Site(site.layer, "attn_out")
            keep = _Kept()
            hooks[pre] = _then(hooks.get(pre), keep.hook)
            hooks[added] = _then(hooks.get(added), _mid_hook(site, plans, keep, run))
        else:
            hooks[site] = _site_hook(site, plans, run)
    return hooks


def _site_hook(site: Site, plans: Sequence[Plan], run: Pass) -> Hook:
    def hook(activation: torch.Tensor, hook: Any = None) -> torch.Tensor:
        return _apply(activation, site, plans, run)

    return hook


def _apply(activation: torch.Tensor, site: Site, plans: Sequence[Plan], run: Pass) -> torch.Tensor:
    """The plans' changes on a copy of `activation`."""
    edited = activation.clone(memory_format=torch.contiguous_format)
    if len(plans) > 1 and _set_at_once(edited, site, plans, run):
        return edited
    for plan, rows in _rows_by_plan(plans):
        for change in plan.changes.get(site, ()):
            _apply_change(edited[rows], change, plan.skip_first, _first_columns(run, rows), run)
    return edited


def _rows_by_plan(plans: Sequence[Plan]) -> Iterator[tuple[Plan, slice]]:
    """Each plan with its rows; neighbours of one plan together. A single plan is every row's."""
    if len(plans) == 1:
        yield plans[0], slice(None)
        return
    first = 0
    for _, same in groupby(plans, id):
        end = first + len(list(same))
        yield plans[first], slice(first, end)
        first = end


def _set_at_once(edited: torch.Tensor, site: Site, plans: Sequence[Plan], run: Pass) -> bool:
    """Writes rows that differ only in which units they set, in one operation; False where they differ in more."""
    changes = [(row, change) for row, plan in enumerate(plans) for change in plan.changes.get(site, ())]
    if len(set(run.lengths)) > 1 or run.padding or any(plan.skip_first for plan in plans):
        return False
    first = changes[0][1]
    part = first.part
    if not isinstance(first, Fill) or not isinstance(part, Entries) or not alike([change for _, change in changes]):
        return False
    pairs = [(row, index) for row, change in changes for index in cast(Entries, change.part).indices]
    rows, indices = torch.tensor(pairs, device=edited.device).T
    column, n, _ = _span(first, run.lengths[0], -run.start, False, edited.shape[1])
    part.view(edited, run.n_heads).narrow(1, column, n)[rows, :, indices] = first.value
    return True


def _first_columns(run: Pass, rows: slice) -> list[tuple[int, int]]:
    """For each row: its prompt's length, and the column of its position 0 (negative behind a cached prefix)."""
    padding = run.padding or (0,) * len(run.lengths)
    return [(length, pad - run.start) for length, pad in zip(run.lengths[rows], padding[rows], strict=True)]


def _apply_change(
    rows: torch.Tensor, change: Change, skip_first: bool, where: Sequence[tuple[int, int]], run: Pass
) -> None:
    """Changes `rows`, a part of our own copy, in place at the positions that the edit names."""
    axis = change.part.position_axis
    first_columns = tuple(zero for _, zero in where)
    bound = change.bound(rows, Rows(first_columns, run.start, bool(run.padding)), run.n_heads)
    spans = [_span(change, length, zero, skip_first, rows.shape[axis]) for length, zero in where]
    # Rows that are changed alike at the same columns are changed at once.
    groups = [(slice(None), spans[0])] if len(set(spans)) == 1 else [(slice(n, n + 1), s) for n, s in enumerate(spans)]
    for chosen, (column, n, position) in groups:
        if n > 0:
            write = partial(bound.write, stretch=Stretch(chosen, column, n, position))
            change.part.change(rows[chosen].narrow(axis, column, n), write, run.n_heads)


def _span(change: Change, length: int, zero: int, skip_first: bool, columns: int) -> tuple[int, int, int]:
    """First column, how many, and the first column's position; `zero` is the column of position 0."""
    first, end = change.span(length)
    first = max(first, 1 if skip_first else 0, -zero)
    low = min(first + zero, columns)
    high = columns if end is None else min(max(end + zero, low), columns)
    return low, high - low, low - zero


class _Kept:
    """The stream at a block's input, kept until attention's output comes."""

    def __init__(self) -> None:
        self.value: torch.Tensor | None = None

    def hook(self, activation: torch.Tensor, hook: Any = None) -> None:
        self.value = activation


def _mid_hook(site: Site, plans: Sequence[Plan], keep: _Kept, run: Pass) -> Hook:
    """An edit of resid_mid as a change of what attention adds (METHODS 0)."""

    def hook(attn_out: torch.Tensor, hook: Any = None) -> torch.Tensor:
        assert keep.value is not None
        middle = keep.value + attn_out
        edited = _apply(middle, site, plans, run)
        keep.value = None
        return attn_out + (edited - middle)

    return hook


def _then(first: Hook | None, second: Hook) -> Hook:
    if first is None:
        return second

    def hook(activation: torch.Tensor, hook: Any = None) -> torch.Tensor | None:
        changed = first(activation, hook)
        again = second(activation if changed is None else changed, hook)
        return changed if again is None else again

    return hook
