"""A feature of a sparse autoencoder. L10.F77, L10.F77/NAME, L10.F77/NAME~"""

from __future__ import annotations

import re

from workbench.errors import GrammarError
from workbench.units.kind import NO_DIRECTION, Kind, ParsedTerm, Term
from workbench.units.scan import end_of_term, read_numbers
from workbench.units.unit import MAX_UNITS, Indexed

_SAE = re.compile(r"\w(?:[\w.-]*\w)?")


class Feature(Indexed, frozen=True, order=True):
    """One feature of an SAE that reads a site of the layer."""

    sae: str = ""
    """the SAE's name; empty where it is the only one of its layer"""
    reconstructed: bool = False
    """edits put the SAE's reconstruction in the place of its site, and leave out what it can't reconstruct"""

    def __str__(self) -> str:
        return f"L{self.layer}.F{self.index}{self.suffix}"

    @property
    def suffix(self) -> str:
        return (f"/{self.sae}" if self.sae else "") + ("~" if self.reconstructed else "")

    @property
    def overwritten(self) -> Feature:
        return Feature(self.layer, self.index, self.sae)


def _parse(term: Term) -> ParsedTerm | None:
    text, at = term.text, term.at
    follows = text[at + 1 : at + 2]
    if text[at : at + 1].upper() != "F" or not (follows.isdigit() or follows == "*"):
        return None
    if follows == "*":
        raise GrammarError(text, at + 1, "how many features there are only the SAE knows: write a range like F0-99")
    indices, end = read_numbers(text, at + 1, "feature", None, None)
    sae = ""
    if text[end : end + 1] == "/":
        match = _SAE.match(text, end + 1)
        if match is None:
            raise GrammarError(text, end + 1, "the name of an SAE follows the slash: L10.F77/res-10")
        sae, end = match.group(), match.end()
    reconstructed = text[end : end + 1] == "~"
    end += reconstructed
    end_of_term(text, end)
    if len(term.layers) * len(indices) > MAX_UNITS:
        raise GrammarError(text, term.start, f"more than {MAX_UNITS:,} units: name fewer")
    return [Feature(layer, index, sae, reconstructed) for layer in term.layers for index in indices], end


KIND = Kind(
    name="feature",
    unit=Feature,
    example="L10.F77",
    meaning="a feature of the layer's SAE; L10.F77/NAME where it has several; with ~ without the SAE's error",
    order=30,
    parse=_parse,
    begins="F",
    described="F and a number (feature of an SAE)",
    refuses={"add direction": NO_DIRECTION},
)
