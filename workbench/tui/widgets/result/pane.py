"""The pane that shows one step, live while it runs, from the session file alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message

from workbench.errors import UserError
from workbench.text import safe
from workbench.tui import keys
from workbench.tui.keeping import copy_view, save_view
from workbench.tui.latest import Following
from workbench.tui.unit_actions import open_unit, toggle_pin
from workbench.tui.widgets.map_panel import MapPanel
from workbench.tui.widgets.result.section import Heading, Section, panel_type
from workbench.tui.widgets.result.words import foot, head
from workbench.tui.widgets.table_panel import TablePanel
from workbench.tui.widgets.words import MakeText, Words, marked

if TYPE_CHECKING:
    from workbench.report import NextStep
    from workbench.tui.context import Context
    from workbench.tui.widgets.result.snapshot import ShownView, Snapshot
    from workbench.tui.widgets.view_panel import ViewPanel

WIDE = 116
"""cells from which two views stand side by side"""


class ResultPane(VerticalScroll, can_focus=True, inherit_bindings=False):
    """`show(step)`; then it follows the file. The cursor goes over the views' headings."""

    DEFAULT_CSS = """
    ResultPane { height: 1fr; padding: 0 1 0 0; }
    ResultPane Static { height: auto; width: 1fr; padding: 0 1 0 2; }
    ResultPane #head { margin-bottom: 1; }
    ResultPane.folded-last #foot { margin-top: 1; }
    ResultPane #columns { height: auto; layout: vertical; }
    ResultPane #columns > Vertical { height: auto; width: 1fr; }
    ResultPane.wide #columns { layout: horizontal; }
    ResultPane #cell { dock: bottom; display: none; height: 2; }
    ResultPane.wide #cell { height: 1; }
    ResultPane.in-view #cell { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = list(keys.RESULT)

    class Shown(Message):
        """The pane shows a newer snapshot."""

        def __init__(self, snapshot: Snapshot) -> None:
            super().__init__()
            self.snapshot = snapshot

    def __init__(self, empty: str = "", brief: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.step: int | None = None
        self.snapshot: Snapshot | None = None
        self._empty: MakeText = lambda colors: Text(empty)
        self._brief = brief
        """without what stands below the views"""
        self._cursor = 0
        self._unfolded: dict[str, bool] = {}
        """what the user folded or unfolded, by key: kept from step to step"""
        self._built: list[tuple[str, type[ViewPanel]]] = []
        """the keys of the sections' views, and what draws them"""
        self._beside: ShownView | None = None
        """a view that belongs to no step, shown second"""
        self._reading = Following(self, self._read, self._failed)

    @property
    def workbench(self) -> Context:
        return self.app  # type: ignore[return-value]

    @property
    def settled(self) -> bool:
        """What is seen is what the file says, drawn."""
        if self._reading.busy or (self.step is not None and self.snapshot is None):
            return False
        return all(section.panel.drawn for section in self.sections if not section.folded)

    def compose(self) -> ComposeResult:
        yield Words(id="head")
        with Horizontal(id="columns"):
            yield Vertical(id="left")
            yield Vertical(id="right")
        yield Words(id="foot")
        yield Words(id="cell")

    # --- what is shown ---

    def show(self, step: int | None) -> None:
        """This step from now on."""
        if step != self.step:
            self.step, self.snapshot, self._beside = step, None, None
        self.reread()

    async def show_beside(self, shown: ShownView) -> None:
        """One more view beside this step's, until another step is shown."""
        if self.snapshot is not None:
            self._beside = shown
            await self._build(self.snapshot.views)

    def show_message(self, make_text: MakeText) -> None:
        """Words instead of a step."""
        self.step, self.snapshot, self._beside = None, None, None
        self._empty = make_text
        self.reread()

    def reread(self) -> None:
        """The file may have something newer."""
        self._reading.ask()

    def restate(self) -> None:
        """The worker's state has changed: only the words are redrawn."""
        if self.snapshot is not None and not self.snapshot.finished:
            self._words(self.snapshot)

    async def _read(self) -> None:
        step = self.step
        if step is None:
            await self._clear()
            return
        from workbench.tui.widgets.result.snapshot import read_step

        before = self.snapshot
        previous = {shown.key: shown for shown in before.views} if before else {}
        snapshot = await self.workbench.feed.read(lambda reader: read_step(reader, step, previous))
        if step != self.step:
            return
        if before is None or before.record != snapshot.record or before.notes != snapshot.notes:
            self.snapshot = snapshot
            await self._build(snapshot.views)
            self._words(snapshot)
            if before is None:
                self.scroll_home(animate=False)
            self.post_message(self.Shown(snapshot))

    def _failed(self, sentence: str) -> None:
        if sentence:
            self.query_one("#head", Words).show(lambda colors: marked(sentence, colors))
        elif self.snapshot is not None:
            self._words(self.snapshot)

    async def _clear(self) -> None:
        self._built = []
        await self.query(Section).remove()
        self.query_one("#head", Words).show(self._empty)
        self.query_one("#foot", Words).show(lambda colors: Text())

    def _words(self, snapshot: Snapshot) -> None:
        link = self.workbench.link
        self.query_one("#head", Words).show(lambda colors: head(snapshot, link, colors))
        if not self._brief:
            self.query_one("#foot", Words).show(lambda colors: foot(snapshot, colors, link is None))

    async def _build(self, views: tuple[ShownView, ...]) -> None:
        """Sections for these views; the ones that are there stay, so that nothing jumps."""
        if self._beside is not None:
            views = (*views[:1], self._beside, *views[1:])
        names = [(shown.key, panel_type(shown)) for shown in views]
        if names == self._built:
            for section, shown in zip(self.sections, views, strict=True):
                section.update(shown)
            return
        left, right = self.query_one("#left"), self.query_one("#right")
        before = {section.shown.key: section for section in self.sections}
        entered = self.entered
        with self.app.batch_update():
            await self.query(Section).remove()
            sections = [Section(shown, self._is_folded(at, shown)) for at, shown in enumerate(views)]
            await left.mount_all(sections[:1])
            await right.mount_all(sections[1:])
        for section in sections:
            replaced = before.get(section.shown.key)
            if replaced is not None:
                section.take_place_of(replaced)
                if replaced is entered and section.enterable is not None:
                    section.enterable.enter()
        self._built = names
        self._cursor = min(self._cursor, max(0, len(sections) - 1))
        self._arrange()
        self._mark()

    def _is_folded(self, at: int, shown: ShownView) -> bool:
        from workbench.tui.widgets.result.snapshot import SCALARS

        chosen = self._unfolded.get(shown.key)
        if chosen is not None:
            return not chosen
        # The main view, and as many more as there is likely to be room for.
        room = 1 + self.is_wide + (self.size.height >= 26) + (self.size.height >= 44)
        return at >= room or shown.key == SCALARS

    @property
    def sections(self) -> list[Section]:
        """The main view's first."""
        return list(self.query(Section))

    # --- layout ---

    def on_resize(self) -> None:
        for at, section in enumerate(self.sections):
            folded = self._is_folded(at, section.shown)
            if folded != section.folded:
                section.fold(folded)
        self._arrange()

    @property
    def is_wide(self) -> bool:
        return self.size.width >= WIDE

    def _arrange(self) -> None:
        self.set_class(self.is_wide and len(self._built) > 1, "wide")
        self.query_one("#right").display = len(self._built) > 1
        sections = self.sections
        self.set_class(bool(sections) and sections[-1].folded, "folded-last")

    # --- the cursor ---

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
        """Only steps that could follow are offered, and only views that are there are folded."""
        if action == "next_step":
            return self._next_step(int(str(parameters[0]))) is not None
        if action == "enter_view":
            return self.entered is None and self._enterable() is not None
        if action == "turn_columns":
            return self._table_pages() > 1
        if action == "leave_view":
            return self.entered is not None
        return action != "fold" or bool(self._built)

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
            self._arrange()

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
        if section.table is not None:
            return " · Enter opens it, p pins it" if section.table.unit else ""
        step = self._cell_step(section)
        return f" · Enter: {step.label}" if step is not None else ""

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
        if event.panel.unit:
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
        step = self._cell_step(section) if section is not None else None
        if step is not None and self.snapshot is not None:
            self.workbench.ask(step, parent=self.snapshot.record.id)

    def _cell_step(self, section: Section) -> NextStep | None:
        """What the cell under the cursor stands for."""
        from workbench.tui.cell_steps import cell_step

        snapshot, panel, shown = self.snapshot, section.map, section.shown
        if snapshot is None or panel is None or panel.heatmap is None or panel.cell is None:
            return None
        asked = (shown.experiment, shown.params) if shown.experiment else (
            snapshot.record.experiment, snapshot.record.params
        )  # fmt: skip
        return cell_step(*asked, shown.key, panel.heatmap, *panel.cell)

    @on(Heading.Chosen)
    def _chosen(self, event: Heading.Chosen) -> None:
        self.focus()
        self._cursor = self.sections.index(event.section)
        self._mark()
        self.action_fold()

    # --- what could follow ---

    def _next_step(self, number: int) -> NextStep | None:
        snapshot = self.snapshot
        if snapshot is None or not snapshot.finished or number > len(snapshot.record.next_steps):
            return None
        return snapshot.record.next_steps[number - 1]

    def action_next_step(self, number: int) -> None:
        step = self._next_step(number)
        if step is not None and self.snapshot is not None:
            self.workbench.ask(step, parent=self.snapshot.record.id)

    async def action_copy(self) -> None:
        await copy_view(self.workbench.page_now)

    def action_save(self) -> None:
        save_view(self.workbench, self.workbench.page_now)
