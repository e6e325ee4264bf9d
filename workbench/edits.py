"""Edits: changes to the forward pass, as data. `workbench.lab` applies them.

    L12.N345=0              set a neuron's activation; heads and sites are vectors and can be set to 0
    L12.N345*=2             scale (neurons, heads, sites, components)
    L12.N345=mean           its mean over a fixed text
    L5.H3=resample          its value at positions of that text, drawn by seed
    L5.H3<"other prompt"    its value on another prompt, position by position
    @refusal=0              project a direction out wherever it can be written
    L14.resid_post@refusal=0   or at chosen sites; a component takes =NUMBER, *=, +=, =mean, =resample, <"…" too
    L14.resid_post+=6*@capital   add a direction as stored; L*.resid_post for every layer, -= subtracts
    L12.N345+=.5            add to an activation
    basket:months=0         a set of the session's pins; it is written out when a step begins
    stack:months            a stack that was saved under this name in the session, as its edits that are on

Directions come from files, or from a neuron's weights: @L12.N345.out, .in (.gate where gated).
Where: everywhere, or [last] [3] [2-5] [1-] [prompt] [generated] after the units: L12.N345[last]=0. Position 0 is the
first token; `last` is the prompt's last token, whatever is generated after it.
A stack of edits is applied in its order: each sees what the ones before it left.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from workbench.errors import GrammarError, UserError
from workbench.model_info import ModelInfo
from workbench.units import STREAM, Component, Direction, Head, Neuron, Site, Unit, names_sets, parse_units


class _Edit(msgspec.Struct, frozen=True, tag_field="op", omit_defaults=True):
    units: str
    """as `parse_units` reads them"""


class SetTo(_Edit, frozen=True, tag="set"):
    """The units' activation becomes `value`."""

    value: float
    at: str = ""
    """which positions, as `parse_positions` reads them; empty is all"""

    def __str__(self) -> str:
        return f"{_left(self)}={_number(self.value)}"


class Scale(_Edit, frozen=True, tag="scale"):
    """The units' activation is multiplied by `factor`."""

    factor: float
    at: str = ""

    def __str__(self) -> str:
        return f"{_left(self)}*={_number(self.factor)}"


class Mean(_Edit, frozen=True, tag="mean"):
    """The units' activation becomes its mean over a fixed text."""

    at: str = ""

    def __str__(self) -> str:
        return f"{_left(self)}=mean"


class Resample(_Edit, frozen=True, tag="resample"):
    """The units' activation becomes, position by position, what it is at tokens of a fixed text, drawn by seed."""

    at: str = ""

    def __str__(self) -> str:
        return f"{_left(self)}=resample"


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
        return f"{_left(self)}{'-' if minus else '+'}={amount}"


class Patch(_Edit, frozen=True, tag="patch"):
    """The units' activation becomes what it is on another prompt at the same positions (`last`: at its last)."""

    prompt: str
    at: str = ""

    def __str__(self) -> str:
        return f"{_left(self)}<{json.dumps(self.prompt, ensure_ascii=False)}"


class Function(_Edit, frozen=True, tag="function"):
    """A Python function put at a site from a notebook: `source` is kept to be read, not run.

    Only `workbench.open_lab` makes these; a step that has one is marked as not replayable.
    """

    source: str

    def __str__(self) -> str:
        return f"{self.units}=<python function>"


Edit = SetTo | Scale | Mean | Resample | Add | Patch | Function
Setting = SetTo | Mean | Resample | Patch
"""edits after which nothing is left of what was there: two at one place contradict each other"""


class Entry(msgspec.Struct, frozen=True):
    """A place in a stack: an edit, applied or waiting."""

    edit: Edit
    on: bool = True


Stacks = Mapping[str, Sequence[Entry]]
"""stacks by the names they were saved under"""
STACK = "stack:"
"""before such a name, in place of an edit"""


class Positions(msgspec.Struct, frozen=True):
    """Where an edit acts: always one run of neighbouring positions."""

    kind: Literal["all", "last", "range", "prompt", "generated"] = "all"
    first: int = 0
    last: int | None = None
    """of a range, included; None is to the end"""

    def span(self, prompt_length: int) -> tuple[int, int | None]:
        """First position and the one after the last (None: no end), for a prompt of so many tokens."""
        if self.kind == "last":
            return prompt_length - 1, prompt_length
        if self.kind == "prompt":
            return 0, prompt_length
        if self.kind == "generated":
            return prompt_length, None
        return self.first, None if self.last is None else self.last + 1

    def meets(self, other: Positions) -> bool:
        """Whether both surely name some common position, whatever the prompt's length."""
        if self.kind == other.kind == "range":
            ends = [span.last for span in (self, other) if span.last is not None]
            return not ends or max(self.first, other.first) <= min(ends)
        kinds = {self.kind, other.kind}
        return "all" in kinds or len(kinds) == 1 or kinds == {"prompt", "last"}


_POSITIONS = re.compile(r"(\d{1,7})(?:(-)(\d{1,7})?)?")


def parse_positions(text: str) -> Positions:
    """`last`, `prompt`, `generated`, `3`, `2-5`, `1-`; empty is all. Raises UserError."""
    typed = text.strip()
    if not typed:
        return Positions()
    for kind in ("last", "prompt", "generated"):
        if typed == kind:
            return Positions(kind)
    match = _POSITIONS.fullmatch(typed)
    if not match:
        raise UserError("positions are [last], [3], [2-5], [1-] (from 1 on), [prompt] or [generated]")
    first = int(match[1])
    if not match[2]:
        return Positions("range", first, first)
    if not match[3]:
        return Positions("range", first)
    if int(match[3]) < first:
        raise UserError(f"a range goes upwards: [{match[3]}-{first}]")
    return Positions("range", first, int(match[3]))


def edit_positions(edit: Edit) -> Positions:
    """Where an edit acts; a Python function acts everywhere."""
    return Positions() if isinstance(edit, Function) else parse_positions(edit.at)


# --- from text -----------------------------------------------------------------------------------

_OPERATOR = re.compile(r"\s*(\*=|\+=|-=|=|<)\s*")
_AT = re.compile(r"\s*\[([^\]]*)\]$")
_AMOUNT = re.compile(r"(?:(?P<number>[^@*]*?)\s*\*\s*)?@(?P<name>[^\s,@]*)")


def parse_edit(text: str, info: ModelInfo | None = None) -> Edit:
    """One edit. Raises GrammarError, pointing at the character."""
    match = _OPERATOR.search(text)
    if match and match.group(1) == "*=" and text[: match.start()].endswith((".N", ".H", ".n", ".h")):
        match = _OPERATOR.search(text, match.start(1) + 1)  # `L5.H*=0`: the star means every head
    if not match:
        raise GrammarError(
            text, len(text), 'an edit is UNITS=VALUE, UNITS*=FACTOR, SITE+=STRENGTH*@DIRECTION or UNITS<"PROMPT"'
        )
    left, operator, start = text[: match.start()], match.group(1), match.end()
    at = _AT.search(left)
    where = at.group(1).strip() if at else ""
    if at:
        left = left[: at.start()]
        try:
            parse_positions(where)
        except UserError as error:
            raise GrammarError(text, at.start(1), str(error)) from None
        if not where:
            raise GrammarError(text, at.start(1), "no position is named: leave the brackets out to edit at all")
    try:
        # What a set of the basket holds only the session tells.
        units = [] if names_sets(left) else parse_units(left, info)
    except GrammarError as error:
        raise GrammarError(text, error.position, error.problem) from None
    edit = _right_side(text, start, operator, left.strip(), where)
    problem = _problem(edit, units)
    if problem:
        side, sentence = problem
        raise GrammarError(text, 0 if side == "units" else start, sentence)
    return edit


def _right_side(text: str, start: int, operator: str, units: str, at: str) -> Edit:
    typed = text[start:].strip()
    if operator == "<":
        try:
            prompt = json.loads(typed)
        except ValueError:
            prompt = None
        if not isinstance(prompt, str):
            raise GrammarError(text, start, 'another prompt in double quotes is expected here: L5.H3<"text"')
        return Patch(units, prompt, at)
    if operator == "*=":
        return Scale(units, _float(text, start, typed, "factor"), at)
    if operator == "=":
        if typed in ("mean", "resample"):
            return Mean(units, at) if typed == "mean" else Resample(units, at)
        return SetTo(units, _float(text, start, typed, "value"), at)
    sign = -1 if operator == "-=" else 1
    if "@" not in typed:
        return Add(units, sign * _float(text, start, typed, "strength"), "", at)
    amount = _AMOUNT.fullmatch(typed)
    if amount is None:
        raise GrammarError(text, start, "a strength times one direction is expected here: 6*@capital")
    name = amount["name"]
    try:
        parse_units(f"@{name}")
    except GrammarError as error:
        raise GrammarError(text, text.rindex("@") + error.position, error.problem) from None
    strength = 1.0 if amount["number"] is None else _float(text, start, amount["number"], "strength")
    return Add(units, sign * strength, name, at)


def _float(text: str, start: int, typed: str, what: str) -> float:
    try:
        value = float(typed)
    except ValueError:
        also = ", `mean` or `resample`" if what == "value" else ""
        raise GrammarError(text, start, f"a number{also} is expected here as the {what}") from None
    if not math.isfinite(value):
        raise GrammarError(text, start, "a finite number is expected here")
    return value


def parse_edits(texts: Iterable[str], info: ModelInfo | None = None, stacks: Stacks | None = None) -> list[Edit]:
    """A stack, in order; each text may hold several edits separated by `;`, and `stack:NAME` of `stacks`.

    Raises GrammarError.
    """
    edits: list[Edit] = []
    for part in (part for text in texts for part in _parts(text)):
        if part.startswith(STACK):
            edits += _saved(part, stacks)
        else:
            edits.append(parse_edit(part, info))
    return edits


def _saved(part: str, stacks: Stacks | None) -> list[Edit]:
    name = part.removeprefix(STACK)
    if stacks and name in stacks:
        return [entry.edit for entry in stacks[name] if entry.on]
    there = ", ".join(STACK + one for one in sorted(stacks or ()))
    problem = f"no stack {name!r} is saved in this session: " + (there or "the edits screen saves one (s)")
    raise GrammarError(part, len(STACK), problem)


def check_stack_name(name: str) -> None:
    """Raises UserError for a name that `stack:NAME` could not be written with."""
    if not re.fullmatch(r'[^\s,:;=*+<>"\[\]]+', name):
        raise UserError(f"a stack's name is one word without commas, colons, quotes, brackets or =: {name!r} is not")


def _parts(text: str) -> Iterator[str]:
    """Between semicolons that stand outside of quotes."""
    start, quoted, at = 0, False, 0
    while at < len(text):
        if text[at] == "\\" and quoted:
            at += 1
        elif text[at] == '"':
            quoted = not quoted
        elif text[at] == ";" and not quoted:
            yield from filter(None, [text[start:at].strip()])
            start = at + 1
        at += 1
    yield from filter(None, [text[start:].strip()])


# --- checks --------------------------------------------------------------------------------------


def edit_units(edit: Edit, info: ModelInfo) -> list[Unit]:
    """The units an edit touches; the whole edit is checked against the model. Raises UserError."""
    units = parse_units(edit.units, info)
    edit_positions(edit)
    if not isinstance(edit, Function):
        problem = _problem(edit, units)
        if problem:
            raise UserError(f"{edit}: {problem[1]}")
    return units


def _problem(edit: Edit, units: list[Unit]) -> tuple[Literal["units", "value"], str] | None:
    """What is wrong with an edit of these units: on which side, and a sentence."""
    amount = next((getattr(edit, name) for name in ("value", "factor", "strength") if hasattr(edit, name)), 0.0)
    if not math.isfinite(amount):
        return "value", "a finite number is expected here"
    if isinstance(edit, Patch) and not edit.prompt:
        return "value", "the other prompt is empty: give the text that activations are taken from"
    for unit in units:
        problem = _unit_problem(edit, unit)
        if problem:
            return problem
    return None


def _unit_problem(edit: Edit, unit: Unit) -> tuple[Literal["units", "value"], str] | None:
    if isinstance(unit, Site) and unit.name == "pattern":
        return "units", f"{unit} cannot be edited: edit the heads it belongs to (L{unit.layer}.H0)"
    if isinstance(edit, Add):
        if edit.direction and not (isinstance(unit, Site) and unit.name in STREAM):
            return (
                "units",
                f"a direction is added to a site of the stream (L14.resid_post+=6*@capital), not to {unit}",
            )
        if not edit.direction and not isinstance(unit, Neuron | Component):
            return (
                "value",
                f"a number is added to a neuron; to {unit} a direction can be added, where it is a site (6*@capital)",
            )
    if isinstance(edit, SetTo) and edit.value != 0 and not isinstance(unit, Neuron | Component):
        if isinstance(unit, Direction):
            return "value", f"everywhere at once {unit} can be set to 0 only: name a site (L14.resid_post{unit}=3)"
        what = "a head's output" if isinstance(unit, Head) else str(unit)
        return "value", f"{what} is a vector: it can be set to 0 or scaled (L5.H3*=2)"
    if isinstance(edit, Scale) and isinstance(unit, Direction):
        return "units", f"{unit} cannot be scaled everywhere at once: name a site (L14.resid_post{unit}*=2)"
    return None


def check_stack(edits: Iterable[Edit], info: ModelInfo) -> None:
    """Checks every edit, and that no two set the same unit at the same positions. Raises UserError."""
    known: dict[Unit, list[Edit]] = {}
    for edit in edits:
        units = edit_units(edit, info)
        if not isinstance(edit, Setting):
            continue
        where = edit_positions(edit)
        for unit in units:
            for earlier in known.setdefault(unit, []):
                if where.meets(edit_positions(earlier)):
                    raise UserError(f"two edits contradict each other: {earlier} and {edit} both set {unit}: keep one")
            known[unit].append(edit)


def _left(edit: SetTo | Scale | Mean | Resample | Add | Patch) -> str:
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
