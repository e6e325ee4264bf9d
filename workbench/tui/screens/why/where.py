"""Where in the stream: layer × position, with a cell under the cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from msgspec.structs import replace
from rich.text import Text
from textual.binding import BindingType
from textual.message import Message
from textual.widget import Widget

from workbench.drawing.heatmap import draw_heatmap, grid, strongest
from workbench.drawing.scale import signed_number
from workbench.text import safe
from workbench.tui import keys
from workbench.tui.theme import drawing_style, ink

if TYPE_CHECKING:
    from textual.events import Click

    from workbench.drawing.heatmap import Grid
    from workbench.views import Heatmap


class Where(Widget, can_focus=True):
    """Draws the map in the room it has; lines without a row of their own show their strongest one."""

    DEFAULT_CSS = "Where { height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = list(keys.WHERE)

    class Opened(Message):
        """Enter on a place."""

    class Moved(Message):
        """The cursor is on another place."""

    def __init__(self) -> None:
        super().__init__(id="where")
        self.view: Heatmap | None = None
        self._row, self._column = 0, 0
        """the cursor: a row and a column of the view"""
        self._moved_by_user = False
        """by hand; until then the cursor is on the strongest place"""

    def show(self, view: Heatmap | None) -> None:
        if view is self.view:
            return
        if self.view is None or view is None or view.values.shape != self.view.values.shape:
            self._moved_by_user = False
        self.view = view
        if not self._moved_by_user and view is not None and view.values.size:
            flat = int(np.argmax(np.abs(np.nan_to_num(view.values))))
            self._row, self._column = divmod(flat, view.values.shape[1])
        self.refresh()

    @property
    def place(self) -> tuple[int, int] | None:
        """Layer and position under the cursor."""
        return (self._row, self._column) if self.view is not None and self.view.values.size else None

    def words(self) -> str:
        """`L20 at ' France': −2.1`."""
        view, place = self.view, self.place
        if view is None or place is None:
            return ""
        row, column = place
        names = [labels[at] if at < len(labels) else str(at) for labels, at in
                 ((view.row_labels, row), (view.column_labels, column))]  # fmt: skip
        value = float(view.values[row, column])
        figure = "left out (attention sink)" if np.isnan(value) else signed_number(value)
        return safe(f"{names[0]} at {names[1]}: {figure}")

    def _grid(self) -> Grid | None:
        if self.view is None or not self.view.values.size:
            return None
        return grid(self.view, self.size.width, self.size.height, drawing_style(self.app))

    def render(self) -> Text:
        colors, places = ink(self.app), self._grid()
        if self.view is None or places is None:
            return Text("")
        view = replace(self.view, low_label="needed", high_label="in the way")
        lines, _ = draw_heatmap(view, self.size.width, self.size.height, drawing_style(self.app))
        at = next((at for at, rows in enumerate(places.rows) if self._row in rows), None)
        if self.has_focus and at is not None and self._column in places.columns:
            line = lines[at]
            start = places.margin + 1 + (self._column - places.columns.start) * places.column_cells
            line.append(" " * max(0, start + places.column_cells - line.cell_len))
            inside = line.plain[start : start + places.column_cells]
            marked = Text(no_wrap=True, end="").append_text(line[:start])
            middle = f"[{inside[1:-1]}]" if len(inside) > 2 else "×" * len(inside)
            marked.append(middle, colors.strong + colors.cursor)
            lines[at] = marked.append_text(line[start + places.column_cells :])
        return Text("\n", no_wrap=True, overflow="crop").join(lines)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.place is not None

    def action_across(self, by: int) -> None:
        places = self._grid()
        if places is not None:
            self._go(self._row, max(places.columns.start, min(self._column + by, places.columns[-1])))

    def action_down(self, by: int) -> None:
        """To the line below, on the strongest of its rows."""
        places = self._grid()
        if places is None or self.view is None:
            return
        at = next(at for at, rows in enumerate(places.rows) if self._row in rows)
        rows = places.rows[max(0, min(at + by, len(places.rows) - 1))]
        self._go(strongest(self.view.values, rows, self._column, self.view.signed), self._column)

    def action_open(self) -> None:
        if self.place is not None:
            self.post_message(self.Opened())

    def on_click(self, event: Click) -> None:
        places = self._grid()
        if places is None or self.view is None or not 0 <= event.y < len(places.rows):
            return
        column = places.columns.start + (event.x - places.margin - 1) // places.column_cells
        if column in places.columns:
            self._go(strongest(self.view.values, places.rows[event.y], column, self.view.signed), column)

    def _go(self, row: int, column: int) -> None:
        if (row, column) != (self._row, self._column):
            self._row, self._column, self._moved_by_user = row, column, True
            self.refresh()
            self.post_message(self.Moved())

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()
