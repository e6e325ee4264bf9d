"""What stands under the panes: how the step stands, the sentence, levels and next tokens side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from workbench.result_keys import Answer
from workbench.text import fit, safe, shorten, width
from workbench.tui.screens.why.finding import USER_SET, Level, trial_tokens
from workbench.tui.screens.why.words import level_lines, running_line, sentence, token_lines, token_row
from workbench.tui.widgets.result.words import edits_text, status_line

if TYPE_CHECKING:
    from workbench.session.records import StepRecord
    from workbench.tui.link import Link
    from workbench.tui.screens.why.finding import Finding, Trial
    from workbench.tui.screens.why.state import WhyState
    from workbench.tui.theme import Ink

BESIDE = 96
"""cells from which levels and next tokens stand side by side"""
_GAP = 4


def lines_below(
    finding: Finding, state: WhyState, link: Link | None, cells: int, max_lines: int, colors: Ink
) -> list[Text]:
    """At most `max_lines` lines: what matters least goes first."""
    record, trial = finding.record, state.trial
    lines: list[Text] = []
    if record.error:
        lines.append(Text.assemble(("! ", colors.bad), (shorten(safe(record.error), cells - 2), colors.plain)))
    if record.status == "running":
        lines.append(running_line(record, cells, colors))
    elif record.status != "done":
        lines.append(_truncated(status_line(record, link, colors), cells))
    if record.edits:
        words = f"asked under {safe(edits_text(record))}: what is called clean here is with them"
        lines.append(Text(shorten(words, cells), colors.second, no_wrap=True))
    lines += _sentence_lines(finding, state, trial, cells, colors)
    levels = [*finding.levels, *_user_set_level(finding, state, trial)]
    if levels and (hint := _hint(state, cells, colors)):
        lines.append(hint)
    tokens = trial_tokens(trial.snapshot) if trial else []
    roles = {likely.token: likely.role for likely in finding.likely_tokens}
    tokens = [likely._replace(role=roles.get(likely.token, "")) for likely in tokens] or finding.likely_tokens
    lines_left = max_lines - len(lines)
    if cells >= BESIDE and levels:
        half = (cells - _GAP) * 60 // 100
        drawn = level_lines(levels, finding.quantity, finding.is_probability, half, lines_left - 1, colors)
        beside = token_lines(tokens, cells - half - _GAP, min(11, lines_left - 1), colors)
        return [*lines, Text(""), *_side_by_side(drawn, beside, half)][:max_lines]
    rows = 1 + bool(state.off and tokens and tokens[0].edited is not None)
    drawn = level_lines(levels, finding.quantity, finding.is_probability, cells, lines_left - rows, colors)
    lines += drawn
    if tokens and max_lines - len(lines) >= rows:
        lines.append(token_row("next", tokens, False, cells, colors))
        if rows == 2:
            lines.append(token_row("off", tokens, True, cells, colors))
    return lines[:max_lines]


def _sentence_lines(finding: Finding, state: WhyState, trial: Trial | None, cells: int, colors: Ink) -> list[Text]:
    """The step's sentence; while units are off, the trial's."""
    if not state.off:
        return sentence(finding.record, finding.is_noise, cells, colors) if finding.record.headline else []
    units = ", ".join(state.chosen)
    head = Text(no_wrap=True).append("off: ", colors.second + colors.strong)
    head.append(shorten(f"{units}{' (the pick)' if state.is_pick else ''}", cells - 5), colors.second)
    if trial is None:
        return [head, Text("asking for the next token without them", colors.quiet)]
    record = trial.snapshot.record
    lines = [head]
    if record.error:
        lines.append(Text.assemble(("! ", colors.bad), (shorten(safe(record.error), cells - 2), colors.plain)))
    if record.headline:
        lines += sentence(record, False, cells, colors)
    if not trial.snapshot.finished:
        lines.append(_truncated(status_line(record, None, colors), cells))
    return lines


def _hint(state: WhyState, cells: int, colors: Ink) -> Text | None:
    """What 0 would do, where the user has chosen otherwise than the search."""
    if state.off or state.is_pick:
        return None
    units = ", ".join(state.chosen)
    words = f"0 switches off {units}" if units else "nothing is chosen: Space chooses the unit under the cursor"
    return Text(shorten(f"{words} · a: the pick again", cells), colors.second, no_wrap=True)


def _user_set_level(finding: Finding, state: WhyState, trial: Trial | None) -> list[Level]:
    """What the user's own set leaves of the answer."""
    if trial is None or state.is_pick:
        return []
    name = Answer.PROBABILITY_EDITED if finding.is_probability else Answer.DIFFERENCE_EDITED
    value = trial.snapshot.record.scalars.get(name)
    n = len(state.chosen)
    return [] if value is None else [Level(USER_SET, f"your {n} unit{'s' * (n != 1)} (0)", value)]


def _side_by_side(left: list[Text], right: list[Text], cells: int) -> list[Text]:
    lines = []
    for at in range(max(len(left), len(right))):
        line = left[at].copy() if at < len(left) else Text(no_wrap=True)
        if at < len(right):
            line.append(" " * (cells + _GAP - width(line.plain))).append_text(right[at])
        lines.append(line)
    return lines


def _truncated(text: Text, cells: int) -> Text:
    text.truncate(cells, overflow="ellipsis")
    text.no_wrap = True
    return text


def foot(record: StepRecord, command: str, provenance: str, cells: int, colors: Ink) -> Text:
    """The shell line it stands for, and how it was made."""
    line = Text(no_wrap=True).append("$ ", colors.quiet)
    room = cells - 2 - (width(provenance) + 3 if cells >= 80 else 0)
    line.append(fit(command, room) if cells >= 80 else shorten(command, room), colors.plain)
    return line.append(f"   {provenance}" if cells >= 80 else "", colors.quiet)
