"""Edits compiled for a model: what `workbench.edits` describes, as changes by site. `applying.py` carries them out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import torch

from workbench.edits import (
    Add,
    Edit,
    Function,
    Mean,
    Positions,
    Resample,
    Scale,
    SetTo,
    check_stack,
    parse_positions,
    resolve_edit,
)
from workbench.errors import UserError
from workbench.model_info import ModelInfo
from workbench.units import Component, Direction, Head, Neuron, Site, Unit

if TYPE_CHECKING:
    from workbench.lab.values import Values


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


Kind = Literal["set", "scale", "add", "put", "table", "last", "shift", "shift table", "function"]


@dataclass(frozen=True)
class Change:
    """One edit at one site. `indices` are neurons or heads; None is the whole site.

    kind: set (to `value`), scale (by it), add (it); put (`values` [n…] at every position), table (`values`
    [position, n…], position by position), last (its last row, at the prompt's last position); shift and shift table
    (the same, added); function. With `along`, a unit vector [d_model], all of it is done to the component along it,
    one number a position.
    """

    site: Site
    indices: tuple[int, ...] | None
    kind: Kind
    value: float
    at: Positions
    call: Callable[[Any, EditContext], Any] | None = None
    values: torch.Tensor | None = None
    along: torch.Tensor | None = None
    same_length: str = ""
    """the edit, where its table has to be as long as the prompt"""


@dataclass(frozen=True)
class Plan:
    """A compiled stack: changes by site, in the stack's order."""

    changes: Mapping[Site, tuple[Change, ...]]
    skip_first: bool = False
    """leave position 0 as it is"""
    units: frozenset[Unit] = field(default_factory=frozenset)
    """what is edited, Python functions apart"""

    @property
    def has_functions(self) -> bool:
        return any(change.kind == "function" for stack in self.changes.values() for change in stack)

    def at_layer(self, layer: int) -> Plan:
        """What it does in one block."""
        return replace(self, changes={site: stack for site, stack in self.changes.items() if site.layer == layer})


AnyEdit = Edit | PythonEdit
CLEAN = Plan({})


@dataclass(frozen=True)
class Instead:
    """Other units and other vectors in the places of an edit's own: one control."""

    units: Mapping[Unit, Unit] = field(default_factory=dict)
    directions: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """by name, float32 [d_model]"""


ITSELF = Instead()


def check_edits(edits: Sequence[AnyEdit], info: ModelInfo, values: Values) -> None:
    """All that can be said before any is compiled. Raises UserError: what does not fit, is missing or contradicts."""
    check_stack((edit.edit if isinstance(edit, PythonEdit) else edit for edit in edits), info)
    for edit in edits:
        if isinstance(edit, Function):
            raise UserError(f"{edit} came from a notebook: it can only be run from Python, with its function")
        for name in direction_names([edit], info):
            values.direction(name)


def direction_names(edits: Sequence[AnyEdit], info: ModelInfo) -> list[str]:
    """The directions that edits add, project out or act along, each once."""
    found: dict[str, None] = {}
    for edit in edits:
        if isinstance(edit, PythonEdit | Function):
            continue
        if isinstance(edit, Add) and edit.direction:
            found[edit.direction] = None
        for unit in resolve_edit(edit, info).units:
            if unit.needs_direction:
                found[unit.needs_direction] = None
    return list(found)


def compile_plan(
    edits: Sequence[AnyEdit],
    info: ModelInfo,
    values: Values,
    *,
    skip_first: bool = False,
    instead: Instead = ITSELF,
) -> Plan:
    """A stack as a plan. Raises UserError where an edit does not fit the model."""
    by_site: dict[Site, list[Change]] = {}
    touched: set[Unit] = set()
    for edit in edits:
        own = edit.edit if isinstance(edit, PythonEdit) else edit
        units = [instead.units.get(unit, unit) for unit in resolve_edit(own, info).units]
        for place in _places(units, info):
            by_site.setdefault(place.site, []).append(_change(edit, place, values, instead))
        if not isinstance(own, Function):
            touched.update(units)
    return Plan({site: tuple(stack) for site, stack in by_site.items()}, skip_first, frozenset(touched))


def sites_to_sample(edits: Sequence[AnyEdit], info: ModelInfo, instead: Instead = ITSELF) -> list[Site]:
    """Sites whose values on the fixed text the edits need."""
    found: dict[Site, None] = {}
    for edit in edits:
        if isinstance(edit, Mean | Resample):
            units = [instead.units.get(unit, unit) for unit in resolve_edit(edit, info).units]
            found.update(dict.fromkeys(place.site for place in _places(units, info)))
    return list(found)


@dataclass(frozen=True)
class _Place:
    site: Site
    indices: tuple[int, ...] | None = None
    direction: str = ""


def _places(units: Iterable[Unit], info: ModelInfo) -> list[_Place]:
    """Where units live: neurons and heads of one layer together, a direction wherever it can be written."""
    indices: dict[Site, list[int]] = {}
    whole: dict[_Place, None] = {}
    for unit in units:
        if isinstance(unit, Neuron):
            indices.setdefault(Site(unit.layer, "mlp_post"), []).append(unit.index)
        elif isinstance(unit, Head):
            indices.setdefault(Site(unit.layer, "z"), []).append(unit.index)
        elif isinstance(unit, Site):
            whole[_Place(unit)] = None
        elif isinstance(unit, Component):
            whole[_Place(Site(unit.layer, unit.site), None, unit.direction)] = None
        elif isinstance(unit, Direction):
            whole.update(dict.fromkeys(_everywhere(unit, info)))
    return [_Place(site, tuple(found)) for site, found in indices.items()] + list(whole)


def _everywhere(unit: Direction, info: ModelInfo) -> list[_Place]:
    """Every block's input, and what attention and the MLP add (METHODS 1)."""
    names = ("resid_pre", "attn_out", "mlp_out")
    return [_Place(Site(layer, name), None, unit.name) for layer in range(info.n_layers) for name in names]


def _change(edit: AnyEdit, place: _Place, values: Values, instead: Instead) -> Change:
    if isinstance(edit, PythonEdit):
        return Change(place.site, place.indices, "function", 0.0, Positions(), edit.call)
    assert not isinstance(edit, Function), "check_edits comes first"
    change = Change(place.site, place.indices, "set", 0.0, parse_positions(edit.at))

    def vector(name: str) -> torch.Tensor:
        own = instead.directions.get(name)
        return values.direction(name) if own is None else own

    if place.direction:
        along = vector(place.direction)
        change = replace(change, along=along / along.norm())
    if isinstance(edit, SetTo | Scale) or (isinstance(edit, Add) and not edit.direction):
        kind, amount = _number(edit)
        values.check(str(edit), amount)
        return replace(change, kind=kind, value=amount)
    if isinstance(edit, Add):
        shift = edit.strength * vector(edit.direction)
        values.check(str(edit), float(shift.abs().max()))
        return replace(change, kind="shift", values=shift)
    if isinstance(edit, Mean):
        return replace(change, kind="put", values=_chosen(values.mean(place.site), change, values.n_heads))
    if isinstance(edit, Resample):
        return replace(change, kind="table", values=_chosen(values.resampled(place.site), change, values.n_heads))
    other = _chosen(values.patched(place.site, edit.prompt), change, values.n_heads)
    if change.at.kind == "last":
        return replace(change, kind="last", values=other)
    return replace(change, kind="table", values=other, same_length=str(edit))


def _number(edit: SetTo | Scale | Add) -> tuple[Kind, float]:
    if isinstance(edit, SetTo):
        return "set", edit.value
    return ("scale", edit.factor) if isinstance(edit, Scale) else ("add", edit.strength)


def _chosen(values: torch.Tensor, change: Change, n_heads: int) -> torch.Tensor:
    """Of a site's values [..., width]: a component's [...], heads' [..., n, d_head], neurons' [..., n]."""
    if change.along is not None:
        return values @ change.along
    if change.indices is None:
        return values
    if change.site.name == "z":
        values = values.unflatten(-1, (n_heads, -1))
        return values[..., list(change.indices), :]
    return values[..., list(change.indices)]


def switched_off(units: Iterable[Neuron | Head], first: int = 0) -> Plan:
    """Neurons and heads at zero from position `first` on, without going through text."""
    named = list(units)
    where = Positions("range", first) if first else Positions()
    changes: dict[Site, list[int]] = {}
    for unit in named:
        site = Site(unit.layer, "mlp_post" if isinstance(unit, Neuron) else "z")
        changes.setdefault(site, []).append(unit.index)
    plans = {site: (Change(site, tuple(found), "set", 0.0, where),) for site, found in changes.items()}
    return Plan(plans, units=frozenset(named))
