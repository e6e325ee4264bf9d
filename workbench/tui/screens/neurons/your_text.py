"""Your text under the card: where the neuron fires on it, and what changes without the neuron."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from rich.text import Text

from workbench.drawing.scale import Scale
from workbench.result_keys import Effect, NextToken
from workbench.text import count, fit, number, probability, safe, shorten, show_token, spread, width
from workbench.tui.screens.neurons.card_lines import LABEL
from workbench.tui.screens.neurons.examples import append_runs, marked, running, shaded
from workbench.views import AnyView, Table, Tokens
from workbench.worker.peeks import peek_views

if TYPE_CHECKING:
    from workbench.drawing.style import Style
    from workbench.session.records import StepRecord
    from workbench.tui.theme import Ink
    from workbench.worker.protocol import PeekAnswer

_ONE_LINE = 60
"""cells from which label, text and values stand on one line"""
_FIRES = 0.5
"""tokens at least this share of the strongest are marked"""


class OnText(NamedTuple):
    """A neuron's activations over a text."""

    tokens: tuple[str, ...]
    values: np.ndarray
    """[token]"""


class Change(NamedTuple):
    """What is known so far of the effect of an edit of the neuron."""

    edit: str
    status: str
    kl: str = ""
    """with its noise floor"""
    clean: tuple[tuple[str, float], ...] = ()
    """the likeliest next tokens with their probabilities"""
    edited: tuple[tuple[str, float], ...] = ()
    error: str = ""


def from_peek(answer: PeekAnswer) -> OnText | None:
    """The first token strip of an `activations` peek. Raises UserError for its error."""
    strip = next((view for view in peek_views(answer) if isinstance(view, Tokens) and view.rows), None)
    return OnText(tuple(strip.tokens), np.asarray(strip.rows[0].values, np.float64)) if strip else None


def from_step(step: StepRecord, views: Mapping[str, AnyView], edit: str) -> Change:
    """What a `predict` step under an edit says so far."""
    table = views.get(NextToken.VIEW)
    clean: tuple[tuple[str, float], ...] = ()
    edited = clean
    if isinstance(table, Table):
        clean, edited = _likeliest(table, NextToken.PROBABILITY), _likeliest(table, NextToken.PROBABILITY_EDITED)
    return Change(edit, step.status, _kl(step.scalars), clean, edited, step.error)


def _kl(scalars: Mapping[str, float | None]) -> str:
    """`KL .279 · 32 matched random neurons: median 2.0e-6 (5–95 %: 0–2.6e-4) · larger than all 32`."""
    kl, n = scalars.get(Effect.KL), scalars.get(Effect.CONTROLS)
    if kl is None:
        return ""
    low, median, high = (number(scalars.get(key)) for key in (Effect.LOW, Effect.MEDIAN, Effect.HIGH))
    place, rounding = scalars.get(Effect.PERCENTILE), scalars.get(Effect.ROUNDING)
    if rounding is not None and 0 < kl <= rounding:
        return f"KL {number(kl)}, no more than rounding makes here, up to {number(rounding)}"
    if not n or place is None:
        return f"KL {number(kl)}"
    first = place * (n + 1) > n  # (n + ½) / (n + 1): all are smaller
    where = f"larger than all {count(n)}" if first else f"percentile {number(100 * place)}"
    return f"KL {number(kl)} · {count(n)} matched random neurons: {spread(median, low, high)} · {where}"


def _likeliest(table: Table, key: str) -> tuple[tuple[str, float], ...]:
    cells = zip(table.cells(NextToken.TOKEN), table.cells(key), strict=False)
    rows = [(str(token), float(p)) for token, p in cells if isinstance(p, int | float)]
    return tuple(sorted(rows, key=lambda row: -row[1])[:6])


def text_lines(
    text: str,
    on_text: OnText | None,
    waiting: str,
    change: Change | None,
    cells: int,
    colors: Ink,
    style: Style,
    label: str = "your text",
) -> list[Text]:
    """Activations in the drawing's `style`; `waiting` says why there are no activations yet."""
    if on_text is None:
        words = Text(no_wrap=True).append(shorten(running(text, style), max(8, cells - 2)), colors.plain)
        line = Text(no_wrap=True).append(fit(label, LABEL), colors.quiet)
        if cells >= _ONE_LINE:
            line.append(shorten(words.plain, cells - LABEL - width(waiting) - 3), colors.plain).append("  ")
        line.append(shorten(waiting, cells - width(line.plain)), colors.quiet)
        lines = [line] if cells >= _ONE_LINE else [line, Text("  ", no_wrap=True).append_text(words)]
    else:
        lines = _strip(on_text, cells, colors, style, label)
    if change is not None:
        lines += _changed(change, cells, colors)
    return lines


def _strip(on_text: OnText, cells: int, colors: Ink, style: Style, label: str) -> list[Text]:
    """The text around the token that the neuron is strongest on; what it fires on marked, with the values."""
    values = np.nan_to_num(on_text.values)
    scale = Scale([values], style, signed=True)
    peak = int(np.argmax(np.abs(values))) if len(values) else 0
    strongest = float(values[peak]) if len(values) else 0.0
    fires = [at for at in range(len(values)) if strongest and abs(values[at]) >= _FIRES * abs(strongest)]
    figures = " ".join(number(float(values[at]), 2) for at in fires[:3])
    one_line = cells >= _ONE_LINE
    room = cells - LABEL - width(figures) - 2 if one_line else cells - 2
    tokens = [
        marked(running(token, style), float(value), colors, scale)
        if at in fires
        else [shaded(running(token, style), float(value), strongest, colors, scale)]
        for at, (token, value) in enumerate(zip(on_text.tokens, values, strict=False))
    ]
    cells_of = [sum(width(part) for part, _ in parts) for parts in tokens]
    first = 0
    while first < peak and sum(cells_of[first : peak + 1]) > room * 2 // 3:
        first += 1
    shown = Text(no_wrap=True).append(style.glyphs("…", "~") if first else "", colors.quiet)
    append_runs(shown, (part for parts in tokens[first:] for part in parts))
    if width(shown.plain) > room:
        shown.truncate(room, overflow="ellipsis")
    line = Text(no_wrap=True).append(fit(label, LABEL), colors.quiet)
    if one_line:
        line.append_text(shown)
    line.append(" " * max(1, cells - width(line.plain) - width(figures)))
    line.append(figures, colors.quiet)
    return [line] if one_line else [line, Text("  ", no_wrap=True).append_text(shown)]


def _changed(change: Change, cells: int, colors: Ink) -> list[Text]:
    if change.error:
        return [Text(no_wrap=True).append(shorten(f"{change.edit}: {safe(change.error)}", cells), colors.bad)]
    lines = []
    before = dict(change.clean)
    for name, likeliest in (("clean", change.clean), (change.edit, change.edited)):
        line = Text(no_wrap=True).append(fit(name, LABEL - 1) + " ", colors.quiet if name == "clean" else colors.second)
        for token, p in likeliest:
            piece = f"{show_token(token)} {probability(p)}  "
            if width(line.plain) + width(piece) - 2 > cells:
                break
            moved = name != "clean" and abs(p - before.get(token, 0)) > 0.1 * max(p, before.get(token, 0))
            line.append(piece, colors.second if moved else colors.plain)
        if likeliest:
            lines.append(line)
    words = change.kl or ("waiting for the model" if change.status in ("queued", "running") else change.status)
    from workbench.drawing.layout import wrap

    lines += [Text(no_wrap=True).append(part, colors.plain) for part in wrap(safe(words), cells)]
    return lines
