"""A neuron: one entry of the MLP post-activation. L12.N345"""

from __future__ import annotations

from collections.abc import Iterator

from workbench.model_info import ModelInfo
from workbench.units.indexed import parse_indexed
from workbench.units.kind import NO_DIRECTION, Kind, ParsedTerm, Term
from workbench.units.unit import Indexed

_MAX_OFFERED = 10


class Neuron(Indexed, frozen=True, order=True):
    """One entry of the MLP post-activation."""

    def __str__(self) -> str:
        return f"L{self.layer}.N{self.index}"


def _parse(term: Term) -> ParsedTerm | None:
    return parse_indexed(term, Neuron, "N", "neuron", lambda info: info.d_mlp)


def _complete(typed: str, layer: int, info: ModelInfo) -> Iterator[str]:
    if typed[:1] in ("N", "n", ""):
        for index in _indices_starting(typed[1:], info.d_mlp):
            yield f"N{index}"


def _indices_starting(typed: str, limit: int) -> Iterator[int]:
    """Up to ten indices below `limit` whose digits start with `typed`, smallest first."""
    if not typed.isdigit():
        yield from range(min(_MAX_OFFERED if not typed else 0, limit))
        return
    number, width, n_offered = int(typed), 1, 0
    while number < limit and n_offered < _MAX_OFFERED:
        for index in range(number, min(number + width, limit)):
            yield index
            n_offered += 1
            if n_offered == _MAX_OFFERED:
                return
        if number == 0:
            return
        number, width = number * 10, width * 10


KIND = Kind(
    name="neuron",
    unit=Neuron,
    example="L12.N345",
    meaning="a neuron: layer 12, index 345 of the MLP post-activation",
    order=10,
    parse=_parse,
    begins="N",
    described="N and a number (neuron)",
    complete=_complete,
    refuses={"add direction": NO_DIRECTION},
)
