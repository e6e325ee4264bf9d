"""A site: a whole vector of a block, by its name. L5.resid_post"""

from __future__ import annotations

from collections.abc import Iterator

from workbench.model_info import ModelInfo
from workbench.units.kind import NO_DIRECTION, NO_NUMBER, Kind, Operation, ParsedTerm, Refusal, Term, vector_refusal
from workbench.units.scan import end_of_term
from workbench.units.sites import SITES, STREAM, read_site, site_problem
from workbench.units.unit import Unit


class Site(Unit, frozen=True, order=True):
    """A place in a block, named as in SITES."""

    layer: int
    name: str

    def __str__(self) -> str:
        return f"L{self.layer}.{self.name}"


def _parse(term: Term) -> ParsedTerm | None:
    named = read_site(term.text, term.at, term.info)
    if named is None:
        return None
    name, end = named
    if term.text[end : end + 1] == "@":
        return None  # a component
    end_of_term(term.text, end)
    return [Site(layer, name) for layer in term.layers], end


def _complete(typed: str, layer: int, info: ModelInfo) -> Iterator[str]:
    return (name for name in SITES if not site_problem(name, info))


def _unit_refusal(site: Site, operation: Operation) -> Refusal | None:
    if site.name == "pattern":
        return Refusal("units", f"{site} cannot be edited: edit the heads it belongs to (L{site.layer}.H0)")
    return NO_DIRECTION if operation == "add direction" and site.name not in STREAM else None


KIND = Kind(
    name="site",
    unit=Site,
    example="L5.resid_post",
    meaning="a site of the stream or of a block (SITES)",
    order=40,
    parse=_parse,
    begins="a site",
    described=f"a site: {', '.join(SITES)}",
    complete=_complete,
    refuses={"set": vector_refusal("{unit}"), "add": NO_NUMBER},
    unit_refusal=_unit_refusal,
)
