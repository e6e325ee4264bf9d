"""Plans carried out: hooks that change activations.

Each site's activation is copied once and the changes act on the copy, never on what other modules share. Positions are
counted from each row's own first token, whatever stands in front of it: padding on the left, or a cached prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Any, cast

import torch

from workbench.lab.changes import Change, Fill, Rows, Stretch, same_fill
from workbench.lab.editing import Plan
from workbench.lab.parts import Entries
from workbench.lab.sae.part import Features
from workbench.lab.sending import sent
from workbench.units import Site

Hook = Callable[[torch.Tensor, Any], torch.Tensor | None]
Inputs = dict[Site, torch.Tensor | None]
"""what a pass has had at the sites that transcoders read"""


@dataclass(frozen=True)
class PassLayout:
    """Where the prompts lie in a pass: what hooks have to know of it."""

    lengths: tuple[int, ...]
    """tokens of each row's prompt"""
    n_heads: int
    start: int = 0
    """column of the pass's first one, counted with padding; above 0 when a cached prefix is continued"""
    padding: tuple[int, ...] = ()
    """columns of padding on the left of each row; empty where there is none"""


@dataclass(frozen=True)
class _PlanRows:
    """Neighbouring rows of a batch that have one plan."""

    plan: Plan
    rows: slice
    extents: list[tuple[int, int]]
    """for each row: its prompt's length, and the column of its position 0 (negative behind a cached prefix)"""


def edit_hooks(plans: Sequence[Plan], layout: PassLayout) -> dict[Site, Hook]:
    """Hooks by site. One plan is for every row of the batch; several are one for each row."""
    groups = list(_rows_by_plan(plans, layout))
    inputs: Inputs = {site: None for plan in plans for site in _read_sites(plan)}
    return {
        site: _site_hook(site, plans, groups, layout, inputs)
        for site in dict.fromkeys([*(site for plan in plans for site in plan.changes), *inputs])
    }


def _read_sites(plan: Plan) -> Iterator[Site]:
    """What changes elsewhere need of a pass: the inputs of transcoders."""
    for changes in plan.changes.values():
        for change in changes:
            if isinstance(change.part, Features) and change.part.reads is not None:
                yield change.part.reads


def _site_hook(
    site: Site, plans: Sequence[Plan], groups: Sequence[_PlanRows], layout: PassLayout, inputs: Inputs
) -> Hook:
    here = [group for group in groups if site in group.plan.changes]

    def hook(activation: torch.Tensor, hook: Any = None) -> torch.Tensor | None:
        edited = _apply(activation, site, plans, here, layout, inputs) if here else None
        if site in inputs:
            inputs[site] = activation if edited is None else edited
        if edited is None:
            return None
        if site.name != "resid_mid":
            return edited
        # The norm that reads it and the stream that goes past that norm share one tensor: only written into that
        # does an edit reach both, and a stream set to 0 is 0 whatever the number type (checked at load).
        activation.copy_(edited)
        return None

    return hook


def _apply(
    activation: torch.Tensor,
    site: Site,
    plans: Sequence[Plan],
    groups: Sequence[_PlanRows],
    layout: PassLayout,
    inputs: Inputs,
) -> torch.Tensor:
    """The plans' changes on a copy of `activation`; `groups` are the rows that have any here."""
    edited = activation.clone(memory_format=torch.contiguous_format)
    if len(plans) > 1 and _set_at_once(edited, site, plans, groups[0].plan.changes[site][0], layout):
        return edited
    for group in groups:
        for change in group.plan.changes[site]:
            if isinstance(change.part, Features) and change.part.reads is not None:
                read = inputs[change.part.reads]
                assert read is not None, "a transcoder reads before it writes"
                change = replace(change, part=change.part.reading(read[group.rows]))
            _apply_change(edited[group.rows], change, group.plan.skip_first, group.extents, layout)
    return edited


def _rows_by_plan(plans: Sequence[Plan], layout: PassLayout) -> Iterator[_PlanRows]:
    """Each plan with its rows; neighbours of one plan together. A single plan is every row's."""
    padding = layout.padding or (0,) * len(layout.lengths)
    extents = [(length, pad - layout.start) for length, pad in zip(layout.lengths, padding, strict=True)]
    if len(plans) == 1:
        yield _PlanRows(plans[0], slice(None), extents)
        return
    first = 0
    for _, same_plan in groupby(plans, id):
        end = first + len(list(same_plan))
        yield _PlanRows(plans[first], slice(first, end), extents[first:end])
        first = end


def _set_at_once(edited: torch.Tensor, site: Site, plans: Sequence[Plan], first: Change, layout: PassLayout) -> bool:
    """Writes rows that differ only in which units they set, in one operation; False where they differ in more.

    `first` is the first change of the first plan that has any.
    """
    part = first.part
    if not isinstance(first, Fill) or not isinstance(part, Entries):
        return False
    if len(set(layout.lengths)) > 1 or layout.padding or any(plan.skip_first for plan in plans):
        return False
    changes = [(row, change) for row, plan in enumerate(plans) for change in plan.changes.get(site, ())]
    if not same_fill([change for _, change in changes]):
        return False
    pairs = [(row, index) for row, change in changes for index in cast(Entries, change.part).indices]
    rows, indices = sent(pairs, edited.device).T
    column, n, _ = _span(first, layout.lengths[0], -layout.start, False, edited.shape[1])
    part.view(edited, layout.n_heads).narrow(1, column, n)[rows, :, indices] = first.value
    return True


def _apply_change(
    rows: torch.Tensor, change: Change, skip_first: bool, extents: Sequence[tuple[int, int]], layout: PassLayout
) -> None:
    """Changes `rows`, a part of our own copy, in place at the positions that the edit names."""
    axis = change.part.position_axis
    first_columns = tuple(zero_column for _, zero_column in extents)
    bound = change.bound(rows, Rows(first_columns, layout.start, bool(layout.padding)), layout.n_heads)
    span_of = {extent: _span(change, *extent, skip_first, rows.shape[axis]) for extent in set(extents)}
    spans = [span_of[extent] for extent in extents]
    # Rows that are changed alike at the same columns are changed at once.
    groups = [(slice(None), spans[0])] if len(set(spans)) == 1 else [(slice(n, n + 1), s) for n, s in enumerate(spans)]
    for chosen, (column, n, position) in groups:
        if n > 0:
            write = partial(bound.write, stretch=Stretch(chosen, column, n, position))
            part = change.part
            if isinstance(part, Features) and part.inputs is not None:
                part = part.reading(part.inputs[chosen].narrow(axis, column, n))
            part.change(rows[chosen].narrow(axis, column, n), write, layout.n_heads)


def _span(change: Change, length: int, zero_column: int, skip_first: bool, columns: int) -> tuple[int, int, int]:
    """First column, how many, and the first column's position; `zero_column` is the column of position 0."""
    first, end = change.span(length)
    first = max(first, 1 if skip_first else 0, -zero_column)
    low = min(first + zero_column, columns)
    high = columns if end is None else min(max(end + zero_column, low), columns)
    return low, high - low, low - zero_column
