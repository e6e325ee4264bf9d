"""Printing: lines in the terminal's colours and characters, or JSON and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import click

from workbench.drawing import Line, Style, detect
from workbench.drawing.layout import paragraph
from workbench.drawing.style import Depth
from workbench.text import width

if TYPE_CHECKING:
    from rich.console import Console

MAX_WIDTH = 140
"""Lines longer than this are hard to read; --width goes beyond."""
_NO_TERMINAL = 100
_COLOR_SYSTEMS: dict[Depth, Literal["truecolor", "256", "standard"]] = {
    "rgb": "truecolor",
    "256": "256",
    "16": "standard",
}


def page_width(cells: int | None = None) -> int:
    """Cells to draw in: `cells`, else the terminal's up to MAX_WIDTH; 100 where there is none."""
    if cells:
        return cells
    columns = shutil.get_terminal_size((_NO_TERMINAL, 40)).columns
    return max(20, min(MAX_WIDTH, columns))


class Printer:
    """Writes drawn lines to stdout."""

    def __init__(self, cells: int | None = None, theme: str = "auto") -> None:
        self.style: Style = detect(sys.stdout, theme)
        self.width = page_width(cells)
        self.rows = 0
        """of the terminal printed so far"""
        self._screen_rows = shutil.get_terminal_size().lines if sys.stdout.isatty() else None
        self._attributes = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"

    def has_scrolled_away(self, row: int) -> bool:
        """Whether what was printed in this row is above the terminal's first by now."""
        return self._screen_rows is not None and self.rows - row > self._screen_rows

    def lines(self, lines: Iterable[Line]) -> None:
        """Lines as they were drawn: never wrapped, never parsed."""
        for line in lines:
            self.rows += max(1, -(-line.cell_len // self.width))
            if self._attributes:
                self._console.print(line, soft_wrap=True)
            else:
                click.echo(line.plain)

    @cached_property
    def _console(self) -> Console:
        """Writes escape codes; without colours, dim and bold remain."""
        from rich.console import Console

        return Console(
            file=sys.stdout,
            force_terminal=True,
            color_system=_COLOR_SYSTEMS[self.style.depth],
            markup=False,
            highlight=False,
            emoji=False,
        )

    def text(self, text: str, text_style: str = "", indent: str = "") -> None:
        """Running text, wrapped to the page."""
        self.lines(paragraph(text, self.width, self.style, text_style, indent))

    def unbroken(self, text: str, text_style: str = "") -> None:
        """One line that is not to be broken (a command to copy), however long."""
        self.lines([Line(self.style.clean_text(text), style=text_style, end="", no_wrap=True)])

    def definitions(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Names with their meaning beside them, wrapped, and dim facts (type, bounds, default) under it."""
        rows = list(rows)
        margin = min(24, max((width(name) for name, _, _ in rows), default=0) + 2)
        for name, meaning, facts in rows:
            lines = paragraph(meaning, self.width - margin, self.style)
            lines += paragraph(facts, self.width - margin, self.style, "dim") if facts else []
            first = Line(self.style.clean_text(name), style="bold" if width(name) < margin else "", end="")
            if width(name) >= margin:
                self.lines([first])
                first = Line("", end="")
            for at, line in enumerate(lines):
                start = first if at == 0 else Line("", end="")
                self.lines([Line.assemble(start, " " * (margin - start.cell_len), line)])

    def blank(self) -> None:
        self.lines([Line("", end="")])


_UNSEEN = re.compile(
    "[\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)
"""controls and what steers the direction of text or is not seen: a terminal may obey them, JSON may escape them"""


def _escape_unseen(document: bytes) -> bytes:
    """JSON that a terminal shows as it is; a parser gets the same text from it."""

    def escape(match: re.Match[str]) -> str:
        units = match[0].encode("utf-16-be")
        return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))

    return _UNSEEN.sub(escape, document.decode()).encode()


def print_json_lines(rows: Iterable[Any]) -> None:
    """JSON objects in UTF-8, one a line."""
    import msgspec

    from workbench.views import to_builtins

    for row in rows:
        click.echo(_escape_unseen(msgspec.json.encode(to_builtins(row))))


def print_json(data: Any) -> None:
    """One JSON document in UTF-8; nan and infinity become null."""
    import msgspec

    from workbench.views import to_builtins

    click.echo(_escape_unseen(msgspec.json.format(msgspec.json.encode(to_builtins(data)), indent=2)))
