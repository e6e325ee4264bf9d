"""The edits that are on apply to every experiment; the others wait in their place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.edits import Edit, Entry, Stacks
    from workbench.model_info import ModelInfo


class EditStack:
    """In the order in which they are applied."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def on(self) -> list[Edit]:
        """What is sent with an experiment."""
        return [entry.edit for entry in self.entries if entry.on]

    def add(self, text: str, info: ModelInfo | None, stacks: Stacks | None = None) -> None:
        """Parses and puts on top; an edit that is there already is switched on. `stacks` are those it may name.

        Raises GrammarError, pointing at the character.
        """
        from workbench.edits import Entry, parse_edits

        self.append([Entry(edit) for edit in parse_edits([text], info, stacks)])

    def append(self, entries: Sequence[Entry]) -> None:
        """These on top; an edit that is there already keeps its place and is switched as it is here."""
        for entry in entries:
            edits = [other.edit for other in self.entries]
            if entry.edit in edits:
                self.entries[edits.index(entry.edit)] = entry
            else:
                self.entries.append(entry)

    def use(self, edits: Sequence[Edit]) -> None:
        """Exactly these are on; others that were there stay, switched off."""
        from workbench.edits import Entry

        others = [Entry(entry.edit, False) for entry in self.entries if entry.edit not in edits]
        self.entries = [*others, *map(Entry, dict.fromkeys(edits))]

    def toggle(self, index: int) -> None:
        from workbench.edits import Entry

        entry = self.entries[index]
        self.entries[index] = Entry(entry.edit, not entry.on)

    def remove(self, index: int) -> None:
        del self.entries[index]

    def reorder(self, index: int, by: int) -> int:
        """Returns where it is now."""
        to = max(0, min(index + by, len(self.entries) - 1))
        self.entries.insert(to, self.entries.pop(index))
        return to

    def words(self) -> str:
        """`edits: 2 on`, `edits: 1 of 3 on`, or nothing."""
        if not self.entries:
            return ""
        on = len(self.on())
        return f"edits: {on} on" if on == len(self.entries) else f"edits: {on} of {len(self.entries)} on"
