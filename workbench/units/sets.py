"""Sets of the basket in a list of units: `basket`, `basket:months`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from workbench.errors import GrammarError, UserError

_SET = re.compile(r"(?<![^\s,])basket(?::(?P<name>[^\s,:;=*+<\[\]]+))?(?![^\s,])")


def check_set_name(name: str) -> None:
    """Raises UserError for a name that `basket:NAME` could not be written with."""
    if name and not _SET.fullmatch(f"basket:{name}"):
        raise UserError(f"a set's name is one word without commas, colons, brackets or =: {name!r} is not")


def names_sets(text: str) -> bool:
    """Whether a list of units names the basket or one of its sets (`basket`, `basket:months`)."""
    return _SET.search(text) is not None


def expand_sets(text: str, pins: Iterable[tuple[str, str]]) -> str:
    """`basket` and `basket:NAME` in a list of units, written out. `pins` are (unit, set's name; empty the basket).

    Raises GrammarError for a set that has no units, naming the ones there are.
    """
    sets: dict[str, list[str]] = {}
    for unit, name in pins:
        sets.setdefault(name, []).append(unit)

    def units(match: re.Match[str]) -> str:
        name = match["name"] or ""
        if name not in sets:
            what = f"no set {name!r}" if name else "nothing in the basket"
            existing = ", ".join(f"basket:{set_name}" if set_name else "basket" for set_name in sorted(sets))
            raise GrammarError(
                text, match.start(), f"there is {what}: " + (f"there are {existing}" if existing else "pin units first")
            )
        return ", ".join(sets[name])

    return _SET.sub(units, text)
