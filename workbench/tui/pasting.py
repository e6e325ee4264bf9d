"""A bracketed paste, taken as it is.

Textual's parser reads what follows an escape character inside a paste as keys, which arrive before the rest of it: the
pasted text would be reordered.
"""

from __future__ import annotations

from collections.abc import Iterable

from textual import events
from textual._xterm_parser import BRACKETED_PASTE_END, BRACKETED_PASTE_START, XTermParser
from textual.drivers import linux_driver
from textual.message import Message

from workbench.tui.terminal_answers import late_answers

_OVERLAP = len(BRACKETED_PASTE_START) - 1
"""characters that may be the beginning of a mark whose end is not read yet"""


class PasteParser(XTermParser):
    """Textual's parser, which gets nothing of a paste but its two marks, and nothing of the terminal's late answers."""

    def __init__(self, debug: bool = False) -> None:
        super().__init__(debug)
        self._parts: list[str] | None = None
        """of the paste that is being read"""
        self._tail = ""
        """the last characters read, while a mark may begin in them: outside of a paste they are parsed already"""

    def feed(self, data: str) -> Iterable[Message]:
        if not data:  # the end
            yield from super().feed(data)
        data = late_answers.cut(data)
        while data:
            joined, in_paste = self._tail + data, self._parts is not None
            at = joined.find(BRACKETED_PASTE_END if in_paste else BRACKETED_PASTE_START)
            end = at + len(BRACKETED_PASTE_START)
            if self._parts is not None:
                self._parts.append(joined[: at if at >= 0 else -_OVERLAP])
                if at >= 0:
                    text, self._parts = "".join(self._parts), None
                    yield from (
                        event for event in super().feed(BRACKETED_PASTE_END) if not isinstance(event, events.Paste)
                    )
                    yield events.Paste(text)
            else:
                yield from super().feed(data if at < 0 else data[: end - len(self._tail)])
                if at >= 0:
                    self._parts = []
            self._tail = joined[-_OVERLAP:] if at < 0 else ""
            data = joined[end:] if at >= 0 else ""


def take_pastes_whole() -> None:
    """From now on, terminals are read with it. Textual has no place for a parser of one's own."""
    linux_driver.XTermParser = PasteParser  # type: ignore[attr-defined]
