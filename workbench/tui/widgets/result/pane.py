"""The pane that shows one step, live while it runs, from the session file alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message

from workbench.tui import keys
from workbench.tui.keeping import copy_view, save_view
from workbench.tui.latest import Following
from workbench.tui.widgets.result.next_steps import NextSteps
from workbench.tui.widgets.result.section import Section, panel_type
from workbench.tui.widgets.result.walked import WalkedSections
from workbench.tui.widgets.result.words import foot, head
from workbench.tui.widgets.words import MakeText, Words, marked

if TYPE_CHECKING:
    from workbench.report import NextStep
    from workbench.tui.widgets.result.snapshot import ShownView, Snapshot
    from workbench.tui.widgets.view_panel import ViewPanel

WIDE = 116
"""cells from which two views stand side by side"""


class ResultPane(WalkedSections, inherit_bindings=False):
    """`show(step)`; then it follows the file. The cursor goes over the views' headings."""

    DEFAULT_CSS = """
    ResultPane { height: 1fr; padding: 0 1 0 0; }
    ResultPane Static { height: auto; width: 1fr; padding: 0 1 0 2; }
    ResultPane #head { margin-bottom: 1; }
    ResultPane.folded-last #foot { margin-top: 1; }
    ResultPane #columns { height: auto; layout: vertical; }
    ResultPane #columns > Vertical { height: auto; width: 1fr; }
    ResultPane.wide #columns { layout: horizontal; }
    ResultPane #bottom { dock: bottom; height: auto; background: $background; }
    ResultPane #cell { display: none; height: 2; }
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
        """without what stands below the views, and what could follow"""
        self._built: list[tuple[str, type[ViewPanel]]] = []
        """the keys of the sections' views, and what draws them"""
        self._beside: ShownView | None = None
        """a view that belongs to no step, shown second"""
        self._outdated = ""
        """why the result is not of what is asked now; empty where it is"""
        self._reading = Following(self, self._read, self._failed)

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
        with Vertical(id="bottom"):
            yield Words(id="cell")
            yield NextSteps()

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

    def mark_outdated(self, why: str) -> None:
        """Says beside the step why it is not of what would be asked now; nothing where that is empty."""
        if why != self._outdated:
            self._outdated = why
            if self.snapshot is not None:
                self._head(self.snapshot, layout=False)  # in a line that is there: typing must not lay out the screen

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
        self.query_one(NextSteps).follow(None)

    def _words(self, snapshot: Snapshot) -> None:
        self._head(snapshot)
        if not self._brief:
            self.query_one("#foot", Words).show(lambda colors: foot(snapshot, colors))
            self.query_one(NextSteps).follow(snapshot)

    def _head(self, snapshot: Snapshot, layout: bool = True) -> None:
        link, outdated = self.workbench.link, self._outdated
        self.query_one("#head", Words).show(lambda colors: head(snapshot, link, colors, outdated), layout=layout)

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
        self.lay_out()
        self._mark()

    def _is_folded(self, at: int, shown: ShownView) -> bool:
        from workbench.tui.widgets.result.snapshot import SCALARS

        chosen = self._unfolded.get(shown.key)
        if chosen is not None:
            return not chosen
        # The main view, and as many more as there is likely to be room for.
        room = 1 + self.is_wide + (self.size.height >= 26) + (self.size.height >= 44)
        return at >= room or shown.key == SCALARS

    # --- layout ---

    def on_resize(self) -> None:
        for at, section in enumerate(self.sections):
            folded = self._is_folded(at, section.shown)
            if folded != section.folded:
                section.fold(folded)
        self.lay_out()

    @property
    def is_wide(self) -> bool:
        return self.size.width >= WIDE

    def lay_out(self) -> None:
        self.set_class(self.is_wide and len(self._built) > 1, "wide")
        self.query_one("#right").display = len(self._built) > 1
        sections = self.sections
        self.set_class(bool(sections) and sections[-1].folded, "folded-last")

    # --- what a place in a view stands for ---

    def run_step(self, step: NextStep) -> None:
        if self.snapshot is not None:
            self.workbench.ask(step, parent=self.snapshot.record.id)

    def cell_step(self, section: Section) -> NextStep | None:
        """Said by the experiment, in its own file."""
        from workbench.tui.cell_steps import cell_step

        snapshot, panel, shown = self.snapshot, section.map, section.shown
        if snapshot is None or panel is None or panel.heatmap is None or panel.cell is None:
            return None
        return cell_step(*_asked(shown, snapshot), shown.key, panel.heatmap, *panel.cell)

    def row_step(self, section: Section) -> NextStep | None:
        from workbench.tui.cell_steps import row_step

        snapshot, panel = self.snapshot, section.table
        if snapshot is None or panel is None:
            return None
        return row_step(*_asked(section.shown, snapshot), panel.unit)

    async def action_copy(self) -> None:
        await copy_view(self.workbench.page_now)

    def action_save(self) -> None:
        save_view(self.workbench, self.workbench.page_now)


def _asked(shown: ShownView, snapshot: Snapshot) -> tuple[str, dict[str, Any]]:
    """The experiment and the parameters that a view is of."""
    return (
        shown.experiment or snapshot.record.experiment,
        shown.params if shown.experiment else snapshot.record.params,
    )
