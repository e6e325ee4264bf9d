"""Plans made of edits. An edit is read against the model once, where it comes in (`read_stack`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch

from workbench.edits import (
    Add,
    Function,
    Mean,
    ParsedEdit,
    Positions,
    Resample,
    Scale,
    SetTo,
    check_contradictions,
    resolve_edit,
)
from workbench.errors import UserError
from workbench.lab.changes import (
    AddNumber,
    AddVector,
    CallPython,
    Change,
    Fill,
    Multiply,
    Replace,
    ReplaceByPosition,
    ReplaceFromPrompt,
)
from workbench.lab.editing import UNREPLACED, AnyEdit, Plan, PythonEdit, Replacement
from workbench.lab.kinds import Place, lab_kind
from workbench.lab.kinds.kind import Lookup
from workbench.lab.loaded import Model
from workbench.lab.metrics import mean_float64
from workbench.lab.parts import Part
from workbench.lab.sae.features import feature_sae
from workbench.lab.sae.part import Features
from workbench.lab.sae.placing import PlacedSae
from workbench.lab.values import Values
from workbench.model_info import ModelInfo
from workbench.units import Feature, Site, Unit


def read_stack(edits: Sequence[AnyEdit], info: ModelInfo) -> tuple[ParsedEdit, ...]:
    """A stack with its units and positions, read where that was not done yet. Raises UserError."""
    return tuple(_read(edit, info) for edit in edits)


def _read(edit: AnyEdit, info: ModelInfo) -> ParsedEdit:
    if isinstance(edit, ParsedEdit):
        return edit
    if isinstance(edit, PythonEdit):
        return replace(resolve_edit(edit.edit, info), call=edit.call)
    return resolve_edit(edit, info)


def check_edits(stack: Sequence[ParsedEdit], values: Values) -> None:
    """All that can be said before any is compiled. Raises UserError: what is missing, or contradicts another."""
    check_contradictions(stack)
    for edit in stack:
        if isinstance(edit.edit, Function) and edit.call is None:
            raise UserError(f"{edit} came from a notebook: it can only be run from Python, with its function")
    for name in direction_names(stack):
        values.direction(name)
    features = sorted(unit for edit in stack for unit in edit.units if isinstance(unit, Feature))
    for unit in {(unit.layer, unit.sae): unit for unit in features}.values():
        values.sae(unit)  # of the largest index


def direction_names(stack: Sequence[ParsedEdit]) -> list[str]:
    """The directions that edits add, project out or act along, each once."""
    return list(dict.fromkeys(name for edit in stack for name in edit.directions))


def compile_plan(
    stack: Sequence[ParsedEdit],
    info: ModelInfo,
    values: Values,
    *,
    skip_first: bool = False,
    replacement: Replacement = UNREPLACED,
) -> Plan:
    """A stack as a plan. Raises UserError where a number is beyond what the model can hold."""
    by_site: dict[Site, list[Change]] = {}
    touched: set[Unit] = set()
    for edit in stack:
        units = _units(edit, replacement)
        for place in places(units, info, _Lookup(values, replacement)):
            by_site.setdefault(place.site, []).append(_change(edit, place, info, values, replacement))
        if not isinstance(edit.edit, Function):
            touched.update(units)
    return Plan({site: tuple(changes) for site, changes in by_site.items()}, skip_first, frozenset(touched))


def sites_to_sample(
    stack: Sequence[ParsedEdit], info: ModelInfo, values: Values, replacement: Replacement = UNREPLACED
) -> list[Site]:
    """Sites whose values on the fixed text the edits need."""
    sampled = [edit for edit in stack if isinstance(edit.edit, Mean | Resample)]
    lookup = _Lookup(values, replacement)
    return list(
        dict.fromkeys(_taken_at(place) for edit in sampled for place in places(_units(edit, replacement), info, lookup))
    )


def switched_off(
    units: Iterable[Unit], info: ModelInfo, first: int = 0, last: int | None = None, model: Model | None = None
) -> Plan:
    """Neurons, heads and, with the `model`, features at zero from position `first` on, up to `last` or the end, without
    going through text."""
    named = list(units)
    positions = Positions("range", first, last) if first or last is not None else Positions()
    changes: dict[Site, tuple[Change, ...]] = {}
    for site, part in places(named, info, _OfModel(model)):
        changes[site] = (*changes.get(site, ()), Fill(site, part, positions, 0.0))
    return Plan(changes, units=frozenset(named))


def places(units: Sequence[Unit], info: ModelInfo, lookup: Lookup) -> list[Place]:
    """Where units are written, those of one kind together."""
    by_kind: dict[type[Unit], list[Unit]] = {}
    for unit in units:
        by_kind.setdefault(type(unit), []).append(unit)
    return [place for members in by_kind.values() for place in lab_kind(members[0]).places(members, info, lookup)]


def _units(edit: ParsedEdit, replacement: Replacement) -> list[Unit]:
    return [replacement.units.get(unit, unit) for unit in edit.units]


@dataclass(frozen=True)
class _Lookup:
    values: Values
    replacement: Replacement

    def direction(self, name: str) -> torch.Tensor:
        other = self.replacement.directions.get(name)
        return self.values.direction(name) if other is None else other.to(self.values.device)  # drawn on the processor

    def sae(self, unit: Feature) -> PlacedSae:
        return self.values.sae(unit)


@dataclass(frozen=True)
class _OfModel:
    """For units that are switched off without going through text: no directions."""

    model: Model | None

    def direction(self, name: str) -> torch.Tensor:
        raise AssertionError(f"@{name} is no unit that can be switched off")

    def sae(self, unit: Feature) -> PlacedSae:
        assert self.model is not None, "a feature is the model's and its SAE's"
        return feature_sae(self.model, unit).placed


def _change(edit: ParsedEdit, place: Place, info: ModelInfo, values: Values, replacement: Replacement) -> Change:
    """What an edit does at one place."""
    site, part = place
    at, operation = edit.at, edit.edit
    if isinstance(operation, Function):
        assert edit.call is not None, "check_edits comes first"
        return CallPython(site, part, at, edit.call)
    if isinstance(operation, Add) and operation.direction:
        vector = operation.strength * _Lookup(values, replacement).direction(operation.direction)
        values.check(str(edit), float(vector.abs().max()))
        return AddVector(site, part, at, vector)
    if isinstance(operation, SetTo | Scale | Add):
        values.check(str(edit), operation.amount)
        if isinstance(operation, SetTo):
            return Fill(site, part, at, operation.value)
        return (
            Multiply(site, part, at, operation.factor)
            if isinstance(operation, Scale)
            else AddNumber(site, part, at, operation.strength)
        )
    taken_at = _taken_at(place)
    if isinstance(operation, Mean):
        return Replace(site, part, at, _mean(part, taken_at, info, values))
    if isinstance(operation, Resample):
        return ReplaceByPosition(site, part, at, part.take(values.resampled(taken_at), info.n_heads))
    other = part.take(values.patched(taken_at, operation.prompt), info.n_heads)
    if at.kind == "last":
        return Replace(site, part, at, other[-1])
    return ReplaceFromPrompt(site, part, at, other, str(edit))


def _taken_at(place: Place) -> Site:
    """The site that units' own numbers are read from: of a transcoder's features, what it encodes."""
    return place.part.encoded_at if isinstance(place.part, Features) else place.site


def _mean(part: Part, site: Site, info: ModelInfo, values: Values) -> torch.Tensor:
    """Of the units' own numbers over the fixed text: a feature's is not the feature of the mean."""
    if isinstance(part, Features):
        return mean_float64(part.take(values.sample(site), info.n_heads), 0).float().to(values.device)
    return part.take(values.mean(site), info.n_heads)
