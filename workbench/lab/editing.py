"""Edits to functions on activations: what `workbench.edits` describes, done.

A stack is compiled into a plan: for each site the operations in their order. Each site's activation is copied once
and the operations act on the copy, never on what other modules share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch

from workbench.edits import Edit, Function, Positions, Scale, SetTo, edit_positions, edit_units
from workbench.errors import Cancelled, UserError
from workbench.model_info import ModelInfo
from workbench.units import Head, Neuron, Site, Unit


@dataclass(frozen=True)
class PythonEdit:
    """A Function edit with the function itself: `call(activation, context) -> activation`, same shape.

    The activation is a copy: [batch, position, n] for n named neurons of a layer, [batch, position, n, d_head] for
    heads, the site's own axes for a site. A tensor or an array may come back.
    """

    edit: Function
    call: Callable[[Any, EditContext], Any]


@dataclass(frozen=True)
class EditContext:
    """What a Python edit is told."""

    layer: int
    site: str
    start: int
    """position of the activation's first column; above 0 when a cached prefix is continued"""


@dataclass(frozen=True)
class Change:
    """One edit at one site. `indices` are neurons or heads; None is the whole site."""

    site: Site
    indices: tuple[int, ...] | None
    kind: Literal["set", "scale", "function"]
    value: float
    at: Positions
    call: Callable[[Any, EditContext], Any] | None = None


@dataclass(frozen=True)
class Plan:
    """A compiled stack: changes by site, in the stack's order."""

    changes: Mapping[Site, tuple[Change, ...]]
    skip_first: bool = False
    """leave position 0 as it is"""
    units: frozenset[Neuron | Head] = field(default_factory=frozenset)
    """neurons and heads that are set or scaled"""

    @property
    def controllable(self) -> bool:
        """Whether all of it is done to neurons and heads, so that others can stand in for them."""
        changes = [change for stack in self.changes.values() for change in stack]
        return all(change.kind != "function" and change.indices is not None for change in changes)


AnyEdit = Edit | PythonEdit
CLEAN = Plan({})


def compile_plan(
    edits: Sequence[AnyEdit],
    info: ModelInfo,
    *,
    skip_first: bool = False,
    instead: Mapping[Unit, Neuron | Head] | None = None,
) -> Plan:
    """A stack as a plan; `instead` puts other units in the places of its own (controls). Raises UserError."""
    by_site: dict[Site, list[Change]] = {}
    touched: set[Neuron | Head] = set()
    for edit in edits:
        plain = edit.edit if isinstance(edit, PythonEdit) else edit
        units: list[Unit] = edit_units(plain, info)
        if instead:
            units = [instead.get(unit, unit) for unit in units]
        for site, indices in _grouped(plain, units):
            by_site.setdefault(site, []).append(_change(edit, site, indices))
        if not isinstance(plain, Function):
            touched.update(unit for unit in units if isinstance(unit, Neuron | Head))
    return Plan({site: tuple(stack) for site, stack in by_site.items()}, skip_first, frozenset(touched))


def _change(edit: AnyEdit, site: Site, indices: tuple[int, ...] | None) -> Change:
    if isinstance(edit, PythonEdit):
        return Change(site, indices, "function", 0.0, edit_positions(edit.edit), edit.call)
    if isinstance(edit, SetTo):
        return Change(site, indices, "set", edit.value, edit_positions(edit))
    if isinstance(edit, Scale):
        return Change(site, indices, "scale", edit.factor, edit_positions(edit))
    if isinstance(edit, Function):
        raise UserError(f"{edit} came from a notebook: it can only be run from Python, with its function")
    raise UserError(f"{edit} can't be applied here: units are set to a number (=0) or scaled (*=2)")


def _grouped(edit: Edit, units: Iterable[Unit]) -> list[tuple[Site, tuple[int, ...] | None]]:
    """Units by the site they live at, each with its indices in their order."""
    indices: dict[Site, list[int]] = {}
    whole: dict[Site, None] = {}
    for unit in units:
        if isinstance(unit, Neuron):
            indices.setdefault(Site(unit.layer, "mlp_post"), []).append(unit.index)
        elif isinstance(unit, Head):
            indices.setdefault(Site(unit.layer, "z"), []).append(unit.index)
        elif isinstance(unit, Site):
            whole[unit] = None
        else:
            raise UserError(f"{edit}: {unit} lies along a direction; neurons, heads and sites can be edited here")
    return [(site, tuple(found)) for site, found in indices.items()] + [(site, None) for site in whole]


Hook = Callable[[torch.Tensor, Any], torch.Tensor | None]


@dataclass(frozen=True)
class Pass:
    """What hooks have to know of the pass they act in."""

    lengths: tuple[int, ...]
    """tokens of each row's prompt"""
    n_heads: int
    start: int = 0
    """position of the first column"""


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
    for row, plan in enumerate(plans):
        rows = slice(None) if len(plans) == 1 else slice(row, row + 1)
        for change in plan.changes.get(site, ()):
            _apply_change(edited[rows], change, plan.skip_first, run.lengths[rows], run)
    return edited


def _apply_change(rows: torch.Tensor, change: Change, skip_first: bool, lengths: Sequence[int], run: Pass) -> None:
    """Changes `rows`, a part of our own copy, in place at the positions that the edit names."""
    # Heads may come as [batch, position, head * d_head]; the view writes through.
    units = rows.view(*rows.shape[:2], run.n_heads, -1) if change.site.name == "z" and rows.ndim == 3 else rows
    axis = 2 if change.site.name == "pattern" else 1
    target = _target(units, change, run.start)
    spans = [_columns(change.at, n, skip_first, run.start, units.shape[axis]) for n in lengths]
    if len(set(spans)) == 1:
        _write(units.narrow(axis, *spans[0]), None if target is None else target.narrow(axis, *spans[0]), change)
        return
    for row, span in enumerate(spans):
        one = slice(row, row + 1)
        part = None if target is None else target[one].narrow(axis, *span)
        _write(units[one].narrow(axis, *span), part, change)


def _columns(at: Positions, length: int, skip_first: bool, start: int, n: int) -> tuple[int, int]:
    """First column and how many, of a pass whose `n` columns begin at position `start`."""
    first, end = at.span(length)
    low = min(max(first, 1 if skip_first else 0, start) - start, n)
    high = n if end is None else min(max(end - start, low), n)
    return low, high - low


def _target(units: torch.Tensor, change: Change, start: int) -> torch.Tensor | None:
    """What a Python function makes of the activation, before positions are chosen."""
    if change.kind != "function":
        return None
    given = units.clone() if change.indices is None else units.index_select(2, _index(change, units))
    return _call(given, change, start)


def _write(part: torch.Tensor, target: torch.Tensor | None, change: Change) -> None:
    """`part` is a view [row, position, …] of our own copy."""
    indices = change.indices
    if target is not None:
        if indices is None:
            part.copy_(target)
        else:
            part.index_copy_(2, _index(change, part), target)
        return
    if indices is not None and len(indices) == 1:
        part, indices = part[:, :, indices[0]], None
    if indices is None:
        part.fill_(change.value) if change.kind == "set" else part.mul_(change.value)
    elif change.kind == "set":
        part.index_fill_(2, _index(change, part), change.value)
    else:
        chosen = _index(change, part)
        part.index_copy_(2, chosen, part.index_select(2, chosen) * change.value)


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
