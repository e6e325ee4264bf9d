"""Which columns the list has, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.binding import BindingType
from textual.message import Message

from workbench.text import fit, safe, width
from workbench.tui import keys
from workbench.tui.screens.neurons.columns import SHAPE
from workbench.tui.theme import ink
from workbench.tui.widgets.line_list import LineList

if TYPE_CHECKING:
    from workbench.index.catalogue import IndexColumn


class Chooser(LineList):
    """Shown columns first, in their order; then the others."""

    BINDINGS: ClassVar[list[BindingType]] = list(keys.CHOOSER)

    class Chosen(Message):
        """The shown columns are others, or in another order."""

        def __init__(self, names: list[str]) -> None:
            super().__init__()
            self.names = names

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.shown: list[str] = []
        self.others: list[str] = []
        self.helps: dict[str, str] = {}
        self.fitting: set[str] = set()

    def room_for(self, names: list[str]) -> None:
        """These columns are seen in the list; others that are chosen find no room in its width."""
        self.fitting = set(names)
        self.forget_all()

    def fill(self, columns: Mapping[str, IndexColumn], shown: list[str], has_data: bool) -> None:
        self.helps = {name: f"{column.title}: {column.help}" for name, column in columns.items()}
        if has_data:
            self.helps[SHAPE] = "the distribution of activations in small, log counts"
        self.shown = list(shown)
        self.others = [name for name in self.helps if name not in shown]
        self.set_count(len(self.helps), 0)

    @property
    def _all(self) -> list[str]:
        return [*self.shown, *self.others]

    def line(self, index: int, cells: int) -> Text:
        colors, name = ink(self.app), self._all[index]
        shown = index < len(self.shown)
        text = Text(no_wrap=True).append("✓ " if shown else "  ", colors.accent)
        text.append(fit(name, 15), colors.strong if shown else colors.plain)
        if shown and name not in self.fitting:
            text.append("no room  ", colors.second)
        text.append(fit(safe(self.helps[name]), cells - width(text.plain)), colors.quiet)
        return text

    def action_switch(self) -> None:
        """Show this column, or no more; the cursor stays on it."""
        name = self._all[self.cursor]
        if name in self.shown:
            self.shown.remove(name)
            self.others.insert(0, name)
        else:
            self.others.remove(name)
            self.shown.append(name)
        self._notify_chosen(name)

    def action_open(self) -> None:
        self.action_switch()

    def action_reorder(self, by: int) -> None:
        name = self._all[self.cursor]
        if name in self.shown:
            at = self.shown.index(name)
            to = max(0, min(at + by, len(self.shown) - 1))
            self.shown.insert(to, self.shown.pop(at))
            self._notify_chosen(name)

    def _notify_chosen(self, name: str) -> None:
        self.forget_all()
        self.move_to(self._all.index(name), notify=False)
        self.post_message(self.Chosen(list(self.shown)))
