"""Filter expressions over an index: which neurons, by anything that is known of each.

    layer 10-20                 a column and its values: ranges (both ends included), lists (layer 1,3,8-9)
    kurtosis>50  vr>=.4         a comparison; 5% is .05
    kurtosis>p99                the same against a percentile within the neuron's layer
    family=prediction,partition a category, any of these; * stands for anything (best=is_*)
    promotes:" Paris"           among its top promoted tokens; suppresses: likewise
    fires:" May",' June'        half of its top examples peak at one of these; fires:" May">=.2 sets the share
    " May",June                 a token alone: among those promoted, or a fifth of the top examples peak at it
    L12.N345  L3.N10-20         by address; in an index of features L10.F77
    in:marked  in:basket        in a set: the marks, the basket, a named set of pins
    -TERM                       not

Terms stand side by side and all have to hold. A word without quotes (`fires:May`) is that token with and without
a space in front. A neuron whose value is unknown passes no comparison.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from workbench.errors import GrammarError, UserError
from workbench.index.terms import Compare, InSet, Labels, Query, Ranges, Term, TermCount, Tokens, TypedToken, Units
from workbench.units import Feature, Neuron, parse_units

if TYPE_CHECKING:
    from workbench.index.catalogue import IndexColumn

TOKEN_TERMS = {
    "promotes": "has this token among those it promotes",
    "suppresses": "has this token among those it suppresses",
    "fires": "its top examples peak at one of these tokens",
}
FREQUENCY = "frequency"
"""of features: the share of tokens on which each fires"""
FIRES_SHARE = 0.5
"""The share of the top examples that `fires:` asks for where none is written."""
ALONE_SHARE = 0.2
"""The same for a token alone, which looks for all that may have to do with it."""

_NUMBER = r"[-+−]?(?:\d+(?:\.(?!\.)\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"[A-Za-z_]\w*")
_ADDRESS = re.compile(r"[Ll][\d*][\w.*/-]*")
_OPERATOR = re.compile(r"\s*(>=|<=|!=|≥|≤|≠|>|<|=)\s*")
_RANGE = re.compile(rf"(?P<low>{_NUMBER})(?:(?P<to>\.\.|[-–])(?P<high>{_NUMBER})?)?")
_VALUE = re.compile(rf"(?P<percentile>[pP])?(?P<number>{_NUMBER})(?P<percent>%)?")
_LABEL = re.compile(r"\"[^\"]*\"|'[^']*'|[^\s,]+")
_TOKEN = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|[^\s,\"'<>=!]+")
_QUOTE = re.compile(r"(?=[\"'])")
_NO_TOKEN = re.compile(rf"\s*(?:>|<|=|!=|≥|≤|≠|:)|\s+{_NUMBER}")
"""what follows a word that was to be a column"""
_SET = re.compile(r"[\w.-]+")
_PLAIN_OPERATOR = {"≥": ">=", "≤": "<=", "≠": "!="}
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)

__all__ = ["TOKEN_TERMS", "Query", "TermCount", "parse", "sort", "unescape"]


def sort(ids: np.ndarray, column: IndexColumn, descending: bool = False) -> np.ndarray:
    """`ids` [passing] ordered by a column; ties keep their order, unknown values come last either way."""
    values = np.asarray(column.values)[ids]
    unknown = np.zeros(len(values), bool)
    if column.kind in ("category", "token"):
        unknown = values < 0
        if column.labels:
            names = np.asarray(column.labels)
            ranks = np.empty(len(names), np.int64)
            ranks[np.argsort(names, kind="stable")] = np.arange(len(names))
            values = ranks[values]
    if values.dtype.kind == "f":
        unknown = np.isnan(values)
        bits = (values.astype(np.float32) + np.float32(0)).view(np.uint32)  # + 0: no negative zero
        keys = bits ^ np.where(bits >> 31, np.uint32(0xFFFFFFFF), np.uint32(0x80000000))
    else:
        keys = (values.astype(np.int64) + (1 << 31)).astype(np.uint32)
    keys = ~keys if descending else keys
    keys[unknown] = 0xFFFFFFFF
    # Value and place in one number: numpy sorts those several times as fast as it sorts stably.
    places = keys.astype(np.uint64) << np.uint64(32) | np.arange(len(ids), dtype=np.uint64)
    places.sort()
    ordered: np.ndarray = ids[(places & np.uint64(0xFFFFFFFF)).astype(np.int64)]
    return ordered


def parse(text: str, columns: Mapping[str, IndexColumn], sets: Collection[str] = ()) -> Query:
    """A filter expression. Raises GrammarError, pointing at the character."""
    return Query(text=text, terms=tuple(_Parser(text, columns, sets).terms()))


class _Parser:
    def __init__(self, text: str, columns: Mapping[str, IndexColumn], sets: Collection[str]) -> None:
        self.text = text
        self.columns = columns
        self.sets = sets
        self.at = 0

    def fail(self, problem: str, at: int | None = None) -> NoReturn:
        raise GrammarError(self.text, self.at if at is None else at, problem)

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self.text, self.at)
        if match:
            self.at = match.end()
        return match

    def terms(self) -> Iterator[Term]:
        self.take(_SPACE)
        while self.at < len(self.text):
            yield self.term()
            end = self.at
            self.take(_SPACE)
            if self.at == end and self.at < len(self.text):
                self.fail("a space separates terms" if self.text[self.at] != "," else "a value follows the comma")

    def term(self) -> Term:
        start = self.at
        negated = self.text[start] in "-−"
        self.at += negated
        if address := self.take(_ADDRESS):
            return Units(start=start, end=self.at, negated=negated, address=self._checked(address))
        if self.take(_QUOTE):
            return self.tokens(start, negated, "")
        name = self.take(_NAME)
        if not name:
            self.fail('a term is expected here: a column (kurtosis>50), promotes:" Paris", L12.N345 or in:marked')
        word = name.group().lower()
        follows = self.text[self.at : self.at + 1]
        if word in TOKEN_TERMS and follows == ":":
            self.at += 1
            return self.tokens(start, negated, word)
        if word == "in" and follows == ":":
            return self.in_set(start, negated)
        if word == "fires" and _OPERATOR.match(self.text, self.at) and FREQUENCY in self.columns:
            word = FREQUENCY  # what the list calls it
        column = self.columns.get(word)
        if column is None or column.kind == "token":
            if word in (*TOKEN_TERMS, "in") or _NO_TOKEN.match(self.text, self.at):
                self._unknown(word, name.start())
            self.at = name.start()
            return self.tokens(start, negated, "")
        if column.kind == "category":
            return self.labels(start, negated, word, column)
        return self.numbers(start, negated, word, column)

    def _checked(self, match: re.Match[str]) -> str:
        try:
            kind, example = (Feature, "features") if "feature" in self.columns else (Neuron, "neurons")
            if not all(isinstance(unit, kind) for unit in parse_units(match.group())):
                address = "L10.F77" if kind is Feature else "L12.N345"
                self.fail(f"{example} are listed here: name one like {address}", match.start())
        except GrammarError as error:
            self.fail(error.problem, match.start() + error.position if error.text != self.text else error.position)
        return match.group()

    def _unknown(self, word: str, at: int) -> NoReturn:
        if word in TOKEN_TERMS:
            self.fail(f'a colon and a token follow {word}: {word}:" Paris"')
        names = [
            *(name for name, column in self.columns.items() if column.kind != "token"),
            *(f"{name}:" for name in TOKEN_TERMS),
            "in:",
        ]
        close = difflib.get_close_matches(word, names, n=3, cutoff=0.5)
        meant = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(names)}"
        self.fail(f"there is no column {word!r} here: {meant}", at)

    def numbers(self, start: int, negated: bool, name: str, column: IndexColumn) -> Term:
        match = self.take(_OPERATOR)
        operator = _PLAIN_OPERATOR.get(match.group(1), match.group(1)) if match else ""
        if operator in ("", "=", "!="):
            if not match:
                self.take(_SPACE)
            if not (self.text[self.at : self.at + 1] in ("p", "P") and operator):
                return self.ranges(start, negated, name, operator == "!=")
        value = self.take(_VALUE)
        if not value:
            self.fail(f"a number is expected here, for example {name}{operator}{_example(column)}")
        number = _number(value["number"]) / (100 if value["percent"] and not value["percentile"] else 1)
        return Compare(
            start=start,
            end=self.at,
            negated=negated,
            column=name,
            operator=operator,
            value=number,
            percentile=bool(value["percentile"]),
        )

    def ranges(self, start: int, negated: bool, name: str, outside: bool) -> Term:
        ranges = []
        while True:
            match = _RANGE.match(self.text, self.at)
            if not match:
                self.fail(f"a comparison or a range follows {name}: {name}>1, {name} 10-20")
            self.at = match.end()
            low = _number(match["low"])
            high = low if match["to"] is None else _number(match["high"]) if match["high"] else math.inf
            if high < low:
                self.fail(f"the range runs backwards: write {match['high']}-{match['low']}", match.start())
            ranges.append((low, high))
            if self.text[self.at : self.at + 1] != ",":
                break
            self.at += 1
            self.take(_SPACE)
        return Ranges(start=start, end=self.at, negated=negated, column=name, ranges=tuple(ranges), outside=outside)

    def labels(self, start: int, negated: bool, name: str, column: IndexColumn) -> Term:
        match = self.take(_OPERATOR)
        if not match or match.group(1) not in ("=", "!=", "≠"):
            at = match.start(1) if match else None
            self.fail(f"= and a name follow {name}: {name}={_example(column)}", at)
        patterns = []
        while True:
            label = self.take(_LABEL)
            if not label:
                self.fail(f"a name is expected here, for example {_example(column)}")
            pattern = label.group().strip("\"'")
            if not any(fnmatchcase(category.lower(), pattern.lower()) for category in column.labels):
                close = difflib.get_close_matches(pattern, column.labels, n=3, cutoff=0.4) or column.labels[:8]
                self.fail(f"no neuron has {name} {pattern!r}: there are {', '.join(close)} …", label.start())
            patterns.append(pattern)
            if self.text[self.at : self.at + 1] != ",":
                break
            self.at += 1
            self.take(_SPACE)
        negated = negated != (match.group(1) != "=")
        return Labels(start=start, end=self.at, negated=negated, column=name, patterns=tuple(patterns))

    def tokens(self, start: int, negated: bool, relation: str) -> Term:
        typed_tokens = []
        while True:
            self.take(_SPACE)
            match = self.take(_TOKEN)
            if not match or (match.group()[0] in "\"'" and len(match.group()) < 3):
                example = f'{relation}:" Paris"' if relation else '" Paris"'
                self.fail(f"a token is expected here, in quotes: {example}", match and match.start())
            quoted = match.group()[0] in "\"'"
            text = unescape(match.group()[1:-1]) if quoted else match.group()
            typed_tokens.append(TypedToken(text, quoted, match.start()))
            if self.text[self.at : self.at + 1] != ",":
                break
            self.at += 1
        operator, value = "", 0.0
        if relation in ("fires", ""):
            operator, value = ">=", FIRES_SHARE if relation else ALONE_SHARE
            if relation and (share := self.take(_OPERATOR)):
                operator = _PLAIN_OPERATOR.get(share.group(1), share.group(1))
                number = self.take(_VALUE)
                if not number or number["percentile"]:
                    self.fail("a share is expected here, for example .5 or 50%")
                value = _number(number["number"]) / (100 if number["percent"] else 1)
        return Tokens(
            start=start,
            end=self.at,
            negated=negated,
            relation=relation,
            tokens=tuple(typed_tokens),
            operator=operator,
            value=value,
        )

    def in_set(self, start: int, negated: bool) -> Term:
        self.at += 1
        match = self.take(_SET)
        if not match or match.group() not in self.sets:
            hint = f"there are {', '.join(self.sets)}" if self.sets else "no sets are made: Space marks, p pins"
            self.fail(f"the name of a set is expected here: {hint}", match.start() if match else None)
        return InSet(start=start, end=self.at, negated=negated, name=match.group())


def _number(text: str) -> float:
    return float(text.replace("−", "-"))


def _example(column: IndexColumn) -> str:
    if column.kind == "category":
        return column.labels[-1] if column.labels else "name"
    return {"probability": ".1", "int": "10"}.get(column.kind, "1")


def unescape(text: str) -> str:
    """The token that `text.show_token` shows: `\\n`, `\\x1b`, `\\u202e` and doubled backslashes read back."""

    def character(match: re.Match[str]) -> str:
        code = match.group(1)
        if code[0] == "x" and code[1:] >= "80":
            return match.group()  # a byte that is no character is written so in the token itself
        if len(code) > 1:
            try:
                return chr(int(code[1:], 16))
            except ValueError:
                raise UserError(f"\\{code} is no character") from None
        return {"n": "\n", "t": "\t", "r": "\r"}.get(code, code)

    return _ESCAPE.sub(character, text)
