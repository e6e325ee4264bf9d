"""Examples as a concordance: the peaks of all of them stand under each other, in brackets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich.text import Text

from workbench.text import fit, number, safe, shorten, width

if TYPE_CHECKING:
    from workbench.index.card import Example
    from workbench.tui.theme import Ink

_BEFORE = 0.42
"""share of the line's width in front of the peak"""
_STRONG = 0.5
"""tokens at least this share of the peak are drawn strong"""
_SPACES = re.compile(r"[ \t]+")


def running(token: str) -> str:
    """A token inside running text: line ends as a sign, runs of spaces as one, everything safe."""
    return _SPACES.sub(" ", safe(token.replace("\r", "").replace("\n", "↵")))


def example_line(example: Example, cells: int, colors: Ink, value_cells: int = 7) -> Text:
    """One example in `cells`: context, [peak], context, value at the right."""
    room = cells - value_cells - 2
    before_cells = int(room * _BEFORE)
    tokens = [running(token) for token in example.tokens]
    peak = tokens[example.peak].strip() or tokens[example.peak]
    space = " " if tokens[example.peak].startswith(" ") and peak != tokens[example.peak] else ""
    line = Text("  ", no_wrap=True)
    line.append_text(_before(tokens[: example.peak], space, before_cells, example, colors))
    peak = shorten(peak, room - before_cells - 2)
    line.append(f"[{peak}]", colors.accent + colors.strong)
    cells_left = room - before_cells - width(peak) - 2
    values = example.values
    for at in range(example.peak + 1, len(tokens)):
        if cells_left <= 0:
            break
        fits = width(tokens[at]) < cells_left or (width(tokens[at]) == cells_left and at == len(tokens) - 1)
        text = tokens[at] if fits else shorten(tokens[at] + "…", cells_left)
        line.append(text, colors.plain if _strong(values[at], example.value) else colors.quiet)
        cells_left -= width(text)
        if not fits:
            break
    line.append(" " * max(0, cells_left))
    line.append(fit(number(example.value), value_cells, right=True), colors.plain)
    return line


def _before(tokens: list[str], space: str, cells: int, example: Example, colors: Ink) -> Text:
    """What stands in front of the peak, cut at its left end, padded there where it is short."""
    parts: list[tuple[str, bool]] = [(space, False)]
    cells_left = cells - len(space)
    for at in range(len(tokens) - 1, -1, -1):
        if cells_left <= 0:
            break
        text = tokens[at]
        if width(text) > cells_left or (at > 0 and width(text) == cells_left):
            while text and width(text) > cells_left - 1:
                text = text[1:]
            text = "…" + text
        parts.append((text, _strong(example.values[at], example.value)))
        cells_left -= width(text)
    line = Text(" " * max(0, cells_left))
    for text, strong in reversed(parts):
        line.append(text, colors.plain if strong else colors.quiet)
    return line


def _strong(value: float, peak: float) -> bool:
    return bool(peak and value / peak >= _STRONG)
