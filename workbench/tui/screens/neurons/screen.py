"""The Neurons screen: the list, the card, the line to type into, and what the keys do."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from workbench.errors import UserError
from workbench.index.completion import Completion, complete
from workbench.text import count, number, safe
from workbench.tui import keys
from workbench.tui.page import Page
from workbench.tui.screens.neurons import offer
from workbench.tui.screens.neurons.ask import Ask, Wanted
from workbench.tui.screens.neurons.bench import Bench
from workbench.tui.screens.neurons.browse import Browse
from workbench.tui.screens.neurons.card_lines import NOWHERE, Here, card_lines
from workbench.tui.screens.neurons.chooser import Chooser
from workbench.tui.screens.neurons.shelf import Shelf
from workbench.tui.screens.neurons.your_text import text_lines
from workbench.tui.theme import ink
from workbench.tui.widgets.line_list import LineList
from workbench.tui.widgets.neuron_card import NeuronCard
from workbench.tui.widgets.neuron_list import NeuronHeader, NeuronList
from workbench.units import Neuron, parse_unit

if TYPE_CHECKING:
    from workbench.index.card import Card

FOLLOW = 0.125
"""seconds: while the cursor moves the card follows at most eight times a second"""
LOOK = 1.0
"""seconds between two looks for a newer revision of the index"""
SIDE_BY_SIDE = 100
"""cells from which list and card stand beside each other"""


class Neurons(Page):
    NAME = "Neurons"
    ABOUT = (
        "Every neuron of the model, with everything the index knows of the one under the cursor beside it. / filters "
        "(layer 10-20 kurtosis>50 fires:' May'), s sorts, g goes to an address. Below the card the neuron is shown on "
        "your text (w); 0 switches it off there, beside random neurons of its kind. Percentiles (p99.8) are within "
        "the neuron's layer. Without an index the list stands on the weights alone, and I builds one."
    )
    CSS = """
    #status { height: 1; padding: 0 1; }
    #panes { height: 1fr; }
    #left { width: 59%; }
    #left.alone { width: 1fr; }
    #right { width: 1fr; padding: 0 1 0 1; border-left: solid $line; }
    #cards { height: 1fr; }
    #cards NeuronCard { width: 1fr; }
    #other { display: none; padding-left: 2; }
    #your-text { height: auto; max-height: 8; margin-top: 1; }
    NeuronHeader { padding: 0; }
    NeuronList { height: 1fr; }
    #empty { height: 1fr; padding: 1 2; display: none; }
    Neurons.nothing #empty { display: block; }
    Neurons.nothing NeuronList { display: none; }
    Neurons.nothing NeuronHeader { display: none; }
    Neurons.nothing #right { display: none; }
    Neurons.nothing #left { width: 1fr; }
    Neurons.narrow #panes { layout: vertical; }
    Neurons.narrow #left { width: 1fr; height: 1fr; }
    Neurons.narrow #right { display: none; width: 1fr; border-left: none; padding: 0 1; }
    Neurons.narrow.card #left { height: 6; }
    Neurons.narrow.card #right { display: block; height: 1fr; border-top: solid $line; }
    Neurons.closed #right { display: none; }
    Neurons.closed #left { width: 1fr; }
    Neurons.both-cards #left { display: none; }
    Neurons.both-cards #right { display: block; border-left: none; height: 1fr; }
    Neurons.both-cards #other { display: block; }
    Chooser { display: none; }
    Neurons.choosing Chooser { display: block; }
    Neurons.choosing #cards { display: none; }
    Neurons.choosing #your-text { display: none; }
    Neurons.choosing #right { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = list(keys.NEURONS)

    def __init__(self) -> None:
        super().__init__()
        self.browse = Browse()
        self.shelf = Shelf()
        self.bench = Bench(self)
        self.both_tails = False
        self.compared: tuple[int, int] | None = None
        self._looking = False
        self._card_at = 0.0
        self._card_neuron: int | None = None
        self._timer: Timer | None = None

    # --- what is on it ---

    def body(self) -> ComposeResult:
        yield Static(id="status")
        with Horizontal(id="panes"):
            with Vertical(id="left"):
                yield NeuronHeader()
                yield NeuronList()
                yield Static(id="empty")
            with Vertical(id="right"):
                with Horizontal(id="cards"):
                    yield NeuronCard(id="card")
                    yield NeuronCard(id="other")
                yield Chooser()
                yield NeuronCard(id="your-text")
        yield Ask()

    @property
    def listing(self) -> NeuronList:
        return self.query_one(NeuronList)

    @property
    def card(self) -> NeuronCard:
        return self.query_one("#card", NeuronCard)

    @property
    def asking(self) -> Ask:
        return self.query_one(Ask)

    @property
    def neuron(self) -> int | None:
        return self.listing.neuron

    def details(self) -> str:
        index = self.browse.index
        if index is None:
            return ""
        if not index.has_data:
            return " · weights alone"
        corpus = safe(index.corpus.name) if index.corpus else ""
        growing = "" if index.complete else ", growing"
        return f" · index {corpus} {count(index.n_tokens)} tokens, {count(index.n_documents)} documents{growing}"

    def rest(self) -> Widget:
        return self.query_one(Chooser) if self.has_class("choosing") else self.listing

    def on_mount(self) -> None:
        self.listing.followed = self._moved
        self.listing.focus()
        self._arrange_panes()
        self.set_interval(LOOK, self._look_again)

    def on_resize(self) -> None:
        self._arrange_panes()

    @on(NeuronCard.Resized)
    def _card_resized(self) -> None:
        self._settle()

    def _arrange_panes(self) -> None:
        self.set_class(self.size.width < SIDE_BY_SIDE, "narrow")

    # --- the index ---

    def worker_changed(self) -> None:
        self._look_again()
        self.bench.worker_changed()

    def session_changed(self) -> None:
        self.bench.session_changed()

    def session_swapped(self) -> None:
        self.bench.session_swapped()

    def _look_again(self) -> None:
        if not self._looking and self.is_attached and self.app.screen is self:
            self._looking = True
            self.run_worker(self._look(), group="index")

    async def _look(self) -> None:
        try:
            fresh = await asyncio.to_thread(self.shelf.look, self.workbench.model_info)
        finally:
            self._looking = False
        if fresh is not None:
            neuron = self.neuron
            self.browse.open(fresh)
            self._show_list(neuron)
        elif self.browse.index is None:
            self._show_empty()

    def index_grew(self) -> None:
        """A step has written to an index."""
        self._look_again()
        self._show_status()

    def refill(self) -> None:
        """The list anew, from its top: after a ranking."""
        self._show_list()
        self.listing.move_to(0)

    def _show_empty(self) -> None:
        self.add_class("nothing")
        words = self.shelf.problem or self.bench.building() or offer.NO_INDEX
        self.query_one("#empty", Static).update(Text(safe(words, newlines=True), ink(self.app).plain))

    def _show_list(self, keep: int | None = None) -> None:
        """The list anew: after another filter, order or revision."""
        browse = self.browse
        assert browse.index is not None
        passing = len(browse.ids)
        self.set_class(not passing, "nothing")
        lines = self.listing
        lines.marks, lines.pinned = browse.marks, self.bench.pinned()
        lines.names, lines.sorted_by, lines.descending = browse.names, browse.order_by, browse.descending
        lines.show(browse.index, browse.columns, browse.ids, keep)
        if not passing:
            self._explain_nothing()
        self._show_status()
        self.refresh_frame()
        self._card_neuron = None
        self._settle()

    def _explain_nothing(self) -> None:
        colors = ink(self.app)
        lines = Text("No neuron passes this filter.\n\n", colors.strong)
        blame = self.browse.blame()
        for at, term in enumerate(blame):
            lines.append(f"  {safe(term.text)}", colors.plain)
            lines.append(
                f"   {count(term.alone)} pass it alone, {count(term.without)} pass all the others", colors.quiet
            )
            lines.append("  ← takes the most away\n" if not at and len(blame) > 1 else "\n", colors.second)
        relaxed = self.browse.relaxed()
        lines.append("\nR  ", colors.strong)
        lines.append(f"browse {safe(relaxed)!r} instead" if relaxed else "browse all neurons instead", colors.plain)
        lines.append("\n/  ", colors.strong)
        lines.append("change the filter", colors.plain)
        self.query_one("#empty", Static).update(lines)

    def _show_status(self) -> None:
        """The line under the top one: filter, how many of how many, order, marks."""
        colors, browse = ink(self.app), self.browse
        line = Text(no_wrap=True)
        if browse.query.terms:
            line.append("filter: ", colors.quiet)
            line.append(safe(browse.query.text.strip()), colors.accent)
            line.append("   ", colors.quiet)
        line.append(browse.words(), colors.plain)
        column = browse.columns.get(browse.order_by)
        if column is not None:
            ways = ("largest", "smallest") if column.kind not in ("category", "token") else ("z to a", "a to z")
            way = ways[0] if browse.descending else ways[1]
            line.append(f" · by {safe(column.title)}, {way} first", colors.quiet)
        if browse.marks:
            line.append(f" · {len(browse.marks)} marked", colors.second)
        if browse.index is not None and not browse.index.has_data:
            words = self.bench.building() or offer.WEIGHTS_ONLY
            line.append(f" · {words}", colors.second)
        elif self.shelf.problem:
            line.append(f" · {safe(self.shelf.problem)}", colors.bad)
        line.truncate(max(10, self.size.width - 2), overflow="ellipsis")
        self.query_one("#status", Static).update(line)

    # --- the card ---

    def _moved(self) -> None:
        """The card follows at most eight times a second, and settles when the key is let go."""
        if self._timer is not None:
            self._timer.stop()
        wait = max(0.0, self._card_at + FOLLOW - time.monotonic())
        self._timer = (
            self.set_timer(max(wait, 0.001), self._settle) if wait <= 0 else self.set_timer(wait, self._settle)
        )

    def _settle(self) -> None:
        if self.browse.index is None or not self.query_one("#right").display:
            return
        neuron = self.neuron
        if neuron is None:
            return
        self._card_at = time.monotonic()
        fresh = neuron != self._card_neuron
        self._card_neuron = neuron
        self.show_card(fresh)
        self.bench.follow(neuron)

    def read_card(self, neuron: int) -> Card:
        assert self.browse.index is not None
        layer, at = divmod(neuron, self.browse.index.info.d_mlp)
        return self.browse.index.card(layer, at)

    def show_card(self, top: bool = False) -> None:
        """The neuron under the cursor, or the two that are compared."""
        if self._card_neuron is None or self.browse.index is None:
            return
        pair = self.compared
        for card, neuron in (
            (self.card, pair[0] if pair else self._card_neuron),
            (self.query_one("#other", NeuronCard), pair and pair[1]),
        ):
            if neuron is None:
                continue
            lines = self._card_lines(neuron, card)
            card.show(lines, top)
        self.show_text()

    def _card_lines(self, neuron: int, card: NeuronCard) -> list[Text]:
        try:
            found = self.read_card(neuron)
        except UserError as error:
            return [Text(part, ink(self.app).bad) for part in str(error).splitlines()]
        cells = (card.size.width or 48) - 1
        return card_lines(found, cells, self.both_tails, self._here(neuron), ink(self.app), card.size.height)

    def _here(self, neuron: int) -> Here:
        on_text = self.bench.on_text(neuron)
        address = self.browse.address(neuron)
        notes, pins = self.bench.notes_on(address), self.bench.pins_of(address)
        if on_text is None and not notes and not pins:
            return NOWHERE
        values, tokens = (on_text.values, on_text.tokens) if on_text else (None, ())
        return Here(values, tokens, notes, pins)

    def show_text(self) -> None:
        """The neuron on your text, beneath the card; both where two are compared."""
        pane = self.query_one("#your-text", NeuronCard)
        cells = (pane.size.width or self.card.size.width or 48) - 1
        lines: list[Text] = []
        for neuron in self.compared or (self._card_neuron,):
            if neuron is None:
                return
            label = self.browse.address(neuron) if self.compared else "your text"
            on_text, change = self.bench.on_text(neuron), self.bench.change(neuron)
            words = (self.bench.text, on_text, self.bench.waiting(), change)
            lines += text_lines(*words, cells, ink(self.app), label)
        pane.styles.height = len(lines)
        pane.show(lines)

    # --- keys: the list ---

    def action_filter(self) -> None:
        index = self.browse.index
        if index is None:
            return

        def ways(typed: str) -> list[Completion]:
            return complete(typed, index, self.browse.named_sets)

        def check(typed: str) -> str:
            total = count(index.info.n_neurons)
            return f"{count(self.browse.count(typed))} of {total}" if typed.strip() else f"all {total}"

        text = self.browse.query.text
        hint = "layer 10-20 kurtosis>50 fires:' May'   Tab completes"
        self.asking.ask(Wanted("filter", self._filter, text + " " if text else "", hint, ways, check))

    def _filter(self, text: str) -> None:
        neuron = self.neuron
        self.browse.filter(text.strip())
        self._show_list(neuron)

    def action_relax(self) -> None:
        if self.browse.index is not None and self.browse.query.terms:
            self._filter(self.browse.relaxed())

    def action_sort(self) -> None:
        browse = self.browse
        names = [("address", "L0.N0 first")]
        names += [(name, column.help or column.title) for name, column in browse.columns.items()]

        def ways(typed: str) -> list[Completion]:
            typed = typed.lower()
            found = [one for one in names if typed in one[0].lower()] or [
                one for one in names if typed in one[1].lower()
            ]
            found.sort(key=lambda one: not one[0].lower().startswith(typed))
            return [Completion(name, name, help) for name, help in found]

        def done(name: str) -> None:
            if name != "address" and name not in browse.columns:
                raise UserError(f"there is no column {name!r} to sort by: choose one with ↓ and Enter")
            self._sort("" if name == "address" else name)

        self.asking.ask(
            Wanted("sort by", done, hint="type or choose; S turns the order round", complete=ways, must_choose=True)
        )

    def _sort(self, column: str) -> None:
        browse, neuron = self.browse, self.neuron
        numeric = bool(column) and browse.columns[column].kind not in ("category", "token")
        browse.sort(column, not browse.descending if column == browse.order_by else numeric)
        self._show_list()
        if not column and neuron is not None:
            self.listing.go_to(neuron)

    def action_reverse(self) -> None:
        self.browse.sort(self.browse.order_by, not self.browse.descending)
        self._show_list()

    @on(NeuronList.JumpWanted)
    def _jump_wanted(self) -> None:
        index = self.browse.index
        if index is None:
            return

        def check(typed: str) -> str:
            if typed == "g":
                self.asking.close()
                self.listing.action_edge(-1)
            return ""

        def done(typed: str) -> None:
            unit = parse_unit(typed, index.info)
            if not isinstance(unit, Neuron):
                raise UserError(f"{unit} is no neuron: write one like L12.N345")
            neuron = unit.layer * index.info.d_mlp + unit.index
            if not self.listing.go_to(neuron):
                self._filter("")
                self.listing.go_to(neuron)
                self.say(f"{unit} does not pass the filter, so the filter was taken off (/ brings it back)")

        self.asking.ask(Wanted("go to", done, hint="L12.N345; g for the first line", check=check))

    @on(NeuronList.Marked)
    def _marked(self) -> None:
        self._show_status()

    def action_columns(self) -> None:
        if self.browse.index is None:
            return
        chooser = self.query_one(Chooser)
        chooser.fill(self.browse.columns, self.browse.names, bool(self.browse.index.has_data))
        self.add_class("choosing")
        chooser.focus()

    @on(Chooser.Chosen)
    def _columns_chosen(self, event: Chooser.Chosen) -> None:
        self.browse.choose(event.names)
        self.listing.use_columns(self.browse.names, self.browse.order_by, self.browse.descending)
        left_out = self.listing.row.left_out if self.listing.row else 0
        self.say(f"{left_out} of the columns do not fit in this width" if left_out else "")

    # --- keys: the card ---

    def action_tails(self) -> None:
        self.both_tails = not self.both_tails
        self.show_card()

    def action_scroll_card(self, by: int) -> None:
        for card in self.query("#cards NeuronCard").results(NeuronCard):
            card.scroll_lines(by * 3)

    def action_card(self) -> None:
        """Wide: into the card and back. Narrow: opens it under the list, goes in, closes it."""
        if self.has_class("nothing"):
            return
        if self.has_class("narrow") and not self.has_class("card"):
            self.add_class("card")
            self.call_after_refresh(self._settle)
        elif self.focused is self.listing and not self.has_class("closed"):
            self.card.focus()
        else:
            self.remove_class("card")
            self.listing.focus()

    def action_close_card(self) -> None:
        self.toggle_class("closed")
        self.call_after_refresh(self._settle)

    def action_compare(self) -> None:
        marks = sorted(self.browse.marks)
        here = self.neuron
        if len(marks) == 2:
            self.compared = (marks[0], marks[1])
        elif len(marks) == 1 and here is not None and here != marks[0]:
            self.compared = (marks[0], here)
        else:
            self.say("two neurons are compared: mark both with Space, or mark one and stand on the other")
            return
        self.add_class("both-cards")
        self.card.focus()
        self.bench.follow(*self.compared)
        self.call_after_refresh(self.show_card, True)

    def leave(self) -> bool:
        """Esc: from the columns, the comparison, the card, then the screen."""
        if self.has_class("choosing"):
            self.remove_class("choosing")
        elif self.compared:
            self.compared = None
            self.remove_class("both-cards")
            self.call_after_refresh(self.show_card, True)
        elif self.focused is not self.listing and not self.has_class("nothing"):
            pass
        elif self.has_class("narrow") and self.has_class("card"):
            self.remove_class("card")
        else:
            return False
        self.listing.focus()
        return True

    async def leave_field(self) -> None:
        self.asking.close()

    @on(Ask.Closed)
    def _asked(self) -> None:
        self.rest().focus()
        self.refresh_frame()

    # --- keys: what needs the model or the session ---

    def targets(self) -> list[int]:
        """The marked neurons, else the one under the cursor."""
        return sorted(self.browse.marks) or ([self.neuron] if self.neuron is not None else [])

    def action_write(self) -> None:
        self.asking.ask(Wanted("your text", self.bench.use_text, self.bench.text, "the text to show neurons on"))

    def action_zero(self) -> None:
        if self.neuron is not None:
            self.bench.edit(self.neuron, "=0")

    def action_scale(self) -> None:
        neuron = self.neuron
        if neuron is None:
            return

        def done(typed: str) -> None:
            try:
                factor = float(typed.replace("−", "-"))
            except ValueError:
                raise UserError("a number is expected: 2 doubles the activation, −1 turns its sign") from None
            self.bench.edit(neuron, f"*={number(factor) if factor == 0 else repr(factor).removesuffix('.0')}")

        self.asking.ask(Wanted(f"multiply {self.browse.address(neuron)} by", done, "2"))

    def action_pin(self) -> None:
        if self.neuron is not None:
            self.bench.pin([self.neuron], "")

    def action_pin_set(self) -> None:
        targets = self.targets()
        if not targets:
            return
        known = [Completion(name, name) for name in self.bench.set_names()]
        label = f"pin {len(targets)} marked to" if len(targets) > 1 else f"pin {self.browse.address(targets[0])} to"

        def ways(typed: str) -> list[Completion]:
            return [one for one in known if one.text.startswith(typed)]

        self.asking.ask(Wanted(label, lambda name: self.bench.pin(targets, name.strip()), "", "a set's name", ways))

    def action_basket(self) -> None:
        self.workbench.show("basket")

    def action_unusual(self) -> None:
        self.bench.unusual()

    def action_note(self) -> None:
        if self.neuron is not None:
            address = self.browse.address(self.neuron)
            self.asking.ask(Wanted(f"note on {address}", lambda text: self.bench.note(address, text.strip())))

    def action_export(self) -> None:
        if self.neuron is not None:
            self.bench.export(self.neuron)

    def action_choose_index(self) -> None:
        self.bench.choose_index()

    @on(LineList.Opened)
    def _opened(self, event: LineList.Opened) -> None:
        if isinstance(event.source, NeuronList) and self.neuron is not None:
            self.bench.open_elsewhere(self.neuron)

    def go_to(self, unit: str) -> None:
        """The cursor to this neuron, from another screen."""
        index = self.browse.index
        if index is None:
            return
        found = parse_unit(unit, index.info)
        if isinstance(found, Neuron):
            neuron = found.layer * index.info.d_mlp + found.index
            if not self.listing.go_to(neuron):
                self._filter("")
                self.listing.go_to(neuron)
