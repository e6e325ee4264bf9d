"""The edits that are on apply to every experiment; the others wait in their place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from workbench.edits import Edit
    from workbench.model_info import ModelInfo


class Entry(msgspec.Struct, frozen=True):
    edit: Edit
    on: bool = True


class EditStack:
    """In the order in which they are applied."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def on(self) -> list[Edit]:
        """What is sent with an experiment."""
        return [entry.edit for entry in self.entries if entry.on]

    def add(self, text: str, info: ModelInfo | None) -> int:
        """Parses and puts on top; an edit that is there already is switched on. Returns how many were typed.

        Raises GrammarError, pointing at the character.
        """
        from workbench.edits import parse_edits

        edits = parse_edits([text], info)
        for edit in edits:
            known = [entry.edit for entry in self.entries]
            if edit in known:
                self._put(known.index(edit), True)
            else:
                self.entries.append(Entry(edit))
        return len(edits)

    def use(self, edits: Sequence[Edit]) -> None:
        """Exactly these are on; others that were there stay, switched off."""
        others = [Entry(entry.edit, False) for entry in self.entries if entry.edit not in edits]
        self.entries = [*others, *map(Entry, dict.fromkeys(edits))]

    def toggle(self, index: int) -> None:
        self._put(index, not self.entries[index].on)

    def remove(self, index: int) -> None:
        del self.entries[index]

    def reorder(self, index: int, by: int) -> int:
        """Returns where it is now."""
        to = max(0, min(index + by, len(self.entries) - 1))
        self.entries.insert(to, self.entries.pop(index))
        return to

    def _put(self, index: int, on: bool) -> None:
        self.entries[index] = Entry(self.entries[index].edit, on)

    def words(self) -> str:
        """`edits: 2 on`, `edits: 1 of 3 on`, or nothing."""
        if not self.entries:
            return ""
        on = len(self.on())
        return f"edits: {on} on" if on == len(self.entries) else f"edits: {on} of {len(self.entries)} on"
