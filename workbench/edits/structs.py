"""Edits as they are stored and sent: units and positions are text; `parsed.py` reads them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from workbench.errors import UserError
from workbench.units import Operation


class _Edit(msgspec.Struct, frozen=True, tag_field="op", omit_defaults=True):
    units: str
    """as `parse_units` reads them"""

    @property
    def operation(self) -> Operation:
        """What it does, as kinds of units take or refuse it."""
        return "replace"

    @property
    def amount(self) -> float:
        """Its number; 0 where it has none."""
        return 0.0


class SetTo(_Edit, frozen=True, tag="set"):
    """The units' activation becomes `value`."""

    value: float
    at: str = ""
    """which positions, as `parse_positions` reads them; empty is all"""

    def __str__(self) -> str:
        return f"{_left_side(self)}={_number(self.value)}"

    @property
    def operation(self) -> Operation:
        return "zero" if self.value == 0 else "set"

    @property
    def amount(self) -> float:
        return self.value


class Scale(_Edit, frozen=True, tag="scale"):
    """The units' activation is multiplied by `factor`."""

    factor: float
    at: str = ""

    def __str__(self) -> str:
        return f"{_left_side(self)}*={_number(self.factor)}"

    @property
    def operation(self) -> Operation:
        return "scale"

    @property
    def amount(self) -> float:
        return self.factor


class Mean(_Edit, frozen=True, tag="mean"):
    """The units' activation becomes its mean over a fixed text."""

    at: str = ""

    def __str__(self) -> str:
        return f"{_left_side(self)}=mean"


class Resample(_Edit, frozen=True, tag="resample"):
    """The units' activation becomes, position by position, what it is at tokens of a fixed text, drawn by seed."""

    at: str = ""

    def __str__(self) -> str:
        return f"{_left_side(self)}=resample"


class Add(_Edit, frozen=True, tag="add"):
    """`strength` is added to an activation; or `strength` times a direction, as stored, to a site."""

    strength: float
    direction: str = ""
    """without its @"""
    at: str = ""

    def __str__(self) -> str:
        minus = math.copysign(1, self.strength) < 0
        amount = _number(abs(self.strength))
        if self.direction:
            amount = f"@{self.direction}" if amount == "1" else f"{amount}*@{self.direction}"
        return f"{_left_side(self)}{'-' if minus else '+'}={amount}"

    @property
    def operation(self) -> Operation:
        return "add direction" if self.direction else "add"

    @property
    def amount(self) -> float:
        return self.strength


class Patch(_Edit, frozen=True, tag="patch"):
    """The units' activation becomes what it is on another prompt at the same positions (`last`: at its last)."""

    prompt: str
    at: str = ""

    def __str__(self) -> str:
        return f"{_left_side(self)}<{json.dumps(self.prompt, ensure_ascii=False)}"


class Function(_Edit, frozen=True, tag="function"):
    """A Python function put at a site from a notebook: `source` is kept to be read, not run.

    Only `workbench.open_lab` makes these; a step that has one is marked as not replayable.
    """

    source: str

    def __str__(self) -> str:
        return f"{self.units}=<python function>"


Edit = SetTo | Scale | Mean | Resample | Add | Patch | Function
Overwrite = SetTo | Mean | Resample | Patch
"""edits after which nothing is left of what was there: two at one place contradict each other"""


class Entry(msgspec.Struct, frozen=True):
    """A place in a stack: an edit, applied or waiting."""

    edit: Edit
    on: bool = True


Stacks = Mapping[str, Sequence[Entry]]
"""stacks by the names they were saved under"""
STACK = "stack:"
"""before such a name, in place of an edit"""


def _left_side(edit: SetTo | Scale | Mean | Resample | Add | Patch) -> str:
    return f"{edit.units}[{edit.at}]" if edit.at else edit.units


def _number(value: float) -> str:
    return repr(value).removesuffix(".0")


def stack_text(edits: Iterable[Edit]) -> str:
    """A stack as one line: `L12.N345=0; L5.H3*=2`."""
    return "; ".join(map(str, edits))


def check_replayable(edits: Iterable[Edit]) -> None:
    """Raises UserError for a stack that holds a Python function."""
    for edit in edits:
        if isinstance(edit, Function):
            raise UserError(
                f"{edit} came from a notebook: its source is in the log, but it can only be run again from Python"
            )
