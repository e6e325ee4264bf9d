"""What keys have removed, and how each of it is brought back: by one key, the same on every screen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

Restore = Callable[[], Awaitable[None] | None]


class Removal(NamedTuple):
    """One thing that a key removed."""

    what: str
    """as the notice names it"""
    restore: Restore
    """puts it back where it was; may raise UserError"""
    session: Path | None
    """the file it was removed from; None for what is kept in no file"""


class Undo:
    """The removals of this terminal, the newest last."""

    def __init__(self) -> None:
        self._removals: list[Removal] = []

    def add(self, removal: Removal) -> None:
        """A key has removed this."""
        self._removals.append(removal)

    def next(self, session: Path | None) -> Removal | None:
        """What would come back now, while this session is open: what was removed from another one waits for it."""
        return next((one for one in reversed(self._removals) if one.session in (None, session)), None)

    def done(self, removal: Removal) -> None:
        """It is back."""
        self._removals.remove(removal)
