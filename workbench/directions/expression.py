"""Arithmetic on directions: `@a - 0.5*@b`, `orthogonalise(@a, @b)`, `normalise(@a)`, `-@a`.

Operators stand between spaces, since names may contain - and . themselves. `str` of what was read reads back as itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from functools import reduce
from typing import Literal

import msgspec
import numpy as np

from workbench.errors import GrammarError, UserError
from workbench.units.scan import NAME

MAX_LENGTH = 2000
"""characters"""
MAX_DEPTH = 40
"""brackets within brackets"""
NOTHING_LEFT = 1e-6
"""of the first vector's length: what float32 numbers leave of one that lies along others"""
_NUMBER = re.compile(r"(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_FUNCTION = re.compile(r"(orthogonalise|normalise)\s*\(")
_OPERATOR = re.compile(r"\s+([+-])\s+")
_SPACES = re.compile(r"\s*")


class Named(msgspec.Struct, frozen=True):
    """`@a`"""

    name: str
    """without its @"""

    def __str__(self) -> str:
        return f"@{self.name}"


class Scaled(msgspec.Struct, frozen=True):
    """`0.5*@a`, `-@a`"""

    factor: float
    of: Named | Sum | Applied

    def __str__(self) -> str:
        sign, size = ("-" if self.factor < 0 else ""), abs(self.factor)
        return f"{sign}{_bracketed(self.of)}" if size == 1 else f"{sign}{_number(size)}*{_bracketed(self.of)}"


class Sum(msgspec.Struct, frozen=True):
    """`@a + @b - 2*@c`; two terms or more"""

    terms: tuple[Named | Scaled | Sum | Applied, ...]

    def __str__(self) -> str:
        first, *others = self.terms
        return _bracketed(first) + "".join(map(_later_term, others))


class Applied(msgspec.Struct, frozen=True):
    """`normalise(@a)`: length 1. `orthogonalise(@a, @b, …)`: without what lies in the span of the others."""

    function: Literal["orthogonalise", "normalise"]
    arguments: tuple[Named | Scaled | Sum | Applied, ...]

    def __str__(self) -> str:
        return f"{self.function}({', '.join(map(str, self.arguments))})"


Expression = Named | Scaled | Sum | Applied


def parse_expression(text: str) -> Expression:
    """Raises GrammarError, pointing at the character."""
    if len(text) > MAX_LENGTH:
        raise GrammarError(text[:MAX_LENGTH], MAX_LENGTH, f"more than {MAX_LENGTH:,} characters: make a part first")
    reader = _Reader(text)
    reader.skip_spaces()
    expression = reader.sum()
    reader.skip_spaces()
    if reader.at < len(text):
        raise reader.error("an operator between spaces, + or -, goes on here: @a - 0.5*@b")
    return expression


def names_in(expression: Expression) -> list[str]:
    """The directions it is made of, without @, in their order, each once."""
    return list(dict.fromkeys(_names(expression)))


def evaluate(expression: Expression, vector_of: Callable[[str], np.ndarray]) -> np.ndarray:
    """Its numbers, float64 [d_model]; `vector_of` gives those of a name.

    Raises UserError where widths differ, and where nothing is left of a direction.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # it is said below
        vector = _evaluate(expression, vector_of)
    if not vector.any():
        raise UserError(f"{expression} is zero: there is no direction in it")
    if not np.isfinite(vector).all():
        raise UserError(f"{expression} is not finite: take smaller factors")
    return vector


class _Reader:
    """Reads from `at` on."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self._depth = 0

    def error(self, problem: str) -> GrammarError:
        return GrammarError(self.text, self.at, problem)

    def skip_spaces(self) -> None:
        match = _SPACES.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def sum(self) -> Expression:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self.error("too many brackets within brackets: make a part first")
        terms = [self._term()]
        while match := _OPERATOR.match(self.text, self.at):
            self.at = match.end()
            term = self._term()
            terms.append(_scaled(-1, term) if match[1] == "-" else term)
        self._depth -= 1
        return terms[0] if len(terms) == 1 else Sum(tuple(terms))

    def _term(self) -> Expression:
        sign = 1.0
        if self.text[self.at : self.at + 1] == "-":
            self.at += 1
            sign = -1.0
        match = _NUMBER.match(self.text, self.at)
        if match is None:
            return _scaled(sign, self._atom())
        factor = float(match[0])
        if not math.isfinite(factor):
            raise self.error("this number is too large")
        self.at = match.end()
        self.skip_spaces()
        if self.text[self.at : self.at + 1] != "*":
            raise self.error("a number scales a direction: 0.5*@a")
        self.at += 1
        self.skip_spaces()
        start = self.at
        scaled = _scaled(sign * factor, self._atom())
        if isinstance(scaled, Scaled) and not math.isfinite(scaled.factor):
            self.at = start
            raise self.error("these factors are too large together")
        return scaled

    def _atom(self) -> Expression:
        start = self.at
        if self.text[start : start + 1] == "@":
            return self._named()
        function = _FUNCTION.match(self.text, start)
        if function is not None:
            self.at = function.end()
            arguments = self._arguments()
            if function[1] == "normalise":
                if len(arguments) != 1:
                    self.at = start
                    raise self.error("normalise takes one direction: normalise(@a)")
                return Applied("normalise", arguments)
            if len(arguments) < 2:
                self.at = start
                raise self.error("orthogonalise takes a direction, and those that it shall be orthogonal to: (@a, @b)")
            return Applied("orthogonalise", arguments)
        if self.text[start : start + 1] == "(":
            self.at += 1
            arguments = self._arguments()
            if len(arguments) > 1:
                self.at = start
                raise self.error("one direction is expected in these brackets")
            return arguments[0]
        raise self.error("a direction is expected here: @name, orthogonalise(@a, @b), normalise(@a) or 0.5*@a")

    def _arguments(self) -> tuple[Expression, ...]:
        """Up to the closing bracket, and past it."""
        arguments: list[Expression] = []
        while True:
            self.skip_spaces()
            arguments.append(self.sum())
            self.skip_spaces()
            ends = self.text[self.at : self.at + 1]
            if ends not in (",", ")"):
                raise self.error("a comma, a closing bracket, or an operator between spaces is expected here")
            self.at += 1
            if ends == ")":
                return tuple(arguments)

    def _named(self) -> Expression:
        name = NAME.match(self.text, self.at + 1)
        if name is None:
            self.at += 1
            raise self.error("a direction's name follows @, for example @refusal")
        self.at = name.end()
        following = self.text[self.at : self.at + 1]
        if following and not following.isspace() and following not in ",)":
            raise self.error("operators stand between spaces, since names may contain them: @a - 0.5*@b")
        return Named(name.group())


def _scaled(factor: float, expression: Expression) -> Expression:
    """Without factors of factors, and without a factor of 1."""
    if isinstance(expression, Scaled):
        return _scaled(factor * expression.factor, expression.of)
    return expression if factor == 1 else Scaled(factor + 0.0, expression)


def _bracketed(expression: Expression) -> str:
    return f"({expression})" if isinstance(expression, Sum) else str(expression)


def _later_term(term: Expression) -> str:
    """Behind another one."""
    if isinstance(term, Scaled) and term.factor < 0:
        return f" - {_bracketed(_scaled(-1, term))}"
    return f" + {_bracketed(term)}"


def _number(value: float) -> str:
    return repr(value).removesuffix(".0")


def _names(expression: Expression) -> Iterator[str]:
    match expression:
        case Named(name):
            yield name
        case Scaled(of=of):
            yield from _names(of)
        case Sum(parts) | Applied(arguments=parts):
            for part in parts:
                yield from _names(part)


def _evaluate(expression: Expression, vector_of: Callable[[str], np.ndarray]) -> np.ndarray:
    match expression:
        case Named(name):
            return np.asarray(vector_of(name), dtype=np.float64)
        case Scaled(factor, of):
            return factor * _evaluate(of, vector_of)
        case Sum(terms):
            return reduce(np.add, _alike(terms, vector_of))
        case Applied(function, arguments):
            vector, *others = _alike(arguments, vector_of)
            if function == "orthogonalise":
                return _orthogonalised(expression, vector, others)
            return vector / _length(arguments[0], vector)
    raise AssertionError(expression)


def _orthogonalised(expression: Applied, vector: np.ndarray, others: list[np.ndarray]) -> np.ndarray:
    for argument, other in zip(expression.arguments[1:], others, strict=True):
        _length(argument, other)
    span = np.stack([other / np.linalg.norm(other) for other in others], axis=1)
    coefficients = np.linalg.lstsq(span, vector, rcond=NOTHING_LEFT)[0]
    rest = vector - span @ coefficients
    if np.linalg.norm(rest) <= NOTHING_LEFT * np.linalg.norm(vector):
        others_text = ", ".join(map(str, expression.arguments[1:]))
        raise UserError(f"nothing is left of {expression.arguments[0]} beside {others_text}: it lies along them")
    return np.asarray(rest)


def _alike(parts: tuple[Expression, ...], vector_of: Callable[[str], np.ndarray]) -> list[np.ndarray]:
    """Their numbers. Raises UserError where they are of different models' widths."""
    vectors = [_evaluate(part, vector_of) for part in parts]
    for part, vector in zip(parts, vectors, strict=True):
        if vector.shape != vectors[0].shape:
            raise UserError(
                f"{parts[0]} has {len(vectors[0]):,} numbers and {part} {len(vector):,}: "
                f"they belong to models of different width"
            )
    return vectors


def _length(expression: Expression, vector: np.ndarray) -> float:
    length = float(np.linalg.norm(vector))
    if length == 0:
        raise UserError(f"{expression} is zero: it has no direction")
    return length
