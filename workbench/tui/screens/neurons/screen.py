"""The Neurons screen: the list, the card, the line to type into, and what the keys do."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from workbench.errors import UserError
from workbench.text import count, safe
from workbench.tui import keys
from workbench.tui.glossary import Glossary, of_neurons
from workbench.tui.screens.neurons import input_requests, offer
from workbench.tui.screens.neurons.browse import Browse
from workbench.tui.screens.neurons.card_pane import CardPane
from workbench.tui.screens.neurons.index_choice import IndexChoice
from workbench.tui.screens.neurons.list_page import NeuronListPage
from workbench.tui.screens.neurons.state import NeuronsState
from workbench.tui.screens.neurons.status import nothing_passes, status_line
from workbench.tui.widgets.ask import Ask, InputRequest
from workbench.tui.widgets.frame import key_word
from workbench.tui.widgets.line_list import LineList
from workbench.tui.widgets.neuron_list import NeuronHeader, NeuronList
from workbench.tui.widgets.words import Words

if TYPE_CHECKING:
    from workbench.index.format import IndexedSae
    from workbench.tui.theme import Ink

INDEX_POLL = 1.0
"""seconds between two looks for a newer revision of the index"""
_OPENING = frozenset({"filter", "sort", "scale", "pin_set", "write", "note", "choose_index", "features"})
_ON_A_NEURON = frozenset({"zero", "scale", "pin", "pin_set", "tails", "note", "export", "card", "mark", "scroll_card"})
_ON_A_LIST = frozenset({"filter", "sort", "reverse", "columns", "jump", "unusual", "relax", "close_card"})
SIDE_BY_SIDE = 100
"""cells from which list and card stand beside each other"""


class Neurons(NeuronListPage):
    NAME = "Neurons"
    ABOUT = (
        "Every neuron of the model, with everything the index knows of the one under the cursor beside it. / filters "
        "(layer 10-20 kurtosis>50 fires:' May'), s sorts, g goes to an address. Below the card the neuron is shown on "
        "your text (w); 0 switches it off there, beside matched random neurons. Percentiles (p99.8) are within "
        "the neuron's layer. Without an index the list stands on the weights alone, and I builds one. f shows the "
        "features of an SAE in place of the neurons, and the neurons again; percentiles are within the SAE then."
    )
    CSS = """
    #status { height: 1; padding: 0 1; }
    #panes { height: 1fr; }
    #left { width: 59%; }
    #right { width: 1fr; padding: 0 1 0 1; border-left: solid $line; }
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
    Neurons.choosing #right { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = list(keys.NEURONS)

    def __init__(self) -> None:
        super().__init__()
        self.browse = Browse()
        self.index_choice = IndexChoice()
        self.state = NeuronsState(self)
        self._checking = False
        self._cursors: dict[IndexedSae | None, int] = {}
        """where the cursor was before other units were listed, by their SAE; None: neurons"""

    # --- what is on it ---

    def body(self) -> ComposeResult:
        yield Words(id="status")
        with Horizontal(id="panes"):
            with Vertical(id="left"):
                yield NeuronHeader()
                yield NeuronList()
                yield Words(id="empty")
            yield CardPane(self.browse, self.state, id="right")
        yield Ask()

    def details(self) -> str:
        index = self.browse.index
        if index is None:
            return ""
        if not index.has_data:
            return " · weights alone"
        corpus = safe(index.corpus.name) if index.corpus else ""
        growing = "" if index.complete else ", growing"
        of_sae = f" · features of {safe(index.sae.name)}, {index.sae.site}" if index.sae is not None else ""
        return (
            f"{of_sae} · index {corpus} {count(index.n_tokens)} tokens, {count(index.n_documents)} documents{growing}"
        )

    def glossary(self) -> Glossary:
        row = self.listing.row
        return of_neurons(self.browse.columns, tuple(row.names) if row else ())

    def default_focus(self) -> Widget:
        return self.pane.chooser if self.has_class("choosing") else self.listing

    def on_mount(self) -> None:
        self.listing.on_jump = self._ask_address
        self.listing.on_cursor_moved = lambda: self.pane.follow(self.neuron)
        self.listing.focus()
        self._arrange_panes()
        self.set_interval(INDEX_POLL, self._check_index)

    def on_resize(self) -> None:
        self._arrange_panes()

    def _arrange_panes(self) -> None:
        self.set_class(self.size.width < SIDE_BY_SIDE, "narrow")

    # --- the index ---

    def worker_changed(self) -> None:
        self._check_index()
        self.state.worker_changed()

    def session_changed(self) -> None:
        self.state.session_changed()

    def session_swapped(self) -> None:
        self.state.session_swapped()

    def _check_index(self) -> None:
        if not self._checking and self.is_attached and self.app.screen is self:
            self._checking = True
            self.run_worker(self._open_newer_index(), group="index")

    async def _open_newer_index(self) -> None:
        try:
            newer_index = await asyncio.to_thread(self.index_choice.open_newer, self.workbench.model_info)
        finally:
            self._checking = False
        if newer_index is not None:
            neuron, shown = self.neuron, self.browse.index
            if shown is not None and shown.sae != newer_index.sae:
                if neuron is not None:
                    self._cursors[shown.sae] = neuron
                neuron = self._cursors.get(newer_index.sae, 0)
            self.browse.open(newer_index)
            self.browse.sets = self.state.sets()
            self.show_list(neuron)
            if self._goal:
                goal, self._goal = self._goal, ""
                try:
                    self.go_to(goal)
                except UserError as error:
                    self.say(str(error), bad=True)
        elif self.browse.index is None:
            if not self.index_choice.problem:
                self.state.build_weights()
            self._show_empty()

    def index_grew(self) -> None:
        """A step has written to an index."""
        self._check_index()
        if self.browse.index is None:
            self._show_empty()
        else:
            self._show_status()

    def refill(self) -> None:
        """The list anew, from its top: after a ranking."""
        self.show_list()
        self.listing.move_to(0)

    def _show_empty(self) -> None:
        """There is no index to browse: why, what is being done about it, what can be."""
        self.add_class("nothing")
        words, building = safe(self.index_choice.problem or offer.NO_INDEX, newlines=True), self.state.building()
        progress = f"\n\n{building}" if building else ""
        self.query_one("#empty", Words).show(
            lambda colors: Text.assemble((words, colors.plain), (progress, colors.second))
        )
        self.query_one("#status", Words).show(lambda colors: Text())

    def show_list(self, keep: int | None = None) -> None:
        """The list anew: after another filter, order or revision."""
        self.say("")
        browse = self.browse
        assert browse.index is not None
        passing = len(browse.ids)
        self.set_class(not passing, "nothing")
        lines = self.listing
        lines.marks, lines.pinned = browse.marks, self.state.pinned()
        lines.names, lines.sorted_by, lines.descending = browse.names, browse.order_by, browse.descending
        lines.show(browse.index, browse.columns, browse.ids, keep)
        if not passing:
            self.query_one("#empty", Words).show(partial(nothing_passes, browse))
        self._show_status()
        self.refresh_frame()
        self.pane.neuron = None
        self.pane.follow(self.neuron)

    def _show_status(self) -> None:
        self.query_one("#status", Words).show(self._status)

    def _status(self, colors: Ink) -> Text:
        building, problem = self.state.building(), self.index_choice.problem
        return status_line(self.browse, building, problem, self.size.width, colors)

    # --- keys: which are offered ---

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that open the line come before everything else, so that what is typed next is typed into it; and where
        there is no neuron, or no list, the keys for them are not offered."""
        if action == "unusual" and self.browse.units == "features":
            return False
        if (action in _ON_A_NEURON and self.neuron is None) or (action in _ON_A_LIST and self.browse.index is None):
            return False
        if action in _OPENING and self.asking.is_open:
            return False
        return super().check_action(action, parameters)

    def keys_now(self) -> list[tuple[str, str]]:
        """Without an index its key comes first."""
        shown_keys = super().keys_now()
        if self.browse.index is None or not self.browse.index.has_data:
            key = next(
                (key for key, active in self.active_bindings.items() if active.binding.id == "neurons.index"), ""
            )
            shown_keys[:0] = [(key_word(key), "index")] if key and not self.typing else []
        return shown_keys

    @on(NeuronList.Marked)
    def _marked(self) -> None:
        self._show_status()

    # --- keys: the card ---

    def action_tails(self) -> None:
        self.pane.both_tails = not self.pane.both_tails
        self.pane.refill()

    def action_scroll_card(self, by: int) -> None:
        self.pane.scroll_cards(by * 3)

    def action_card(self) -> None:
        """Wide: into the card and back. Narrow: opens it under the list, goes in, closes it."""
        if self.has_class("nothing"):
            return
        if self._show_card():
            return
        if self.focused is self.listing and not self.has_class("closed"):
            self.pane.card.focus()
        else:
            self.remove_class("card")
            self.listing.focus()

    def _show_card(self) -> bool:
        """Where the list stands alone, the card under it: True if it was not there."""
        if not self.has_class("narrow") or self.has_class("card"):
            return False
        self.add_class("card")
        self.call_after_refresh(self.pane.settle)
        return True

    def action_close_card(self) -> None:
        self.toggle_class("closed")
        self.call_after_refresh(self.pane.settle)

    def action_compare(self) -> None:
        marks = sorted(self.browse.marks)
        cursor_neuron = self.neuron
        if len(marks) == 2:
            pair = (marks[0], marks[1])
        elif len(marks) == 1 and cursor_neuron is not None and cursor_neuron != marks[0]:
            pair = (marks[0], cursor_neuron)
        else:
            self.say(f"two {self.browse.units} are compared: mark both with Space, or mark one and stand on the other")
            return
        self.say("")
        self.add_class("both-cards")
        self.pane.card.focus()
        self.pane.compare(pair)

    def leave(self) -> bool:
        """Esc: from the columns, the comparison, the card, then the screen."""
        if self.has_class("choosing"):
            self.remove_class("choosing")
            self.pane.remove_class("choosing")
        elif self.pane.compared:
            self.remove_class("both-cards")
            self.pane.compare(None)
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

    # --- keys: what needs the model or the session ---

    def targets(self) -> list[int]:
        """The marked neurons, else the one under the cursor."""
        return sorted(self.browse.marks) or ([self.neuron] if self.neuron is not None else [])

    def action_write(self) -> None:
        hint = "the text to show neurons on"
        self.asking.ask(InputRequest("your text", self.state.use_text, self.state.text, hint, select=True))

    def action_zero(self) -> None:
        if self.neuron is not None:
            self._show_card()
            self.state.edit(self.neuron, "=0")

    def action_scale(self) -> None:
        neuron = self.neuron
        if neuron is not None:
            address = self.browse.address(neuron)
            self.asking.ask(input_requests.factor_request(address, lambda change: self.state.edit(neuron, change)))

    def action_pin(self) -> None:
        if self.neuron is not None:
            self.state.pin([self.neuron], "")

    def action_pin_set(self) -> None:
        targets = self.targets()
        if not targets:
            return
        label = f"pin {len(targets)} marked to" if len(targets) > 1 else f"pin {self.browse.address(targets[0])} to"
        done = lambda name: self.state.pin(targets, name)  # noqa: E731
        self.asking.ask(input_requests.set_request(label, self.state.set_names(), done))

    def action_basket(self) -> None:
        self.workbench.show("basket")

    def action_unusual(self) -> None:
        self.state.unusual()

    def action_note(self) -> None:
        if self.neuron is not None:
            address = self.browse.address(self.neuron)
            self.asking.ask(InputRequest(f"note on {address}", lambda text: self.state.note(address, text.strip())))

    def action_export(self) -> None:
        if self.neuron is not None:
            self.state.export(self.pane.read_card(self.neuron))

    def action_features(self) -> None:
        self.state.other_units()

    def action_choose_index(self) -> None:
        self.state.choose_index()

    @on(LineList.Opened)
    def _opened(self, event: LineList.Opened) -> None:
        if isinstance(event.source, NeuronList) and self.neuron is not None:
            self.state.open_elsewhere(self.neuron)
