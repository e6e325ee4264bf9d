"""Where an edit acts."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from workbench.errors import UserError


class Positions(msgspec.Struct, frozen=True):
    """Where an edit acts: always one run of neighbouring positions."""

    kind: Literal["all", "last", "range", "prompt", "generated"] = "all"
    first: int = 0
    last: int | None = None
    """of a range, included; None is to the end"""

    def span(self, prompt_length: int) -> tuple[int, int | None]:
        """First position and the one after the last (None: no end), for a prompt of so many tokens."""
        if self.kind == "last":
            return prompt_length - 1, prompt_length
        if self.kind == "prompt":
            return 0, prompt_length
        if self.kind == "generated":
            return prompt_length, None
        return self.first, None if self.last is None else self.last + 1

    def overlaps(self, other: Positions) -> bool:
        """Whether both surely name some common position, whatever the prompt's length."""
        if self.kind == other.kind == "range":
            ends = [span.last for span in (self, other) if span.last is not None]
            return not ends or max(self.first, other.first) <= min(ends)
        kinds = {self.kind, other.kind}
        return "all" in kinds or len(kinds) == 1 or kinds == {"prompt", "last"}


_POSITIONS = re.compile(r"(\d{1,7})(?:(-)(\d{1,7})?)?")


def parse_positions(text: str) -> Positions:
    """`last`, `prompt`, `generated`, `3`, `2-5`, `1-`; empty is all. Raises UserError."""
    typed = text.strip()
    if not typed:
        return Positions()
    for kind in ("last", "prompt", "generated"):
        if typed == kind:
            return Positions(kind)
    match = _POSITIONS.fullmatch(typed)
    if not match:
        raise UserError("positions are [last], [3], [2-5], [1-] (from 1 on), [prompt] or [generated]")
    first = int(match[1])
    if not match[2]:
        return Positions("range", first, first)
    if not match[3]:
        return Positions("range", first)
    if int(match[3]) < first:
        raise UserError(f"a range goes upwards: [{match[3]}-{first}]")
    return Positions("range", first, int(match[3]))
