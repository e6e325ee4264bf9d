"""A heat map with a cursor in it: arrows walk cells, a click chooses one, Enter opens it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from rich.console import Console
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from workbench.tui import keys
from workbench.tui.theme import drawing_style
from workbench.tui.widgets.view_panel import MakeStrips, ViewPanel, as_strips

if TYPE_CHECKING:
    from textual.events import Click

    from workbench.drawing.heatmap import DrawnMap
    from workbench.drawing.look import Look
    from workbench.drawing.style import Style
    from workbench.views import AnyView, Heatmap

BAND, BANDS = 40, 12
"""cells across of the stretches that a map is painted in, and how many there are; the last takes what is left"""


class Band(Widget):
    """A stretch of the map across: Textual repaints a changed line from the start of the widget it is in."""

    DEFAULT_CSS = f"""
    Band {{ width: {BAND}; height: 1fr; }}
    Band.last {{ width: 1fr; }}
    """

    def __init__(self, at: int) -> None:
        super().__init__(classes="last" if at == BANDS - 1 else "")
        self.start = at * BAND

    def render_line(self, y: int) -> Strip:
        panel: MapPanel = self.parent  # type: ignore[assignment]
        return panel.render_line(y).crop(self.start, self.start + self.size.width)


class MapPanel(ViewPanel, can_focus=True):
    """Shows one heat map. Where there are other places that take keys, it takes them once it was entered.

    With `fills` it has the height that it is given, always takes keys, and leaves out the view's own note.
    """

    DEFAULT_CSS = """
    MapPanel { layout: horizontal; overflow: hidden; }
    MapPanel.fills { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = list(keys.MAP)

    class Moved(Message):
        """The cursor is on another cell, or it has come or gone."""

        def __init__(self, panel: MapPanel) -> None:
            super().__init__()
            self.panel = panel

    class Opened(Message):
        """Enter on a cell."""

        def __init__(self, panel: MapPanel) -> None:
            super().__init__()
            self.panel = panel

    def __init__(self, lines: int | None = None, fills: bool = False, **options: Any) -> None:
        super().__init__(lines, **options)
        self._fills = fills
        self.set_class(fills, "fills")
        self._entered = False
        self._row, self._column = 0, 0
        """the cursor: a row and a column of the view"""
        self._is_moved = False
        """by hand; until then the cursor is on the strongest cell"""
        self._scrolls = 0
        """how often the cursor has left the columns that were shown"""
        self._map: DrawnMap | None = None
        self._marked: dict[int, Strip] = {}
        """by line of the widget: those that look different for the cursor"""

    def compose(self) -> ComposeResult:
        yield from (Band(at) for at in range(BANDS))

    # --- what is shown ---

    def show(self, view: AnyView | None, problem: str = "") -> None:
        before = self.heatmap
        super().show(view, problem)
        after = self.heatmap
        if before is None or after is None or before.values.shape != after.values.shape:
            self._is_moved = False
        if after is not None and not self._is_moved:
            self._row, self._column = strongest_cell(after)

    @property
    def heatmap(self) -> Heatmap | None:
        """The view, where it is a map with cells that can be drawn."""
        if self.view is None:
            return None
        from workbench.drawing.check import mismatch
        from workbench.views import Heatmap

        view = self.view
        return view if isinstance(view, Heatmap) and not mismatch(view) and view.values.size else None

    @property
    def cell(self) -> tuple[int, int] | None:
        """Row and column under the cursor; None where there is no map."""
        return (self._row, self._column) if self.heatmap is not None else None

    def words(self) -> str:
        """The cell under the cursor: names, numbers, rank; empty without a map."""
        view = self.heatmap
        if view is None:
            return ""
        from msgspec.structs import replace

        from workbench.drawing.cell_words import cell_words

        if self._fills:  # beside other panes of the same quantity, which the screen names once
            view = replace(view, value_label="")
        return cell_words(view, self._row, self._column)

    def _drawing_key(self) -> tuple[object, ...]:
        return (*super()._drawing_key(), self._scrolls, self.size.height if self._fills else 0)

    def _look(self) -> Look:
        from workbench.drawing.look import Look

        if not self._scrolls or self._map is None:
            return Look()
        return Look(cell=self.cell, first_column=self._map.grid.columns.start)

    def _scroll(self) -> bool:
        """Draws other columns where the cursor's is not among those that are shown; whether it has to."""
        is_hidden = self._map is not None and self._column not in self._map.grid.columns
        if is_hidden:
            self._scrolls += 1
            self._drawing.ask()
        return is_hidden

    def _maker(self, view: AnyView, cells: int) -> MakeStrips:
        heatmap = self.heatmap
        if heatmap is None:
            return super()._maker(view, cells)
        lines = max(1, self.size.height) if self._fills else self._lines
        return partial(
            _draw_map, heatmap, cells, lines, drawing_style(self.app), self.app.console, self._look(), self._fills
        )

    def _take(self, strips: list[Strip], source: object) -> None:
        self._map = source  # type: ignore[assignment]
        super()._take(strips, source)
        self._mark()
        for band in self.query(Band):
            band.refresh()

    # --- the cursor ---

    @property
    def has_keys(self) -> bool:
        """Known before `has_focus` is, which follows its event."""
        return self.is_attached and self.screen.focused is self

    def allow_focus(self) -> bool:
        return self._fills or self._entered

    def enter(self) -> None:
        """Take the keys."""
        self._entered = True
        self.focus(scroll_visible=False)

    def take_place_of(self, other: MapPanel) -> None:
        """The cursor where it is in a panel that this one replaces."""
        view, before = self.heatmap, other.heatmap
        if other._is_moved and view is not None and before is not None and view.values.shape == before.values.shape:
            self._row, self._column, self._is_moved = other._row, other._column, True

    def on_focus(self) -> None:
        self._scroll()
        self._repaint_cursor()
        self.post_message(self.Moved(self))

    def on_blur(self) -> None:
        if self.app.app_focus:  # else the terminal has lost the focus, and it comes back to here
            self._entered = False
        self._repaint_cursor()
        self.post_message(self.Moved(self))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.cell is not None

    def action_across(self, by: int) -> None:
        view = self.heatmap
        if view is not None:
            self._go(self._row, max(0, min(self._column + by, view.values.shape[1] - 1)))

    def action_edge(self, side: int) -> None:
        """To the row's first or last cell."""
        view = self.heatmap
        if view is not None:
            self._go(self._row, 0 if side < 0 else view.values.shape[1] - 1)

    def action_down(self, by: int) -> None:
        """To the rows below: on the strongest of those that share a place."""
        drawn = self._map
        if drawn is None:
            return
        groups = drawn.grid.groups
        at = next((at for at, group in enumerate(groups) if self._row in group), None)
        if at is None:  # a row that is left out
            at = min(range(len(groups)), key=lambda each: abs(groups[each][0] - self._row))
        self._go_to_group(groups[max(0, min(at + by, len(groups) - 1))], self._column)

    def action_page(self, by: int) -> None:
        """Half of the rows up or down."""
        if self._map is not None:
            self.action_down(by * max(1, len(self._map.grid.groups) // 2))

    def action_open(self) -> None:
        self.post_message(self.Opened(self))

    def on_click(self, event: Click) -> None:
        """Chooses a cell; of two halves of a line the other one, where the first is chosen already."""
        x, y = event.screen_x - self.region.x, event.screen_y - self.region.y  # the event's own are those of a band
        place = self._map.grid.under(int(x), int(y)) if self._map is not None else None
        if place is None:
            return
        event.stop()
        if not self.has_keys:
            self.enter()
        groups, column = place
        is_first = self._column == column and self._row in groups[0]
        self._go_to_group(groups[1 if is_first and len(groups) > 1 else 0], column)

    def _go_to_group(self, group: range, column: int) -> None:
        view = self.heatmap
        if view is not None:
            from workbench.drawing.grid import strongest

            part = view.values[group.start : group.stop, column : column + 1]
            self._go(group.start + int(strongest(part.astype(float), view.signed)[0]), column)

    def _go(self, row: int, column: int) -> None:
        if (row, column) == (self._row, self._column):
            return
        self._row, self._column, self._is_moved = row, column, True
        if not self._scroll():
            self._repaint_cursor()
        self.post_message(self.Moved(self))

    # --- painting: what stays, and over it the lines with the cursor ---

    @property
    def cursor_line(self) -> int | None:
        """The line of the widget that the cursor is on."""
        at = self._map.grid.line_of(self._row) if self._map is not None else None
        return None if at is None or self._map is None else at + self._map.grid.top

    def _mark(self) -> None:
        """Draws the lines that look different for the cursor."""
        self._marked = {}
        drawn, cell, line = self._map, self.cell, self.cursor_line
        if drawn is None or cell is None or line is None or not self.has_keys:
            return
        console = self.app.console
        lines = {line: drawn.cells_line(line - drawn.grid.top, cell), drawn.names_at: drawn.names_line(cell)}
        self._marked = dict(zip(lines, as_strips(list(lines.values()), console), strict=True))

    def _repaint_cursor(self) -> None:
        """Only what changes: the names, and of the cursor's old and new lines their labels and cells."""
        before = self._marked
        self._mark()
        for y in {*before, *self._marked}:
            old, new = (strips.get(y) or self._plain(y) for strips in (before, self._marked))
            self._refresh_difference(y, old, new)

    def _plain(self, y: int) -> Strip:
        return self._strips[y] if y < len(self._strips) else Strip.blank(0)

    def _refresh_difference(self, y: int, old: Strip, new: Strip) -> None:
        """Marks as changed the stretches of a line in which two drawings of it differ."""
        width = self.size.width
        cells = [_cells(strip.adjust_cell_length(width)) for strip in (old, new)]
        changed = [x for x in range(min(map(len, cells))) if cells[0][x] != cells[1][x]]
        start = None
        for at, x in enumerate(changed):
            start = x if start is None else start
            if at + 1 == len(changed) or changed[at + 1] > x + 2:
                for band in self.query(Band):
                    first, last = max(start, band.start), min(x, band.start + band.size.width - 1)
                    if first <= last:
                        band.refresh(Region(first - band.start, y, last - first + 1, 1))
                start = None

    def render_line(self, y: int) -> Strip:
        marked = self._marked.get(y)
        if marked is None:
            return super().render_line(y)
        return marked.adjust_cell_length(self.size.width).apply_style(self.rich_style)


def strongest_cell(view: Heatmap) -> tuple[int, int]:
    """Row and column of the highest value, or where signed of the one farthest from 0."""
    from workbench.drawing.grid import strongest

    flat = int(strongest(view.values.astype(float).reshape(-1, 1), view.signed)[0])
    row, column = divmod(flat, view.values.shape[1])
    return row, column


def _draw_map(
    view: Heatmap, cells: int, lines: int | None, style: Style, console: Console, look: Look, without_note: bool
) -> tuple[list[Strip], object]:
    """In the drawing thread: without the cursor, which goes over it, but with the columns around it."""
    from msgspec.structs import replace

    from workbench.drawing.heatmap import DrawnMap

    drawn = DrawnMap(replace(view, title="", note="" if without_note else view.note), cells, lines, style, look)
    return as_strips(drawn.lines(None), console), drawn


def _cells(strip: Strip) -> list[tuple[str, object]]:
    """A line cell by cell; a wide character stands in its first."""
    cells: list[tuple[str, object]] = []
    for text, style, _ in strip:
        for character in text:
            cells.append((character, style))
            cells += [("", style)] * (_width(character) - 1)
    return cells


def _width(character: str) -> int:
    from workbench.text import width

    return max(1, width(character))
