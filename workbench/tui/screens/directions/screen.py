"""Directions: which there are, what each is, and what adding it does to your text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from workbench.errors import UserError
from workbench.text import safe
from workbench.tui import keys
from workbench.tui.glossary import DIRECTIONS, Glossary
from workbench.tui.screens.directions import lines
from workbench.tui.screens.directions.catalogue import Entry
from workbench.tui.screens.directions.dial import Dial, turned
from workbench.tui.screens.directions.direction_list import DirectionList
from workbench.tui.screens.directions.direction_page import DirectionPage
from workbench.tui.suggest import unit_suggester
from workbench.tui.widgets.ask import Ask
from workbench.tui.widgets.frame import Rule
from workbench.tui.widgets.line_list import LineList
from workbench.tui.widgets.view_panel import ViewPanel
from workbench.tui.widgets.words import Words
from workbench.tui.worker_words import ready, stage

if TYPE_CHECKING:
    from workbench.tui.widgets.result.snapshot import ShownView

WIDE, TALL = 110, 32
"""cells and lines from which the front stands beside the completions, and the separation is drawn"""
ROOMY = (160, 48)
"""columns and lines from which the pictures are larger"""
STRENGTH = 4.0
"""where the dial stands at first, where no `steer` step has chosen a strength"""


class Directions(DirectionPage):
    NAME = "Directions"
    ABOUT = (
        "Directions of the stream: those of this session, then those of the data folder. Of the one under the cursor: "
        "where it comes from, how well it separates what it was not made from, layer by layer, beside shuffled labels; "
        "what it promotes and suppresses, other directions like it, the neurons that write and read it (! beyond "
        "chance). Below, the dial: your text continued with strength × direction added at one place, and the "
        "perplexity of the continuation under the unedited model (! over 1.5 times the clean one's). Only the "
        "direction is added there, whatever edits are on. Every strength is a step of the session; one that was tried "
        "is shown at once. + and − turn the dial; Enter on a direction runs `project`: all that it promotes, with your "
        "text token by token; o leads to the step that made it."
    )
    CSS = """
    Directions { overflow: hidden; }
    Directions #nothing { display: none; padding: 1 2; height: 1fr; }
    Directions.empty #nothing { display: block; }
    Directions.empty DirectionList, Directions.empty .of-one { display: none; }
    Directions.unmade #effect, Directions.unmade Dial, Directions.unmade #below { display: none; }
    Directions DirectionList { margin-top: 1; }
    Directions.low DirectionList { margin-top: 0; max-height: 4; }
    Directions #provenance { height: auto; padding: 0 2; }
    Directions #facts { height: auto; padding: 0 2; }
    Directions #separation { width: 1fr; display: none; margin-right: 3; }
    Directions.tall.separated #separation { display: block; }
    Directions #projected { width: 1fr; height: auto; }
    Directions #below { height: 1fr; padding: 0 2; }
    Directions #attempts { width: 1fr; height: 1fr; }
    Directions #steer { width: 44; display: none; margin-left: 2; }
    Directions.wide.tall.steered #steer { display: block; }
    Directions.roomy #steer { width: 76; }
    """
    BINDINGS: ClassVar[list[BindingType]] = list(keys.DIRECTIONS)

    def __init__(self) -> None:
        super().__init__()
        self._dialled_for: tuple[object, ...] | None = None
        """the direction that the dial was filled for"""

    # --- what is on it ---

    def glossary(self) -> Glossary:
        return DIRECTIONS

    def body(self) -> ComposeResult:
        yield Words(id="nothing")
        yield DirectionList()
        yield Rule("", id="name", classes="of-one")
        yield Words(id="provenance", classes="of-one")
        with Horizontal(id="facts", classes="of-one"):
            yield ViewPanel(10, id="separation")
            yield Words(id="projected")
        yield Rule("", id="effect", classes="of-one")
        yield Dial(unit_suggester(self))
        with Horizontal(id="below", classes="of-one"):
            yield Words(id="attempts")
            with Vertical(id="steer"):
                yield Words(id="steer-step")
                yield ViewPanel(12, id="front")
        yield Ask()

    @property
    def listing(self) -> DirectionList:
        return self.query_one(DirectionList)

    def details(self) -> str:
        return f" · {len(self.state.entries)}" if self.state.entries else ""

    def default_focus(self) -> Widget | None:
        return self.listing if self.state.entries else None

    def field_keys(self) -> list[tuple[str, str]]:
        if self.asking.is_open:
            return [("Enter", "do it"), ("Esc", "back")]
        return [("Enter", "continue it"), ("Tab", "next"), ("F2", "commands"), ("Esc", "leave the field")]

    # --- life ---

    def on_mount(self) -> None:
        self.dial.add_class("of-one")
        self._arrange()
        text = self.workbench.page("home").values.get("prompt", "") if self.workbench.link else ""
        self.dial.field("text").fill(text or "The capital of France is")
        self.add_class("empty")
        self.state.reread()

    def on_resize(self) -> None:
        self._arrange()
        self.call_after_refresh(self.show_all)

    def _arrange(self) -> None:
        self.set_class(self.size.width >= WIDE, "wide")
        self.set_class(self.size.height >= TALL, "tall")
        self.set_class(self.size.height < 28, "low")
        roomy = self.size.width >= ROOMY[0] and self.size.height >= ROOMY[1]
        self.set_class(roomy, "roomy")
        self.query_one("#separation", ViewPanel).set_lines(14 if roomy else 10)
        self.query_one("#front", ViewPanel).set_lines(20 if roomy else 12)

    def worker_changed(self) -> None:
        if self.is_mounted:
            self.state.worker_changed()
            self.show_all()

    def session_changed(self) -> None:
        if self.is_mounted:
            self.state.reread()

    def session_swapped(self) -> None:
        self._dialled_for = None
        if self.is_mounted:
            self.state.forget()

    # --- showing ---

    def show_all(self) -> None:
        """Draws what the state holds."""
        if not self.is_mounted or not self.state.read_once:
            return
        state, entry = self.state, self.state.entry
        self.set_class(not state.entries, "empty")
        self.set_class(entry is not None and not entry.hash, "unmade")
        cells = self.size.width - 4
        replay = self.workbench.link is None
        self.query_one("#nothing", Words).show(
            lambda colors: Text("\n").join(lines.nothing_lines(replay, cells, colors))
        )
        at = next((at for at, each in enumerate(state.entries) if entry is not None and each.key == entry.key), 0)
        self.listing.fill(state.entries, at)
        if entry is not None:
            self._fill_dial(entry)
            self._show_entry(entry, cells)
            self.show_attempts()
        self.refresh_frame()

    def _show_entry(self, entry: Entry, cells: int) -> None:
        state, info = self.state, self.workbench.model_info
        found = state.findings
        self.query_one("#name", Rule).update(f"@{entry.name}")
        self._lines("#provenance", lambda colors: lines.provenance_lines(entry, found.headline, info, cells, colors))
        self.set_class(found.separation is not None, "separated")
        if found.separation is not None:
            self.query_one("#separation", ViewPanel).show(found.separation)
        beside = self.has_class("tall") and self.has_class("separated")
        room = (cells - 3) // 2 if beside else cells
        most = 10 if self.has_class("tall") else 3 if self.has_class("low") else 6
        projected, waits = (state.projected, state.waits) if entry.hash else (None, " ")
        self._lines("#projected", lambda colors: lines.projected_lines(projected, waits, most, room, colors))

    def show_attempts(self) -> None:
        """How the text goes on, by strength, and the front beside it."""
        entry, found = self.state.entry, self.state.findings
        if entry is None:
            return
        question = self.dial.question
        words = f"{safe(question.site)} += strength × @{entry.name}, and how your text goes on"
        self.query_one("#effect", Rule).update(words)
        steered = found.front is not None
        self.set_class(steered, "steered")
        if steered:
            said = f"effect against damage, step {found.steer}"
            self.query_one("#steer-step", Words).show(lambda colors: Text(said, colors.strong))
            self.query_one("#front", ViewPanel).show(found.front)
        panel = self.query_one("#attempts", Words)
        room = max(1, panel.size.height or 6)
        cells = panel.size.width or self.size.width - 4
        try:
            strength = self.dial.dialled().strength
        except UserError:
            strength = 0.0
        waits = self._waits(entry)
        self._lines(
            "#attempts",
            lambda colors: lines.attempt_lines(found.attempts, strength, waits, room, cells, colors),
        )

    def _waits(self, entry: Entry) -> str:
        """Why there is no continuation."""
        link = self.workbench.link
        if not entry.hash:
            return ""
        if link is None:
            return "no strength was tried on this text in this session, and a replay has no model"
        if not ready(link):
            return f"{stage(link)}: what is asked now waits for it"
        return "+ or − adds it and lets the model go on; Tab goes to text, strength and place, Enter asks"

    def _lines(self, selector: str, make: Any) -> None:
        self.query_one(selector, Words).show(lambda colors: Text("\n").join(make(colors)))

    def _fill_dial(self, entry: Entry) -> None:
        """Where the direction is from, as strong as `steer` has chosen; once for each."""
        chosen = self.state.findings.chosen
        key = (entry.key, chosen)
        if self._dialled_for == key or not entry.hash or self.typing:
            return
        same = self._dialled_for is not None and self._dialled_for[0] == entry.key
        self._dialled_for = key
        info, origin = self.workbench.model_info, entry.origin
        layer = origin.layer if origin.site.startswith(("resid", "attn_out", "mlp_out")) else None
        if chosen is not None:
            self.dial.fill(f"L{chosen[0]}.resid_pre", chosen[1], entry.chat)
        elif not same:
            middle = info.n_layers // 2 if info else 0
            place = origin.place if layer is not None else f"L{middle}.resid_pre"
            self.dial.fill(place, STRENGTH, entry.chat)
        self.state.reread()  # what was tried of this question

    # --- keys ---

    async def leave_field(self) -> None:
        if self.asking.is_open:
            self.asking.close()
        else:
            await super().leave_field()

    @on(LineList.Moved)
    def _moved(self, event: LineList.Moved) -> None:
        self._removing = None
        self.state.choose(event.index)
        self.show_all()

    @on(LineList.Opened)
    def _opened(self) -> None:
        if self.check_action("project", ()):
            self.action_project()
        else:
            self.action_origin()

    def action_origin(self) -> None:
        """The step that made it."""
        entry = self.state.entry
        if entry is None:
            return
        if entry.step is None or entry.file:
            self.say(f"@{entry.name} was made by no step of this session: {safe(entry.file or 'it was imported')}")
        else:
            self.workbench.show_in_timeline(entry.step)

    def action_turn(self, by: int) -> None:
        try:
            strength = self.dial.dialled().strength
        except UserError:
            strength = STRENGTH - by
        self.dial.set_strength(turned(strength, by))
        self._ask(at_once=False)

    @on(Dial.Changed)
    def _asks_otherwise(self) -> None:
        """Continuations of another question are shown."""
        self.state.reread()

    @on(Dial.Submitted)
    def _dialled(self) -> None:
        self._ask(at_once=True)

    def _ask(self, at_once: bool) -> None:
        """The dial stands elsewhere."""
        self.say("")
        try:
            dialled = self.dial.dialled()
        except UserError as error:
            self.say(str(error), bad=True)
            return
        self.show_attempts()
        self.state.turn(dialled, at_once)

    def action_write(self) -> None:
        self.dial.field("text").focus()

    def cancel_page_work(self) -> bool:
        running = self.state.running
        if running is not None:
            self.run_worker(self.workbench.cancel(running.step))
        return running is not None

    def view_under_cursor(self) -> tuple[str, ShownView | None] | None:
        """How it separates."""
        from workbench.tui.widgets.result.snapshot import ShownView

        entry, view = self.state.entry, self.state.findings.separation
        if entry is None or view is None:
            return None
        return f"direction-{entry.name}", ShownView(key="separation", title=view.title, revision=0, view=view)
