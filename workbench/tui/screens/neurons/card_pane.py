"""The card beside the list: it follows the cursor, and shows two where two are compared."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.timer import Timer

from workbench.errors import UserError
from workbench.tui.screens.neurons.card_lines import NO_CONTEXT, NeuronContext, card_lines
from workbench.tui.screens.neurons.chooser import Chooser
from workbench.tui.screens.neurons.your_text import text_lines
from workbench.tui.theme import Ink, drawing_style, ink
from workbench.tui.widgets.neuron_card import NeuronCard

if TYPE_CHECKING:
    from workbench.index.card import Card
    from workbench.tui.screens.neurons.browse import Browse
    from workbench.tui.screens.neurons.state import NeuronsState

FOLLOW = 0.125
"""seconds: while the cursor moves the card follows at most eight times a second, and settles on release"""


class CardPane(Vertical):
    """One card or two, with your text beneath; the column chooser takes their place."""

    DEFAULT_CSS = """
    CardPane #cards { height: 1fr; }
    CardPane #cards NeuronCard { width: 1fr; }
    CardPane #other { display: none; padding-left: 2; }
    CardPane.two #other { display: block; }
    CardPane #your-text { height: auto; max-height: 8; margin-top: 1; }
    CardPane Chooser { display: none; }
    CardPane.choosing Chooser { display: block; }
    CardPane.choosing #cards { display: none; }
    CardPane.choosing #your-text { display: none; }
    """

    def __init__(self, browse: Browse, state: NeuronsState, **options: Any) -> None:
        super().__init__(**options)
        self.browse, self.state = browse, state
        self.both_tails = False
        self.compared: tuple[int, int] | None = None
        self.neuron: int | None = None
        """whose card is shown"""
        self._text_rows = 0
        self._cursor_neuron: int | None = None
        self._shown_at = 0.0
        self._timer: Timer | None = None
        self._ink: Ink | None = None
        """what the lines that are shown were made with"""

    def compose(self) -> ComposeResult:
        with Horizontal(id="cards"):
            yield NeuronCard(id="card")
            yield NeuronCard(id="other")
        yield Chooser()
        yield NeuronCard(id="your-text", classes="plain")

    @property
    def card(self) -> NeuronCard:
        return self.query_one("#card", NeuronCard)

    @property
    def chooser(self) -> Chooser:
        return self.query_one(Chooser)

    @on(NeuronCard.Resized)
    def _resized(self, event: NeuronCard.Resized) -> None:
        """A card's plot takes the rows that the text beneath leaves, which grows as its answer comes."""
        if event.is_width_new:
            self._text_rows = 0
        elif event.card.id == "your-text":
            return
        self.refill()

    # --- following the cursor ---

    def follow(self, neuron: int | None) -> None:
        """The cursor is on this neuron now: its card at once, or in a moment where one was shown just before."""
        self._cursor_neuron = neuron
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        wait = self._shown_at + FOLLOW - time.monotonic()
        if wait <= 0:
            self.settle()
        else:
            self._timer = self.set_timer(wait, self.settle)

    def settle(self) -> None:
        """The card of the neuron that was asked for last."""
        neuron = self._cursor_neuron
        if neuron is None or self.browse.index is None or not self.display:
            return
        self._shown_at = time.monotonic()
        is_new = neuron != self.neuron
        self.neuron = neuron
        self.refill(is_new)
        if not self.compared:
            self.state.follow(neuron)

    def compare(self, pair: tuple[int, int] | None) -> None:
        """These two side by side; None: the one under the cursor again."""
        self.compared = pair
        self._text_rows = 0
        self.set_class(pair is not None, "two")
        if pair:
            self.state.follow(*pair)
        self.call_after_refresh(self.refill, True)

    # --- drawing ---

    def notify_style_update(self) -> None:
        super().notify_style_update()
        if self._ink is not None and self._ink is not ink(self.app):  # another theme: the lines hold its colours
            self.refill()

    def read_card(self, neuron: int) -> Card:
        """Raises UserError where the index is damaged."""
        assert self.browse.index is not None
        return self.browse.index.card_of(neuron)

    def refill(self, top: bool = False) -> None:
        """The same neurons, laid out anew: another width, new values on your text, both tails."""
        if self.neuron is None or self.browse.index is None:
            return
        self._ink = ink(self.app)
        shown = [(self.card, self.compared[0] if self.compared else self.neuron)]
        if self.compared:
            shown.append((self.query_one("#other", NeuronCard), self.compared[1]))
        for card, neuron in shown:
            card.show(self._lines(neuron, card), top)
        self.show_text()

    def _lines(self, neuron: int, card: NeuronCard) -> list[Text]:
        colors = ink(self.app)
        try:
            contents = self.read_card(neuron)
        except UserError as error:
            return [Text(no_wrap=True).append(part, colors.bad) for part in str(error).splitlines()]
        cells = (card.size.width or 48) - 1
        context, style = self._neuron_context(neuron), drawing_style(self.app)
        return card_lines(contents, cells, self.both_tails, context, colors, style, card.size.height)

    def _neuron_context(self, neuron: int) -> NeuronContext:
        on_text = self.state.on_text(neuron)
        address = self.browse.address(neuron)
        notes, pins = self.state.notes_on(address), self.state.pins_of(address)
        if on_text is None and not notes and not pins:
            return NO_CONTEXT
        values, tokens = (on_text.values, on_text.tokens) if on_text else (None, ())
        return NeuronContext(values, tokens, notes, pins)

    def show_text(self) -> None:
        """The neuron on your text, beneath the card; both where two are compared."""
        pane = self.query_one("#your-text", NeuronCard)
        cells = (pane.size.width or self.card.size.width or 48) - 1
        lines: list[Text] = []
        for neuron in self.compared or (self.neuron,):
            if neuron is None:
                return
            label = self.browse.address(neuron) if self.compared else "your text"
            on_text, change = self.state.on_text(neuron), self.state.change(neuron)
            words = (self.state.text, on_text, self.state.waiting(), change)
            lines += text_lines(*words, cells, ink(self.app), drawing_style(self.app), label)
        # It never shrinks while the cursor moves: another height lays out and repaints the whole screen.
        self._text_rows = max(self._text_rows, len(lines))
        pane.styles.height = self._text_rows
        pane.show(lines)

    def scroll_cards(self, lines: int) -> None:
        for card in self.query("#cards NeuronCard").results(NeuronCard):
            card.scroll_lines(lines)
