"""Lists of units read from text, written as text and completed; each kind declares how they look (`kinds/`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from workbench.errors import GrammarError
from workbench.model_info import ModelInfo
from workbench.units.kind import Kind, ParsedTerm, Term
from workbench.units.kinds import kinds
from workbench.units.kinds.direction import Direction
from workbench.units.scan import SEPARATORS, read_numbers
from workbench.units.unit import MAX_UNITS, Indexed, Unit

_LISTS = {
    "L3.N10-20": "a range, both ends included; L3-5.H0, L*.resid_post and L5.H* likewise",
    "L3.N1, L4.N2": "a list: commas or spaces",
    "basket:months": "a named set of pins, `basket` alone the pins without a name; where a session is at hand",
}


def written_forms() -> list[str]:
    """All that can be written where units are asked for, with what it means: a line each, for help."""
    forms = {kind.example: kind.meaning for kind in kinds()} | _LISTS
    return [f"{form:<15} {meaning}" if len(form) < 16 else f"{form}   {meaning}" for form, meaning in forms.items()]


def parse_units(text: str, info: ModelInfo | None = None) -> list[Unit]:
    """All units that `text` names, in its order, each once.

    With `info` the addresses are checked against the model's shape and `*` means all.
    Raises GrammarError, pointing at the character.
    """
    named: dict[Unit, None] = {}
    position = 0
    while True:
        match = SEPARATORS.match(text, position)
        if match:
            position = match.end()
        if position >= len(text):
            break
        units, position = _parse_term(text, position, info)
        named.update(dict.fromkeys(units))
        if len(named) > MAX_UNITS:
            raise GrammarError(text, position, f"more than {MAX_UNITS:,} units: name fewer")
    if not named:
        examples = _alternatives([kind.example for kind in _in_layer()])
        raise GrammarError(text, 0, f"no unit named: write one like {examples}")
    return list(named)


def parse_unit(text: str, info: ModelInfo | None = None) -> Unit:
    """The one unit that `text` names. Raises GrammarError, also where it names several."""
    units = parse_units(text, info)
    if len(units) > 1:
        raise GrammarError(text, 0, f"one unit is wanted here, this names {len(units):,}")
    return units[0]


def direction_name(text: str) -> str:
    """The name, without its @, of the one direction that `text` names. Raises GrammarError for anything else."""
    name = text.strip()
    units = parse_units(name) if name.startswith("@") else []
    if len(units) != 1 or not isinstance(units[0], Direction):
        raise GrammarError(text, 0, "one direction is wanted here, such as @refusal or @L12.N345.out")
    return units[0].name


def _parse_term(text: str, start: int, info: ModelInfo | None) -> ParsedTerm:
    if text[start] not in "Ll":
        return _parse_kind(Term(text, start, start, range(0), info), in_layer=False)
    layers, at = read_numbers(text, start + 1, "layer", info.n_layers if info else None, info)
    if at >= len(text) or text[at] != ".":
        begins = _alternatives([kind.begins for kind in _in_layer()])
        examples = ", ".join(kind.example for kind in _in_layer())
        raise GrammarError(text, at, f"a dot and {begins} follow the layer: {examples}")
    return _parse_kind(Term(text, start, at + 1, layers, info), in_layer=True)


def _parse_kind(term: Term, in_layer: bool) -> ParsedTerm:
    for kind in kinds():
        parsed = kind.parse(term) if kind.in_layer is in_layer else None
        if parsed is not None:
            return parsed
    if in_layer:
        raise GrammarError(term.text, term.at, f"expected {_alternatives([kind.described for kind in _in_layer()])}")
    named = [kind for kind in kinds() if kind.begins]
    begins = _alternatives(["L (layer)", *(kind.begins for kind in named if not kind.in_layer)])
    raise GrammarError(term.text, term.at, f"a unit starts with {begins}: {', '.join(kind.example for kind in named)}")


def _in_layer() -> list[Kind]:
    """The kinds that sentences name as what may follow a layer."""
    return [kind for kind in kinds() if kind.in_layer and kind.begins]


def _alternatives(parts: list[str]) -> str:
    """`a, b or c`"""
    return " or ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def format_units(units: Iterable[Unit]) -> str:
    """The shortest text that names these units in this order: neighbours become ranges.

    `parse_units(format_units(units)) == list(units)` for units without repeats.
    """
    terms: list[str] = []
    run: list[Indexed] = []

    def close() -> None:
        if run:
            term, suffix = str(run[0]), run[0].suffix
            terms.append(term if len(run) == 1 else f"{term.removesuffix(suffix)}-{run[-1].index}{suffix}")
            run.clear()

    for unit in units:
        if isinstance(unit, Indexed):
            last = run[-1] if run else None
            follows = (
                last
                and type(last) is type(unit)
                and (last.layer, last.index + 1, last.suffix) == (unit.layer, unit.index, unit.suffix)
            )
            if not follows:
                close()
            run.append(unit)
        else:
            close()
            terms.append(str(unit))
    close()
    return ", ".join(terms)


def check_unit(unit: Unit, info: ModelInfo) -> None:
    """Raises UserError where the model has no such unit."""
    parse_unit(str(unit), info)


def complete(text: str, info: ModelInfo, suggestions: Iterable[str] = ()) -> Iterator[str]:
    """Ways to go on with the last term of `text`, whole terms, most useful first.

    `suggestions` are units to offer first: pins, recent and top results.
    """
    term = SEPARATORS.split(text)[-1]
    offered: set[str] = set()

    def offer(candidate: str) -> Iterator[str]:
        if candidate not in offered and candidate.lower().startswith(term.lower()):
            offered.add(candidate)
            yield candidate

    for candidate in suggestions:
        yield from offer(candidate)
    match = re.fullmatch(r"[Ll](\d+)\.(\w*)", term)
    if match and int(match.group(1)) < info.n_layers:
        layer = int(match.group(1))
        for kind in reversed(kinds()):
            for rest in kind.complete(match.group(2), layer, info):
                yield from offer(f"L{layer}.{rest}")
    elif re.fullmatch(r"[Ll]?\d*", term):
        for layer in range(info.n_layers):
            yield from offer(f"L{layer}.")
