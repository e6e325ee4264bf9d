"""The three panes: neurons, heads, where in the stream. One has the focus; Tab goes round."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from workbench.result_keys import Units
from workbench.text import count, stand_out
from workbench.tui.screens.why.unit_list import UnitList
from workbench.tui.widgets.map_panel import MapPanel
from workbench.tui.widgets.words import Words
from workbench.views import Heatmap

if TYPE_CHECKING:
    from workbench.tui.screens.why.finding import Finding
    from workbench.tui.theme import Ink

KINDS = (Units.NEURONS, Units.HEADS, Units.WHERE)


def _where(colors: Ink) -> Text:
    head = Text.assemble(("where", colors.strong), (" in the stream, set to 0", colors.quiet))
    head.no_wrap, head.overflow = True, "ellipsis"
    return head


class Panes(Horizontal):
    """Side by side; narrow, the neurons and one of the others."""

    DEFAULT_CSS = """
    Panes { height: 1fr; min-height: 6; }
    Panes Vertical { width: 1fr; height: 1fr; }
    Panes Static { height: 1; padding: 0 1 0 2; }
    Panes #pane-neurons { width: 35%; max-width: 54; }
    Panes #pane-heads { width: 31%; max-width: 50; }
    Panes #pane-where { padding-right: 1; }
    Panes #head-where, Panes #foot-where { padding: 0; }
    Panes.narrow #pane-neurons, Panes.narrow #pane-heads { width: 1fr; max-width: 100%; }
    Panes.narrow #pane-where { display: none; }
    Panes.narrow.at-where #pane-where { display: block; }
    Panes.narrow.at-where #pane-heads { display: none; }
    """

    def __init__(self) -> None:
        super().__init__(id="panes")
        self._finding: Finding | None = None

    def compose(self) -> ComposeResult:
        for kind in KINDS:
            with Vertical(id=f"pane-{kind}"):
                yield Words(id=f"head-{kind}")
                yield MapPanel(fills=True, id="where") if kind == "where" else UnitList(kind)
                yield Words(id=f"foot-{kind}")

    def list_of(self, kind: str) -> UnitList:
        return self.query_one(f"#{kind}", UnitList)

    @property
    def where(self) -> MapPanel:
        return self.query_one("#where", MapPanel)

    @property
    def focused(self) -> UnitList | MapPanel | None:
        """The pane that keys go to."""
        widget = self.screen.focused
        return widget if isinstance(widget, UnitList | MapPanel) else None

    @property
    def unit(self) -> str:
        """The unit under the cursor; empty where there is none."""
        pane = self.focused
        return pane.current.unit if isinstance(pane, UnitList) and pane.current else ""

    def next(self, by: int) -> Widget:
        """The pane that Tab leads to, made visible."""
        panes: list[UnitList | MapPanel] = [self.list_of("neurons"), self.list_of("heads"), self.where]
        pane = panes[(panes.index(self.focused) + by) % 3 if self.focused else 0]
        if pane is not panes[0]:
            self.set_class(pane is self.where, "at-where")
        return pane

    def show(self, finding: Finding, chosen: frozenset[str]) -> None:
        """What is known of the units so far."""
        self._finding = finding
        for kind in (Units.NEURONS, Units.HEADS):
            listing = self.list_of(kind)
            listing.fill(finding.units(kind), chosen, finding.pins, finding.is_probability)
            self.query_one(f"#head-{kind}", Words).show(partial(listing.header, listing.size.width))
            self._foot(kind, self._counted(finding, kind))
        self.where.show(finding.view(Units.WHERE, Heatmap))
        self.query_one("#head-where", Words).show(_where)
        self._show_place()

    @on(MapPanel.Moved)
    def _show_place(self) -> None:
        self._foot("where", self.where.words() or self._coming("where"))

    def _foot(self, kind: str, words: str) -> None:
        self.query_one(f"#foot-{kind}", Words).show(
            lambda colors: Text(words, colors.quiet, no_wrap=True, overflow="ellipsis")
        )

    def _counted(self, finding: Finding, kind: str) -> str:
        """`! 9 of 46,080 stand out from chance`."""
        total, beyond = finding.counted(kind)
        if total is None:
            return self._coming(kind)
        if beyond is None:
            return count(total)
        return ("! " if beyond else "") + stand_out(beyond, total)

    def _coming(self, kind: str) -> str:
        """Why a pane is empty."""
        return "" if self._finding is None or self._finding.snapshot.finished else f"{kind}: coming"
