"""What the Directions screen says of a direction, in lines of a given width."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from workbench.drawing.layout import wrap
from workbench.drawing.scale import signed_number
from workbench.result_keys import Along
from workbench.text import fit, number, safe, shorten, show_token, width

if TYPE_CHECKING:
    from rich.style import Style

    from workbench.model_info import ModelInfo
    from workbench.tui.screens.directions.catalogue import Entry
    from workbench.tui.screens.directions.findings import Attempt, Projected
    from workbench.tui.theme import Ink

LABEL = 12
"""cells of the words at the left of a line"""
BROKEN = 1.5
"""times the clean perplexity: from there on `steer` calls a text broken"""
_VERBS = ("writes", "reads", "gates")


def name_cells(entries: Sequence[Entry]) -> int:
    """Of the list's first column."""
    return min(24, max((width(safe(entry.name)) for entry in entries), default=0) + 1)


def entry_line(entry: Entry, names: int, info: ModelInfo | None, cells: int, colors: Ink) -> Text:
    """`@harmful   mean difference   L14.resid_pre −2   128 + 128 prompts   step 3`."""
    text = Text(no_wrap=True).append(fit(f"@{safe(entry.name)}", names) + "  ", colors.strong)
    room = cells - names - 2
    if entry.status or entry.problem:
        style = colors.second if entry.status in ("queued", "running") else colors.bad
        words = {"queued": "queued: ", "running": "being made: "}.get(entry.status, f"{entry.status}: ".lstrip(": "))
        return text.append(shorten(f"{words}{safe(entry.problem)}", room), style)
    origin = entry.origin
    position = "" if origin.position is None else f" {number(origin.position)}"
    source = "data folder" if entry.file else f"step {entry.step}" if entry.step else "imported"
    if of_another_model(entry, info):
        source = f"another model · {source}"
    columns = [(origin.method or "origin not known", 17), (f"{origin.place}{position}", 19)]
    about_cells = room - sum(wide for _, wide in columns) - width(source) - 2
    for words, wide in columns:
        text.append(fit(safe(words), wide - 1) + " ", colors.plain)
    text.append(fit(safe(origin.about), max(0, about_cells)), colors.quiet)
    return text.append("  " + source, colors.quiet)


def of_another_model(entry: Entry, info: ModelInfo | None) -> bool:
    """It was made on another model than the one that is loaded."""
    return (
        info is not None
        and "" not in (entry.origin.fingerprint, info.fingerprint)
        and (entry.origin.fingerprint != info.fingerprint)
    )


def provenance_lines(entry: Entry, headline: str, info: ModelInfo | None, cells: int, colors: Ink) -> list[Text]:
    """Everything known of where it comes from; below it how well it separates, as its step says."""
    if entry.problem and not entry.status:
        return [Text(part, colors.bad) for part in wrap(safe(entry.problem), cells)]
    if entry.status:
        style = colors.second if entry.status in ("queued", "running") else colors.bad
        return [Text(part, style) for part in wrap(safe(f"step {entry.step} {entry.status}: {entry.problem}"), cells)]
    known = [f"{name} {value}" if name != "what" else value for name, value in entry.origin.facts]
    if not entry.origin.normalised:
        known.append(f"length {number(entry.norm)}")
    model = entry.origin.model
    known.append(f"made on {model} ({entry.origin.fingerprint[:8]})" if model else "made on: not known")
    lines = [Text(part, colors.plain) for part in wrap(safe(" · ".join(known)), cells)]
    if entry.file:
        lines.append(Text(shorten(f"in the data folder: {safe(entry.file)}", cells), colors.quiet))
    if of_another_model(entry, info):
        words = "of another model than the one that is loaded: a run needs `transfer` (m on Run shows the field)"
        lines += [Text(part, colors.second) for part in wrap(words, cells)]
    said = headline.partition(" · ")[2] if headline.startswith(f"@{entry.name} is ") else headline
    return lines + [Text(part, colors.quiet) for part in wrap(safe(said), cells)][:3]


# --- what it is held against -----------------------------------------------------------------------


def projected_lines(projected: Projected | None, waits: str, max_lines: int, cells: int, colors: Ink) -> list[Text]:
    """Tokens of both ends, other directions, the neurons that write and read it: the most telling lines first."""
    if projected is None:
        words = waits or "what it promotes: p projects it"
        return [Text(part, colors.quiet) for part in wrap(safe(words), cells)][:max_lines]
    source = f"step {projected.step}" if projected.step is not None else "preview, p saves it"
    head = Text(no_wrap=True).append("projects on", colors.strong).append(f"  {source}", colors.quiet)
    table = projected.table(Along.PROMOTES)
    lines = [head]
    random = projected.scalars.get(Along.LARGEST_RANDOM)
    if random is not None:
        words = f"median largest |logit| {number(random)}"
        if width(head.plain) + width(words) + 11 <= cells:
            head.append(f" · random: {words}", colors.quiet)
        else:
            lines.append(
                Text.assemble((fit("random", LABEL), colors.quiet), (shorten(words, cells - LABEL), colors.quiet))
            )
    if table is not None:
        for label, token, value in (
            ("promotes", Along.TOKEN, Along.LOGITS),
            ("suppresses", Along.SUPPRESSED, Along.SUPPRESSED_LOGITS),
        ):
            pairs = zip(table.cells(token), table.cells(value), strict=False)
            pieces = [(f"{show_token(str(name))} ", signed_number(figure, 2)) for name, figure in pairs]
            lines.append(_pieces(label, pieces, cells, colors))
    others = projected.table(Along.DIRECTIONS)
    if others is not None and others.rows:
        pieces = [
            (
                f"{safe(str(row[Along.DIRECTION]))} ",
                f"{signed_number(row[Along.COSINE], 2)} ({number(row[Along.RANDOM], 2)})",
            )
            for row in others.records()
        ]
        lines.append(_pieces("like", pieces, cells, colors, "(random: 95 % of |cosine|)"))
    neurons = projected.table(Along.NEURONS)
    if neurons is not None:
        for verb in _VERBS:
            rows = [row for row in neurons.records() if row[Along.RELATION] == verb]
            pieces = [
                (
                    f"{safe(str(row[Along.UNIT]))} ",
                    f"{signed_number(row[Along.COSINE], 2)}{'!' if row[Along.BEYOND] == 'yes' else ''}",
                )
                for row in rows
            ]
            legend = "! beyond chance" if any(figure.endswith("!") for _, figure in pieces) else ""
            if pieces:
                lines.append(_pieces(f"{verb} it", pieces, cells, colors, legend))
    return lines[:max_lines]


def _pieces(label: str, pieces: Sequence[tuple[str, str]], cells: int, colors: Ink, legend: str = "") -> Text:
    """`promotes    ' weapon' +4.1  ' attack' +3.8`: whole pieces, as many as there is room for."""
    line = Text(no_wrap=True).append(fit(label, LABEL - 1) + " ", colors.quiet)
    for name, figure in pieces:
        if width(line.plain) + width(name) + width(figure) > cells:
            break
        line.append(name, colors.plain).append(figure, colors.accent).append("  ")
    if legend and width(line.plain) + width(legend) <= cells:
        line.append(legend, colors.quiet)
    return line


# --- the dial --------------------------------------------------------------------------------------


def attempt_lines(
    attempts: Sequence[Attempt], strength: float, waits: str, max_lines: int, cells: int, colors: Ink
) -> list[Text]:
    """A line a strength, weakest first, the clean text at 0; the one of the dial has its whole text below them."""
    shown = [attempt for attempt in attempts if attempt.useful or attempt.strength == strength]
    if not shown:
        return [Text(part, colors.quiet) for part in wrap(safe(waits), cells)][:max_lines]
    chosen = next((attempt for attempt in shown if attempt.strength == strength), None)
    head = f"{'strength':>10}  {'perplexity':>10}  {'× clean':>7}  how it goes on"
    lines = [Text(shorten(head, cells), colors.quiet, no_wrap=True)]
    clean = next((attempt for attempt in shown if attempt.clean and attempt.status == "done"), shown[0])
    rows: list[tuple[float, Text]] = [
        (0.0, _row(False, "0", clean.perplexity, clean.perplexity, clean.clean, cells, colors))
    ]
    for attempt in shown:
        text = attempt.edited or _waiting(attempt)
        figures = (attempt.perplexity_edited, attempt.perplexity)
        row = _row(attempt is chosen, _strength(attempt.strength), *figures, text, cells, colors)
        rows.append((attempt.strength, row))
    rows.sort(key=lambda row: row[0])
    whole = wrap(safe(chosen.edited if chosen else "", newlines=True).replace("\n", " ↵ "), cells - 2) if chosen else []
    room = max_lines - 1 - min(len(whole), max(0, (max_lines - 1) // 2)) - bool(whole)
    at = next((at for at, row in enumerate(rows) if row[0] == strength), 0)
    first = max(0, min(at - room // 2, len(rows) - room))
    lines += [row for _, row in rows[first : first + max(1, room)]]
    if whole and max_lines - len(lines) > 1:
        lines.append(Text(""))
        lines += [Text("  " + part, colors.plain, no_wrap=True) for part in whole]
    return lines[:max_lines]


def _row(chosen: bool, strength: str, perplexity: float, clean: float, said: str, cells: int, colors: Ink) -> Text:
    ratio = perplexity / clean
    style: Style = colors.second if chosen else colors.plain
    line = Text(no_wrap=True).append(fit(f"{'▸ ' if chosen else ''}{strength}", 10, right=True), style)
    line.append("  " + fit(_figure(perplexity), 10, right=True), style)
    broken = not math.isnan(ratio) and ratio > BROKEN
    line.append("  " + fit(_figure(ratio) + ("!" if broken else " "), 7, right=True), colors.bad if broken else style)
    text = safe(said).replace("\\n", " ↵ ").strip()
    return line.append("  " + shorten(text, max(0, cells - width(line.plain) - 2)), style)


def _figure(value: float) -> str:
    return "…" if math.isnan(value) else number(value)


def _strength(value: float) -> str:
    return f"{'+' if value > 0 else '−'}{abs(value):g}"


def _waiting(attempt: Attempt) -> str:
    if attempt.status in ("queued", "running"):
        return "waiting for the model" if attempt.status == "queued" else "…"
    return f"{attempt.status}: {attempt.problem}".rstrip(": ")


# --- nothing yet -----------------------------------------------------------------------------------

_WAYS = (
    ("two prompt sets", "workbench run direction --name NAME --positive FILE --negative FILE"),
    ("a class of tokens", "workbench run direction --name uppercase --token-class uppercase"),
    ("others, or the model's own", "workbench run direction --name months --of '@L17.N1203.out'"),
    ("a file", "workbench artifacts import FILE --session SESSION"),
)


def nothing_lines(replay: bool, cells: int, colors: Ink) -> list[Text]:
    """What to do to have one."""
    if replay:
        return [Text("This session has no directions, and in a replay none can be made: `workbench` alone makes them.")]
    lines = [
        Text.assemble(
            ("No directions yet. ", colors.strong),
            ("m", colors.accent),
            (" fills in a form that makes one.", colors.plain),
        ),
        Text(""),
    ]
    for words, command in _WAYS:
        lines.append(
            Text(shorten(f"{words:<28}{command}", cells), colors.plain, no_wrap=True)
            if cells >= 100
            else Text(f"{words}\n  {shorten(command, cells - 2)}", colors.plain, no_wrap=True)
        )
    return lines
