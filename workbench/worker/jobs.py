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

from workbench.session.submission import Submission

State = Literal["queued", "sent", "running"]


@dataclass(eq=False)
class Part:
    """A part of a step that is a step under it."""

    step: asyncio.Task[int]
    """gives its number in the session once its row is there"""
    over: bool = False


@dataclass(eq=False)
class Job:
    asked: Submission
    session: str = ""
    """its real path; empty for a peek"""
    named: str = ""
    """the session as the front named it"""
    step: int = 0
    client: Any = None
    """who waits for a peek"""
    peek: int | None = None
    """the peek's message id"""
    slot: str = ""
    state: State = "queued"
    cancelling: bool = False
    parts: dict[int, Part] = field(default_factory=dict)
    """steps under it, by number"""
    told: bool = False
    """its end has been told already: cancelled, or replaced, before it began"""
    number: int = field(default_factory=count(1).__next__)


class Jobs:
    """Jobs that wait, and those that are in the model process."""

    def __init__(self) -> None:
        self._interactive: deque[Job] = deque()
        self._long: deque[Job] = deque()
        self._inside: dict[int, Job] = {}

    def __iter__(self) -> Iterator[Job]:
        yield from self._inside.values()
        yield from self._interactive
        yield from self._long

    def __len__(self) -> int:
        return len(self._inside) + len(self._interactive) + len(self._long)

    @property
    def running(self) -> list[Job]:
        return [job for job in self._inside.values() if job.state == "running"]

    def add(self, job: Job) -> list[Job]:
        """Queues a job. A peek takes the place of one of its slot that has not begun; that one is given back."""
        replaced = []
        if job.peek is not None:
            replaced = [
                other
                for other in self
                if other.peek is not None
                and other.state != "running"
                and not other.told
                and (other.client, other.slot) == (job.client, job.slot)
            ]
        (self._long if job.asked.long else self._interactive).append(job)
        return replaced

    def next_to_send(self) -> list[Job]:
        """Jobs that the model process gets now; they count as sent."""
        if not self._inside:
            queue = self._interactive or self._long
            chosen = [queue.popleft()] if queue else []
        elif next(iter(self._inside.values())).asked.long:
            chosen = list(self._interactive)
            self._interactive.clear()
        else:
            chosen = []
        for job in chosen:
            job.state = "sent"
            self._inside[job.number] = job
        return chosen

    def inside(self, number: int) -> Job | None:
        """A job in the model process by its number."""
        return self._inside.get(number)

    def find(self, session: str, step: int) -> Job | None:
        """A step that runs or waits."""
        return next((job for job in self if not job.told and (job.session, job.step) == (session, step)), None)

    def remove(self, job: Job) -> None:
        """It is over, or shall not begin."""
        self._inside.pop(job.number, None)
        for queue in (self._interactive, self._long):
            if job in queue:
                queue.remove(job)

    def of_client(self, client: Any) -> list[Job]:
        return [job for job in self if job.client is client]

    def process_gone(self) -> list[Job]:
        """The model process is gone: the jobs it ran. What it had not begun waits again, in its old order."""
        ran = self.running
        again = [job for job in self._inside.values() if job.state == "sent" and not job.told]
        self._inside.clear()
        for job in reversed(again):
            job.state = "queued"
            (self._long if job.asked.long else self._interactive).appendleft(job)
        return ran
