"""The stacks that are saved in this session, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.binding import BindingType
from textual.message import Message

from workbench.text import fit, safe
from workbench.tui import keys
from workbench.tui.theme import ink
from workbench.tui.widgets.line_list import OneOfLists

if TYPE_CHECKING:
    from workbench.edits import Entry


class StackList(OneOfLists):
    """One stack a line: its name, how many of its edits are on, and which they are."""

    DEFAULT_CSS = "StackList { height: auto; max-height: 30%; min-height: 1; }"
    BINDINGS: ClassVar[list[BindingType]] = list(keys.STACKS)

    class Requested(Message):
        """Something is to be done with the stack of this name."""

        def __init__(self, name: str, action: str) -> None:
            super().__init__()
            self.name, self.action = name, action

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.stacks: list[tuple[str, tuple[Entry, ...]]] = []

    def fill(self, stacks: dict[str, tuple[Entry, ...]]) -> None:
        self.stacks = list(stacks.items())
        self.set_count(len(self.stacks))

    def line(self, index: int, cells: int) -> Text:
        colors = ink(self.app)
        name, entries = self.stacks[index]
        on = sum(entry.on for entry in entries)
        text = Text(no_wrap=True).append(fit(safe(name), min(24, max(8, cells // 4))), colors.strong)
        text.append(f"  {on if on == len(entries) else f'{on} of {len(entries)}'} on  ", colors.quiet)
        edits = "; ".join(str(entry.edit) for entry in entries)
        return text.append(fit(safe(edits), max(0, cells - text.cell_len)), colors.quiet)

    def action_request(self, action: str) -> None:
        """`use`, `append` or `delete` the stack under the cursor."""
        if self.stacks:
            self.post_message(self.Requested(self.stacks[self.cursor][0], action))
