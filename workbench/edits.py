"""Edits: changes to the forward pass, as data. `workbench.lab` applies them.

    L12.N345=0      set a neuron's activation at every position
    L12.N345*=2     scale it
    L5.H3=0         zero a head's output; heads are vectors, so 0 is the only value they can be set to
    L3.N10-20=0     every unit that the left side names

A stack of edits is applied in its order: each sees what the ones before it left.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import msgspec

from workbench.errors import GrammarError, UserError
from workbench.model_info import ModelInfo
from workbench.units import Head, Neuron, Unit, parse_units


class SetTo(msgspec.Struct, frozen=True, tag="set", tag_field="op"):
    """The units' activation becomes `value`."""

    units: str
    value: float

    def __str__(self) -> str:
        return f"{self.units}={_number(self.value)}"


class Scale(msgspec.Struct, frozen=True, tag="scale", tag_field="op"):
    """The units' activation is multiplied by `factor`."""

    units: str
    factor: float

    def __str__(self) -> str:
        return f"{self.units}*={_number(self.factor)}"


class Function(msgspec.Struct, frozen=True, tag="function", tag_field="op"):
    """A Python function put at a site from a notebook: `source` is kept to be read, not run.

    Only `workbench.open_lab` makes these; a step that has one is marked as not replayable.
    """

    units: str
    source: str

    def __str__(self) -> str:
        return f"{self.units}=<python function>"


Edit = SetTo | Scale | Function

_OPERATOR = re.compile(r"\s*(\*=|=)\s*")


def parse_edit(text: str, info: ModelInfo | None = None) -> Edit:
    """One edit. Raises GrammarError, pointing at the character."""
    match = _OPERATOR.search(text)
    if match and match.group(1) == "*=" and text[: match.start()].endswith((".N", ".H", ".n", ".h")):
        match = _OPERATOR.search(text, match.start(1) + 1)  # `L5.H*=0`: the star means every head
    if not match:
        raise GrammarError(text, len(text), "an edit is UNITS=VALUE or UNITS*=FACTOR: L12.N345=0, L5.H3*=2")
    left, operator = text[: match.start()], match.group(1)
    try:
        units = parse_units(left, info)
    except GrammarError as error:
        raise GrammarError(text, error.position, error.problem) from None
    _check_editable(text, units)
    typed = text[match.end() :].strip()
    try:
        value = float(typed)
    except ValueError:
        what = "factor" if operator == "*=" else "value"
        raise GrammarError(text, match.end(), f"a number is expected here as the {what}") from None
    if not math.isfinite(value):
        raise GrammarError(text, match.end(), "a finite number is expected here")
    if operator == "=" and value != 0 and any(isinstance(unit, Head) for unit in units):
        raise GrammarError(text, match.end(), "a head's output is a vector: it can be set to 0 or scaled (L5.H3*=2)")
    name = left.strip()
    return Scale(name, value) if operator == "*=" else SetTo(name, value)


def parse_edits(texts: Iterable[str], info: ModelInfo | None = None) -> list[Edit]:
    """A stack, in order; each text may hold several edits separated by `;`."""
    return [parse_edit(part.strip(), info) for text in texts for part in text.split(";") if part.strip()]


def edit_units(edit: Edit, info: ModelInfo) -> list[Unit]:
    """The units an edit touches, checked against the model. Raises UserError."""
    units = parse_units(edit.units, info)
    if not isinstance(edit, Function):
        _check_editable(edit.units, units)
    return units


def _check_editable(text: str, units: list[Unit]) -> None:
    for unit in units:
        if not isinstance(unit, Neuron | Head):
            raise GrammarError(text, 0, f"{unit} cannot be set or scaled: name neurons (L12.N345) or heads (L5.H3)")


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
