"""What a kind of unit declares. Each file of `kinds/` ends in `KIND = Kind(...)`; `lab/kinds/` has the numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from workbench.model_info import ModelInfo
from workbench.units.unit import Unit

Operation = Literal["set", "zero", "scale", "add", "add direction", "replace"]
"""set: to a number other than 0; add: a number; replace: by a mean, a resample, a patch"""


class Refusal(NamedTuple):
    """Why a unit does not take an operation, and which side of the edit is to be changed."""

    side: Literal["units", "value"]
    sentence: str
    """with {unit} where the unit's address goes"""


class Term(NamedTuple):
    """One term of a list of units, its layer already read."""

    text: str
    """the whole list"""
    start: int
    """where the term begins"""
    at: int
    """where to read on: after the layer's dot, for kinds that live in a layer"""
    layers: range
    info: ModelInfo | None


ParsedTerm = tuple[list[Unit], int]
"""the units of a term, and where it ends"""


def _no_completions(typed: str, layer: int, info: ModelInfo) -> Iterator[str]:
    return iter(())


def _no_unit_refusal(unit: Any, operation: Operation) -> Refusal | None:
    return None


@dataclass(frozen=True)
class Kind:
    """A kind of unit: how it is written, and which edits it takes."""

    name: str
    """`neuron`; its lab file has the same name"""
    unit: type[Unit]
    example: str
    """an address"""
    meaning: str
    """what the example is, for help"""
    order: int
    """where it stands among the kinds in sentences; completion offers the last first, since it has fewest units"""
    parse: Callable[[Term], ParsedTerm | None]
    """None where the term is of another kind. Raises GrammarError for what begins like this kind and is wrong"""
    in_layer: bool = True
    """whether its addresses begin with L, a layer and a dot"""
    begins: str = ""
    """how an address begins (behind the layer), for sentences; empty for a form that sentences leave out"""
    described: str = ""
    """what may follow the layer's dot, for sentences"""
    complete: Callable[[str, int, ModelInfo], Iterator[str]] = _no_completions
    """(typed behind the layer's dot, layer, model): ways to go on there, most useful first"""
    refuses: Mapping[Operation, Refusal] = field(default_factory=dict)
    """operations that no unit of this kind takes"""
    unit_refusal: Callable[[Any, Operation], Refusal | None] = _no_unit_refusal
    """operations that a unit does not take though others of its kind do"""

    def refusal(self, unit: Unit, operation: Operation) -> Refusal | None:
        """Why `unit` does not take an operation; None where it does."""
        refusal = self.unit_refusal(unit, operation) or self.refuses.get(operation)
        return refusal and Refusal(refusal.side, refusal.sentence.format(unit=unit))


NO_DIRECTION = Refusal(
    "units", "a direction is added to a site of the stream (L14.resid_post+=6*@capital), not to {unit}"
)
NO_NUMBER = Refusal(
    "value", "a number is added to a neuron; to {unit} a direction can be added, where it is a site (6*@capital)"
)


def vector_refusal(what: str) -> Refusal:
    """For units with more than one number a position, which can't be set to one."""
    return Refusal("value", f"{what} is a vector: it can be set to 0 or scaled (L5.H3*=2)")
