"""A column of views under their headings: one cursor over the headings, and into the views that can be walked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual import on
from textual.containers import VerticalScroll

from workbench.errors import UserError
from workbench.text import safe
from workbench.tui.unit_actions import open_unit, toggle_pin
from workbench.tui.widgets.map_panel import MapPanel
from workbench.tui.widgets.result.section import Heading, Section
from workbench.tui.widgets.table_panel import TablePanel
from workbench.tui.widgets.words import Words

if TYPE_CHECKING:
    from workbench.report import NextStep
    from workbench.tui.context import Context
    from workbench.tui.widgets.result.snapshot import ShownView


class WalkedSections(VerticalScroll, can_focus=True, inherit_bindings=False):
    """Sections somewhere below it; its last line, `#cell`, says where the cursor inside a view is."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._cursor = 0
        self._unfolded: dict[str, bool] = {}
        """what the user folded or unfolded, by key: kept from step to step"""

    def lay_out(self) -> None:
        """A section was folded or unfolded."""
        raise NotImplementedError

    def cell_step(self, section: Section) -> NextStep | None:
        """What the cell under the cursor of its heat map stands for."""
        raise NotImplementedError

    def row_step(self, section: Section) -> NextStep | None:
        """What the row under the cursor of its table leads to; None where its unit is opened instead."""
        raise NotImplementedError

    def run_step(self, step: NextStep) -> None:
        """Asked for under what is shown."""
        raise NotImplementedError

    @property
    def workbench(self) -> Context:
        return self.app  # type: ignore[return-value]

    @property
    def sections(self) -> list[Section]:
        """The main view's first."""
        return list(self.query(Section))

    # --- the cursor over headings ---

    def current(self) -> ShownView | None:
        """The view under the cursor."""
        return self.sections[self._cursor].shown if self._cursor < len(self.sections) else None

    def _mark(self) -> None:
        for at, section in enumerate(self.sections):
            section.mark(at == self._cursor and self.has_focus)

    def on_focus(self) -> None:
        self._mark()

    def on_blur(self) -> None:
        self._mark()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only views that are there are folded, walked and turned."""
        if action == "enter_view":
            return self.entered is None and self._enterable() is not None
        if action == "turn_columns":
            return self._table_pages() > 1
        if action == "leave_view":
            return self.entered is not None
        return action != "fold" or bool(self.sections)

    def action_move(self, by: int) -> None:
        """Over the headings; where there is none in sight in that direction, the text scrolls."""
        to = self._cursor + by
        sections = self.sections
        if 0 <= to < len(sections):
            heading = sections[to].heading
            y = heading.region.y - self.region.y
            if -self.size.height // 2 <= y < self.size.height * 3 // 2:
                self._cursor = to
                self._mark()
                self.scroll_to_widget(heading, animate=False)
                return
        self.scroll_relative(y=by, animate=False)

    def action_page(self, by: int) -> None:
        self.scroll_relative(y=by * max(1, self.size.height // 2), animate=False)

    def action_edge(self, side: int) -> None:
        self._cursor = 0 if side < 0 else max(0, len(self.sections) - 1)
        self._mark()
        if side < 0:
            self.scroll_home(animate=False)
        else:
            self.scroll_end(animate=False)

    def action_fold(self) -> None:
        if self._cursor < len(self.sections):
            section = self.sections[self._cursor]
            if section is self.entered:
                self.action_leave_view()
            self._unfolded[section.shown.key] = section.folded
            section.fold(not section.folded)
            self.lay_out()

    # --- the cursor inside a view ---

    @property
    def entered(self) -> Section | None:
        """The section whose heat map or table has the keys: known before `has_focus` is, which follows its event."""
        focused = self.screen.focused if self.is_attached else None
        return next((section for section in self.sections if section.panel is focused), None)

    def _section(self) -> Section | None:
        """Under the cursor."""
        return self.sections[self._cursor] if self._cursor < len(self.sections) else None

    def _enterable(self) -> MapPanel | TablePanel | None:
        section = self._section()
        return section.enterable if section is not None else None

    def action_enter_view(self) -> None:
        section, panel = self._section(), self._enterable()
        if section is not None and panel is not None:
            if section.folded:
                self.action_fold()
            panel.enter()

    def action_leave_view(self) -> None:
        self.focus(scroll_visible=False)

    @on(MapPanel.Moved)
    @on(TablePanel.Moved)
    def _show_place(self, event: MapPanel.Moved | TablePanel.Moved) -> None:
        """The numbers of the cell or the unit of the row in the pane's last line, and itself in sight."""
        section, panel = self.entered, event.panel
        self.set_class(section is not None, "in-view")
        if section is None or section.panel is not panel:
            return
        self._cursor = self.sections.index(section)
        self._mark()
        words = panel.words() + safe(self._offer(section))
        self.query_one("#cell", Words).show(
            lambda colors: Text(words, colors.strong, no_wrap=True, overflow="ellipsis")
        )
        line = panel.cursor_line
        if line is not None:
            y, room = panel.region.y + line - self.region.y, max(1, self.size.height - 1)
            if not 0 <= y < room:
                self.scroll_relative(y=y - room // 2, animate=False)

    def _offer(self, section: Section) -> str:
        """What Enter does where the cursor is."""
        if section.table is not None and not section.table.unit:
            return ""
        step = self.row_step(section) if section.table is not None else self.cell_step(section)
        enter = f" · Enter: {step.label}" if step is not None else " · Enter opens it" if section.table else ""
        return f"{enter}, p pins it" if section.table is not None else enter

    # --- tables ---

    def _table_pages(self) -> int:
        section = self._section()
        return section.table.pages if section is not None and section.table is not None and not section.folded else 1

    def action_turn_columns(self, by: int) -> None:
        section = self._section()
        if section is not None and section.table is not None:
            section.table.turn(by)

    @on(TablePanel.Planned)
    def _keys_changed(self) -> None:
        self.workbench.page_now.refresh_frame()

    @on(TablePanel.Opened)
    def _open_unit(self, event: TablePanel.Opened) -> None:
        section = self.entered
        step = self.row_step(section) if section is not None else None
        if step is not None:
            self.run_step(step)
        elif event.panel.unit:
            open_unit(self.workbench, event.panel.unit)

    @on(TablePanel.Pinned)
    async def _pin_unit(self, event: TablePanel.Pinned) -> None:
        try:
            if event.panel.unit:
                await toggle_pin(self.workbench, event.panel.unit)
        except UserError as error:
            self.workbench.page_now.say(str(error), bad=True)

    # --- heat maps ---

    @on(MapPanel.Opened)
    def _open_cell(self) -> None:
        section = self.entered
        step = self.cell_step(section) if section is not None else None
        if step is not None:
            self.run_step(step)

    @on(Heading.Chosen)
    def _chosen(self, event: Heading.Chosen) -> None:
        self.focus()
        self._cursor = self.sections.index(event.section)
        self._mark()
        self.action_fold()
