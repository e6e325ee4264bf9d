"""Probes: labelled sets, what was fitted on each, and from a probe's neuron to what it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widget import Widget

from workbench.text import safe
from workbench.tui import keys
from workbench.tui.glossary import PROBES, Glossary
from workbench.tui.keeping import copy_view, save_view
from workbench.tui.screens.probes import lines
from workbench.tui.screens.probes.labelled_texts import LabelledTexts
from workbench.tui.screens.probes.lists import SetList, StepList
from workbench.tui.screens.probes.panes import Panes
from workbench.tui.screens.probes.probes_page import ProbesPage
from workbench.tui.widgets.frame import Rule
from workbench.tui.widgets.line_list import LineList
from workbench.tui.widgets.view_panel import ViewPanel
from workbench.tui.widgets.words import Words

if TYPE_CHECKING:
    from workbench.tui.screens.probes.finding import Finding
    from workbench.tui.widgets.result.snapshot import ShownView

WIDE = 110
"""cells from which three panes stand beside each other"""
LOW, TALL = 30, 46
"""lines below which lists and sentence are short, and from which the baselines are there"""


class Probes(ProbesPage):
    NAME = "Probes"
    ABOUT = (
        "Labelled sets: those of this session, then those of the data folder and those that ship. Of the set under the "
        "cursor the steps that probe it, the newest first, each with its score on test, the interval over documents, "
        "and what it is compared with: a probe that reads tokens alone, permuted labels. Below, what the step under "
        "the cursor found: its curves (> turns to the next), layer × k, where Enter probes that place alone, and the "
        "neurons or features, where Enter opens the card and a switches the unit off class by class beside matched "
        "controls. "
        "v shows the set's texts with their labels."
    )
    CSS = """
    Probes { overflow: hidden; }
    Probes SetList { margin-top: 1; }
    Probes.low SetList { margin-top: 0; max-height: 4; }
    Probes.low StepList { max-height: 3; }
    Probes #said { height: auto; padding: 0 2; }
    Probes.unprobed StepList, Probes.unprobed Panes { display: none; }
    Probes.texts Panes { display: none; }
    Probes LabelledTexts { display: none; }
    Probes.texts LabelledTexts, Probes.unprobed LabelledTexts { display: block; }
    Probes #beside { display: none; height: auto; padding: 0 2; margin-top: 1; }
    Probes.compared.tall #beside { display: block; }
    Probes.unprobed #beside, Probes.texts #beside { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = list(keys.PROBES)

    # --- what is on it ---

    def glossary(self) -> Glossary:
        return PROBES

    def body(self) -> ComposeResult:
        yield SetList()
        yield Rule("", id="steps-rule")
        yield StepList()
        yield Rule("", id="step-rule")
        yield Words(id="said")
        yield Panes()
        with Vertical(id="beside"):
            yield Words(id="beside-title")
            yield ViewPanel(12, id="below")
        yield LabelledTexts()

    @property
    def sets(self) -> SetList:
        return self.query_one(SetList)

    @property
    def steps(self) -> StepList:
        return self.query_one(StepList)

    def details(self) -> str:
        entry = self.state.entry
        return f" · {safe(entry.name)}" if entry is not None else ""

    def default_focus(self) -> Widget | None:
        return self.sets if self.state.entries else None

    # --- life ---

    def on_mount(self) -> None:
        self._arrange()
        self.add_class("unprobed")
        self.state.reread()

    def on_resize(self) -> None:
        self._arrange()
        self.call_after_refresh(self.show_all)

    def _arrange(self) -> None:
        self.panes.set_class(self.size.width < WIDE, "narrow")
        self.set_class(self.size.height < LOW, "low")
        self.set_class(self.size.height >= TALL, "tall")

    def worker_changed(self) -> None:
        if self.is_mounted and self.state.running is not None:
            self.show_all()
        elif self.is_mounted:
            self._show_texts()

    def session_changed(self) -> None:
        if self.is_mounted:
            self.state.reread()

    def session_swapped(self) -> None:
        if self.is_mounted:
            self.state.forget()

    # --- showing ---

    def show_all(self) -> None:
        """Draws what the state holds."""
        state, entry = self.state, self.state.entry
        if not self.is_mounted or not state.read_once or entry is None:
            return
        self.sets.fill(state.entries, state.counts, state.entries.index(entry))
        finding, cells = state.finding, self.size.width - 4
        self.set_class(finding is None, "unprobed")
        self.query_one("#steps-rule", Rule).update(f"steps on {entry.name}" if finding else f"{entry.name}")
        self.query_one("#step-rule", Rule).display = finding is not None
        if finding is None:
            replay = self.workbench.link is None
            self._lines("#said", lambda colors: lines.invitation(entry, replay, cells, colors))
        else:
            self._show_finding(finding, cells)
        self._show_texts()
        self._keep_focus()
        self.refresh_frame()

    def _show_texts(self) -> None:
        seen = self.has_class("texts") or self.has_class("unprobed")
        self.query_one(LabelledTexts).show(self.state.labelled, seen)

    def _show_finding(self, finding: Finding, cells: int) -> None:
        steps = [record.id for record in self.state.records]
        self.steps.fill(self.state.records, steps.index(finding.record.id))
        made = f" · makes the probe {finding.probe}" if finding.probe else ""
        self.query_one("#step-rule", Rule).update(f"step {finding.record.id}{made}")
        most = 4 if self.has_class("low") else 6
        self._lines("#said", lambda colors: lines.finding_lines(finding, most, cells, colors))
        self.panes.show(finding)
        below = finding.below
        self.set_class(below is not None, "compared")
        if below is not None:
            title = safe(below.title)
            self.query_one("#beside-title", Words).show(lambda colors: Text(title, colors.strong))
            self.query_one("#below", ViewPanel).show(below)

    def _lines(self, selector: str, make: Any) -> None:
        self.query_one(selector, Words).show(lambda colors: Text("\n").join(make(colors)))

    def _keep_focus(self) -> None:
        """A place that is gone has no keys."""
        if self.focused is not None and self.focused not in self._places():
            self.set_focus(self.sets)

    # --- keys: moving ---

    def _places(self) -> list[Widget]:
        if self.state.finding is None:
            return [self.sets, self.query_one(LabelledTexts)]
        if self.has_class("texts"):
            return [self.sets, self.steps, self.query_one(LabelledTexts)]
        return [self.sets, self.steps, *self.panes.places()]

    def action_place(self, by: int) -> None:
        places = self._places()
        at = places.index(self.focused) if self.focused in places else -by
        place = places[(at + by) % len(places)]
        if place in self.panes.places():
            self.panes.enter(place)
        else:
            self.set_focus(place)

    def leave(self) -> bool:
        """From the panes back to the lists."""
        if self.focused in self._places()[1:]:
            self.set_focus(self.sets)
            return True
        return False

    @on(LineList.Moved)
    def _moved(self, event: LineList.Moved) -> None:
        self.say("")
        if isinstance(event.source, SetList):
            self.state.choose_set(event.index)
        else:
            self.state.choose_step(event.index)

    @on(LineList.Opened)
    def _opened(self, event: LineList.Opened) -> None:
        if isinstance(event.source, StepList):
            self.workbench.show_in_timeline(self.state.records[event.index].id)
        else:
            self.action_place(1)

    def action_turn(self, by: int) -> None:
        self.panes.turn(by)

    def action_texts(self) -> None:
        self.toggle_class("texts")
        self._show_texts()
        self._keep_focus()
        self.refresh_frame()

    # --- keeping ---

    def cancel_page_work(self) -> bool:
        step = self.state.running
        if step is not None:
            self.run_worker(self.workbench.cancel(step))
        return step is not None

    def view_under_cursor(self) -> tuple[str, ShownView | None] | None:
        """The focused pane's view, else the drawing."""
        finding, shown = self.state.finding, self.panes.current
        if finding is None or shown is None:
            return None
        return f"{self.workbench.session_title}-step{finding.record.id}-{shown.key}", shown

    async def action_copy(self) -> None:
        await copy_view(self)

    def action_save(self) -> None:
        save_view(self.workbench, self)
