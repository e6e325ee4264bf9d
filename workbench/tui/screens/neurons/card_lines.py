"""The card, laid out: everything the index knows of one neuron or feature, in lines of a given width."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from rich.style import Style
from rich.text import Text

from workbench.drawing.scale import Scale
from workbench.text import NOTHING, count, fit, number, safe, shorten, shorten_left, show_token, trim, width
from workbench.tui.screens.neurons import plot
from workbench.tui.screens.neurons.examples import example_line, marked, running

if TYPE_CHECKING:
    from workbench.drawing.style import Style as DrawingStyle
    from workbench.index.card import Card, Example
    from workbench.tui.theme import Ink

LABEL = 13
"""cells of the words at the left of a line"""
_PLOT_ROWS = 4
_ROOM_FOR_BOTH = 14
"""spare rows from which both tails are shown unasked"""
_STATISTICS = (
    ("active", "mean where it fires"),
    ("sd", "sd"),
    ("skew", "skew"),
    ("kurtosis", "kurtosis"),
    ("min", "min"),
    ("max", "max"),
)
_WEIGHTS = (
    ("decoder", "‖W_dec‖"),
    ("w_in", "‖w_in‖"),
    ("w_out", "‖w_out‖"),
    ("cos", "cos"),
    ("bias", "bias"),
    ("vocab_kurtosis", "vocabulary kurt"),
    ("vocab_var", "variance"),
    ("rho", "ρ"),
)


class NeuronContext(NamedTuple):
    """What the screen knows beyond the index: this prompt's activations, notes, what the neuron is pinned in."""

    values: np.ndarray | None = None
    """[position]"""
    tokens: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()


NO_CONTEXT = NeuronContext()


def card_lines(
    card: Card,
    cells: int,
    both_tails: bool,
    context: NeuronContext,
    colors: Ink,
    style: DrawingStyle,
    rows: int = 0,
) -> list[Text]:
    """All sections, most telling first; examples in the drawing's `style`.

    `rows` are seen without scrolling: spare ones go to examples and the plot.
    """
    scale = Scale([example.values for example in (*card.high, *card.low)], style, signed=True)
    head = _heading(card, cells, colors)
    rest = [
        *_effects(card, cells, colors),
        *_neighbours(card, cells, colors),
        *_signs(card, cells, colors, scale),
        *_weights(card, cells, colors),
        *_notes(context, cells, colors),
    ]
    if not card.n_tokens:
        return [*head, *rest]
    figures = [_figure(card, name, words) for name, words in _STATISTICS if name in card.stats]
    rest = [*_flow(f"in its {card.group}", figures, cells, colors), *rest]
    marked = context.values is not None
    spare = rows - len(head) - len(rest) - (_PLOT_ROWS + 2 + marked) - 2
    both_tails = both_tails or spare >= _ROOM_FOR_BOTH
    example_lines = len(card.high) + (len(card.low) + 1 if both_tails else 0)
    higher = max(0, min(6, spare - min(example_lines, _ROOM_FOR_BOTH)))
    counts = _distribution(card, cells, context, _PLOT_ROWS + higher, colors)
    examples = _examples(card, cells, both_tails, max(0, spare - higher), colors, scale)
    return [*head, *examples, *counts, *rest]


def labelled(label: str, parts: Iterable[tuple[str, Style]], cells: int, colors: Ink, label_cells: int = LABEL) -> Text:
    """`label       text text`, cut at `cells`; parts that do not fit whole are left out, the last one shown cut."""
    line = Text(no_wrap=True).append(fit(label, label_cells - 1) + " ", colors.quiet)
    cells_left = cells - label_cells
    for text, style in parts:
        if width(text) > cells_left:
            line.append(shorten(text, cells_left), style)
            break
        line.append(text, style)
        cells_left -= width(text)
    return line


def two_sides(left: Text, right: str, cells: int, style: Style) -> Text:
    """A line with words at its right end, where there is room for them."""
    gap = cells - width(left.plain) - width(right)
    if gap < 1:
        left.truncate(cells, overflow="ellipsis")
        return left
    left.append(" " * gap)
    left.append(right, style)
    return left


def _heading(card: Card, cells: int, colors: Ink) -> list[Text]:
    """The unit, its families with their percentiles within the layer, its best feature."""
    right = ""
    if card.best:
        # Which way the mean goes where the feature holds: many gated neurons answer with a negative activation.
        right = f"{safe(card.best)} ({'+' if card.best_sign >= 0 else '−'}) VR {number(card.vr, 2)}"
    line = Text(no_wrap=True).append(card.unit, colors.strong)
    for family in card.families:
        words = f"  {safe(family.name)} {_percentile(family.percentile)}".rstrip()
        if width(line.plain) + width(words) + width(right) + 1 > cells:
            break
        line.append(words, colors.plain)
    return [two_sides(line, right, cells, colors.plain)]


def _percentile(value: float | None) -> str:
    """`p32`, `p99.8`: within the layer; a decimal only near the ends, where it matters."""
    if value is None or np.isnan(value):
        return ""
    return f"p{value:.0f}" if 5 <= value < 95 else "p100" if value >= 99.95 else f"p{trim(f'{value:.1f}') or 0}"


def _examples(card: Card, cells: int, both_tails: bool, spare: int, colors: Ink, scale: Scale) -> list[Text]:
    """The tail that carries most of Σa² first: a gated neuron may do its work below zero."""
    negative = card.tail_share[1] > 0.5
    tails = [("top", card.high), ("lowest", card.low)][:: -1 if negative else 1]
    (name, first), (other, second) = tails
    room = max(3, spare)
    first_count = room if not both_tails else min(len(first), max(3, room // 2))
    lines = [
        _tail_head(name, first, cells, colors),
        *(example_line(example, cells, colors, scale) for example in first[:first_count]),
    ]
    if not first:
        lines.append(Text(no_wrap=True).append("  none in this corpus", colors.quiet))
    if not second:
        return lines
    if both_tails:
        shown = second[: max(3, room - first_count)]
        return [
            *lines,
            _tail_head(other, shown, cells, colors),
            *(example_line(example, cells, colors, scale) for example in shown),
        ]
    peak = second[0]
    line = Text(no_wrap=True).append(fit("highest" if negative else "lowest", LABEL), colors.quiet)
    line.append(f"{number(peak.value)} at {show_token(peak.tokens[peak.peak])}", colors.plain)
    return [*lines, two_sides(line, "b both tails", cells, colors.quiet)]


def _tail_head(name: str, examples: Sequence[Example], cells: int, colors: Ink) -> Text:
    head = Text(no_wrap=True).append(f"{name} examples, of {len(examples)}", colors.quiet)
    return two_sides(head, f"peak {number(examples[0].value)}" if examples else "", cells, colors.quiet)


def _distribution(card: Card, cells: int, context: NeuronContext, rows: int, colors: Ink) -> list[Text]:
    plot_cells = max(16, min(cells // 2, 48)) if cells >= 44 else max(12, cells - 22)
    drawn = plot.histogram(card.histogram, card.edges, plot_cells, rows, context.values)
    head = Text(no_wrap=True).append(f"log counts of {count(card.n_sampled)}", colors.quiet)
    right = [
        f"n {count(card.n_tokens)} tokens",
        f"  in {count(card.n_documents)} document{'s' * (card.n_documents != 1)}",
        f"mean {number(card.mean)} ± {number(card.se, 2)}",
        f"fires on {share(card.stats['frequency'])}"
        if "frequency" in card.stats
        else f">0 {share(card.stats.get('positive'))}",
    ]
    lines = [two_sides(head, _this_prompt(context), cells, colors.accent)]
    for at, row in enumerate(drawn.rows):
        line = Text(no_wrap=True).append(row.ljust(plot_cells), colors.accent)
        if at < len(right):
            line.append("  " + shorten(right[at], cells - plot_cells - 2), colors.plain)
        lines.append(line)
    axis = Text(no_wrap=True).append(drawn.axis.ljust(plot_cells), colors.quiet)
    if drawn.marks:
        lines.append(Text(no_wrap=True).append(drawn.marks.ljust(plot_cells), colors.second))
    return [*lines, axis]


def share(value: float | None) -> str:
    """A fraction as per cent: `1.1 %`."""
    if value is None or np.isnan(value):
        return NOTHING
    per_cent = 100 * float(value)
    return f"{number(per_cent, 2)} %"


def _this_prompt(context: NeuronContext) -> str:
    if context.values is None or not len(context.values):
        return ""
    at = int(np.argmax(np.abs(context.values[1:])) + 1) if len(context.values) > 1 else 0
    return f"▲ here {number(float(context.values[at]))} at {show_token(context.tokens[at])}"


def _figure(card: Card, name: str, words: str) -> str:
    """`kurtosis 412 p99.8`: a value and its percentile within the layer."""
    return f"{words} {number(card.stats[name])} {_percentile(card.percentiles.get(name))}".rstrip()


def _flow(label: str, texts: Sequence[str], cells: int, colors: Ink) -> list[Text]:
    """Short texts one after the other, on as many lines as they need."""
    lines: list[Text] = []
    line = Text(no_wrap=True).append(fit(label, LABEL), colors.quiet)
    cells_left = cells - LABEL
    first = True
    for text in texts:
        gap = 0 if first else 3
        if width(text) + gap > cells_left and not first:
            lines.append(line)
            line, cells_left, gap = Text(" " * LABEL, no_wrap=True), cells - LABEL, 0
        line.append(" · " if gap else "", colors.quiet)
        line.append(shorten(text, cells_left - gap), colors.plain)
        cells_left -= width(text) + gap
        first = False
    if not first:
        lines.append(line)
    return lines


def _effects(card: Card, cells: int, colors: Ink) -> list[Text]:
    positive, negative = card.tail_share
    lines = []
    of_feature = "decoder" in card.stats
    labels = ("promotes", "suppresses") if of_feature else ("when +", "when −")
    for label, tokens, part in zip(labels, (card.promoted, card.suppressed), (positive, negative), strict=True):
        if of_feature and not tokens:
            continue
        has_share = card.n_tokens and not of_feature and part is not None and not np.isnan(part)
        note = f"{share(part)} of Σa²" if has_share else ""
        room = cells - (width(note) + 1 if note else 0)
        parts: list[tuple[str, Style]] = []
        used = LABEL
        for token, value in tokens:
            shown, figure = show_token(token), f" {number(abs(value), 2)}  "
            if used + width(shown) + width(figure) - 2 > room:
                break
            parts += [(shown, colors.plain), (figure, colors.quiet)]
            used += width(shown) + width(figure)
        lines.append(two_sides(labelled(label, parts, room, colors), note, cells, colors.quiet))
    return lines


def _neighbours(card: Card, cells: int, colors: Ink) -> list[Text]:
    lines = []
    for label, neighbours in (("reads like", card.neighbours_in), ("writes like", card.neighbours_out)):
        texts = [f"{unit} {number(cosine, 2)}" for unit, cosine in neighbours]
        if texts:
            lines += _flow(label, texts, cells, colors)[:1]
    return lines


def _signs(card: Card, cells: int, colors: Ink, scale: Scale) -> list[Text]:
    if not card.signs:
        return []
    lines = [Text(no_wrap=True).append(shorten("signs of gate and linear part, sampled", cells), colors.quiet)]
    for case in card.signs:
        line = Text(no_wrap=True).append(f"  gate {case.gate} linear {case.linear}", colors.plain)
        line.append(fit(share(case.fraction), 8, right=True), colors.plain)
        line.append(fit(f"mean {number(case.mean, 2)}", 12, right=True), colors.quiet)
        example = case.examples[0] if case.examples else None
        room = cells - 40
        if example is not None and room > 12:
            tokens = [running(token, scale.style) for token in example.tokens[: example.peak + 1]]
            peak = marked(shorten(tokens[-1].strip(), room // 2), example.value, colors, scale)
            around = shorten_left("".join(tokens[-9:-1]), room - sum(width(part) for part, _ in peak) - 1)
            line.append(f"  {around.rstrip()} ", colors.quiet)
            for part, look in peak:
                line.append(part, look)
        line.truncate(cells, overflow="ellipsis")
        lines.append(line)
    return lines


def _weights(card: Card, cells: int, colors: Ink) -> list[Text]:
    texts = [_figure(card, name, words) for name, words in _WEIGHTS if name in card.stats]
    return _flow("weights", texts, cells, colors)


def _notes(context: NeuronContext, cells: int, colors: Ink) -> list[Text]:
    lines = _flow("pinned in", [safe(name) or "the basket" for name in context.pins], cells, colors)
    for at, note in enumerate(context.notes):
        lines.append(labelled("notes" if not at else "", [(safe(note), colors.plain)], cells, colors))
    return lines
