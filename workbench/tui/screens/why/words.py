"""What the Why screen says around its panes: direct effects, the sentence, levels on one axis, the next tokens."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from workbench.drawing.layout import wrap
from workbench.drawing.scale import signed_number
from workbench.result_keys import Direct, NextToken, Stages, Verdict
from workbench.text import fit, number, probability, quoted, safe, seconds, shorten, show_token, width
from workbench.tui.screens.why.finding import USER_SET, Finding, Level, LikelyToken
from workbench.tui.widgets.result.words import bar
from workbench.tui.worker_words import progress_words
from workbench.views import Bars

if TYPE_CHECKING:
    from workbench.session.records import StepRecord
    from workbench.tui.theme import Ink

_LEVELS = {Verdict.CLEAN: "nothing off", Verdict.PICKED: "those picked, off"}
"""names of levels beside the others; elsewhere as the experiment names them"""
_AXIS_LEAST = 16
_NAME_MOST = 40


def direct_line(finding: Finding, cells: int, colors: Ink) -> Text:
    """`direct: embedding +.09  heads +9.75  MLPs +9.38  (logits, sum 19.2 = …)`."""
    view = finding.view(Direct.VIEW, Bars)
    text = Text(no_wrap=True).append("direct  ", colors.quiet)
    if view is None or not view.series:
        return text.append("what the parts write straight into the logits", colors.quiet)
    for key, label, value in zip(view.keys, view.labels, view.series[0].y, strict=False):
        if abs(float(value)) >= 5e-4 or key in (Direct.HEADS, Direct.MLPS):
            text.append(f"{safe(label)} ", colors.plain)
            text.append(f"{signed_number(float(value))}   ", colors.strong)
    room = cells - width(text.plain)
    return text.append(shorten(f"({safe(view.y_label)}, {safe(view.note)})", room), colors.quiet)


def running_line(record: StepRecord, cells: int, colors: Ink) -> Text:
    """Which of the stages it is in, how far, and how long that still takes."""
    stage = record.progress.stage
    at = Stages.ALL.index(stage) + 1 if stage in Stages.ALL else 1
    words = progress_words(record.progress, time.time()) or "reading the prompt"
    text = Text(no_wrap=True).append(f"{at} of {len(Stages.ALL)} ", colors.strong)
    text.append(f"{bar(record)} " if bar(record) and cells >= 90 else "", colors.accent)
    text.append(words, colors.second)
    if record.started is not None:
        text.append(f" · {seconds(max(0.0, time.time() - record.started))} so far", colors.quiet)
    text.append(" · Ctrl+C stops and keeps this", colors.quiet)
    text.truncate(cells, overflow="ellipsis")
    return text


def sentence(record: StepRecord, is_noise: bool, cells: int, colors: Ink) -> list[Text]:
    """The finding, its first part strong (two where it is noise); the prompt stands in the heading already."""
    headline = safe(record.headline)
    after = f" after {quoted(str(record.params.get('prompt', '')))}"
    for part in (f" ·{after}", after):
        headline = headline.replace(part, "", 1)
    strong = " · ".join(headline.split(" · ")[: 2 if is_noise else 1])
    lines, strong_left = [], len(strong)
    unbroken = re.sub(r"' ([^']*)'", "'\u00a0\\1'", headline)  # no line ends inside of a token
    for part in (line.replace("\u00a0", " ") for line in wrap(unbroken, cells)):
        line = Text(no_wrap=True).append(part[: max(0, strong_left)], colors.strong)
        lines.append(line.append(part[max(0, strong_left) :], colors.plain))
        strong_left -= len(part) + 1
    return lines


def level_lines(
    levels: Sequence[Level], quantity: str, is_probability: bool, cells: int, max_lines: int, colors: Ink
) -> list[Text]:
    """A line each, on one axis: a point, or the median with its 5 to 95 % band. The axis below names both ends."""
    shown = list(levels)[: max(0, max_lines - 1)]
    if not shown or max_lines < 3:
        return []
    names = [safe(f"{_LEVELS.get(level.role, level.name)} {level.n}".strip()) for level in shown]
    figures = [probability(level.value) if is_probability else number(level.value) for level in shown]
    figure_cells = max(map(width, figures))
    room = max(cells // 2, cells - figure_cells - 4 - _AXIS_LEAST)
    name_cells = min(_NAME_MOST, max(map(width, names)), room)
    axis = cells - name_cells - figure_cells - 4
    values = [value for level in shown for value in (level.value, level.low, level.high) if value is not None]
    low, high = min(values), max(values)
    low = 0.0 if is_probability else low
    span = (high - low) or 1.0

    def place(value: float) -> int:
        return max(0, min(axis - 1, round((value - low) / span * (axis - 1))))

    lines = []
    for level, name, figure in zip(shown, names, figures, strict=True):
        highlighted = level.role in (Verdict.PICKED, USER_SET)
        style = colors.second if highlighted else colors.plain
        line = Text(no_wrap=True).append(fit(name, name_cells), style if highlighted else colors.quiet)
        line.append(f"  {fit(figure, figure_cells, right=True)}  ", style)
        if axis >= _AXIS_LEAST:
            track = [" "] * axis
            if level.low is not None and level.high is not None:
                for at in range(place(level.low), place(level.high) + 1):
                    track[at] = "─"
                track[place(level.low)], track[place(level.high)] = "├", "┤"
            track[place(level.value)] = "●"
            line.append("".join(track).rstrip(), style)
        lines.append(line)
    if axis >= _AXIS_LEAST:
        ends = [probability(end) if is_probability else number(end) for end in (low, high)]
        middle = shorten(safe(quantity), axis - width(ends[0]) - width(ends[1]) - 4)
        filling = axis - width(ends[0]) - width(ends[1]) - width(middle) - 2
        foot = f"{ends[0]} {'─' * (filling // 2)}{middle}{'─' * (filling - filling // 2)} {ends[1]}"
        lines.append(Text(" " * (cells - axis) + foot, colors.quiet, no_wrap=True))
    return lines


def token_lines(tokens: Sequence[LikelyToken], cells: int, max_lines: int, colors: Ink) -> list[Text]:
    """A line a token with bars; with units off both probabilities, what moved in another colour."""
    shown = sorted(tokens, key=lambda likely: -max(likely.p, likely.edited or 0.0))[: max(0, max_lines - 1)]
    if not shown:
        return []
    off = any(likely.edited is not None for likely in shown)
    names = [show_token(likely.token) for likely in shown]
    name_cells = min(max(map(width, names)), cells // 3)
    top = max(max(likely.p, likely.edited or 0.0) for likely in shown) or 1.0
    head = Text(no_wrap=True).append(fit("next token", name_cells + 4), colors.quiet)
    head.append("    on" + ("    off" if off else ""), colors.quiet)
    lines = [head]
    for likely, name in zip(shown, names, strict=True):
        mark = {NextToken.ANSWER: "▸ ", NextToken.FOIL: "○ "}.get(likely.role, "  ")
        line = Text(no_wrap=True).append(mark, colors.accent)
        line.append(fit(name, name_cells), colors.strong if likely.role else colors.plain)
        line.append(fit(probability(likely.p), 8, right=True), colors.quiet if off else colors.plain)
        value = likely.p
        if off:
            value = likely.edited or 0.0
            moved = abs(value - likely.p) > 0.1 * max(value, likely.p)
            line.append(fit(probability(likely.edited), 7, right=True), colors.second if moved else colors.plain)
        room = cells - width(line.plain) - 2
        if room >= 6:
            line.append("  " + "▇" * round(value / top * room), colors.second if off else colors.accent)
        lines.append(line)
    return lines


def token_row(name: str, tokens: Sequence[LikelyToken], edited: bool, cells: int, colors: Ink) -> Text:
    """The likeliest next tokens on one line, where there is no room for more."""
    line = Text(no_wrap=True).append(fit(name, 6), colors.second if edited else colors.quiet)
    if edited:
        tokens = sorted(
            (likely for likely in tokens if likely.edited is not None), key=lambda likely: -(likely.edited or 0)
        )
    for likely in tokens:
        value = likely.edited if edited else likely.p
        piece = f"{show_token(likely.token)} {probability(value)}  "
        if width(line.plain) + width(piece) - 2 > cells:
            break
        moved = edited and abs((value or 0) - likely.p) > 0.1 * max(value or 0, likely.p)
        line.append(piece, colors.second if moved else colors.plain)
    return line


def provenance_words(record: StepRecord) -> str:
    """`step 3 · 48 s · cpu float32 · seed 0`."""
    parts = [f"step {record.id}"]
    if record.started is not None and record.finished is not None:
        parts.append(seconds(max(0.0, record.finished - record.started)))
    parts += [f"{record.device} {record.dtype}".strip(), f"seed {record.seed}"]
    return safe(" · ".join(filter(None, parts)))


_WORK = (
    "what the embedding, every head and every MLP write straight into the logits",
    "every neuron, head and place of the stream switched off: one gradient estimates all, the 200 largest of each kind "
    "exactly",
    "the {size} neurons that lower the answer most when they are off together, also ones that hide behind each other",
    "the same for matched random neurons, for random directions, and for neurons picked for other answers",
)
_EXAMPLE_QUESTIONS = (
    ("The opposite of hot is", " cold"),
    ("Monday, Tuesday, Wednesday,", " Thursday"),
    ("The Eiffel Tower is in the city of", " Paris"),
)


def invitation(cost: str, size: int, waits: str, cells: int, colors: Ink) -> Text:
    """What asking does, and what it takes. `waits`: for the model."""
    text = Text().append("Enter asks. It goes from the answer to the few neurons that make it:\n\n", colors.strong)
    for at, words in enumerate(_WORK, 1):
        for line, part in enumerate(wrap(words.format(size=size), max(20, cells - 5))):
            text.append(f"  {at}  " if not line else "     ", colors.accent)
            text.append(part + "\n", colors.plain)
    cost_words = f"{safe(cost)} · " if cost else ""
    text.append(f"\n{cost_words}each table is there as soon as it is known, Ctrl+C keeps what there is\n", colors.quiet)
    if waits:
        text.append(f"{safe(waits)}\n", colors.second)
    text.append("\nothers to try: ", colors.quiet)
    for at, (prompt, answer) in enumerate(_EXAMPLE_QUESTIONS):
        text.append(" · " if at else "", colors.quiet).append(prompt, colors.plain)
        text.append(f" {show_token(answer)}", colors.accent)
    return text


def heading(finding: Finding, edits: str, replay: bool, cells: int, colors: Ink) -> tuple[Text, Text]:
    """The top line's ends: the question, and the clean values. `edits`: how many are on."""
    answer, foil, params = finding.token_as(NextToken.ANSWER), finding.token_as(NextToken.FOIL), finding.params
    left = Text().append("Why ", colors.strong)
    name = answer.token if answer else str(params.get("answer") or "")
    left.append(safe(show_token(name)) if name else "the top prediction", colors.accent)
    left.append(f' after "{shorten(safe(str(params.get("prompt", ""))), max(20, cells - 60))}"', colors.plain)
    right = Text().append(f"{edits} (e) · " if edits else "", colors.second)
    parts = [f"clean {probability(answer.p)}"] if answer else []
    if foil:
        parts.append(f"foil {show_token(foil.token)} {probability(foil.p)}")
        parts.append(f"logits apart {number(finding.record.scalars.get('clean'))}")
    parts += [word for word, holds in (("chat", params.get("chat")), ("replay", replay)) if holds]
    return left, right.append(safe(" · ".join(parts)), colors.quiet)
