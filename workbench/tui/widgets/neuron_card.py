"""Lines that are drawn one by one: what is shown anew sends only the lines that differ."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.style import Style
from rich.text import Text
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from workbench.tui import keys
from workbench.tui.widgets.strips import strip_of
from workbench.tui.widgets.words import same_text


class NeuronCard(ScrollView, can_focus=True, inherit_bindings=False):
    """Everything known of one neuron, as lines that somebody else lays out."""

    DEFAULT_CSS = """
    NeuronCard { scrollbar-size: 1 1; overflow-x: hidden; overflow-y: scroll; }
    NeuronCard.plain { overflow-y: hidden; }
    """
    BINDINGS: ClassVar[list[BindingType]] = list(keys.NEURON_CARD)

    class Resized(Message):
        """The lines have to be laid out for another size."""

        def __init__(self, card: NeuronCard, is_width_new: bool) -> None:
            super().__init__()
            self.card = card
            self.is_width_new = is_width_new

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._laid_out = Size(0, 0)
        self._base: Style | None = None
        self.lines: list[Text] = []
        self._strips: list[Strip | None] = []

    def show(self, lines: list[Text], top: bool = False) -> None:
        """These lines from now on; `top` scrolls back to the first one (another neuron's card)."""
        before, self.lines = self.lines, lines
        old = self._strips
        self._strips = [
            old[at] if at < len(before) and at < len(old) and same_text(before[at], line) else None
            for at, line in enumerate(lines)
        ]
        if len(lines) != len(before):
            # Not through the reactive, which lays out and repaints the whole screen for it.
            self.set_reactive(Widget.virtual_size, Size(0, len(lines)))
            if self.styles.overflow_y == "scroll":
                self._scroll_update(self.virtual_size)
        if top and self.scroll_offset.y:
            self.scroll_to(y=0, animate=False, force=True, immediate=True)
            self.refresh()
            return
        first, start = self.scroll_offset.y, -1
        for y in range(self.size.height + 1):
            at = first + y
            drawn = self._strips[at] is None if at < len(self._strips) else at < len(before)
            if drawn and y < self.size.height:
                start = y if start < 0 else start
            elif start >= 0:  # neighbouring lines are drawn as one region: each has its price
                self.refresh(Region(0, start, self.size.width, y - start))
                start = -1

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips = [None] * len(self.lines)
        self._base = None

    @property
    def base(self) -> Style:
        """The widget's own colours; asking Textual for them costs more than drawing a line."""
        if self._base is None:
            self._base = self.rich_style
        return self._base

    def on_resize(self) -> None:
        before, self._laid_out = self._laid_out, self.size
        if self.size != before:
            self.post_message(self.Resized(self, self.size.width != before.width))

    def render_line(self, y: int) -> Strip:
        at, cells = y + self.scroll_offset.y, self.size.width
        if at >= len(self.lines):
            return Strip.blank(cells, self.base)
        strip = self._strips[at]
        if strip is None or strip.cell_length != cells:
            strip = self._strips[at] = strip_of(self.lines[at], cells, self.base)
        return strip

    def scroll_lines(self, lines: int) -> None:
        self.scroll_to(y=self.scroll_offset.y + lines, animate=False, force=True, immediate=True)

    def action_move(self, by: int) -> None:
        self.scroll_lines(by)

    def action_page(self, by: int) -> None:
        self.scroll_lines(by * max(1, self.size.height - 1))

    def action_edge(self, side: int) -> None:
        self.scroll_lines(side * len(self.lines))
