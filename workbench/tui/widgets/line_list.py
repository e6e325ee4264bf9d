"""A list of lines with a cursor: ten lines or ten thousand alike, since only the visible ones are drawn."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.text import Text
from textual.binding import BindingType
from textual.events import Click
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from workbench.tui import keys
from workbench.tui.theme import ink

_CACHE = 2_000


class LineList(ScrollView, can_focus=True, inherit_bindings=False):
    """Subclasses give `line(index, cells)`; the cursor's mark and background are drawn here."""

    DEFAULT_CSS = """
    LineList { scrollbar-size: 1 1; overflow-x: hidden; overflow-y: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = list(keys.LIST)

    class Moved(Message):
        """The cursor is somewhere else."""

        def __init__(self, source: LineList, index: int) -> None:
            super().__init__()
            self.source, self.index = source, index

        @property
        def control(self) -> LineList:
            return self.source

    class Opened(Moved):
        """Enter, or a click on the line under the cursor."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.cursor = 0
        self.count = 0
        self._strips: dict[tuple[int, int, bool], Strip] = {}

    def line(self, index: int, cells: int) -> Text:
        """One line in `cells` terminal cells, without the cursor's mark."""
        raise NotImplementedError

    def cursor_shown(self) -> bool:
        """The cursor's line is marked also while the focus is elsewhere, so that its place is seen."""
        return True

    def set_count(self, count: int, cursor: int | None = None) -> None:
        """There are `count` lines now; the cursor keeps its place where it can."""
        height, before = self.size.height, self.count
        self.count = count
        if self.styles.auto_dimensions or (count > height) != (before > height):
            self.virtual_size = Size(0, count)
        else:  # neither its size nor its scrollbar changes: no layout of the whole screen
            self.set_reactive(Widget.virtual_size, Size(0, count))
            self._scroll_update(self.virtual_size)
        self._strips.clear()
        self.cursor = max(0, min(self.cursor if cursor is None else cursor, count - 1))
        self.show_cursor()
        self.refresh()

    def forget(self, index: int) -> None:
        """This line's text has changed."""
        for key in [key for key in self._strips if key[0] == index]:
            del self._strips[key]
        self._refresh_line(index)

    def forget_all(self) -> None:
        self._strips.clear()
        self.refresh()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips.clear()

    # --- drawing ---

    def render_line(self, y: int) -> Strip:
        index = y + self.scroll_offset.y
        cells = self.scrollable_content_region.width  # `size` counts the scrollbar's cell too
        if index >= self.count:
            return Strip.blank(cells, self.rich_style)
        under = index == self.cursor and self.cursor_shown()
        key = (index, cells, under)
        strip = self._strips.get(key)
        if strip is None:
            if len(self._strips) > _CACHE:
                self._strips.clear()
            strip = self._strips[key] = self._draw(index, cells, under)
        return strip

    def _draw(self, index: int, cells: int, under: bool) -> Strip:
        colors = ink(self.app)
        text = Text.assemble(("▌ " if under else "  ", colors.accent), self.line(index, cells - 2), no_wrap=True)
        text.end = ""
        strip = Strip(text.render(self.app.console)).adjust_cell_length(cells)
        base = self.rich_style + colors.cursor if under else self.rich_style
        return strip.apply_style(base)

    def _refresh_line(self, index: int) -> None:
        y = index - self.scroll_offset.y
        if 0 <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))

    # --- moving ---

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """An empty list has nowhere to go and nothing to open."""
        return self.count > 0

    def move_to(self, index: int, notify: bool = True) -> None:
        """Moves the cursor to this line, scrolled into view; `notify` posts Moved."""
        index = max(0, min(index, self.count - 1))
        if index == self.cursor or not self.count:
            return
        before, self.cursor = self.cursor, index
        self._refresh_line(before)
        self._refresh_line(index)
        self.show_cursor()
        if notify:
            self.post_message(self.Moved(self, index))

    def show_cursor(self) -> None:
        """Scrolls so that the cursor's line is seen."""
        height = self.size.height
        if not height:
            return
        top = round(self.scroll_y)
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, force=True, immediate=True)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False, force=True, immediate=True)

    def on_resize(self) -> None:
        self.show_cursor()

    def action_move(self, by: int) -> None:
        self.move_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        self.move_to(self.cursor + by * max(1, self.size.height - 1))

    def action_edge(self, side: int) -> None:
        self.move_to(0 if side < 0 else self.count - 1)

    def action_open(self) -> None:
        if self.count:
            self.post_message(self.Opened(self, self.cursor))

    def on_click(self, event: Click) -> None:
        index = event.y + self.scroll_offset.y
        if index >= self.count:
            return
        if index == self.cursor:
            self.action_open()
        else:
            self.move_to(index)


class OneOfLists(LineList):
    """One of several lists on a screen: only the list that has the focus shows its cursor."""

    def cursor_shown(self) -> bool:
        return self.has_focus

    def on_focus(self) -> None:
        self.forget(self.cursor)

    def on_blur(self) -> None:
        self.forget(self.cursor)
