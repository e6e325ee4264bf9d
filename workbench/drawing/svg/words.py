"""Text, and text shaded token by token, on a page. In monospace: a token's ground is as wide as its characters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.drawing.layout import wrap
from workbench.drawing.ramps import amount_colour, signed_colour
from workbench.drawing.scale import Scale
from workbench.drawing.style import LIGHT, readable_on
from workbench.drawing.svg.page import CELL, INK, LINE, MONO, QUIET, RULE, SMALL, Page, label
from workbench.text import count, number, safe, show_token, width
from workbench.views import Text, TokenRow, Tokens

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE = 7.5
_PITCH = _SIZE * 1.75
_LABELLED, _TINY = 1.35, 5.0
"""lines' distance where tokens have labels below them, against others; the labels' size"""
_MOST_TOKENS = 5000
_PEAKS = 3


def text_figure(view: Text, page: Page) -> Figure:
    lines = wrap(safe(view.text, newlines=True), page.characters(_SIZE))
    if not view.text:
        page.notes.append("no text")
    figure, axes = page.sheet(len(lines) * _SIZE * LINE + 6)
    for at, line in enumerate(lines):
        indent = len(line) - len(line.lstrip(" "))
        axes.text(
            indent * _SIZE * CELL, 3 + (at + 0.5) * _SIZE * LINE, line.strip(" "), ha="left", va="center_baseline",
            fontsize=_SIZE, family=MONO, color=INK,
        )  # fmt: skip
    return figure


def tokens_figure(view: Tokens, page: Page) -> Figure:
    tokens = [_shown(token) for token in view.tokens[:_MOST_TOKENS]]
    if not tokens:
        page.notes.append("no tokens")
        return page.figure(10)
    if len(tokens) < len(view.tokens):
        page.notes.append(f"the first {count(len(tokens))} of {count(len(view.tokens))} tokens")
    if view.generated_from is not None:
        page.notes.append("right of the thick bar: generated")
    if view.differs_at is not None:
        page.notes.append("dashed: the first token that differs")
    places, n_lines = _places(tokens, page.characters(_SIZE) - 1)
    scale = Scale([row.values for row in view.rows], LIGHT, view.signed)
    pitch = _PITCH * (_LABELLED if view.labels else 1)
    block = n_lines * pitch + SMALL * 2
    figure, axes = page.sheet(max(1, len(view.rows)) * block + 32)
    for at, row in enumerate(view.rows or [TokenRow(name="", values=np.zeros(0))]):
        _put_row(axes, view, row, tokens, places, scale, at * block, pitch, page)
    if view.rows:
        _legend(axes, view, scale, max(1, len(view.rows)) * block + 8, page)
    return figure


def _shown(token: str) -> str:
    """A token as it stands in a text: a space for a space, escapes for what can't be seen."""
    shown = show_token(token)[1:-1]
    return shown or "∅"


def _places(tokens: list[str], cells: int) -> tuple[list[tuple[int, int]], int]:
    """Line and column of each token, and the number of lines; a newline among the tokens ends its line."""
    places, line, column = [], 0, 0
    for token in tokens:
        size = width(token)
        if column and column + size > cells:
            line, column = line + 1, 0
        places.append((line, column))
        column += size
        if token.endswith("\\n"):
            line, column = line + 1, 0
    return places, places[-1][0] + 1


def _put_row(
    axes: Axes,
    view: Tokens,
    row: TokenRow,
    tokens: list[str],
    places: list[tuple[int, int]],
    scale: Scale,
    top: float,
    pitch: float,
    page: Page,
) -> None:
    """One colouring of all tokens from `top` points down; its highest one is framed and bold."""
    from matplotlib.patches import Rectangle

    values = np.asarray(row.values, dtype=float)[: len(tokens)]
    order = np.argsort(-np.nan_to_num(np.abs(values) if view.signed else values, nan=-np.inf))
    peaks = [int(at) for at in order[:_PEAKS] if np.isfinite(values[at])]
    names = ", ".join(f"{show_token(view.tokens[at])} {number(float(values[at]))}" for at in peaks)
    heading = " · ".join(part for part in (row.name, f"peaks: {names}" if names else "") if part)
    axes.text(0, top + SMALL, label(heading, page.characters(SMALL)), va="center_baseline", fontsize=SMALL, color=QUIET)
    for at, (token, (line, column)) in enumerate(zip(tokens, places, strict=True)):
        value = float(values[at]) if at < len(values) else float("nan")
        left, down = 1 + column * _SIZE * CELL, top + SMALL * 1.8 + line * pitch
        size = width(token) * _SIZE * CELL
        ink = INK
        if np.isfinite(value):
            ramp = signed_colour if view.signed else amount_colour
            ground = ramp(scale.share(value), False, "rgb")
            ink = readable_on(ground)
            axes.add_patch(Rectangle((left, down), size, _PITCH * 0.84, facecolor=ground, linewidth=0))
        peak, differs = at in peaks[:1], at == view.differs_at
        axes.add_patch(
            Rectangle((left, down), size, _PITCH * 0.84, fill=False, linewidth=1.0 if peak or differs else 0.25,
                      edgecolor=INK if peak or differs else RULE, zorder=3 if peak or differs else 2,
                      linestyle="--" if differs else "-")
        )  # fmt: skip
        if at == view.generated_from:
            axes.plot([left, left], [down - 1, down + _PITCH * 0.84 + 1], color=INK, linewidth=2.2, zorder=5)
        if at < len(view.labels) and view.labels[at] and (not at or view.labels[at] != view.labels[at - 1]):
            name = label(view.labels[at], 24)
            axes.text(left, down + _PITCH * 1.02, name, va="center_baseline", fontsize=_TINY, color=QUIET)
        indent = width(token) - width(token.lstrip(" "))
        axes.text(
            left + indent * _SIZE * CELL, down + _PITCH * 0.45, token.strip(" "), ha="left", va="center_baseline",
            fontsize=_SIZE, family=MONO, color=ink, fontweight="bold" if peak else "normal", zorder=4,
        )  # fmt: skip


def _legend(axes: Axes, view: Tokens, scale: Scale, top: float, page: Page) -> None:
    """What the values are; under it the scale's colours with the numbers and the meanings of both ends."""
    from matplotlib.patches import Rectangle

    look: dict[str, Any] = {"va": "center_baseline", "fontsize": SMALL, "color": QUIET}
    room = page.characters(SMALL)
    axes.text(0, top + 5, label(view.value_label, room), **look)
    ends = ((scale.low, view.low_label), (scale.high, view.high_label))
    low, high = (label(f"{number(value)} {meaning}".strip(), (room - 18) // 2) for value, meaning in ends)
    axes.text(0, top + 17, low, **look)
    left = (width(low) + 1) * SMALL * CELL
    ramp = signed_colour if view.signed else amount_colour
    for step in range(20):
        share = (step + 0.5) / 20
        colour = ramp(2 * share - 1 if view.signed else share, False, "rgb")
        axes.add_patch(Rectangle((left + step * 3, top + 12), 3, 9, facecolor=colour, linewidth=0))
    axes.text(left + 65, top + 17, high, **look)
