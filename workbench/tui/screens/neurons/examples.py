"""Examples as a concordance: the peaks of all of them stand under each other, tokens filled with their activations."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING

from rich.style import Style as RichStyle
from rich.text import Text

from workbench.drawing.token_text import body_of, peak_parts, token_text, with_peak_mark
from workbench.text import fit, number, width

if TYPE_CHECKING:
    from workbench.drawing.scale import Scale
    from workbench.drawing.style import Style
    from workbench.index.card import Example
    from workbench.tui.theme import Ink

_BEFORE = 0.42
"""share of the line's width in front of the peak"""
_STRONG = 0.5
"""tokens at least this share of the peak are no quieter than other text"""
_FILLED = 0.1
"""share of the scale from which tokens are filled: fewer colours in a line that follows the cursor"""
_SPACES = re.compile(r"[ \t]+")


def running(token: str, style: Style) -> str:
    """A token in a text of one line: runs of spaces as one, the rest as `token_text` writes it."""
    return token_text(_SPACES.sub(" ", token.replace("\r", "") or token), style)


def shaded(text: str, value: float, peak: float, colors: Ink, scale: Scale) -> tuple[str, RichStyle]:
    """A token's text filled with its value; quiet where that is far from the peak's."""
    fill = scale.fill(value) if abs(scale.share(value)) >= _FILLED else ""
    strong = bool(peak and value / peak >= _STRONG)
    return text, RichStyle.parse(fill) if fill else colors.plain if strong else colors.quiet


def marked(text: str, value: float, colors: Ink, scale: Scale) -> list[tuple[str, RichStyle]]:
    """A peak's text with its mark, in parts."""
    parts = peak_parts(with_peak_mark(text, scale.style), scale.fill(value), scale.style)
    return [(part, colors.plain + RichStyle.parse(look)) for part, look in parts if part]


def append_runs(line: Text, parts: Iterable[tuple[str, RichStyle]]) -> Text:
    """Neighbours of one style as one span: every span has its price on the way to the terminal."""
    for look, run in groupby(parts, key=lambda part: part[1]):
        line.append("".join(text for text, _ in run), look)
    return line


def example_line(example: Example, cells: int, colors: Ink, scale: Scale, value_cells: int = 7) -> Text:
    """One example in `cells`: context, peak, context, value at the right."""
    room = cells - value_cells - 2
    before_cells = int(room * _BEFORE)
    style = scale.style
    tokens = [running(token, style) for token in example.tokens]
    start, end = body_of(tokens[example.peak])
    marks = width(with_peak_mark("", style))
    peak = style.shorten(tokens[example.peak][start:end], room - before_cells - marks)
    parts = _before([*tokens[: example.peak], tokens[example.peak][:start]], before_cells, example, colors, scale)
    parts += marked(peak, example.value, colors, scale)
    cells_left = room - before_cells - width(peak) - marks
    after = [(tokens[example.peak][end:], example.value)]
    after += zip(tokens[example.peak + 1 :], example.values[example.peak + 1 :].tolist(), strict=False)
    for at, (text, value) in enumerate(after):
        if cells_left <= 0:
            break
        fits = width(text) < cells_left or (width(text) == cells_left and at == len(after) - 1)
        text = text if fits else style.shorten(text + "…", cells_left)
        parts.append(shaded(text, value, example.value, colors, scale))
        cells_left -= width(text)
        if not fits:
            break
    line = append_runs(Text("  ", no_wrap=True), parts)
    line.append(" " * max(0, cells_left))
    line.append(fit(number(example.value), value_cells, right=True), colors.plain)
    return line


def _before(tokens: list[str], cells: int, example: Example, colors: Ink, scale: Scale) -> list[tuple[str, RichStyle]]:
    """What stands in front of the peak, cut at its left end, padded there where it is short."""
    parts: list[tuple[str, RichStyle]] = []
    cells_left = cells
    for at in range(len(tokens) - 1, -1, -1):
        if cells_left <= 0:
            break
        text = tokens[at]
        if width(text) > cells_left or (at > 0 and width(text) == cells_left):
            while text and width(text) > cells_left - 1:
                text = text[1:]
            text = scale.style.glyphs("…", "~") + text
        parts.append(shaded(text, float(example.values[at]), example.value, colors, scale))
        cells_left -= width(text)
    return [(" " * max(0, cells_left), colors.quiet), *reversed(parts)]
