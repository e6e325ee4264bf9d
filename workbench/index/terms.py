"""The terms of a filter, and what passes them. `query.py` has the grammar."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from workbench.errors import GrammarError
from workbench.statistics import rank_percentiles
from workbench.units import parse_units

if TYPE_CHECKING:
    from workbench.index.catalogue import IndexColumn
    from workbench.index.reader import NeuronIndex

Sets = Mapping[str, np.ndarray]
"""Named sets of neuron ids."""
Columns = Mapping[str, "IndexColumn"]
"""Columns beside the index's own, for example how unusual each neuron is on a text."""

_COMPARE = {
    ">": np.greater,
    "<": np.less,
    ">=": np.greater_equal,
    "<=": np.less_equal,
    "=": np.equal,
    "!=": np.not_equal,
}


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """One condition. `start` and `end` are where it stands in the query's text."""

    start: int
    end: int
    negated: bool = False


class Ranges(Term, frozen=True, kw_only=True):
    """A column within any of `ranges`, both ends included; with `outside`, known and in none of them."""

    column: str
    ranges: tuple[tuple[float, float], ...]
    outside: bool = False


class Compare(Term, frozen=True, kw_only=True):
    """A column against a number, or against a percentile within the layer."""

    column: str
    operator: str
    value: float
    percentile: bool = False


class Labels(Term, frozen=True, kw_only=True):
    """A category that is one of these, `*` standing for anything."""

    column: str
    patterns: tuple[str, ...]


class TypedToken(NamedTuple):
    """A token as typed: a bare word stands for itself with and without a leading space."""

    text: str
    exact: bool
    position: int


class Tokens(Term, frozen=True, kw_only=True):
    """promotes, suppresses, fires."""

    relation: str
    """empty for a token alone: promotes or fires"""
    tokens: tuple[TypedToken, ...]
    operator: str = ""
    value: float = 0.0


class Units(Term, frozen=True, kw_only=True):
    address: str


class InSet(Term, frozen=True, kw_only=True):
    name: str


class TermCount(NamedTuple):
    """How much a term takes away: shown where a filter leaves nothing."""

    text: str
    alone: int
    """neurons that pass this term"""
    without: int
    """neurons that would pass if this term were left out"""


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed filter. Empty passes everything."""

    text: str
    terms: tuple[Term, ...]

    def run(self, index: NeuronIndex, sets: Sets | None = None, extra: Columns | None = None) -> np.ndarray:
        """Ids of the neurons that pass [passing], ascending. Raises GrammarError for a token that is none."""
        passing: np.ndarray | None = None
        for term in self.terms:
            mask = self._mask(term, index, sets or {}, extra or {})
            passing = mask if passing is None else passing & mask
        n = index.units.n
        return np.arange(n, dtype=np.int32) if passing is None else np.flatnonzero(passing).astype(np.int32)

    def explain(self, index: NeuronIndex, sets: Sets | None = None, extra: Columns | None = None) -> list[TermCount]:
        """For each term how many pass it alone, and how many would pass without it."""
        masks = [self._mask(term, index, sets or {}, extra or {}) for term in self.terms]
        n = index.units.n
        term_counts = []
        for at, term in enumerate(self.terms):
            others = masks[:at] + masks[at + 1 :]
            without = np.logical_and.reduce(others).sum() if others else n
            term_counts.append(TermCount(self.part(term), int(masks[at].sum()), int(without)))
        return term_counts

    def shares(self, index: NeuronIndex) -> np.ndarray | None:
        """Each neuron's share of top examples by the first `fires:` term [neuron]; None without one."""
        for term in self.terms:
            if isinstance(term, Tokens) and term.relation == "fires" and not term.negated:
                return index.fires(self._ids(term, index))
        return None

    def part(self, term: Term) -> str:
        return self.text[term.start : term.end]

    def without(self, at: int) -> str:
        """The query's text with term `at` left out."""
        return " ".join(self.part(term) for n, term in enumerate(self.terms) if n != at)

    def _mask(self, term: Term, index: NeuronIndex, sets: Sets, extra: Columns) -> np.ndarray:
        mask = self._holds(term, index, sets, extra)
        return ~mask if term.negated else mask

    def _holds(self, term: Term, index: NeuronIndex, sets: Sets, extra: Columns) -> np.ndarray:
        n = index.units.n
        columns = {**index.columns, **extra}
        match term:
            case Ranges():
                values = columns[term.column].values
                stored = [(_as_stored(values, low), _as_stored(values, high)) for low, high in term.ranges]
                inside = _any((values >= low) & (values <= high) for low, high in stored)
                return ~inside & ~np.isnan(values) if term.outside else inside
            case Compare():
                values = columns[term.column].values
                if term.percentile:
                    values = percentiles(values, index.units.layers)
                compared: np.ndarray = _COMPARE[term.operator](values, _as_stored(values, term.value))
                return compared & ~np.isnan(values) if term.operator == "!=" and values.dtype.kind == "f" else compared
            case Labels():
                column = columns[term.column]
                codes = [
                    code
                    for code, label in enumerate(column.labels)
                    if any(fnmatchcase(label.lower(), pattern.lower()) for pattern in term.patterns)
                ]
                chosen = np.zeros(len(column.labels) + 1, bool)  # the last stands for −1: none
                chosen[codes] = True
                passing: np.ndarray = chosen[column.values]
                return passing
            case Tokens():
                ids = self._ids(term, index)
                masks = []
                if term.relation in ("fires", ""):
                    masks.append(_COMPARE[term.operator](index.fires(ids), np.float32(term.value)))
                if term.relation != "fires":
                    effect = index.suppresses if term.relation == "suppresses" else index.promotes
                    masks += [~np.isnan(effect(token)) for token in ids]
                return _any(masks)
            case Units():
                mask = np.zeros(n, bool)
                for unit in parse_units(term.address, index.info):
                    id = index.id_of(unit)
                    if id is not None:
                        mask[id] = True
                return mask
            case InSet():
                mask = np.zeros(n, bool)
                mask[np.asarray(sets.get(term.name, ()), dtype=np.int64)] = True
                return mask
            case _:
                raise TypeError(type(term))

    def _ids(self, term: Tokens, index: NeuronIndex) -> list[int]:
        unique_ids: dict[int, None] = {}
        for token in term.tokens:
            spellings = [token.text] if token.exact else [token.text, " " + token.text]
            ids = [id for spelling in spellings for id in index.token_ids(spelling)]
            if not ids:
                problem = f"the vocabulary has no token {spellings[-1]!r}: name one that it has"
                if not term.relation and not token.exact:
                    close = difflib.get_close_matches(token.text.lower(), index.columns, n=3, cutoff=0.5)
                    meant = f": did you mean {' or '.join(close)}?" if close else ""
                    problem = f"{token.text!r} is neither a column nor a token of the vocabulary{meant}"
                raise GrammarError(self.text, token.position, problem)
            unique_ids.update(dict.fromkeys(ids))
        return list(unique_ids)


def _any(masks: Iterable[np.ndarray]) -> np.ndarray:
    passing: np.ndarray = np.logical_or.reduce(list(masks))
    return passing


def _as_stored(values: np.ndarray, number: float) -> float | np.generic:
    """A typed number at the column's precision, so that `vr=.4` finds a float32 .4."""
    return values.dtype.type(number) if values.dtype.kind == "f" else number


def percentiles(values: np.ndarray, n_layers: int) -> np.ndarray:
    """Of each neuron, the per cent of its layer with a smaller value, ties counted half [neuron]; nan stays nan."""
    return np.concatenate([rank_percentiles(layer) for layer in np.asarray(values).reshape(n_layers, -1)])
