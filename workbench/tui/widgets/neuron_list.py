"""The list of neurons: half a million lines, of which only the visible ones are ever drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from rich.text import Text
from textual.binding import BindingType
from textual.message import Message
from textual.widget import Widget

from workbench.tui import keys
from workbench.tui.screens.neurons.columns import Row
from workbench.tui.theme import ink
from workbench.tui.widgets.line_list import LineList

if TYPE_CHECKING:
    from workbench.index.catalogue import IndexColumn
    from workbench.index.reader import NeuronIndex


class NeuronHeader(Widget):
    """The list's column titles."""

    DEFAULT_CSS = "NeuronHeader { height: 1; }"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.row: Row | None = None

    def show(self, row: Row) -> None:
        self.row = row
        self.refresh()

    def render(self) -> Text:
        return self.row.header(ink(self.app)) if self.row else Text()


class NeuronList(LineList):
    """Neuron ids in an order, a cursor on one of them, marks. It knows nothing of filters: it is given the ids."""

    BINDINGS: ClassVar[list[BindingType]] = list(keys.NEURON_LIST)

    class Marked(Message):
        """A mark was set or taken away."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.index: NeuronIndex | None = None
        self.columns: Mapping[str, IndexColumn] = {}
        self.ids = np.zeros(0, np.int32)
        """[line] the neuron of each line: layer * d_mlp + index"""
        self.marks: set[int] = set()
        self.pinned: set[int] = set()
        self.names: list[str] = []
        self.sorted_by, self.descending = "", False
        self.row: Row | None = None
        self.on_cursor_moved: Callable[[], None] = lambda: None
        """called in the same turn as a move, so that what follows the cursor is painted in the same frame"""
        self.on_jump: Callable[[], None] = lambda: None
        """called in the same turn as its key, so that the next keys go into the field that it opens"""

    @property
    def neuron(self) -> int | None:
        """The neuron under the cursor."""
        return int(self.ids[self.cursor]) if len(self.ids) else None

    def show(
        self, index: NeuronIndex, columns: Mapping[str, IndexColumn], ids: np.ndarray, keep: int | None = None
    ) -> None:
        """These neurons, in this order. The cursor stays on neuron `keep` where it is among them."""
        self.index, self.columns, self.ids = index, columns, ids
        cursor, row = None, self.cursor - self.scroll_offset.y
        if keep is not None:
            matches = np.flatnonzero(ids == keep)
            cursor = int(matches[0]) if len(matches) else min(self.cursor, max(0, len(ids) - 1))
        self._lay_out()
        self.set_count(len(ids), cursor)
        if cursor is not None and 0 <= row < self.size.height:  # on the same line of the screen as before
            self.scroll_to(y=max(0, cursor - row), animate=False, force=True, immediate=True)

    def use_columns(self, names: list[str], sorted_by: str, descending: bool) -> None:
        """Which columns, and which of them the order is by."""
        self.names, self.sorted_by, self.descending = names, sorted_by, descending
        self._lay_out()
        self.forget_all()

    def _lay_out(self, cells: int = 0) -> None:
        """Decide how lines are put together in `cells`; by default what the widget has besides the cursor's mark."""
        cells = cells or self.scrollable_content_region.width - 2
        if self.index is None or cells <= 0:
            return
        self.row = Row(self.index, self.columns, self.names, cells, self.sorted_by, self.descending)
        for header in self.screen.query(NeuronHeader):
            header.show(self.row)

    def line(self, index: int, cells: int) -> Text:
        if self.row is None or self.row.cells != cells:
            self._lay_out(cells)  # a scrollbar came or went
        assert self.row is not None
        neuron = int(self.ids[index])
        sign = "●" if neuron in self.marks else "★" if neuron in self.pinned else " "
        return self.row.draw(neuron, sign, ink(self.app))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """An address that does not pass the filter can be gone to: the filter is taken off."""
        return self.index is not None if action == "jump" else super().check_action(action, parameters)

    def action_jump(self) -> None:
        self.on_jump()

    def action_mark(self) -> None:
        """Mark the neuron under the cursor, or take its mark away; the cursor moves on."""
        if self.neuron is None:
            return
        self.marks ^= {self.neuron}
        self.forget(self.cursor)
        self.move_to(self.cursor + 1)
        self.post_message(self.Marked())

    def move_to(self, index: int, notify: bool = True) -> None:
        before = self.cursor
        super().move_to(index, notify)
        if notify and self.cursor != before:
            self.on_cursor_moved()

    def go_to(self, neuron: int) -> bool:
        """The cursor to this neuron; False where it is not in the list."""
        matches = np.flatnonzero(self.ids == neuron)
        if not len(matches):
            return False
        self.move_to(int(matches[0]))
        return True

    def on_resize(self) -> None:
        self._lay_out()
        self.forget_all()
        super().on_resize()
