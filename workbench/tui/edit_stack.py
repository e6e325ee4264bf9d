"""The edits that are on apply to every experiment; the others wait in their place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from workbench.errors import GrammarError

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

    def add(
        self, text: str, info: ModelInfo | None, stacks: Stacks | None = None, directions: Sequence[str] | None = None
    ) -> None:
        """Parses and puts on top; an edit that is there already is switched on.

        `stacks` are those it may name, `directions` (`@name`) those of the session, beside the data folder's; without
        them names of directions are not looked up. Raises GrammarError, pointing at the character.
        """
        from workbench.artifacts.direction import direction_names, kept_directions
        from workbench.edits import Entry, parse_edits

        edits = parse_edits([text], info, stacks)
        for name in direction_names(edits) if directions is not None else ():
            known = dict.fromkeys([*(directions or ()), *(f"@{kept}" for kept in kept_directions())])
            if f"@{name}" not in known:
                there_are = (
                    f"there are {', '.join(known)}"
                    if known
                    else "no directions are saved; `workbench run direction` makes one"
                )
                raise GrammarError(text, text.find(f"@{name}"), f"there is no direction @{name}: {there_are}")
        self.append([Entry(edit) for edit in edits])

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

    def remove(self, index: int) -> Entry:
        """Returns what it was."""
        return self.entries.pop(index)

    def put_back(self, index: int, entry: Entry) -> None:
        """Where it was before it was removed; one that was typed again meanwhile stays where it is."""
        if entry.edit not in [other.edit for other in self.entries]:
            self.entries.insert(index, entry)

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
