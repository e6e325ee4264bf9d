"""Writing parts of steps, and the ends of steps: a step is over when all its parts are in the session."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from workbench.model_info import ModelInfo
from workbench.session.records import Status
from workbench.session.submission import make_submission
from workbench.session.update import Update
from workbench.worker.jobs import Job, Part
from workbench.worker.messages import PartBegan
from workbench.worker.worker_files import WorkerSpec
from workbench.worker.writer_thread import WriterThread

log = logging.getLogger("workbench.control")


class StepWriter:
    """Of the steps that the model process runs. `in_background` starts a task that the worker waits for at its end."""

    def __init__(
        self,
        writer_thread: WriterThread,
        spec: WorkerSpec,
        in_background: Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]],
    ) -> None:
        self._writer_thread = writer_thread
        self._spec = spec
        self._in_background = in_background

    def begin_part(self, job: Job, message: PartBegan, info: ModelInfo | None, versions: dict[str, str]) -> None:
        """Its row comes first; what it publishes meanwhile waits for the row's number."""
        start = (info, versions, time.time())
        earlier = [part.step for part in job.parts.values()]

        async def begin() -> int:
            if earlier:  # rows stand in the order in which parts began
                await asyncio.wait(earlier)
            submission = await asyncio.to_thread(
                make_submission, message.experiment, message.params, message.edits,
                info=info, model=self._spec.shown, seed=job.submission.seed, directions=job.submission.directions,
                names=message.names,
            )  # fmt: skip
            step = await self._writer_thread.add_step(job.session, submission, parent=job.step, origin="part")
            self._writer_thread.write(job.session, step, start=start)
            return step

        job.parts[message.part] = Part(self._in_background(begin()))

    def publish_part(self, job: Job, number: int, update: Update) -> None:
        """Writes an update of a part."""
        self._with_row(job, number, lambda step: self._writer_thread.write(job.session, step, update))

    def end_part(self, job: Job, number: int, status: Status, error: str = "") -> None:
        """Writes the end of a part, once."""
        part = job.parts.get(number)
        if part is not None and not part.ended:
            part.ended = True
            write = partial(self._writer_thread.write, job.session, status=status, error=error)
            self._with_row(job, number, write)

    def end_step(self, job: Job, status: Status, error: str = "") -> None:
        """Writes the end of a step and of those of its parts that have none."""
        for number in job.parts:
            self.end_part(job, number, status)
        pending_rows = [part.step for part in job.parts.values() if not part.step.done()]

        async def end() -> None:
            """The step is over when all of it is in the session: rows of its parts that are on their way come first."""
            await asyncio.wait(pending_rows)
            self._writer_thread.write(job.session, job.step, status=status, error=error)

        if pending_rows:
            self._in_background(end())
        else:
            self._writer_thread.write(job.session, job.step, status=status, error=error)

    def _with_row(self, job: Job, number: int, write: Callable[[int], None]) -> None:
        """Calls `write` with the step of a part, after all that was to be written of it before."""

        def on_row(step: asyncio.Task[int]) -> None:
            error = None if step.cancelled() else step.exception()
            if error is not None:
                log.warning("a part of step %d is not kept: %s", job.step, error)
            elif not step.cancelled():
                write(step.result())

        if number in job.parts:
            job.parts[number].step.add_done_callback(on_row)
