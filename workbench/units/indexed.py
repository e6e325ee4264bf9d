"""What kinds with a letter and a number behind the layer share: L12.N345, L5.H3."""

from __future__ import annotations

from collections.abc import Callable

from workbench.errors import GrammarError
from workbench.model_info import ModelInfo
from workbench.units.kind import ParsedTerm, Term
from workbench.units.scan import end_of_term, read_numbers
from workbench.units.unit import MAX_UNITS, Indexed


def parse_indexed(
    term: Term, unit: type[Indexed], letter: str, what: str, count: Callable[[ModelInfo], int | None]
) -> ParsedTerm | None:
    """The units of a term like `N10-20`, in every layer of the term; None where it begins otherwise.

    `count` returns how many a layer of the model has, None where the model does not say. Raises GrammarError.
    """
    text, at, info = term.text, term.at, term.info
    follows = text[at + 1 : at + 2]
    if text[at : at + 1].upper() != letter or not (follows.isdigit() or follows == "*"):
        return None
    indices, end = read_numbers(text, at + 1, what, count(info) if info else None, info)
    end_of_term(text, end)
    if len(term.layers) * len(indices) > MAX_UNITS:
        raise GrammarError(text, term.start, f"more than {MAX_UNITS:,} units: name fewer")
    return [unit(layer, index) for layer in term.layers for index in indices], end
