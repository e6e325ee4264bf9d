"""A query head. L5.H3"""

from __future__ import annotations

from collections.abc import Iterator

from workbench.model_info import ModelInfo
from workbench.units.indexed import parse_indexed
from workbench.units.kind import NO_DIRECTION, NO_NUMBER, Kind, ParsedTerm, Term, vector_refusal
from workbench.units.unit import Indexed


class Head(Indexed, frozen=True, order=True):
    """One query head."""

    def __str__(self) -> str:
        return f"L{self.layer}.H{self.index}"


def _parse(term: Term) -> ParsedTerm | None:
    return parse_indexed(term, Head, "H", "head", lambda info: info.n_heads)


def _complete(typed: str, layer: int, info: ModelInfo) -> Iterator[str]:
    return (f"H{index}" for index in range(info.n_heads))


KIND = Kind(
    name="head",
    unit=Head,
    example="L5.H3",
    meaning="a query head",
    order=20,
    parse=_parse,
    begins="H",
    described="H and a number (head)",
    complete=_complete,
    refuses={"set": vector_refusal("a head's output"), "add": NO_NUMBER, "add direction": NO_DIRECTION},
)
