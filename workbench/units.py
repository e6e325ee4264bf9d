"""Units: what can be pointed at, and the grammar that names them.

L12.N345        a neuron: layer 12, index 345 of the MLP post-activation
L5.H3           a query head
L5.resid_post   a site of the stream or of a block (SITES)
@refusal        a named direction
L5.resid_post@refusal   the component of a site along a direction
L3.N10-20       a range, both ends included; L3-5.H0, L*.resid_post and L5.H* likewise
L3.N1, L4.N2    a list: commas or spaces
basket:months   a named set of pins, `basket` alone the pins without a name; where a session is at hand
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from workbench.errors import GrammarError, UserError
from workbench.model_info import ModelInfo

SITES: dict[str, str] = {
    "resid_pre": "residual stream at the block's input",
    "resid_mid": "residual stream between attention and MLP",
    "resid_post": "residual stream at the block's output",
    "attn_out": "what attention adds to the stream",
    "mlp_out": "what the MLP adds to the stream",
    "mlp_pre": "MLP before the activation function (the gate, where gated)",
    "mlp_pre_linear": "the linear part of a gated MLP",
    "mlp_post": "MLP activations: the vector that W_out multiplies",
    "z": "attention heads' outputs before W_O",
    "pattern": "attention patterns",
}
STREAM: frozenset[str] = frozenset({"resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"})
"""sites whose vectors have d_model numbers, where a direction can be read and written"""
MAX_UNITS = 1_000_000


class Neuron(msgspec.Struct, frozen=True, order=True, tag="neuron"):
    """One entry of the MLP post-activation."""

    layer: int
    index: int

    def __str__(self) -> str:
        return f"L{self.layer}.N{self.index}"


class Head(msgspec.Struct, frozen=True, order=True, tag="head"):
    """One query head."""

    layer: int
    index: int

    def __str__(self) -> str:
        return f"L{self.layer}.H{self.index}"


class Site(msgspec.Struct, frozen=True, order=True, tag="site"):
    """A place in a block, named as in SITES."""

    layer: int
    name: str

    def __str__(self) -> str:
        return f"L{self.layer}.{self.name}"


class Direction(msgspec.Struct, frozen=True, order=True, tag="direction"):
    """A named vector in the residual stream."""

    name: str

    def __str__(self) -> str:
        return f"@{self.name}"


class Component(msgspec.Struct, frozen=True, order=True, tag="component"):
    """One number a position: the component of a site of the stream along a named direction."""

    layer: int
    site: str
    direction: str

    def __str__(self) -> str:
        return f"L{self.layer}.{self.site}@{self.direction}"


Unit = Neuron | Head | Site | Direction | Component

_SEPARATORS = re.compile(r"[,\s]+")
_NAME = re.compile(r"[A-Za-z_](?:[\w.-]*\w)?")
_NUMBER = re.compile(r"\d+")
_SET = re.compile(r"(?<![^\s,])basket(?::(?P<name>[^\s,:;=*+<\[\]]+))?(?![^\s,])")


def parse_units(text: str, info: ModelInfo | None = None) -> list[Unit]:
    """All units that `text` names, in its order, each once.

    With `info` the addresses are checked against the model's shape and `*` means all.
    Raises GrammarError, pointing at the character.
    """
    found: dict[Unit, None] = {}
    position = 0
    while True:
        match = _SEPARATORS.match(text, position)
        if match:
            position = match.end()
        if position >= len(text):
            break
        units, position = _parse_term(text, position, info)
        found.update(dict.fromkeys(units))
        if len(found) > MAX_UNITS:
            raise GrammarError(text, position, f"more than {MAX_UNITS:,} units: name fewer")
    if not found:
        raise GrammarError(text, 0, "no unit named: write one like L12.N345, L5.H3 or L5.resid_post")
    return list(found)


def parse_unit(text: str, info: ModelInfo | None = None) -> Unit:
    """The one unit that `text` names. Raises GrammarError, also where it names several."""
    units = parse_units(text, info)
    if len(units) > 1:
        raise GrammarError(text, 0, f"one unit is wanted here, this names {len(units):,}")
    return units[0]


def _parse_term(text: str, start: int, info: ModelInfo | None) -> tuple[list[Unit], int]:
    if text[start] == "@":
        name, end = _parse_direction(text, start)
        return [Direction(name)], end
    if text[start] not in "Ll":
        raise GrammarError(
            text, start, "a unit starts with L (layer) or @ (direction): L12.N345, L5.H3, L5.resid_post, @refusal"
        )
    layers, at = _parse_numbers(text, start + 1, "layer", info.n_layers if info else None, info)
    if at >= len(text) or text[at] != ".":
        raise GrammarError(text, at, "a dot and N, H or a site follow the layer: L12.N345, L5.H3, L5.resid_post")
    at += 1
    letter = text[at : at + 1]
    follows = text[at + 1 : at + 2]
    make: type[Neuron] | type[Head]
    if letter in ("N", "n", "H", "h") and (follows.isdigit() or follows == "*"):
        neuron = letter in "Nn"
        make = Neuron if neuron else Head
        limit = (info.d_mlp if neuron else info.n_heads) if info else None
        indices, end = _parse_numbers(text, at + 1, "neuron" if neuron else "head", limit, info)
        _end_of_term(text, end)
        if len(layers) * len(indices) > MAX_UNITS:
            raise GrammarError(text, start, f"more than {MAX_UNITS:,} units: name fewer")
        return [make(layer, index) for layer in layers for index in indices], end
    match = _NAME.match(text, at)
    if not match or match.group() not in SITES:
        raise GrammarError(
            text, at, f"expected N and a number (neuron), H and a number (head) or a site: {', '.join(SITES)}"
        )
    name, end = match.group(), match.end()
    if info is not None:
        _check_site(text, at, name, info)
    if text[end : end + 1] == "@":
        if name not in STREAM:
            raise GrammarError(text, end, f"a direction lies in the stream: {', '.join(sorted(STREAM))}")
        direction, end = _parse_direction(text, end)
        return [Component(layer, name, direction) for layer in layers], end
    _end_of_term(text, end)
    return [Site(layer, name) for layer in layers], end


def _parse_direction(text: str, at: int) -> tuple[str, int]:
    """The name after the @ at `at`, and where it ends."""
    match = _NAME.match(text, at + 1)
    if not match:
        raise GrammarError(text, at + 1, "a direction's name follows @, for example @refusal")
    _end_of_term(text, match.end())
    return match.group(), match.end()


def _check_site(text: str, at: int, name: str, info: ModelInfo) -> None:
    if name == "resid_mid" and info.parallel_blocks:
        raise GrammarError(
            text, at, "this model's blocks are parallel: attention and MLP read resid_pre, there is no resid_mid"
        )
    if name == "mlp_pre_linear" and not info.gated_mlp:
        raise GrammarError(text, at, "this model's MLP is not gated: it has mlp_pre and mlp_post only")


def _parse_numbers(text: str, at: int, what: str, limit: int | None, info: ModelInfo | None) -> tuple[range, int]:
    """`7`, `3-5` or `*`; `limit` is how many there are."""
    if text[at : at + 1] == "*":
        if limit is None:
            raise GrammarError(text, at, f"* means every {what}, which needs a model: write a range like 0-5")
        return range(limit), at + 1
    match = _NUMBER.match(text, at)
    if not match:
        raise GrammarError(text, at, f"a {what} number is expected here")
    first = last = _number(text, match)
    end = match.end()
    if text[end : end + 1] == "-":
        match_last = _NUMBER.match(text, end + 1)
        if not match_last:
            raise GrammarError(text, end + 1, f"a range ends with a {what} number: 10-20")
        last = _number(text, match_last)
        if last < first:
            raise GrammarError(text, end + 1, f"a range goes upwards: {last}-{first}")
        end = match_last.end()
    if limit is not None and last >= limit:
        named = f"{info.name} has" if info else "there are"
        raise GrammarError(text, at, f"there is no {what} {last}: {named} {limit:,} {what}s, 0 to {limit - 1}")
    if last - first >= MAX_UNITS:
        raise GrammarError(text, at, f"more than {MAX_UNITS:,} units: name fewer")
    return range(first, last + 1), end


def _number(text: str, match: re.Match[str]) -> int:
    if len(match.group()) > 9:
        raise GrammarError(text, match.start(), "this number is too large")
    return int(match.group())


def _end_of_term(text: str, at: int) -> None:
    if at < len(text) and not _SEPARATORS.match(text, at):
        raise GrammarError(text, at, "a comma or a space separates units")


def format_units(units: Iterable[Unit]) -> str:
    """The shortest text that names these units in this order: neighbours become ranges.

    `parse_units(format_units(units)) == list(units)` for units without repeats.
    """
    terms: list[str] = []
    run: list[Neuron | Head] = []

    def close() -> None:
        if run:
            term = str(run[0])
            terms.append(term if len(run) == 1 else f"{term}-{run[-1].index}")
            run.clear()

    for unit in units:
        if isinstance(unit, Neuron | Head):
            last = run[-1] if run else None
            follows = last and type(last) is type(unit) and (last.layer, last.index + 1) == (unit.layer, unit.index)
            if not follows:
                close()
            run.append(unit)
        else:
            close()
            terms.append(str(unit))
    close()
    return ", ".join(terms)


def check_set_name(name: str) -> None:
    """Raises UserError for a name that `basket:NAME` could not be written with."""
    if name and not _SET.fullmatch(f"basket:{name}"):
        raise UserError(f"a set's name is one word without commas, colons, brackets or =: {name!r} is not")


def names_sets(text: str) -> bool:
    """Whether a list of units names the basket or one of its sets (`basket`, `basket:months`)."""
    return _SET.search(text) is not None


def expand_sets(text: str, pins: Iterable[tuple[str, str]]) -> str:
    """`basket` and `basket:NAME` in a list of units, written out. `pins` are (unit, set's name; empty the basket).

    Raises GrammarError for a set that has no units, naming the ones there are.
    """
    sets: dict[str, list[str]] = {}
    for unit, name in pins:
        sets.setdefault(name, []).append(unit)

    def units(match: re.Match[str]) -> str:
        name = match["name"] or ""
        if name not in sets:
            what = f"no set {name!r}" if name else "nothing in the basket"
            there = ", ".join(f"basket:{one}" if one else "basket" for one in sorted(sets))
            raise GrammarError(
                text, match.start(), f"there is {what}: " + (f"there are {there}" if there else "pin units first")
            )
        return ", ".join(sets[name])

    return _SET.sub(units, text)


def check_unit(unit: Unit, info: ModelInfo) -> None:
    """Raises UserError where the model has no such unit."""
    if isinstance(unit, Direction):
        return
    parse_unit(str(unit), info)


def complete(text: str, info: ModelInfo, known: Iterable[str] = ()) -> Iterator[str]:
    """Ways to go on with the last term of `text`, whole terms, most useful first.

    `known` are units worth offering: pins, recent and top results.
    """
    term = _SEPARATORS.split(text)[-1]
    offered: set[str] = set()

    def offer(candidate: str) -> Iterator[str]:
        if candidate not in offered and candidate.lower().startswith(term.lower()):
            offered.add(candidate)
            yield candidate

    for candidate in known:
        yield from offer(candidate)
    match = re.fullmatch(r"[Ll](\d+)\.(\w*)", term)
    if match and int(match.group(1)) < info.n_layers:
        layer = int(match.group(1))
        for name in SITES:
            try:
                check_unit(Site(layer, name), info)
            except UserError:
                continue
            yield from offer(f"L{layer}.{name}")
        for index in range(info.n_heads):
            yield from offer(f"L{layer}.H{index}")
        typed = match.group(2)[1:]
        if match.group(2)[:1] in ("N", "n", ""):
            for index in _indices_starting(typed, info.d_mlp):
                yield from offer(f"L{layer}.N{index}")
    elif re.fullmatch(r"[Ll]?\d*", term):
        for layer in range(info.n_layers):
            yield from offer(f"L{layer}.")


def _indices_starting(typed: str, limit: int) -> Iterator[int]:
    """Up to ten indices below `limit` whose digits start with `typed`, smallest first."""
    if not typed.isdigit():
        yield from range(min(10 if not typed else 0, limit))
        return
    number, width, given = int(typed), 1, 0
    while number < limit and given < 10:
        for index in range(number, min(number + width, limit)):
            yield index
            given += 1
            if given == 10:
                return
        if number == 0:
            return
        number, width = number * 10, width * 10
