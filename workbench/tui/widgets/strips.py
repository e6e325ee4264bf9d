"""A line of text as a strip: for lines that were put together piece by piece, in order, with styles that are ready."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.strip import Strip

from workbench.text import width


def strip_of(text: Text, cells: int, base: Style) -> Strip:
    """`text` in exactly `cells` cells, on the widget's own colours.

    Spans that follow each other, as `append` makes them, cost a fifth of Rich's own rendering. Raises ValueError for
    spans that overlap, and for styles by name.
    """
    plain, at = text.plain, 0
    ground = base + text.style if isinstance(text.style, Style) else base
    segments: list[Segment] = []
    for start, end, style in text.spans:
        if start > at:
            segments.append(Segment(plain[at:start], ground))
        if start < at or not isinstance(style, Style):
            raise ValueError(f"the line {plain!r} has spans that overlap, or a style by name")
        segments.append(Segment(plain[start:end], ground + style))
        at = end
    if at < len(plain):
        segments.append(Segment(plain[at:], ground))
    text_cells = width(plain)
    if text_cells < cells:
        segments.append(Segment(" " * (cells - text_cells), base))
        return Strip(segments, cells)
    strip = Strip(segments, text_cells)
    return strip if text_cells == cells else strip.crop(0, cells)
