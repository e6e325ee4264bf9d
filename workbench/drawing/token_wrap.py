"""Running text on lines of a given width, token by token, and what of a long one is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.cells import chop_cells

from workbench.drawing.style import Style
from workbench.drawing.token_text import body_of, token_text, with_peak_mark
from workbench.text import count, width
from workbench.views import Tokens

LEFT_OUT = -1
"""the position of a piece that stands for tokens left out"""


@dataclass(frozen=True, slots=True)
class Piece:
    """A token as it is drawn, or a part of one that is wider than a line."""

    at: int
    """the token's position, or LEFT_OUT"""
    text: str
    cells: int
    body: int = 0
    """cells before the token's own text: spaces, marks"""
    separator: str = ""
    """drawn before it unless it begins a line"""
    peak: bool = False
    first: bool = True
    """of its token's pieces"""
    starts_line: bool = False
    ends_line: bool = False


def make_pieces(view: Tokens, peaks: set[int], cells: int, parted: bool, style: Style) -> list[list[Piece]]:
    """Pieces of each token [token], none wider than `cells`. Tokens that colour does not part (`parted`) get marks."""
    made: list[list[Piece]] = []
    bar = style.glyphs("╎", "|")
    differs_mark = style.glyphs("≠", "!")
    before = ""
    for at, token in enumerate(view.tokens):
        text = token_text(token, style)
        peak, differs = at in peaks, at == view.differs_at
        if peak:
            text = with_peak_mark(text, style)
        body = body_of(text)[0]
        if differs:
            text = text[:body] + differs_mark + text[body:]
        own_mark = differs or (peak and not style.color)
        joins = not (parted or own_mark or not before or text[0] == " " or before[-1] == " ")
        separator = bar if joins else ""
        body += differs + (peak and not style.color)
        parts = [text] if width(text) <= cells else chop_cells(text, cells)
        made.append(
            [
                Piece(
                    at,
                    part,
                    width(part),
                    body if not index else 0,
                    separator if not index else "",
                    peak,
                    not index,
                    not index and at == view.generated_from,
                    index == len(parts) - 1 and "\n" in token,
                )
                for index, part in enumerate(parts)
            ]
        )
        before = "" if own_mark else text
    return made


def wrapped(
    pieces: Sequence[Sequence[Piece]], shown: np.ndarray, cells: int, style: Style, most: int | None = None
) -> list[list[Piece]]:
    """Lines of the tokens that are `shown` [token], broken before words; it stops after `most` lines and one."""
    lines: list[list[Piece]] = []
    line: list[Piece] = []
    used = 0
    for token in _with_gaps(pieces, shown, cells, style):
        for piece in token:
            if line and piece.starts_line:
                lines.append(line)
                line, used = [], 0
            taken = piece.cells + (len(piece.separator) if line else 0)
            if line and used + taken > cells:
                start = _word_start(line, piece, cells)
                lines.append(line[:start])
                line = line[start:]
                used = _cells_of(line)
                if most is not None and len(lines) > most:
                    return lines
                taken = piece.cells + (len(piece.separator) if line else 0)
            line.append(piece)
            used += taken
            if piece.ends_line:
                lines.append(line)
                line, used = [], 0
    return [*lines, line] if line else lines


def _cells_of(line: Sequence[Piece]) -> int:
    return sum(piece.cells for piece in line) + sum(len(piece.separator) for piece in line[1:])


def _word_start(line: Sequence[Piece], following: Piece, cells: int) -> int:
    """Where to break a line before `following`: at the word's start, if the rest of the word is no third of a line."""
    if following.text[0] == " " or not following.first:
        return len(line)
    tail = 0
    for at in range(len(line) - 1, 0, -1):
        tail += line[at].cells + len(line[at].separator)
        if tail > cells // 3 or tail + len(following.separator) + following.cells > cells:
            break
        if line[at].text[0] == " " or line[at - 1].text[-1] == " ":
            return at
    return len(line)


def _with_gaps(pieces: Sequence[Sequence[Piece]], shown: np.ndarray, cells: int, style: Style) -> list[Sequence[Piece]]:
    """The tokens that are shown, `… 41 tokens …` where others are left out."""
    if shown.all():
        return list(pieces)
    with_gaps: list[Sequence[Piece]] = []
    edges = np.flatnonzero(np.diff(shown.astype(np.int8), prepend=1, append=1))
    end = 0
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        with_gaps += pieces[end:start]
        n = count(stop - start)
        dots = style.glyphs("…", "...")
        text = next(
            (text for text in (f" {dots} {n} tokens {dots} ", f" {dots}{n}{dots} ") if width(text) <= cells), dots
        )
        with_gaps.append([Piece(LEFT_OUT, text, width(text))])
        end = stop
    return [*with_gaps, *pieces[end:]]
