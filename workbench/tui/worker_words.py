"""How the worker is, in words: for the lower line, and for what waits on it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.text import Text

from workbench.text import count, estimate, pace, safe, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workbench.report import Progress
    from workbench.session.records import StepRecord
    from workbench.tui.link import Link
    from workbench.tui.theme import Ink
    from workbench.worker.protocol import JobState

_STAGES = {
    "starting": "starting the worker",
    "finding": "finding the model",
    "downloading": "downloading the model",
    "converting": "converting the model",
    "importing": "importing torch",
    "loading": "loading the weights",
    "restarting": "restarting after a crash",
    "stopping": "the worker is stopping",
}
READY = ("ready", "busy")


def ready(link: Link | None) -> bool:
    """A model is loaded: what is asked now starts now."""
    return bool(link and link.status and link.status.stage in READY)


def free_memory(link: Link | None) -> int:
    """Bytes that can still be taken where the model lies; 0 where that is not known."""
    return link.status.free if link and link.status else 0


def model_name(link: Link | None) -> str:
    """The model's name, as soon as anything is known of it."""
    if link is None:
        return ""
    status = link.status
    if status and status.info:
        return safe(status.info.name)
    requested = status.model if status else link.spec.model
    return "the default model" if requested in ("", "default") else safe(requested)


def stage(link: Link) -> str:
    """What is being done, with the seconds left where they are known: `loading the weights, 9 s left`."""
    if link.problem:
        return "no worker"
    status = link.status
    if status is None:
        return "reconnecting to the worker" if link.disconnections else _STAGES["starting"]
    if status.stage == "failed":
        return "the model did not load"
    if status.stage in READY:
        return "model ready"
    words = _STAGES.get(status.stage, safe(status.stage))
    left = seconds_left(link)
    if left is not None:
        return f"{words}, {estimate(left)} left"
    if status.fraction is not None:
        return f"{words}, {status.fraction * 100:.0f} %"
    return words


def seconds_left(link: Link) -> float | None:
    """What the worker estimated, less what has passed since; never below one second."""
    status = link.status
    if status is None or status.seconds_left is None:
        return None
    return max(1.0, round(status.seconds_left - (time.monotonic() - link.status_at)))


def equipment(link: Link) -> str:
    """`cpu float32 · .9 GiB`, or nothing; of a model on several GPUs which layers lie where."""
    status = link.status
    if status is None or status.info is None:
        return ""
    words = f"{safe(status.info.place)} {safe(status.info.dtype)}"
    return f"{words} · {size(status.memory)}" if status.memory else words


def trouble(link: Link) -> str:
    """What keeps the worker from working, as a sentence; empty if nothing does."""
    if link.problem:
        return link.problem
    if link.status and link.status.stage == "failed":
        return link.status.detail or "the model could not be loaded: `workbench logs` says why"
    return ""


def progress_words(progress: Progress, now: float) -> str:
    """`12 of 40 tokens, 13 a second, 3 s left`."""
    if progress.total is None and not progress.done:
        return progress.stage
    done = count(progress.done)
    words = f"{done} of {count(progress.total)} {progress.unit}" if progress.total else f"{done} {progress.unit}"
    if progress.stage:
        words = f"{progress.stage}: {words}"
    spent = now - progress.started
    if progress.done and progress.started and spent > 0.5:
        rate = progress.done / spent
        words += f", {pace(rate)}"
        if progress.total and progress.total > progress.done:
            words += f", {estimate(max(0.1, (progress.total - progress.done) / rate))} left"
    return safe(words.rstrip())


def worker_line(link: Link | None, running: StepRecord | None, jobs: Sequence[JobState], colors: Ink) -> Text:
    """What is the matter, what runs, or that all is well."""
    if link is None:
        return Text("replay, no model", colors.second)
    if trouble(link):
        return Text(f"{stage(link)} (F2: try again)", colors.bad)
    if link.status and link.status.stage in READY and link.status.detail:
        return Text(safe(link.status.detail), colors.bad)  # what could not be written
    if running is not None:
        how_far = progress_words(running.progress, time.time())
        name = f"step {running.id} {safe(running.experiment)}"
        return Text(f"{name}: {how_far}" if how_far else f"{name} runs", colors.second)
    words = [stage(link)]
    if queued := sum(job.state == "queued" for job in jobs):
        words.append(f"{queued} queued")
    if more := equipment(link):
        words.append(more)
    return Text(" · ".join(words), colors.quiet if ready(link) else colors.second)
