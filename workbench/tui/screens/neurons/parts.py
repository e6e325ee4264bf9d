"""What the parts of the Neurons screen know of the screen they belong to."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Protocol

from workbench.tui.page import Page

if TYPE_CHECKING:
    from workbench.tui.screens.neurons.browse import Browse
    from workbench.tui.screens.neurons.index_choice import IndexChoice
    from workbench.tui.widgets.ask import Ask
    from workbench.tui.widgets.neuron_list import NeuronList


class Pane(Protocol):
    """The card of the neuron under the cursor."""

    def refill(self) -> None:
        """Everything in it anew."""

    def show_text(self) -> None:
        """What it says of your text anew."""


class NeuronsPage(Page):
    browse: Browse
    index_choice: IndexChoice

    @property
    @abstractmethod
    def listing(self) -> NeuronList: ...

    @property
    @abstractmethod
    def pane(self) -> Pane: ...

    @property
    @abstractmethod
    def asking(self) -> Ask: ...

    @abstractmethod
    def refill(self) -> None:
        """The list and the card anew."""

    @abstractmethod
    def index_grew(self) -> None:
        """There is an index, or more of it."""
