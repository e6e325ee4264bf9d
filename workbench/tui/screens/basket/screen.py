"""Pinned units by set. Every experiment takes them: `--units basket`, `--units basket:NAME`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widget import Widget
from textual.widgets import Static

from workbench.errors import UserError
from workbench.index.completion import Completion
from workbench.text import fit, safe
from workbench.tui import keys
from workbench.tui.feed import NothingYet
from workbench.tui.latest import Following
from workbench.tui.page import Page
from workbench.tui.suggest import completions
from workbench.tui.theme import ink
from workbench.tui.unit_actions import open_unit, pin, unpin
from workbench.tui.widgets.ask import Ask, InputRequest
from workbench.tui.widgets.line_list import LineList
from workbench.units import check_set_name, parse_units

if TYPE_CHECKING:
    from workbench.session.reader import SessionReader
    from workbench.session.records import PinRow


class Pins(LineList):
    """One line a pin, sets one after the other."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.pins: list[PinRow] = []
        self.notes: list[str] = []

    def fill(self, pins: list[PinRow], notes: list[str]) -> None:
        self.pins, self.notes = sorted(pins, key=lambda pin: (pin.name, pin.id)), notes
        self.set_count(len(pins))

    def line(self, index: int, cells: int) -> Text:
        colors, pin = ink(self.app), self.pins[index]
        first = not index or self.pins[index - 1].name != pin.name
        text = Text(no_wrap=True).append(fit(safe(pin.name or "basket") if first else "", 18) + "  ", colors.accent)
        text.append(fit(safe(pin.unit), 26), colors.plain)
        start = f"{pin.unit}: "
        notes = [note.removeprefix(start) for note in self.notes if note.startswith(start)]
        text.append(fit("  " + safe(" · ".join(notes)), max(0, cells - 46)), colors.quiet)
        return text


class Basket(Page):
    NAME = "Basket"
    ABOUT = (
        "The basket holds the units you pinned (p), in this session. A set with a name is a basket of its own. Every "
        "experiment takes them where it takes units: basket, or basket:NAME."
    )
    CSS = """
    Pins { height: 1fr; margin-top: 1; }
    #nothing-pinned { padding: 1 2; display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = list(keys.BASKET)

    def __init__(self) -> None:
        super().__init__()
        self._reads = Following(self, self._read, lambda sentence: self.trouble(self._reads, sentence))

    def body(self) -> ComposeResult:
        yield Static(
            "Nothing is pinned in this session: p pins the unit under the cursor on other screens, a takes any unit.",
            id="nothing-pinned",
        )
        yield Pins()
        yield Ask()

    @property
    def pins(self) -> Pins:
        return self.query_one(Pins)

    def default_focus(self) -> Widget:
        return self.pins

    def on_mount(self) -> None:
        self.pins.focus()

    def session_changed(self) -> None:
        self._reads.ask()

    async def _read(self) -> None:
        def read(reader: SessionReader) -> tuple[list[PinRow], list[str]]:
            return reader.pins(), [note.text for note in reader.notes() if note.step is None]

        try:
            pins, notes = await self.workbench.feed.read(read)
        except NothingYet:
            pins, notes = [], []
        self.pins.fill(pins, notes)
        self.query_one("#nothing-pinned").display = not pins

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("remove", "switch_off", "move_to_set") and self._current_pin is None:
            return False
        return super().check_action(action, parameters)

    @property
    def _current_pin(self) -> PinRow | None:
        return self.pins.pins[self.pins.cursor] if self.pins.pins else None

    def action_remove(self) -> None:
        if current := self._current_pin:
            self.run_reporting(unpin(self.workbench, current.unit, current.name), "pins")

    def action_add(self) -> None:
        """Any units, into the set under the cursor."""
        page, name = self, self._current_pin.name if self._current_pin else ""

        def done(text: str) -> None:
            units = [str(unit) for unit in parse_units(text, page.workbench.model_info)]
            if not units:
                raise UserError("name the units: L5.H3, L12.N345, @name")
            page.run_reporting(pin(page.workbench, units, name), "pins")

        def unit_completions(text: str) -> list[Completion]:
            return [Completion(completed, completed) for completed in completions(page, text, 7)]

        label = f"pin to {name or 'the basket'}"
        self.query_one(Ask).ask(InputRequest(label, done, "", "L5.H3, L12.N345", unit_completions))

    def action_switch_off(self) -> None:
        """The whole set into the edit stack."""
        if current := self._current_pin:
            text = f"basket:{current.name}=0" if current.name else "basket=0"
            self.workbench.edits.add(text, self.workbench.model_info)
            self.refresh_frame()
            self.say(f"{text} is on for every experiment: e shows the edits")

    def action_move_to_set(self) -> None:
        if current := self._current_pin:

            def done(name: str) -> None:
                check_set_name(name.strip())
                self.run_reporting(pin(self.workbench, [current.unit], name.strip()), "pins")

            self.query_one(Ask).ask(InputRequest(f"{current.unit} into the set", done, "", "a name"))

    async def leave_field(self) -> None:
        self.query_one(Ask).close()

    @on(LineList.Opened)
    def _opened(self) -> None:
        if current := self._current_pin:
            open_unit(self.workbench, current.unit, current.name)
