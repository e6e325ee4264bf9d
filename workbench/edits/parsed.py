"""Edits read against a model: their units and positions, once, where an edit comes in, and what is wrong with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.edits.positions import Positions, parse_positions
from workbench.edits.structs import Add, Edit, Function, Overwrite, Patch
from workbench.errors import UserError
from workbench.model_info import ModelInfo
from workbench.units import Refusal, Unit, kind_of, parse_units


@dataclass(frozen=True)
class ParsedEdit:
    """An edit that fits a model."""

    edit: Edit
    units: tuple[Unit, ...]
    at: Positions
    call: Callable[[Any, Any], Any] | None = None
    """a Function's own, in the process that it was written in"""

    def __str__(self) -> str:
        return str(self.edit)

    @property
    def directions(self) -> tuple[str, ...]:
        """Names of the directions it adds, projects out or acts along, each once."""
        names = [unit.needs_direction for unit in self.units]
        if isinstance(self.edit, Add):
            names.insert(0, self.edit.direction)
        return tuple(dict.fromkeys(filter(None, names)))


def resolve_edit(edit: Edit, info: ModelInfo) -> ParsedEdit:
    """An edit with its units and positions. Raises UserError where it does not fit the model."""
    units = parse_units(edit.units, info)
    at = Positions() if isinstance(edit, Function) else parse_positions(edit.at)
    refusal = find_refusal(edit, units)
    if refusal:
        raise UserError(f"{edit}: {refusal.sentence}")
    return ParsedEdit(edit, tuple(units), at)


def find_refusal(edit: Edit, units: Iterable[Unit]) -> Refusal | None:
    """What is wrong with an edit of these units; nothing is asked of a Python function."""
    if isinstance(edit, Function):
        return None
    if not math.isfinite(edit.amount):
        return Refusal("value", "a finite number is expected here")
    if isinstance(edit, Patch) and not edit.prompt:
        return Refusal("value", "the other prompt is empty: give the text that activations are taken from")
    refusals = (kind_of(unit).refusal(unit, edit.operation) for unit in units)
    return next(filter(None, refusals), None)


def check_stack(edits: Iterable[Edit], info: ModelInfo) -> None:
    """Checks every edit, and that no two set the same unit at the same positions. Raises UserError."""
    check_contradictions([resolve_edit(edit, info) for edit in edits])


def check_contradictions(stack: Sequence[ParsedEdit]) -> None:
    """Raises UserError where two edits set the same unit at the same positions."""
    edits_by_unit: dict[Unit, list[ParsedEdit]] = {}
    for edit in stack:
        if not isinstance(edit.edit, Overwrite):
            continue
        for unit in edit.units:
            for earlier in edits_by_unit.setdefault(unit.overwritten, []):
                if edit.at.overlaps(earlier.at):
                    raise UserError(f"two edits contradict each other: {earlier} and {edit} both set {unit}: keep one")
            edits_by_unit[unit.overwritten].append(edit)
