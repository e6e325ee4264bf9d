"""What the Probes screen says of sets, steps and labelled texts, in lines of a given width."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from workbench.drawing.layout import wrap
from workbench.result_keys import Battery, DenseProbe, ProbeAblate, SparseProbe
from workbench.text import count, fit, number, safe, shorten, show_token, width
from workbench.tui.worker_words import progress_words

if TYPE_CHECKING:
    from workbench.datasets.labelled.labelled_set import LabelledSet, LabelledText
    from workbench.session.records import StepRecord
    from workbench.tui.screens.probes.catalogue import SetEntry
    from workbench.tui.screens.probes.finding import Finding
    from workbench.tui.theme import Ink
    from workbench.views import Tokens

NAMES = 24
"""cells of a set's name at most"""
CLASSES = 60
"""cells of what its two classes are called, at most"""
READ = 24
"""cells of which token is read"""
LONGEST = 600
"""characters of a text that are shown"""


# --- lists -----------------------------------------------------------------------------------------


def set_line(entry: SetEntry, names: int, runs: int, cells: int, colors: Ink) -> Text:
    """`months   153 + 207   a month | another name or word   last token   2 steps   session`."""
    text = Text(no_wrap=True).append(fit(safe(entry.name), names) + "  ", colors.strong)
    if entry.problem:
        return text.append(shorten(safe(entry.problem), cells - names - 2), colors.bad)
    if entry.numeric:
        counted, classes = f"{count(entry.negative)} numbers", ""
    else:
        counted = f"{count(entry.positive)} + {count(entry.negative)}"
        classes = f"{entry.classes[1]} | {entry.classes[0]}"
    text.append(fit(counted, 15) + "  ", colors.plain)
    steps = f"{count(runs)} step{'s' * (runs != 1)}" if runs else ""
    end = f"  {steps:>9}  {entry.place:<12}"
    room = max(0, cells - width(text.plain) - width(end))
    read_cells = READ if room >= 28 + READ else 0
    text.append(fit(safe(classes), min(CLASSES, room - read_cells)), colors.plain)
    if read_cells:
        text.append("  " + fit(entry.read, READ - 2), colors.quiet)
    return text.append(end, colors.quiet)


def step_line(record: StepRecord, cells: int, colors: Ink) -> Text:
    """`3  sparse-probe   L9, k = 2   MCC .94 (.91 to .96)   tokens alone .71   permuted labels: p .01`."""
    text = Text(no_wrap=True).append(fit(f"{record.id}", 4) + " ", colors.quiet)
    text.append(fit(record.experiment, 13) + " ", colors.strong)
    room = cells - width(text.plain)
    if record.status in ("queued", "running"):
        words = progress_words(record.progress, time.time()) if record.status == "running" else "waiting for the model"
        return text.append(shorten(f"{record.status}: {words}".rstrip(": "), room), colors.second)
    if record.status != "done" and not record.scalars:
        words = f"{record.status}: {safe(record.error)}".removesuffix(": ")
        return text.append(shorten(words, room), colors.bad)
    place, score, compared = summary(record)
    if not score:
        return text.append(shorten(safe(record.headline), room), colors.plain)
    text.append(fit(place, 12) + " ", colors.plain).append(fit(score, 25) + " ", colors.accent)
    for words in compared:  # whole ones, as many as there is room for
        if width(text.plain) + width(words) + 2 <= cells:
            text.append(words + "  ", colors.quiet)
    return text


def summary(record: StepRecord) -> tuple[str, str, list[str]]:
    """Of a step's numbers: where, the score with its interval, what it is compared with; empty where unknown."""
    known, name = record.scalars, record.experiment

    def score(label: str, key: str, low: str, high: str) -> str:
        if known.get(key) is None:
            return ""
        interval = f" ({number(known.get(low))} to {number(known.get(high))})" if known.get(low) is not None else ""
        return f"{label} {number(known[key])}{interval}"

    if name == "battery":
        done, alone = known.get(Battery.DONE), known.get(Battery.ALONE)
        if done is None or alone is None:
            return "", "", []
        failed = known.get(Battery.FAILED) or 0
        noun = "feature" if record.params.get("sae") else "neuron"
        compared = [f"one {noun} ≥ .9 in {count(alone)}", f"{count(known.get(Battery.MONOSEMANTIC) or 0)} monosemantic"]
        return "", f"{count(done)} set{'s' * (done != 1)}", compared + [f"{count(failed)} failed"] * (failed > 0)
    if name == "probe-ablate":
        n = known.get(ProbeAblate.MONOSEMANTIC)
        return "", "" if n is None else f"{count(n)} monosemantic", []
    layer, k = known.get(SparseProbe.LAYER), known.get(SparseProbe.K)
    head = known.get(DenseProbe.HEAD)
    place = "" if layer is None else f"L{layer:g}"
    place += f".H{head:g}" if head is not None else "" if k is None else f", k = {k:g}"
    mcc = SparseProbe.MCC
    if name == "sparse-probe":
        leading = score("MCC", mcc, SparseProbe.low(mcc), SparseProbe.high(mcc))
    else:
        numeric = known.get(DenseProbe.R2) is not None
        leading = score("R²" if numeric else "MCC", DenseProbe.R2 if numeric else mcc, DenseProbe.LOW, DenseProbe.HIGH)
    tokens, p = known.get(DenseProbe.TOKENS_ALONE), known.get(SparseProbe.P)
    compared = [] if tokens is None else [f"tokens alone {number(tokens)}"]
    compared += [] if p is None or p != p else [f"permuted labels: p {number(p)}"]
    return place, leading, compared


# --- below the lists -------------------------------------------------------------------------------


def finding_lines(finding: Finding, most: int, cells: int, colors: Ink) -> list[Text]:
    """The step's sentence; why there is none."""
    record = finding.record
    if record.status in ("failed", "lost"):
        return [Text(part, colors.bad) for part in wrap(safe(f"{record.status}: {record.error}"), cells)][:most]
    words = record.headline or {"queued": "waiting for the model", "running": "taking activations"}.get(
        record.status, record.status
    )
    lines = [Text(part, colors.plain) for part in wrap(safe(words), cells)]
    if len(lines) > most:
        last = shorten(f"{lines[most - 1].plain} …", cells)
        lines = [*lines[: most - 1], Text(last, colors.plain)]
    return lines


def invitation(entry: SetEntry, replay: bool, cells: int, colors: Ink) -> list[Text]:
    """What can be asked of a set that no step has probed."""
    if entry.problem:
        return [Text(part, colors.bad) for part in wrap(safe(entry.problem), cells)]
    if replay:
        return [Text("no probe of this set in this session, and a replay has no model", colors.quiet)]
    words = (
        "no probe of this set yet: s finds the few neurons that tell its classes apart, u tries every neuron by "
        "itself, d fits probes on the whole stream"
    )
    return [Text(part, colors.quiet) for part in wrap(words, cells)]


# --- the text with its labels ------------------------------------------------------------------------


def labelled_text(labelled: LabelledSet, texts: Sequence[LabelledText], tokens: Sequence[Tokens], colors: Ink) -> Text:
    """Texts of a set; what is labelled is marked: characters, or of `tokens`, one a text, those that a label reads."""
    if tokens:
        drawn = [_one_as_tokens(view, labelled, colors) for view in tokens]
    else:
        drawn = [_one_text(labelled, text, colors) for text in texts]
    return Text("\n\n").join([_legend(labelled, len(texts), bool(tokens), colors), *drawn])


def _legend(labelled: LabelledSet, shown: int, on_tokens: bool, colors: Ink) -> Text:
    head = Text()
    if labelled.numeric:
        head.append("⟨labelled⟩number", colors.accent)
    else:
        head.append(f"⟨{safe(labelled.classes[1])}⟩1", colors.accent).append("  ")
        head.append(f"⟨{safe(labelled.classes[0])}⟩0", colors.second)
    head.append(f"  {count(shown)} of {count(len(labelled.texts))} texts", colors.quiet)
    words = "marked: the tokens that are read" if on_tokens else "marked: characters; tokens once a model is ready"
    return head.append(f" · {words}", colors.quiet)


def _one_as_tokens(view: Tokens, labelled: LabelledSet, colors: Ink) -> Text:
    """`They·⟨ march⟩0·through·the`: tokens with dots between; what a label reads in brackets, several tokens in one."""
    values, drawn = view.rows[0].values, Text()
    pooled = labelled.read not in ("first", "last")
    tokens = list(zip(view.tokens[:LONGEST], view.labels, strict=False))
    for at, (token, label) in enumerate(tokens):
        goes_on = pooled and at > 0 and label == tokens[at - 1][1]
        ends = not (pooled and at + 1 < len(tokens) and label == tokens[at + 1][1])
        style = colors.plain if not label else colors.accent if labelled.numeric or values[at] > 0 else colors.second
        drawn.append("·" if at else "", colors.quiet)
        opening, closing = "⟨" if label and not goes_on else "", f"⟩{label}" if label and ends else ""
        drawn.append(f"{opening}{show_token(token)[1:-1]}{closing}", style)
    return drawn.append("…" if len(view.tokens) > LONGEST else "")


def _one_text(labelled: LabelledSet, text: LabelledText, colors: Ink) -> Text:
    """`the ⟨March⟩1 of ⟨Time⟩0`; of labels that overlap the first is shown."""
    drawn, at = Text(), 0
    for span in sorted(text.spans, key=lambda span: (span.start, span.end)):
        if at <= span.start < LONGEST:
            drawn.append(_plain(text.text[at : span.start]), colors.plain)
            style = colors.accent if labelled.numeric or span.label == 1 else colors.second
            at = min(span.end, LONGEST)
            cut = "…" if at < span.end else ""
            drawn.append(f"⟨{_plain(text.text[span.start : at])}{cut}⟩{span.label:g}", style)
    rest = text.text[at:LONGEST]
    return drawn.append(_plain(rest) + ("…" if len(text.text) > LONGEST and rest else ""), colors.plain)


def _plain(text: str) -> str:
    """On one line; line breaks are shown as ↵."""
    return safe(text, newlines=True).replace("\n", " ↵ ")


def name_cells(entries: Sequence[SetEntry]) -> int:
    """Of the list's first column."""
    return min(NAMES, max((width(safe(entry.name)) for entry in entries), default=0) + 1)
