"""A named direction of the residual stream, wherever it can be read or written. @refusal"""

from __future__ import annotations

from workbench.units.kind import NO_DIRECTION, NO_NUMBER, Kind, ParsedTerm, Refusal, Term
from workbench.units.scan import read_direction
from workbench.units.unit import Unit


class Direction(Unit, frozen=True, order=True):
    """A named vector in the residual stream."""

    name: str

    def __str__(self) -> str:
        return f"@{self.name}"

    @property
    def needs_direction(self) -> str:
        return self.name


def _parse(term: Term) -> ParsedTerm | None:
    if term.text[term.at] != "@":
        return None
    name, end = read_direction(term.text, term.at)
    return [Direction(name)], end


KIND = Kind(
    name="direction",
    unit=Direction,
    example="@refusal",
    meaning="a named direction",
    order=50,
    parse=_parse,
    in_layer=False,
    begins="@ (direction)",
    refuses={
        "set": Refusal("value", "everywhere at once {unit} can be set to 0 only: name a site (L14.resid_post{unit}=3)"),
        "scale": Refusal("units", "{unit} cannot be scaled everywhere at once: name a site (L14.resid_post{unit}*=2)"),
        "add": NO_NUMBER,
        "add direction": NO_DIRECTION,
    },
)
