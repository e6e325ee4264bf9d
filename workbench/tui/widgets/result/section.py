"""One view of a result: a heading that folds, and the drawing under it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widget import Widget

from workbench.text import safe, shorten
from workbench.tui.theme import ink
from workbench.tui.widgets.map_panel import MapPanel
from workbench.tui.widgets.table_panel import TablePanel
from workbench.tui.widgets.view_panel import ViewPanel

if TYPE_CHECKING:
    from workbench.tui.widgets.result.snapshot import ShownView


class Heading(Widget):
    """`▾ next token`; the mark of the cursor before it."""

    DEFAULT_CSS = "Heading { height: 1; }"

    class Chosen(Message):
        """The heading was clicked."""

        def __init__(self, section: Section) -> None:
            super().__init__()
            self.section = section

    def render(self) -> Text:
        section: Section = self.parent  # type: ignore[assignment]
        colors = ink(self.app)
        mark = "▌" if section.under_cursor else " "
        fold = "▸ " if section.folded else "▾ "
        title = shorten(safe(section.shown.title), max(0, self.size.width - 4))
        text = Text.assemble(
            (mark, colors.accent),
            (fold, colors.quiet),
            (title, colors.strong if section.under_cursor or not section.folded else colors.quiet),
            no_wrap=True,
        )
        if section.table is not None and not section.folded and (hidden := section.table.hidden_words()):
            text.append(f"  {hidden}", colors.quiet)
            text.truncate(self.size.width)
        if section.under_cursor:
            text.append(" " * max(0, self.size.width - text.cell_len))
            text.stylize(colors.cursor)
        return text

    def on_click(self) -> None:
        self.post_message(self.Chosen(self.parent))  # type: ignore[arg-type]


def panel_type(shown: ShownView) -> type[ViewPanel]:
    """What draws it: a table and a heat map can be walked."""
    from workbench.views import Heatmap, Scalars, Table

    if isinstance(shown.view, Table | Scalars):
        return TablePanel
    return MapPanel if isinstance(shown.view, Heatmap) else ViewPanel


class Section(Vertical):
    """Shows a view, or only its heading."""

    DEFAULT_CSS = """
    Section { height: auto; margin-bottom: 1; }
    Section.folded { margin-bottom: 0; }
    Section.folded ViewPanel, Section.folded MapPanel, Section.folded TablePanel { display: none; }
    Section ViewPanel, Section MapPanel { margin: 0 1 0 3; }
    Section TablePanel { margin: 0 1 0 1; }
    """

    def __init__(self, shown: ShownView, folded: bool) -> None:
        super().__init__()
        self.shown = shown
        self.under_cursor = False
        self.folded = folded
        self.set_class(folded, "folded")
        self.heading = Heading()
        self.panel = panel_type(shown)(shown.lines)

    def compose(self) -> ComposeResult:
        yield self.heading
        yield self.panel

    def on_mount(self) -> None:
        self.panel.show(self.shown.view, self.shown.problem)

    def update(self, shown: ShownView) -> None:
        """The same view, newer."""
        if shown is not self.shown:
            self.shown = shown
            self.panel.show(shown.view, shown.problem)
            self.heading.refresh()

    def take_place_of(self, other: Section) -> None:
        """The cursor and what is seen as they are in a section of the same view that this one replaces."""
        new, old = self.panel, other.panel
        if isinstance(new, MapPanel) and isinstance(old, MapPanel):
            new.take_place_of(old)
        if isinstance(new, TablePanel) and isinstance(old, TablePanel):
            new.take_place_of(old)

    @property
    def map(self) -> MapPanel | None:
        """Its heat map, where it shows one that can be walked."""
        return self.panel if isinstance(self.panel, MapPanel) and self.panel.cell is not None else None

    @property
    def table(self) -> TablePanel | None:
        """Its table or numbers, where it shows some."""
        return self.panel if isinstance(self.panel, TablePanel) else None

    @property
    def enterable(self) -> MapPanel | TablePanel | None:
        """What it shows, where a cursor can walk in that."""
        return self.map or (self.table if self.table is not None and self.table.can_enter else None)

    @on(TablePanel.Planned)
    def _say_hidden(self) -> None:
        self.heading.refresh()

    def fold(self, folded: bool) -> None:
        self.folded = folded
        self.set_class(folded, "folded")
        self.heading.refresh()

    def mark(self, under: bool) -> None:
        if under != self.under_cursor:
            self.under_cursor = under
            self.heading.refresh()
