"""A component: one number a position, a site of the stream along a named direction. L5.resid_post@refusal"""

from __future__ import annotations

from workbench.errors import GrammarError
from workbench.units.kind import NO_DIRECTION, Kind, ParsedTerm, Term
from workbench.units.scan import read_direction
from workbench.units.sites import STREAM, read_site
from workbench.units.unit import Unit


class Component(Unit, frozen=True, order=True):
    """One number a position: the component of a site of the stream along a named direction."""

    layer: int
    site: str
    direction: str

    def __str__(self) -> str:
        return f"L{self.layer}.{self.site}@{self.direction}"

    @property
    def needs_direction(self) -> str:
        return self.direction


def _parse(term: Term) -> ParsedTerm | None:
    named = read_site(term.text, term.at, term.info)
    if named is None:
        return None
    site, end = named
    if term.text[end : end + 1] != "@":
        return None
    if site not in STREAM:
        raise GrammarError(term.text, end, f"a direction lies in the stream: {', '.join(sorted(STREAM))}")
    direction, end = read_direction(term.text, end)
    return [Component(layer, site, direction) for layer in term.layers], end


KIND = Kind(
    name="component",
    unit=Component,
    example="L5.resid_post@refusal",
    meaning="the component of a site along a direction",
    order=60,
    parse=_parse,
    refuses={"add direction": NO_DIRECTION},
)
