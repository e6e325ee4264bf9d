"""What a result says in words: how the step stands above its views, how it was made and what could follow below."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.text import Text

from workbench.shell import NO_LINE, shell_line
from workbench.text import number, safe, seconds
from workbench.tui.worker_words import progress_words, ready, stage, trouble
from workbench.worker.waiting import waiting_words

if TYPE_CHECKING:
    from workbench.session.records import StepRecord
    from workbench.tui.link import Link
    from workbench.tui.theme import Ink
    from workbench.tui.widgets.result.snapshot import Snapshot

_BAR = 24


def status_line(record: StepRecord, link: Link | None, colors: Ink) -> Text:
    """`step 3 · predict · done in .2 s`, and while it runs its bar, rate and time left."""
    text = Text(f"step {record.id} · {safe(record.experiment)} · ", colors.quiet)
    if record.status == "queued":
        if link and trouble(link):
            text.append(f"queued, and there is no model: {safe(trouble(link))}", colors.bad)
        elif link and not ready(link):
            text.append(f"queued: {stage(link)}", colors.second)
        else:
            jobs, session = (link.status.jobs, link.session) if link and link.status else ((), "")
            text.append(waiting_words(jobs, session, record.id), colors.second)
    elif record.status == "running":
        if bar(record):
            text.append(f"{bar(record)} ", colors.accent)
        words = progress_words(record.progress, time.time()) or "running"
        text.append(f"{words} · Ctrl+C cancels and keeps what there is", colors.second)
    elif record.status == "done":
        text.append(f"done{_took(record)}", colors.quiet)
    elif record.status == "cancelled":
        text.append(f"cancelled{_took(record, 'after')}: what it had found by then is kept", colors.second)
    else:
        text.append(record.status, colors.bad)
    return text


def _took(record: StepRecord, word: str = "in") -> str:
    if record.started is None or record.finished is None:
        return ""
    return f" {word} {seconds(max(0.0, record.finished - record.started))}"


def bar(record: StepRecord) -> str:
    """`━━━━━━──────`, or nothing where the end is not known."""
    progress = record.progress
    if not progress.total:
        return ""
    done = round(_BAR * max(0.0, min(1.0, progress.done / progress.total)))
    return "█" * done + "░" * (_BAR - done)


def head(snapshot: Snapshot, link: Link | None, colors: Ink, outdated: str = "") -> Text:
    """Everything above the views: the sentence first; `outdated` says why it is not of what is asked now."""
    record = snapshot.record
    lines = []
    if record.headline:
        lines.append(Text(safe(record.headline, newlines=True), colors.strong))
    if record.error:
        mark = Text("! ", colors.bad)
        lines.append(mark + Text(safe(record.error, newlines=True), colors.plain))
    status = Text(f"{outdated} · " if outdated else "", colors.second) + status_line(record, link, colors)
    if record.edits:
        status.append(f" · under {safe(edits_text(record))}", colors.second)
    lines.append(status)
    if record.expected:
        lines.append(Text(f"★ expected: {safe(record.expected)}", colors.second))
    return Text("\n").join(lines)


def edits_text(record: StepRecord) -> str:
    """The step's stack as typed, read leniently: the file may be anybody's."""
    from workbench.edits import Function, Scale, SetTo

    words = []
    for edit in record.edits:
        units, value = str(edit.get("units", "?")), edit.get("value", edit.get("factor"))
        if edit.get("op") == "set" and isinstance(value, int | float):
            words.append(str(SetTo(units, float(value))))
        elif edit.get("op") == "scale" and isinstance(value, int | float):
            words.append(str(Scale(units, float(value))))
        else:
            words.append(str(Function(units, "")))
    return "; ".join(words)


def foot(snapshot: Snapshot, colors: Ink) -> Text:
    """Everything below the views: remarks, notes, the line it stands for."""
    record = snapshot.record
    lines = []
    lines += [Text(f"· {safe(remark)}", colors.second) for remark in record.remarks]
    lines += [Text(f"note: {safe(note.text)}", colors.plain) for note in snapshot.notes]
    if lines:
        lines.append(Text(""))
    if snapshot.words:
        lines.append(Text(f"$ {shell_line(snapshot.words) or NO_LINE}", colors.quiet))
    lines.append(Text(made_with(record), colors.quiet))
    return Text("\n").join(lines)


def made_with(record: StepRecord) -> str:
    """`SmolLM2-135M-Instruct (from Q4_1) · cpu float32 · seed 0 · torch 2.13`."""
    parts = []
    if record.model is not None:
        parts.append(record.model.name)
        parts.append(f"{record.device} {record.dtype}".strip())
    parts.append(f"seed {number(record.seed)}")
    parts += [f"{name} {version}" for name, version in record.versions.items() if name in ("torch", "workbench")]
    if not record.replayable:
        parts.append("not replayable: it ran a Python function")
    return safe(" · ".join(filter(None, parts)))
