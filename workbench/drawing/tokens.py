"""A strip of tokens: the text as the model reads it, coloured by value, with a bar under every token.

A token's own space is shown as `·`, and `╎` stands between tokens that have none. One row of bars for each
colouring (clean, edited, a unit); the text itself takes the first one's colours.
"""

from __future__ import annotations

import numpy as np

from workbench.drawing.layout import joined, plain
from workbench.drawing.scale import Scale, signed_number
from workbench.drawing.style import Line, Style
from workbench.text import count, number, show_token, width
from workbench.views import Tokens

MAX_TOKENS = 4096
"""Tokens drawn; exports have all."""
_PEAKS = 3


def draw_tokens(view: Tokens, cells: int, height: int | None, style: Style) -> tuple[list[Line], str]:
    """The strip with its bars, the peaks and the scale; what the note must add."""
    rows = view.rows
    scale = Scale([row.values for row in rows], style, view.signed)
    names = [style.shorten(style.clean_text(row.name), max(8, min(24, cells // 4))) for row in rows]
    margin = max([0, *(width(name) for name in names)]) + 2 if any(names) else 0
    blocks = _blocks([_shown(token, style) for token in view.tokens[:MAX_TOKENS]], max(4, cells - margin), style)
    per_block = 1 + len(rows)
    below = 1 + len(rows) if rows else 0
    room = len(blocks) if height is None else max(1, (height - below) // per_block)
    first = max(0, len(blocks) - room)
    lines: list[Line] = []
    for block in blocks[first:]:
        text = plain(" " * margin)
        for at, piece, mark in block:
            if mark:
                text.append(mark, "dim")
            text.append(piece, scale.ground(_value(rows[0].values, at)) if rows else "")
        lines.append(text)
        for name, row in zip(names, rows, strict=True):
            bars = plain(style.fit(name, max(0, margin - 2)) + "  " if margin else "", "dim")
            for at, piece, mark in block:
                value = _value(row.values, at)
                bars.append(" " * width(mark))
                bars.append(scale.bar(value) * width(piece), scale.ink(value))
            bars.rstrip()
            lines.append(bars)
    for name, row in zip(names, rows, strict=True):
        lines.append(_peaks(name, view, row.values, cells, style))
    if rows:
        label = f"{view.value_label}: " if view.value_label else ""
        legend = plain(style.shorten(style.clean_text(label), cells // 3), "dim")
        legend.append_text(scale.legend(view.low_label, view.high_label, "bar", cells - width(legend.plain)))
        lines.append(legend)
    hidden = blocks[first][0][0] if blocks else 0
    return lines, joined(
        f"tokens {hidden} to {min(len(view.tokens), MAX_TOKENS) - 1} of {count(len(view.tokens))}"
        if hidden or len(view.tokens) > MAX_TOKENS
        else "",
        "" if view.tokens else "no tokens",
    )


def _value(values: np.ndarray, at: int) -> float:
    return float(values[at]) if at < len(values) else float("nan")


def _shown(token: str, style: Style) -> str:
    """A token without its quotes: spaces as dots (underscores in ASCII), the rest as `show_token` writes it."""
    text = show_token(token)[1:-1] or "∅"
    return style.clean_text(text.replace(" ", "_" if style.ascii else "·"))


def _blocks(tokens: list[str], cells: int, style: Style) -> list[list[tuple[int, str, str]]]:
    """Lines of (position, text, mark before it), none wider than `cells`. A token is broken only if it must be."""
    blocks: list[list[tuple[int, str, str]]] = []
    current: list[tuple[int, str, str]] = []
    used = 0
    for at, token in enumerate(tokens):
        mark = "" if not current or token[0] in "·_" else style.glyphs("╎", "|")
        if current and used + width(mark) + width(token) > cells:
            blocks.append(current)
            current, used, mark = [], 0, ""
        if width(token) > cells:
            token = style.shorten(token, cells)
        current.append((at, token, mark))
        used += width(mark) + width(token)
    if current:
        blocks.append(current)
    return blocks


def _peaks(name: str, view: Tokens, values: np.ndarray, cells: int, style: Style) -> Line:
    """The largest values in figures, with their tokens."""
    usable = [at for at in range(min(len(values), len(view.tokens))) if np.isfinite(values[at])]
    usable.sort(key=lambda at: -abs(float(values[at])))
    write = signed_number if view.signed else number
    shown = [f"{show_token(view.tokens[at])} {write(float(values[at]))}" for at in usable[:_PEAKS]]
    text = f"{name + ' ' if name else ''}most: " + (", ".join(shown) if shown else "nothing")
    return plain(style.shorten(style.clean_text(text), cells), "dim")
