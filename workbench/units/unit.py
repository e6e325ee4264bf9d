"""What every unit is: plain data with an address that reads back."""

from __future__ import annotations

import msgspec

MAX_UNITS = 1_000_000


class Unit(msgspec.Struct, frozen=True, order=True):
    """Something that can be pointed at; `str` is its address. Each kind is a subclass (`kinds/`)."""

    @property
    def needs_direction(self) -> str:
        """Name of the direction without which it can't be read or edited; empty where it needs none."""
        return ""

    @property
    def overwritten(self) -> Unit:
        """What an edit that sets it sets: one for all the ways to edit the same thing."""
        return self


class Indexed(Unit, frozen=True, order=True):
    """A unit with a number in its layer: neighbours are written as a range."""

    layer: int
    index: int

    @property
    def suffix(self) -> str:
        """What its address has behind the number."""
        return ""
