"""What one step found, side by side: a drawing, a heat map with a cursor, a table of units with one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.events import Resize
from textual.geometry import Region
from textual.widget import Widget

from workbench.result_keys import Battery
from workbench.text import safe
from workbench.tui.widgets.map_panel import MapPanel
from workbench.tui.widgets.table_panel import TablePanel
from workbench.tui.widgets.view_panel import ViewPanel
from workbench.tui.widgets.words import Words
from workbench.units import Feature, Neuron, parse_unit

if TYPE_CHECKING:
    from workbench.tui.screens.probes.finding import Finding
    from workbench.tui.widgets.result.snapshot import ShownView
    from workbench.views import AnyView

WIDE_MAP = 15
"""columns of a map from which on it has the drawing's room too"""


LEAST_LINES, MOST_LINES = 10, 30
"""of the drawing"""


class Panes(Horizontal):
    """Where there is no room for three, the drawing gives way to map and table; a wide map has its room too."""

    DEFAULT_CSS = """
    Panes { height: 1fr; min-height: 4; padding: 0 2; }
    Panes Vertical { height: 1fr; overflow: hidden; }
    Panes Words { height: 1; width: 1fr; }
    Panes #pane-drawn { width: 1fr; margin-right: 2; }
    Panes #pane-cells { width: 34; margin-right: 2; }
    Panes #pane-rows { width: 1fr; }
    Panes #scroll-rows { height: 1fr; }
    Panes.no-drawn #pane-drawn, Panes.no-cells #pane-cells, Panes.no-rows #pane-rows { display: none; }
    Panes.narrow #pane-drawn { display: none; }
    Panes.narrow.no-cells.no-rows #pane-drawn { display: block; }
    Panes.narrow.draws #pane-drawn { display: block; }
    Panes.narrow.draws #pane-cells, Panes.narrow.draws #pane-rows { display: none; }
    Panes.wide-map #pane-cells { width: 1fr; }
    Panes.wide-map #pane-drawn { display: none; }
    Panes.wide-map.draws #pane-drawn { display: block; }
    Panes.wide-map.draws #pane-cells, Panes.wide-map.draws #pane-rows { display: none; }
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._finding: Finding | None = None
        self._step: int | None = None
        self._at = 0
        """which of the drawings is shown"""

    def compose(self) -> ComposeResult:
        with Vertical(id="pane-drawn"):
            yield Words(id="head-drawn")
            yield ViewPanel(LEAST_LINES, id="drawn")
        with Vertical(id="pane-cells"):
            yield Words(id="head-cells")
            yield MapPanel(fills=True, id="cells")
            yield Words(id="foot-cells")
        with Vertical(id="pane-rows"):
            yield Words(id="head-rows")
            with VerticalScroll(id="scroll-rows", can_focus=False):
                yield TablePanel(id="rows")

    def on_resize(self, event: Resize) -> None:
        """The drawing is as tall as there is room for."""
        self.query_one("#drawn", ViewPanel).set_lines(max(LEAST_LINES, min(MOST_LINES, event.size.height - 1)))

    @property
    def cells(self) -> MapPanel:
        return self.query_one("#cells", MapPanel)

    @property
    def rows(self) -> TablePanel:
        return self.query_one("#rows", TablePanel)

    @property
    def probed_unit(self) -> str:
        """The neuron or feature of the row under the cursor; empty where that is about none."""
        unit = self.rows.unit
        return unit if unit and isinstance(parse_unit(unit), Neuron | Feature) else ""

    @property
    def set_name(self) -> str:
        """The labelled set of the row under the cursor, where rows are of several; else empty."""
        table, row = self.rows.table, self.rows.row
        names = table.cells(Battery.SET) if table is not None else []
        return str(names[row]) if row is not None and row < len(names) else ""

    @property
    def current(self) -> ShownView | None:
        """The view that has the focus, else the drawing."""
        finding = self._finding
        if finding is None:
            return None
        if self.rows.has_focus:
            return finding.shown(finding.parts.rows)
        if self.cells.has_focus:
            return finding.shown(finding.parts.cells)
        drawn = finding.drawn
        return drawn[self._at % len(drawn)] if drawn else None

    def places(self) -> list[Widget]:
        """What takes keys, in order."""
        finding = self._finding
        if finding is None:
            return []
        cells: list[Widget] = [self.cells] if finding.cells is not None else []
        return [*cells, self.rows] if finding.rows is not None and self.rows.can_enter else cells

    def enter(self, place: Widget) -> None:
        """Gives a place the keys."""
        self.remove_class("draws")
        if isinstance(place, TablePanel):
            place.enter()
        else:
            place.focus(scroll_visible=False)

    def turn(self, by: int) -> None:
        """The next drawing; where it is hidden, it takes the place of the others first. In the table, its columns."""
        if self.rows.has_focus:
            self.rows.turn(by)
            return
        if (self.has_class("narrow") or self.has_class("wide-map")) and not self.has_class("draws"):
            self.add_class("draws")
        else:
            self._at += by
        self._show_drawn()

    def show(self, finding: Finding) -> None:
        if finding.record.id != self._step:
            self._step, self._at = finding.record.id, 0
            self.remove_class("draws")
        self._finding = finding
        self.set_class(finding.cells is None, "no-cells")
        self.set_class(finding.cells is not None and len(finding.cells.column_labels) > WIDE_MAP, "wide-map")
        self.set_class(finding.rows is None, "no-rows")
        self._show_drawn()
        self._show(self.cells, finding.cells)
        self._head("cells", finding.cells)
        self._show(self.rows, finding.rows)
        self._head("rows", finding.rows)
        self._show_cell()

    def _show_drawn(self) -> None:
        finding = self._finding
        drawn = finding.drawn if finding is not None else []
        self.set_class(not drawn, "no-drawn")
        if drawn:
            shown = drawn[self._at % len(drawn)]
            self.query_one("#drawn", ViewPanel).show(shown.view, shown.problem)
            turns = f"  {self._at % len(drawn) + 1} of {len(drawn)}, > turns" if len(drawn) > 1 else ""
            self._words("#head-drawn", shown.title, turns)

    def _show(self, panel: ViewPanel, view: AnyView | None) -> None:
        panel.display = view is not None
        if view is not None and view is not panel.view:
            panel.show(view)

    def _head(self, name: str, view: AnyView | None) -> None:
        head = self.query_one(f"#head-{name}", Words)
        head.display = view is not None
        if view is not None:
            self._words(f"#head-{name}", view.title)

    def _words(self, selector: str, title: str, more: str = "") -> None:
        self.query_one(selector, Words).show(
            lambda colors: Text.assemble(
                (safe(title), colors.strong), (more, colors.quiet), no_wrap=True, overflow="ellipsis"
            )
        )

    @on(TablePanel.Moved)
    def _show_row(self) -> None:
        """Scrolled so that the cursor's row is seen."""
        line = self.rows.cursor_line
        if line is not None:
            place = Region(0, line, 1, 1)
            self.query_one("#scroll-rows").scroll_to_region(place, animate=False, force=True, immediate=True)

    @on(MapPanel.Moved)
    def _show_cell(self) -> None:
        words = self.cells.words()
        self.query_one("#foot-cells", Words).show(
            lambda colors: Text(words, colors.quiet, no_wrap=True, overflow="ellipsis")
        )
