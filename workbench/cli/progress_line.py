"""The progress of a step, in one line on stderr; nothing where stderr is no terminal."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING

import click

from workbench.drawing import speaks_utf8
from workbench.text import count, estimate, pace, safe, shorten
from workbench.worker.waiting import waiting_words

if TYPE_CHECKING:
    from workbench.report import Progress
    from workbench.session.records import StepRecord
    from workbench.worker.protocol import WorkerStatus

_BAR_CELLS = 16
_QUIET_SECONDS = 0.3
"""seconds before anything is shown: a quick step needs no progress"""


class ProgressLine:
    """A line that is rewritten in place."""

    def __init__(self, enabled: bool = True) -> None:
        self._on = enabled and sys.stderr.isatty()
        self._utf8 = speaks_utf8(sys.stderr)
        self._began = time.monotonic()
        self._shown = ""

    @property
    def is_live(self) -> bool:
        """Whether a line is there that is rewritten."""
        return self._on

    def show(self, record: StepRecord, status: WorkerStatus | None, session: str, prefix: str = "") -> None:
        """Where the step of `session` is: waiting for the model or another step, or how much of it is done."""
        if record.status == "queued" or not (record.progress.stage or record.progress.unit):
            words = worker_words(status, session, record.id)
        else:
            words = f"{record.experiment} · {progress_words(record.progress, self._utf8)}"
        if status and status.stage in ("ready", "busy") and status.detail:
            words = status.detail  # what could not be written: the progress that the file tells is old
        self.say(f"{prefix} · {words}" if prefix else words)

    def say(self, text: str) -> None:
        """Shows `text` instead of what was there."""
        if not self._on or time.monotonic() - self._began < _QUIET_SECONDS:
            return
        text = shorten(safe(text), max(10, shutil.get_terminal_size((80, 24)).columns - 1))
        if not self._utf8:
            text = text.replace("·", "-").encode("ascii", "replace").decode()
        if text != self._shown:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
            self._shown = text

    def keep(self, text: str) -> None:
        """A line that stays, on stderr even where that is no terminal."""
        self.clear()
        click.echo(safe(text), err=True)

    def clear(self) -> None:
        """Removes the line."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = ""


def worker_words(status: WorkerStatus | None, session: str, step: int) -> str:
    """What the worker is doing before it comes to this step, in words: `loading · 40 % · 9 s left`."""
    if status is None:
        return "waiting for the worker"
    ready = status.stage in ("ready", "busy")
    parts = [waiting_words(status.jobs, session, step) if ready else status.stage]
    if status.detail:
        parts.append(status.detail)
    if status.fraction is not None:
        parts.append(f"{round(status.fraction * 100)} %")
    if status.seconds_left is not None:
        parts.append(f"{estimate(status.seconds_left)} left")
    return " · ".join(parts)


def progress_words(progress: Progress, bar: bool = True) -> str:
    """How much is done, how fast it goes, and how long it will take."""
    parts = [progress.stage] if progress.stage else []
    passed = time.time() - progress.started if progress.started else 0.0
    rate = progress.done / passed if passed > 0 and progress.done else 0.0
    if progress.total:
        share = min(1.0, progress.done / progress.total)
        full, empty = ("▇", "·") if bar else ("#", "-")
        parts.append(full * round(share * _BAR_CELLS) + empty * (_BAR_CELLS - round(share * _BAR_CELLS)))
        parts.append(f"{count(progress.done)} of {count(progress.total)} {progress.unit}".strip())
        if rate:
            parts.append(pace(rate))
            parts.append(f"{estimate((progress.total - progress.done) / rate)} left")
    elif progress.done:
        parts.append(f"{count(progress.done)} {progress.unit}".strip())
    return " · ".join(parts) or "running"
