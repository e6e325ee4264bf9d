"""A table whose columns are turned page by page, and whose rows are walked where they name units; numbers likewise,
whose meanings are the second page."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from rich.console import Console
from rich.segment import Segment
from textual.binding import BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from workbench.text import count, safe
from workbench.tui import keys
from workbench.tui.theme import drawing_style, ink
from workbench.tui.widgets.view_panel import MakeStrips, ViewPanel, as_strips

if TYPE_CHECKING:
    from textual.events import Click

    from workbench.drawing.look import Look
    from workbench.drawing.style import Style
    from workbench.drawing.table import Plan
    from workbench.views import AnyView, Table

_MARK = 2
"""cells before each line, for the cursor's mark"""


class TablePanel(ViewPanel, can_focus=True):
    """Shows one table, or scalars. It takes keys once it was entered, which it can be where its rows name units."""

    DEFAULT_CSS = "TablePanel { height: auto; width: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = list(keys.TABLE)

    class Moved(Message):
        """The cursor is on another row, or it has come or gone."""

        def __init__(self, panel: TablePanel) -> None:
            super().__init__()
            self.panel = panel

    class Planned(Message):
        """It is drawn with other columns than before: other keys may work."""

    class Opened(Message):
        """Enter on a row."""

        def __init__(self, panel: TablePanel) -> None:
            super().__init__()
            self.panel = panel

    class Pinned(Message):
        """The row's unit is to go into the basket, or out of it."""

        def __init__(self, panel: TablePanel) -> None:
            super().__init__()
            self.panel = panel

    def __init__(self, lines: int | None = None, **options: Any) -> None:
        super().__init__(lines, **options)
        self._entered = False
        self._row = 0
        self._page = 0
        """of columns"""
        self._plan: Plan | None = None
        self._is_shortened = False
        """what numbers mean has no room in their lines"""

    # --- what is shown ---

    @property
    def table(self) -> Table | None:
        """The view, where it is a table that can be drawn."""
        if self.view is None:
            return None
        from workbench.drawing.check import mismatch
        from workbench.views import Table

        return self.view if isinstance(self.view, Table) and not mismatch(self.view) else None

    @property
    def units(self) -> list[str]:
        """[row] the unit that each row is about; empty where the table has no column of units."""
        table = self.table
        at = next((at for at, column in enumerate(table.columns) if column.kind == "unit"), None) if table else None
        return [] if table is None or at is None else [str(row[at] or "") for row in table.rows]

    @property
    def unit(self) -> str:
        """Of the row under the cursor; empty without one."""
        units = self.units
        return units[self._row] if self._row < len(units) and self._rows else ""

    @property
    def row(self) -> int | None:
        """Which row the cursor is on; None where there is none."""
        return self._row if self._rows else None

    def words(self) -> str:
        """Which row the cursor is on, in words."""
        return safe(f"{self.unit or 'no unit'}: row {count(self._row + 1)} of {count(len(self.units))}")

    @property
    def pages(self) -> int:
        """How many pages of columns there are."""
        if self._plan is None:
            return 1 + self._is_shortened
        return self._plan.pages

    def hidden_words(self) -> str:
        """How many columns are hidden, and the key that shows them: for where their names are out of sight."""
        plan = self._plan
        hidden = len(plan.columns) - len(plan.layout.shown) if plan is not None and not plan.is_meanings else 0
        return f"{count(hidden)} column{'s' * (hidden != 1)} hidden, {self._shows_hidden}" if hidden else ""

    @property
    def _shows_hidden(self) -> str:
        """The key that does."""
        columns = self._plan.layout.pages if self._plan is not None else self.pages
        return ">" if self._page + 1 < columns or not self._page else "<"

    def turn(self, by: int) -> None:
        """To the columns that are hidden, or back."""
        page = max(0, min(self._page + by, self.pages - 1))
        if page != self._page:
            self._page = page
            self._drawing.ask()

    def _drawing_key(self) -> tuple[object, ...]:
        return (*super()._drawing_key(), self._page)

    def _maker(self, view: AnyView, cells: int) -> MakeStrips:
        from workbench.drawing.look import Look

        look = Look(column_page=self._page, brief=not self._page, shows_hidden=self._shows_hidden)
        return partial(_draw_paged, view, cells - _MARK, self._lines, drawing_style(self.app), self.app.console, look)

    def _take(self, strips: list[Strip], source: object) -> None:
        from workbench.drawing.table import Plan

        self._plan = source if isinstance(source, Plan) else None
        self._is_shortened = source is True
        self.post_message(self.Planned())
        self._page = max(0, min(self._page, self.pages - 1))
        if self._rows:  # else what columns mean is read: the place in the rows is kept
            self._row = min(self._row, self._rows - 1)
        super()._take(strips, source)

    # --- the cursor ---

    @property
    def can_enter(self) -> bool:
        return bool(self.units)

    def allow_focus(self) -> bool:
        return self._entered

    def enter(self) -> None:
        """Take the keys."""
        self._entered = True
        self.focus(scroll_visible=False)

    def take_place_of(self, other: TablePanel) -> None:
        """The cursor and the columns as they are in a panel that this one replaces."""
        self._row, self._page = other._row, other._page

    @property
    def cursor_line(self) -> int | None:
        """The line of the widget that the cursor is on."""
        return self._plan.header_lines + self._row if self._plan is not None and self._rows else None

    @property
    def _rows(self) -> int:
        """How many are drawn."""
        return self._plan.rows if self._plan is not None else 0

    def on_focus(self) -> None:
        self._repaint(self._row)
        self.post_message(self.Moved(self))

    def on_blur(self) -> None:
        if self.app.app_focus:  # else the terminal has lost the focus, and it comes back to here
            self._entered = False
        self._repaint(self._row)
        self.post_message(self.Moved(self))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self._rows > 0

    def action_move(self, by: int) -> None:
        self._go(self._row + by)

    def action_page(self, by: int) -> None:
        """Ten rows up or down: a panel is as high as its table, so there is no page of its own."""
        self._go(self._row + 10 * by)

    def action_edge(self, side: int) -> None:
        self._go(0 if side < 0 else self._rows - 1)

    def action_open(self) -> None:
        self.post_message(self.Opened(self))

    def action_pin(self) -> None:
        self.post_message(self.Pinned(self))

    def on_click(self, event: Click) -> None:
        row = event.y - (self._plan.header_lines if self._plan is not None else 0)
        if self.can_enter and 0 <= row < self._rows:
            event.stop()
            self.enter()
            self._go(row)

    def _go(self, row: int) -> None:
        row = max(0, min(row, self._rows - 1))
        if row != self._row:
            before, self._row = self._row, row
            self._repaint(before)
            self._repaint(row)
            self.post_message(self.Moved(self))

    def _repaint(self, row: int) -> None:
        if self._plan is not None:
            self.refresh(Region(0, self._plan.header_lines + row, self.size.width, 1))

    def render_line(self, y: int) -> Strip:
        if y >= len(self._strips):
            return super().render_line(y)
        colors, under = ink(self.app), self.has_focus and y == self.cursor_line
        mark = Segment("▌ " if under else "  ", colors.accent)
        strip = Strip([mark, *self._strips[y]]).adjust_cell_length(self.size.width)
        return strip.apply_style(self.rich_style + colors.cursor if under else self.rich_style)


def _draw_paged(
    view: AnyView, cells: int, lines: int | None, style: Style, console: Console, look: Look
) -> tuple[list[Strip], object]:
    """In the drawing thread. The panel's own heading is the title."""
    from msgspec.structs import replace

    from workbench.drawing.check import mismatch
    from workbench.drawing.table import plan_table
    from workbench.drawing.view import LEAST_CELLS, draw
    from workbench.views import Table

    view = replace(view, title="")
    drawn = draw(view, cells, lines, style, look)
    source: object
    if isinstance(view, Table) and not mismatch(view):
        source = plan_table(view, max(LEAST_CELLS, cells), lines, style, look)
    else:
        other = draw(view, cells, lines, style, dataclasses.replace(look, brief=not look.brief))
        source = [line.plain for line in drawn] != [line.plain for line in other]
    return as_strips(drawn, console), source
