"""Plans carried out: hooks that change activations.

Each site's activation is copied once and the changes act on the copy, never on what other modules share. Positions are
counted from each row's own first token, whatever stands in front of it: padding on the left, or a cached prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch

from workbench.errors import Cancelled, UserError
from workbench.lab.editing import Change, EditContext, Plan
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
    first = changes[0][1]
    alike = (
        first.kind == "set"
        and len(set(run.lengths)) == 1
        and not run.padding
        and all(
            change.kind == "set" and change.indices and change.value == first.value and change.at == first.at
            for _, change in changes
        )
        and not any(plan.skip_first for plan in plans)
    )
    if not alike or first.along is not None:
        return False
    pairs = [(row, index) for row, change in changes for index in change.indices or ()]
    rows, indices = torch.tensor(pairs, device=edited.device).T
    units = edited.view(*edited.shape[:2], run.n_heads, -1) if site.name == "z" and edited.ndim == 3 else edited
    column, n, _ = _span(first, run.lengths[0], -run.start, False, edited.shape[1])
    units.narrow(1, column, n)[rows, :, indices] = first.value
    return True


def _first_columns(run: Pass, rows: slice) -> list[tuple[int, int]]:
    """For each row: its prompt's length, and the column of its position 0 (negative behind a cached prefix)."""
    padding = run.padding or (0,) * len(run.lengths)
    return [(length, pad - run.start) for length, pad in zip(run.lengths[rows], padding[rows], strict=True)]


def _apply_change(
    rows: torch.Tensor, change: Change, skip_first: bool, where: Sequence[tuple[int, int]], run: Pass
) -> None:
    """Changes `rows`, a part of our own copy, in place at the positions that the edit names."""
    # Heads may come as [batch, position, head * d_head]; the view writes through.
    units = rows.view(*rows.shape[:2], run.n_heads, -1) if change.site.name == "z" and rows.ndim == 3 else rows
    axis = 2 if change.site.name == "pattern" else 1
    target = _target(units, change, where, run)
    spans = [_span(change, length, zero, skip_first, units.shape[axis]) for length, zero in where]
    # Rows that are changed alike at the same columns are changed at once.
    groups = [(slice(None), spans[0])] if len(set(spans)) == 1 else [(slice(n, n + 1), s) for n, s in enumerate(spans)]
    for chosen, (column, n, first) in groups:
        if n > 0:
            part = units[chosen].narrow(axis, column, n)
            made = None if target is None else target[chosen].narrow(axis, column, n)
            _write(part, change, made if made is not None else _given(change, first, n, part))


def _span(change: Change, length: int, zero: int, skip_first: bool, columns: int) -> tuple[int, int, int]:
    """First column, how many, and the first column's position; `zero` is the column of position 0."""
    first, end = change.at.span(length)
    if change.same_length and change.values is not None:
        first, end = _table_span(change, change.values.shape[0], length, first, end)
    first = max(first, 1 if skip_first else 0, -zero)
    low = min(first + zero, columns)
    high = columns if end is None else min(max(end + zero, low), columns)
    return low, high - low, low - zero


def _table_span(change: Change, have: int, length: int, first: int, end: int | None) -> tuple[int, int]:
    """The prompt's part of a span, which the other prompt has to have too. Raises UserError."""
    wanted = length if end is None else min(end, length)
    if change.at.kind == "range" and change.at.last is not None:
        if wanted > have:
            raise UserError(f"{change.same_length}: the other prompt has {have} tokens, positions 0 to {have - 1}")
    elif have != length:
        raise UserError(
            f"{change.same_length}: the other prompt has {have} tokens and this one {length}: take prompts of equal "
            f"length, or patch at [last] or at a range that both have"
        )
    return first, wanted


def _given(change: Change, first: int, n: int, like: torch.Tensor) -> torch.Tensor | float:
    """What the change brings: a number, or a tensor that goes with [row, n, …]."""
    if change.values is None:
        return change.value
    values = change.values.to(like.dtype)
    if change.kind in ("table", "shift table"):
        return values[first : first + n]
    return values[-1] if change.kind == "last" else values


def _target(units: torch.Tensor, change: Change, where: Sequence[tuple[int, int]], run: Pass) -> torch.Tensor | None:
    """What a Python function makes of the activation, before positions are chosen; it never sees padding."""
    if change.kind != "function":
        return None
    given = units.clone() if change.indices is None else units.index_select(2, _index(change, units))
    if not run.padding:
        return _call(given, change, run.start)
    axis = 2 if change.site.name == "pattern" else 1
    for row, (_, zero) in enumerate(where):
        column = max(zero, 0)
        part = given[row : row + 1].narrow(axis, column, given.shape[axis] - column)
        if axis == 2:
            part = part[..., zero + run.start :]  # keys begin where the row does, cached or not
        part.copy_(_call(part.clone(), change, max(-zero, 0)))
    return given


def _write(part: torch.Tensor, change: Change, given: torch.Tensor | float) -> None:
    """`part` is a view [row, position, …] of our own copy."""
    indices = change.indices
    if change.along is not None:
        along = change.along.to(part.dtype)
        component = part @ along
        wanted = component.clone()
        _change(wanted, change, given)
        part.add_((wanted - component).unsqueeze(-1) * along)
    elif indices is None:
        _change(part, change, given)
    elif len(indices) == 1:
        _change(part.narrow(2, indices[0], 1), change, given)
    else:
        chosen = _index(change, part)
        wanted = part.index_select(2, chosen)
        _change(wanted, change, given)
        part.index_copy_(2, chosen, wanted)


def _change(part: torch.Tensor, change: Change, given: torch.Tensor | float) -> None:
    """In place; `given` broadcasts over rows."""
    if change.kind == "scale":
        part.mul_(given)
    elif change.kind in ("add", "shift", "shift table"):
        part.add_(given)
    elif isinstance(given, torch.Tensor):
        part.copy_(given.expand_as(part))
    else:
        part.fill_(given)


def _index(change: Change, like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(change.indices, device=like.device)


def _call(activation: torch.Tensor, change: Change, start: int) -> torch.Tensor:
    """A Python edit's result as a tensor of the activation's shape. Raises UserError where it is none."""
    assert change.call is not None
    where = f"the Python function at {change.site}"
    shape = tuple(activation.shape)
    try:
        found = change.call(activation, EditContext(change.site.layer, change.site.name, start))
    except (UserError, Cancelled):
        raise
    except Exception as error:
        raise UserError(f"{where} failed: {type(error).__name__}: {error}") from error
    if isinstance(found, np.ndarray):
        found = torch.from_numpy(np.ascontiguousarray(found))
    if not isinstance(found, torch.Tensor) or tuple(found.shape) != shape:
        got = f"shape {tuple(found.shape)}" if isinstance(found, torch.Tensor) else type(found).__name__
        raise UserError(f"{where} has to give back an array of shape {shape}: it gave {got}")
    return found.to(device=activation.device, dtype=activation.dtype)


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
