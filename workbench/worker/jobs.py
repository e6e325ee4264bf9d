"""The queue: which job goes to the model process when. No process, no socket here.

Interactive jobs (steps and peeks, in their order) go before long steps. While a long step runs they are
handed over at once, and get their turn between two of its batches.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

from workbench.report import Progress
from workbench.session.submission import Submission

State = Literal["queued", "sent", "running"]


@dataclass(eq=False)
class Part:
    """A part of a step that is a step under it."""

    step: asyncio.Task[int]
    """gives its number in the session once its row is there"""
    ended: bool = False


@dataclass(eq=False)
class Job:
    submission: Submission
    session: str = ""
    """its real path; empty for a peek"""
    session_as_submitted: str = ""
    """the session as the front named it"""
    step: int = 0
    client: Any = None
    """who waits for a peek"""
    peek: int | None = None
    """the peek's message id"""
    slot: str = ""
    state: State = "queued"
    cancelling: bool = False
    progress: Progress = field(default_factory=Progress)
    """how far it was when it last said so"""
    parts: dict[int, Part] = field(default_factory=dict)
    """steps under it, by number"""
    end_reported: bool = False
    """its end was reported already: cancelled, or replaced, before it began"""
    number: int = field(default_factory=count(1).__next__)


class Jobs:
    """Jobs that wait, and those that are in the model process."""

    def __init__(self) -> None:
        self._interactive: deque[Job] = deque()
        self._long: deque[Job] = deque()
        self._in_process: dict[int, Job] = {}

    def __iter__(self) -> Iterator[Job]:
        yield from self._in_process.values()
        yield from self._interactive
        yield from self._long

    def __len__(self) -> int:
        return len(self._in_process) + len(self._interactive) + len(self._long)

    @property
    def running(self) -> list[Job]:
        return [job for job in self._in_process.values() if job.state == "running"]

    def add(self, job: Job) -> list[Job]:
        """Queues a job. Returns the peek that it replaces: one of its slot that has not begun."""
        replaced = []
        if job.peek is not None:
            replaced = [
                other
                for other in self
                if other.peek is not None
                and other.state != "running"
                and not other.end_reported
                and (other.client, other.slot) == (job.client, job.slot)
            ]
        (self._long if job.submission.long else self._interactive).append(job)
        return replaced

    def next_to_send(self) -> list[Job]:
        """Jobs that the model process gets now; they count as sent."""
        if not self._in_process:
            queue = self._interactive or self._long
            jobs = [queue.popleft()] if queue else []
        elif next(iter(self._in_process.values())).submission.long:
            jobs = list(self._interactive)
            self._interactive.clear()
        else:
            jobs = []
        for job in jobs:
            job.state = "sent"
            self._in_process[job.number] = job
        return jobs

    def in_process(self, number: int) -> Job | None:
        """A job in the model process by its number."""
        return self._in_process.get(number)

    def find(self, session: str, step: int) -> Job | None:
        """A step that runs or waits."""
        return next((job for job in self if not job.end_reported and (job.session, job.step) == (session, step)), None)

    def remove(self, job: Job) -> None:
        """The job is over, or shall not begin."""
        self._in_process.pop(job.number, None)
        for queue in (self._interactive, self._long):
            if job in queue:
                queue.remove(job)

    def of_client(self, client: Any) -> list[Job]:
        return [job for job in self if job.client is client]

    def process_ended(self) -> list[Job]:
        """The model process is gone: returns the jobs it ran. Those it had not begun wait again, in their old order."""
        running = self.running
        unstarted = [job for job in self._in_process.values() if job.state == "sent" and not job.end_reported]
        self._in_process.clear()
        for job in reversed(unstarted):
            job.state = "queued"
            (self._long if job.submission.long else self._interactive).appendleft(job)
        return running
