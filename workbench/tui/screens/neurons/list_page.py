"""The list of the Neurons screen: its filter, order and columns, and going to a neuron by its address."""

from __future__ import annotations

from abc import abstractmethod

from textual import on

from workbench.errors import UserError
from workbench.tui.screens.neurons import input_requests
from workbench.tui.screens.neurons.card_pane import CardPane
from workbench.tui.screens.neurons.chooser import Chooser
from workbench.tui.screens.neurons.parts import NeuronsPage
from workbench.tui.widgets.ask import Ask
from workbench.tui.widgets.neuron_list import NeuronList


class NeuronListPage(NeuronsPage):
    """A screen with a NeuronList, a CardPane and Ask."""

    def __init__(self) -> None:
        super().__init__()
        self._goal = ""
        """a neuron to go to as soon as there is an index"""

    @abstractmethod
    def show_list(self, keep: int | None = None) -> None:
        """Draws the list after another filter, order or revision; the cursor stays on neuron `keep`."""

    @property
    def listing(self) -> NeuronList:
        return self.query_one(NeuronList)

    @property
    def pane(self) -> CardPane:
        return self.query_one(CardPane)

    @property
    def asking(self) -> Ask:
        return self.query_one(Ask)

    @property
    def neuron(self) -> int | None:
        return self.listing.neuron

    def action_filter(self) -> None:
        if self.browse.index is not None:
            self.asking.ask(input_requests.filter_request(self.browse, self.browse.index, self._replace_filter))

    def _filter(self, text: str) -> None:
        neuron = self.neuron
        self.browse.filter(text.strip())
        self.show_list(neuron)

    def _replace_filter(self, text: str, why: str = "") -> None:
        """Another filter; where it does not only narrow the one before, that one can be brought back."""
        before, index = self.browse.query.text, self.browse.index
        self._filter(text)
        after = self.browse.query.text
        if not before or index is None or after.startswith(before):
            return

        def put_back() -> None:
            if self.browse.index is None or self.browse.index.sae != index.sae:
                raise UserError(f"filter {before} is of another list than this one: f goes there")
            self._filter(before)

        self.removed(f"filter {before} {'replaced' if after else 'removed'}{why}", f"filter {before}", put_back)

    def action_relax(self) -> None:
        if self.browse.index is not None and self.browse.query.terms:
            self._replace_filter(self.browse.relaxed())

    def action_sort(self) -> None:
        if self.browse.index is not None:
            self.asking.ask(input_requests.sort_request(self.browse, self._sort))

    def _sort(self, column: str) -> None:
        browse, neuron = self.browse, self.neuron
        numeric = bool(column) and browse.columns[column].kind not in ("category", "token")
        browse.sort(column, not browse.descending if column == browse.order_by else numeric)
        self.show_list()
        if not column and neuron is not None:
            self.listing.go_to(neuron)

    def action_reverse(self) -> None:
        self.browse.sort(self.browse.order_by, not self.browse.descending)
        self.show_list()

    def _ask_address(self) -> None:
        if self.browse.index is not None:
            self.asking.ask(input_requests.address_request(self.browse.index, self._jump, self._jump_to_first))

    def _jump_to_first(self) -> None:
        self.asking.close()
        self.listing.action_edge(-1)

    def _jump(self, neuron: int) -> None:
        if not self.listing.go_to(neuron):
            self._replace_filter("", f": {self.browse.address(neuron)} does not pass it")
            self.listing.go_to(neuron)

    def go_to(self, unit: str) -> None:
        """The cursor to this neuron, from another screen. Raises UserError for what is no neuron here."""
        index = self.browse.index
        if index is None:
            self._goal = unit  # once there is a list
        elif index.sae is not None:
            self._goal = unit
            self.index_choice.show("")
            self.index_grew()
        else:
            self._jump(input_requests.neuron_id(index, unit))

    def action_columns(self) -> None:
        if self.browse.index is None:
            return
        chooser = self.pane.chooser
        chooser.room_for(self.listing.row.names if self.listing.row else [])
        chooser.fill(self.browse.columns, self.browse.names, bool(self.browse.index.has_data))
        self.add_class("choosing")
        self.pane.add_class("choosing")
        chooser.focus()

    @on(Chooser.Chosen)
    def _columns_chosen(self, event: Chooser.Chosen) -> None:
        self.browse.choose(event.names)
        self.listing.use_columns(self.browse.names, self.browse.order_by, self.browse.descending)
        self.pane.chooser.room_for(self.listing.row.names if self.listing.row else [])
