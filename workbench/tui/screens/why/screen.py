"""Why does it say that: the question everyone starts with, on one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widget import Widget
from textual.widgets import Input

from workbench.errors import UserError
from workbench.result_keys import Units
from workbench.tui import keys
from workbench.tui.glossary import WHY, Glossary
from workbench.tui.keeping import copy_view, save_view
from workbench.tui.screens.why import below, words
from workbench.tui.screens.why.fields import QuestionFields
from workbench.tui.screens.why.invite import REPLAY, Invite
from workbench.tui.screens.why.panes import Panes
from workbench.tui.screens.why.question_page import QuestionPage
from workbench.tui.screens.why.unit_list import UnitList
from workbench.tui.theme import ink
from workbench.tui.widgets.ask import Ask
from workbench.tui.widgets.frame import Rule
from workbench.tui.widgets.line_list import LineList
from workbench.tui.widgets.map_panel import MapPanel
from workbench.tui.widgets.result.next_steps import NextSteps
from workbench.tui.widgets.view_panel import ViewPanel
from workbench.tui.widgets.words import Words
from workbench.views import Histogram

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workbench.report import NextStep
    from workbench.tui.screens.why.finding import Finding
    from workbench.tui.widgets.result.snapshot import ShownView

_ON_A_FINDING = frozenset({"switch", "choose", "use_pick", "pin", "foil", "again", "copy"})
WIDE = 96
"""cells from which the three panes stand beside each other"""
TALL = 46
"""lines from which the controls have a histogram"""


class Why(QuestionPage):
    NAME = "Why"
    ABOUT = (
        "Why does it say that? From a prompt and an answer to the few neurons that make it. The line on top adds up "
        "what the parts write straight into the logits. Below are all neurons and heads, each switched off: the "
        "gradient's estimate → the exact change of the answer's log probability (of its logit above the foil's, "
        "where there is a foil), and where in the stream the answer is. ! stands out from "
        "chance (the largest of all units for other likely answers), "
        "● is chosen, p is pinned. The sentence tells what is left of the answer with the picked neurons off, beside "
        "matched random sets of as many and beside picks made in the same way for other answers. 0 switches the "
        "chosen units off and on: the sentence and the next tokens rewrite. Space chooses others."
    )
    CSS = """
    Why { overflow: hidden; }
    Why #direct { height: 1; padding: 0 2; }
    Why #verdict { height: auto; padding: 0 2; }
    Why #histogram { display: none; height: auto; padding: 0 2; margin-top: 1; max-width: 110; }
    Why.tall.judged #histogram { display: block; }
    Why #shell { height: 1; padding: 0 2; }
    Why NextSteps { padding: 0 2; }
    Why QuestionFields { display: none; }
    Why.asking QuestionFields { display: block; }
    Why.empty Invite { display: block; }
    Why.bare #direct, Why.bare #panes { display: none; }
    Why.empty #direct, Why.empty #panes, Why.empty #rule, Why.empty #verdict, Why.empty #shell { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = list(keys.WHY)

    # --- what is on it ---

    def glossary(self) -> Glossary:
        return WHY

    def body(self) -> ComposeResult:
        yield QuestionFields()
        yield Invite(self.state, lambda: self.fields)
        yield Words(id="direct")
        yield Panes()
        yield Rule("", id="rule")
        yield Words(id="verdict")
        yield ViewPanel(12, id="histogram")
        yield NextSteps()
        yield Words(id="shell")
        yield Ask()

    def heading(self) -> tuple[Text, Text]:
        app, finding = self.workbench, self.state.finding
        if finding is None:
            return super().heading()
        return words.heading(finding, app.edits.words(), app.link is None, self.size.width, ink(self.app))

    def default_focus(self) -> Widget | None:
        if self.has_class("empty"):
            return None
        return self.panes.focused or self.panes.list_of("neurons")

    def field_keys(self) -> list[tuple[str, str]]:
        if self.asking.is_open:
            return [("Enter", "ask with it"), ("↓", "choose"), ("Esc", "back")]
        return [("Enter", "ask"), ("Tab", "next"), ("F2", "commands"), ("Esc", "leave the field")]

    # --- life ---

    def on_mount(self) -> None:
        self._arrange()
        if self._deferred is not None:
            self._load(*self._deferred)
        else:
            self.add_class("empty", "asking")
            self._offer_example()
            self.state.reread()

    def on_resize(self) -> None:
        self._arrange()
        self.call_after_refresh(self.show_finding)

    def _arrange(self) -> None:
        self.panes.set_class(self.size.width < WIDE, "narrow")
        self.set_class(self.size.height >= TALL, "tall")
        self.fields.set_class(self.size.height < 30, "short")

    def worker_changed(self) -> None:
        if self.is_mounted:
            self.show_finding()

    def session_changed(self) -> None:
        if self.is_mounted:
            self.state.reread()

    def session_swapped(self) -> None:
        self._branch_of = None
        if self.is_mounted:
            self.state.show(None)

    # --- showing ---

    def show_finding(self) -> None:
        """Draws the finding, or the invitation where there is none."""
        if not self.is_mounted:
            return
        finding, state, link = self.state.finding, self.state, self.workbench.link
        if finding is not None and not finding.is_readable:
            self.state.step = self.state.finding = None
            self.workbench.show("timeline").say(f"step {finding.record.id} is of an older version: plain tables, here")
            return
        empty = finding is None
        if empty is not self.has_class("empty"):
            self.set_class(empty, "empty")
            if finding is not None and not state.pending and self._branch_of is None:
                self.remove_class("asking")
                self.call_after_refresh(self._to_neurons)
        if finding is None:
            self.query_one(Invite).restate()
            self.query_one(NextSteps).follow(None)
        else:
            self.query_one(NextSteps).follow(finding.snapshot)
            self._offer_correction(finding)
            self.panes.show(finding, frozenset(state.chosen))
            cells = self.size.width - 4
            self.query_one("#direct", Words).show(lambda colors: words.direct_line(finding, cells, colors))
            self.query_one("#rule", Rule).update(f"effects: {finding.effects}" if finding.effects else "")
            max_lines = max(6, (self.size.height - 6) // 2)
            self.query_one("#verdict", Words).show(
                lambda colors: Text("\n", no_wrap=True).join(
                    below.lines_below(finding, state, link, cells, max_lines, colors)
                )
            )
            controls = finding.view("controls", Histogram)
            self.set_class(controls is not None, "judged")
            if controls is not None and self.has_class("tall"):
                self.query_one("#histogram", ViewPanel).show(controls)
            provenance = words.provenance_words(finding.record)
            self.query_one("#shell", Words).show(
                lambda colors: below.foot(finding.record, finding.shell_line, provenance, cells, colors)
            )
        self.refresh_frame()

    def _offer_correction(self, finding: Finding) -> None:
        """Opens the fields of a question that could not be answered, so that it can be changed."""
        bare = finding.snapshot.finished and not finding.snapshot.views
        if bare is self.has_class("bare"):
            return
        self.set_class(bare, "bare")
        if bare and self.workbench.link is not None and not self.has_class("asking"):
            self.action_write()

    @on(Input.Changed, "QuestionFields Field")
    def _typed(self) -> None:
        if self.has_class("empty"):
            self.query_one(Invite).restate()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "enter" and not self.has_class("asking"):
            return False
        if action in _ON_A_FINDING and self.state.finding is None:
            return False
        return super().check_action(action, parameters)

    # --- keys: moving ---

    async def leave_field(self) -> None:
        if self.asking.is_open:
            self.asking.close()
        elif self.has_class("empty"):
            self.set_focus(None)
        else:
            self._branch_of = None
            self.say("")
            self.remove_class("asking")
            self._leave_fields()

    def action_pane(self, by: int) -> None:
        places = self.fields.places()
        if self.has_class("asking") and self.focused in places:
            self.set_focus(places[(places.index(self.focused) + by) % len(places)])
        elif self.has_class("empty"):
            self.action_write()
        else:
            self.set_focus(self.panes.next(by))

    @on(LineList.Opened)
    def _opened(self, event: LineList.Opened) -> None:
        listing, finding = event.source, self.state.finding
        if not isinstance(listing, UnitList) or listing.current is None or finding is None:
            return
        unit = listing.current.unit
        if listing.kind == "neurons":
            try:
                self.workbench.show("neurons").go_to(unit)
            except UserError as error:
                self.workbench.page_now.say(str(error), bad=True)
        else:
            from workbench.report import NextStep

            asked = {**finding.question, "head": unit}
            self._ask_elsewhere(NextStep(label="", experiment="attention", params=asked))

    @on(MapPanel.Opened)
    def _place_opened(self, event: MapPanel.Opened) -> None:
        from workbench.tui.cell_steps import cell_step

        finding, view, cell = self.state.finding, event.panel.heatmap, event.panel.cell
        if finding is not None and view is not None and cell is not None:
            record = finding.record
            step = cell_step(record.experiment, record.params, Units.WHERE, view, *cell)
            if step is not None:
                self._ask_elsewhere(step)

    def _ask_elsewhere(self, step: NextStep) -> None:
        """A step under this one, on the Prompt screen."""
        finding = self.state.finding
        if self.workbench.link is None:
            self.say(REPLAY, bad=True)
        elif finding is not None:
            self.workbench.ask(step, parent=finding.record.id)

    def cancel_page_work(self) -> bool:
        if self.state.take_back():
            self.say("taken back before it was asked")
            self.show_finding()
            return True
        step = self.state.running
        if step is not None:
            self.run_worker(self.workbench.cancel(step))
        return step is not None

    # --- keys: units ---

    def action_switch(self) -> None:
        if self.state.finding is None:
            return
        if not self.state.chosen:
            hint = (
                "Space chooses the unit under the cursor, 0 switches it off" if self.panes.unit else "no unit is known"
            )
            self.say(f"nothing is picked yet: {hint}")
            return
        self.say("")
        self.state.toggle()
        self.show_finding()

    def action_choose(self) -> None:
        if not self.panes.unit:
            self.say("units are chosen in the lists of neurons and heads: Tab goes there")
            return
        self.say("")
        self.state.flip(self.panes.unit)
        self.show_finding()

    def action_use_pick(self) -> None:
        own = self.state.use_pick()
        self.show_finding()
        if own:
            words = ", ".join(own)

            def put_back() -> None:
                self.state.choose(own)
                self.show_finding()

            self.removed(f"the search's pick is chosen again, not {words}", words, put_back)

    def action_pin(self) -> None:
        if self.panes.unit:
            self.state.pin(self.panes.unit)
        else:
            self.say("units are pinned in the lists of neurons and heads: Tab goes there")

    # --- keeping ---

    def view_under_cursor(self) -> tuple[str, ShownView | None] | None:
        """The focused pane's view."""
        finding = self.state.finding
        if finding is None:
            return None
        kind = (self.panes.focused.id if self.panes.focused else None) or "verdict"
        return f"{self.workbench.session_title}-step{finding.record.id}-{kind}", finding.shown(kind)

    def command_words(self) -> Sequence[str]:
        return self.state.finding.command_words if self.state.finding is not None else ()

    async def action_copy(self) -> None:
        await copy_view(self)

    def action_save(self) -> None:
        save_view(self.workbench, self)
