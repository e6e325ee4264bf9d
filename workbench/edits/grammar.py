"""Edits from text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator

from workbench.edits.parsed import find_refusal
from workbench.edits.positions import parse_positions
from workbench.edits.structs import STACK, Add, Edit, Mean, Patch, Resample, Scale, SetTo, Stacks
from workbench.errors import GrammarError, UserError
from workbench.model_info import ModelInfo
from workbench.units import names_sets, parse_units

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
        # A set of the basket is written out by the session: its units are not known here.
        units = [] if names_sets(left) else parse_units(left, info)
    except GrammarError as error:
        raise GrammarError(text, error.position, error.problem) from None
    edit = _right_side(text, start, operator, left.strip(), where)
    refusal = find_refusal(edit, units)
    if refusal:
        raise GrammarError(text, 0 if refusal.side == "units" else start, refusal.sentence)
    return edit


def _right_side(text: str, start: int, operator: str, units: str, at: str) -> Edit:
    typed = text[start:].strip()
    if operator == "<":
        try:
            prompt = json.loads(typed)
        except (ValueError, RecursionError):
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
            edits += _saved_edits(part, stacks)
        else:
            edits.append(parse_edit(part, info))
    return edits


def _saved_edits(part: str, stacks: Stacks | None) -> list[Edit]:
    name = part.removeprefix(STACK)
    if stacks and name in stacks:
        return [entry.edit for entry in stacks[name] if entry.on]
    saved = ", ".join(STACK + saved_name for saved_name in sorted(stacks or ()))
    problem = f"no stack {name!r} is saved in this session: " + (saved or "the edits screen saves one (s)")
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
