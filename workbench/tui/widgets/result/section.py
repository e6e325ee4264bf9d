"""One view of a result: a heading that folds, and the drawing under it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widget import Widget

from workbench.text import safe, shorten
from workbench.tui.theme import ink
from workbench.tui.widgets.map_panel import MapPanel
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
        if section.under_cursor:
            text.append(" " * max(0, self.size.width - text.cell_len))
            text.stylize(colors.cursor)
        return text

    def on_click(self) -> None:
        self.post_message(self.Chosen(self.parent))  # type: ignore[arg-type]


def is_map(shown: ShownView) -> bool:
    from workbench.views import Heatmap

    return isinstance(shown.view, Heatmap)


class Section(Vertical):
    """Shows a view, or only its heading."""

    DEFAULT_CSS = """
    Section { height: auto; margin-bottom: 1; }
    Section.folded { margin-bottom: 0; }
    Section.folded ViewPanel, Section.folded MapPanel { display: none; }
    Section ViewPanel, Section MapPanel { margin: 0 1 0 3; }
    """

    def __init__(self, shown: ShownView, folded: bool) -> None:
        super().__init__()
        self.shown = shown
        self.under_cursor = False
        self.folded = folded
        self.set_class(folded, "folded")
        self.panel = MapPanel(shown.lines) if is_map(shown) else ViewPanel(shown.lines)

    def compose(self) -> ComposeResult:
        yield Heading()
        yield self.panel

    def on_mount(self) -> None:
        self.panel.show(self.shown.view, self.shown.problem)

    def update(self, shown: ShownView) -> None:
        """The same view, newer."""
        if shown is not self.shown:
            self.shown = shown
            self.panel.show(shown.view, shown.problem)
            self.query_one(Heading).refresh()

    @property
    def map(self) -> MapPanel | None:
        """Its heat map, where it shows one that can be walked."""
        return self.panel if isinstance(self.panel, MapPanel) and self.panel.cell is not None else None

    def fold(self, folded: bool) -> None:
        self.folded = folded
        self.set_class(folded, "folded")
        self.query_one(Heading).refresh()

    def mark(self, under: bool) -> None:
        if under != self.under_cursor:
            self.under_cursor = under
            self.query_one(Heading).refresh()
