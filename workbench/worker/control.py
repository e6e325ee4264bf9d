"""The control process: queue, states and every write to session files. No torch in here."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from workbench.errors import UserError
from workbench.model_info import ModelInfo
from workbench.session.submission import submission
from workbench.worker.connection import Connection
from workbench.worker.estimates import Estimates
from workbench.worker.jobs import Job, Jobs, Part
from workbench.worker.keeper import Keeper
from workbench.worker.messages import (
    Answered,
    Drop,
    Ended,
    FromModel,
    Identified,
    PartBegan,
    PartEnded,
    Published,
    Ready,
    Run,
    Stage,
    Started,
)
from workbench.worker.place import WorkerSpec, package_version
from workbench.worker.protocol import (
    JobState,
    PeekAnswer,
    Refused,
    Unwritten,
    WorkerStatus,
)
from workbench.worker.supervisor import Supervisor

T = TypeVar("T")
log = logging.getLogger("workbench.control")

FAILED_REST = 60.0
"""seconds without requests after which a worker without a model ends"""
MAX_LISTED = 100
"""jobs named in a status"""
STOPPED = "the worker was stopped before it was done"


class Control:
    """One worker. `idle_seconds` 0 keeps it for good; a cancel that is not obeyed in `cancel_seconds` kills."""

    def __init__(self, spec: WorkerSpec, lab: str, idle_seconds: float, cancel_seconds: float) -> None:
        self.spec = spec
        self.jobs = Jobs()
        self.info: ModelInfo | None = None
        self.connections: set[Connection] = set()
        self.stopped = asyncio.Event()
        self.keeper = Keeper(asyncio.get_running_loop(), self._session_changed)
        self.supervisor = Supervisor(spec, lab, self._from_model, self._model_gone)
        self._estimates = Estimates(spec)
        self._idle_seconds = idle_seconds
        self._cancel_seconds = cancel_seconds
        self._stage = "starting"
        self._detail = ""
        self._fraction: float | None = None
        self._told_left: tuple[float, float] | None = None
        """seconds left as the stage itself says, and when it said so"""
        self._versions: dict[str, str] = {}
        self._device_memory = 0
        self._unidentified: set[str] = set()
        self._started = time.time()
        self._last_request = time.monotonic()
        self._tasks: set[asyncio.Task[Any]] = set()

    # --- what it says ---------------------------------------------------------------------------------

    def status(self) -> WorkerStatus:
        stage = "busy" if self._stage == "ready" and self.jobs.running else self._stage
        problems = self.keeper.problems
        return WorkerStatus(
            pid=os.getpid(),
            model_pid=self.supervisor.pid,
            version=package_version(),
            model=self.spec.model,
            device=self.spec.device,
            dtype=self.spec.dtype,
            stage=stage,
            detail=problems[0] if problems and stage in ("ready", "busy") else self._detail,
            fraction=self._fraction,
            seconds_left=self._seconds_left(),
            info=self.info,
            memory=self._device_memory or _resident(self.supervisor.pid),
            jobs=[
                JobState(session=job.named, step=job.step, experiment=job.asked.experiment, state=_state(job))
                for job in list(self.jobs)[:MAX_LISTED]
                if job.peek is None
            ],
            unwritten=[Unwritten(*entry) for entry in self.keeper.unwritten[:MAX_LISTED]],
            idle_seconds=0.0 if len(self.jobs) else time.monotonic() - self._last_request,
            started=self._started,
        )

    def tell_status(self) -> None:
        """To every front, merged where one is slow."""
        status = self.status()
        for connection in self.connections:
            if connection.greeted:
                connection.tell_status(status)

    def _set_stage(self, stage: str, detail: str = "", fraction: float | None = None) -> None:
        self._stage, self._detail, self._fraction = stage, detail, fraction
        self._told_left = None
        self.tell_status()

    def _seconds_left(self) -> float | None:
        if self._told_left and self._stage in ("downloading", "converting"):
            left, at = self._told_left
            return max(0.0, left - (time.monotonic() - at))
        return self._estimates.seconds_left()

    def _session_changed(self, session: str, step: int, revision: int) -> None:
        for connection in self.connections:
            connection.tell_change(session, step, revision)

    # --- jobs --------------------------------------------------------------------------------------------

    def touch(self) -> None:
        """A request came."""
        self._last_request = time.monotonic()

    def enqueue(self, job: Job) -> None:
        """Queues a job and wakes what failed before: a new request is a new try."""
        for replaced in self.jobs.add(job):
            self._drop_peek(replaced, PeekAnswer(id=replaced.peek or 0, slot=replaced.slot, replaced=True))
        if not self.supervisor.alive:
            self._estimates.begin()
            self._set_stage("restarting")
            self.supervisor.start()
        self._dispatch()
        self.tell_status()

    def cancel(self, job: Job) -> None:
        """Ends a job that waits; asks one that runs, and insists after a while."""
        if job.state == "running":
            if not job.cancelling:
                job.cancelling = True
                self.supervisor.send(Drop(job=job.number))
                self._insist_later(job)
        else:
            self._end_unbegun(job)
            self.keeper.write(job.session, job.step, status="cancelled")
        self.tell_status()

    def front_gone(self, connection: Connection) -> None:
        """Nobody waits for its peeks any more; files it read can become one."""
        for job in self.jobs.of_client(connection):
            if job.state != "running":
                self._end_unbegun(job)
        self.keeper.settle(list(connection.sessions))

    def _end_unbegun(self, job: Job) -> None:
        if job.state == "sent":
            job.told = job.cancelling = True
            self.supervisor.send(Drop(job=job.number))
        else:
            self.jobs.remove(job)

    def _drop_peek(self, job: Job, answer: PeekAnswer) -> None:
        self._end_unbegun(job)
        job.client.answer(answer)

    def _insist_later(self, job: Job) -> None:
        asyncio.get_running_loop().call_later(self._cancel_seconds, self._insist, job)

    def _insist(self, job: Job) -> None:
        if self.jobs.inside(job.number) is job:
            self.supervisor.kill(
                f"the model process was ended, because step {job.step} did not stop within "
                f"{self._cancel_seconds:g} s of being cancelled"
            )

    def _dispatch(self) -> None:
        if self._stage != "ready":
            return
        for job in self.jobs.next_to_send():
            self.supervisor.send(
                Run(
                    job=job.number,
                    experiment=job.asked.experiment,
                    params=job.asked.params,
                    edits=job.asked.edits,
                    seed=job.asked.seed,
                    peek=job.peek,
                    slot=job.slot,
                )
            )

    # --- what the model process says ------------------------------------------------------------------

    def _from_model(self, message: FromModel, after: memoryview) -> None:
        match message:
            case Stage():
                self._estimates.enter(message.stage)
                self._set_stage(message.stage, message.detail, message.fraction)
                if message.seconds_left is not None:
                    self._told_left = (message.seconds_left, time.monotonic())
            case Ready():
                self._estimates.ready()
                self.info, self._versions = message.info, message.versions
                self._device_memory = message.memory
                self.touch()
                self._set_stage("ready")
                self._dispatch()
            case Identified():
                self.info = message.info
                self._identify_sessions(message.info)
                self.tell_status()
            case Started() | PartBegan() | PartEnded() | Published() | Answered() | Ended():
                job = self.jobs.inside(message.job)
                if job:
                    self._from_job(job, message, after)

    def _from_job(
        self, job: Job, message: Started | PartBegan | PartEnded | Published | Answered | Ended, after: memoryview
    ) -> None:
        match message:
            case Started():
                job.state = "running"
                if job.told:
                    self._insist_later(job)
                elif job.peek is None:
                    self.keeper.write(job.session, job.step, start=(self.info, self._versions, time.time()))
                    if self.info and not self.info.fingerprint:
                        self._unidentified.add(job.session)
                    self.tell_status()
            case PartBegan():
                if not job.told:
                    self._begin_part(job, message)
            case PartEnded():
                self._end_part(job, message.part, "done")
            case Published():
                if message.part:
                    update = message.update(after)
                    self._write_part(job, message.part, lambda step: self.keeper.write(job.session, step, update))
                elif not job.told:
                    self.keeper.write(job.session, job.step, message.update(after))
            case Answered():
                if not job.told and job.client in self.connections:
                    job.client.answer_encoded(after)
            case Ended():
                self._device_memory = message.memory
                self.jobs.remove(job)
                if job.peek is None and not job.told:
                    self._end(job, message.status, message.error)
                self._dispatch()
                self.tell_status()

    def _begin_part(self, job: Job, message: PartBegan) -> None:
        """Its row comes first; what it publishes meanwhile waits for the row's number."""
        started = (self.info, self._versions, time.time())

        async def begin() -> int:
            part = await asyncio.to_thread(
                submission, message.experiment, message.params, message.edits,
                info=self.info, model=self.spec.shown, seed=job.asked.seed,
            )  # fmt: skip
            step = await self.keeper.add_step(job.session, part, parent=job.step, origin="part")
            self.keeper.write(job.session, step, start=started)
            return step

        job.parts[message.part] = Part(self._go_on_with(begin()))

    def _write_part(self, job: Job, number: int, write: Callable[[int], None]) -> None:
        """`write` with the part's step, after all that was to be written before."""

        def written(step: asyncio.Task[int]) -> None:
            error = None if step.cancelled() else step.exception()
            if error is not None:
                log.warning("a part of step %d is not kept: %s", job.step, error)
            elif not step.cancelled():
                write(step.result())

        if number in job.parts:
            job.parts[number].step.add_done_callback(written)

    def _end_part(self, job: Job, number: int, status: Any) -> None:
        part = job.parts.get(number)
        if part is not None and not part.over:
            part.over = True
            self._write_part(job, number, lambda step: self.keeper.write(job.session, step, status=status))

    def _end(self, job: Job, status: Any, error: str = "") -> None:
        self.touch()
        for number in job.parts:
            self._end_part(job, number, status)
        rows = [part.step for part in job.parts.values() if not part.step.done()]

        async def end() -> None:
            """The step is over when all of it is in the session: rows of its parts that are on their way come first."""
            await asyncio.wait(rows)
            self.keeper.write(job.session, job.step, status=status, error=error)

        if rows:
            self._go_on_with(end())
        else:
            self.keeper.write(job.session, job.step, status=status, error=error)

    def _go_on_with(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Beside everything else; before the worker ends it is waited for."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _model_gone(self, reason: str, again: bool) -> None:
        self._device_memory = 0
        for job in self.jobs.process_gone():
            if job.told:
                continue
            if job.peek is not None:
                job.client.answer(PeekAnswer(id=job.peek, slot=job.slot, error=reason))
            elif job.cancelling:
                self._end(job, "cancelled", f"it did not stop by itself within {self._cancel_seconds:g} s")
            else:
                self._end(job, "failed", reason)
        if not again:
            self._fail_all(reason)
        self._estimates.begin()
        self._set_stage("restarting" if again else "failed", reason)

    def _fail_all(self, reason: str) -> None:
        for job in list(self.jobs):
            self.jobs.remove(job)
            if job.peek is not None:
                job.client.answer(PeekAnswer(id=job.peek, slot=job.slot, error=reason))
            else:
                self._end(job, "failed", reason)

    def _identify_sessions(self, info: ModelInfo) -> None:
        async def identify(session: str) -> None:
            try:
                await self.keeper.do(session, lambda writer: writer.identify(info, self._started))
            except UserError as sentence:
                log.warning("%s", sentence)

        for session in self._unidentified:
            self._go_on_with(identify(session))
        self._unidentified.clear()

    # --- its life ---------------------------------------------------------------------------------------

    async def serve(self, connection: Connection) -> None:
        """One front, until it is gone."""
        self.connections.add(connection)
        try:
            await connection.serve()
        finally:
            self.connections.discard(connection)
            self.front_gone(connection)

    async def watch(self) -> None:
        """Once a second: tells how far things are, and ends the worker when it has been idle for long."""
        while True:
            await asyncio.sleep(1)
            if self._stage not in ("ready", "failed") or self.jobs.running or self.keeper.problems:
                self.tell_status()
            if len(self.jobs) or self.keeper.problems or not self._idle_seconds:
                continue
            limit = self._idle_seconds if self._stage != "failed" else min(FAILED_REST, self._idle_seconds)
            if time.monotonic() - self._last_request > limit and self._stage in ("ready", "failed"):
                log.info("idle for %.0f s: the worker ends", limit)
                self.stopped.set()

    async def finish(self) -> None:
        """Everything that is known is written; the model process ends."""
        self._set_stage("stopping")
        await self.supervisor.stop()
        await asyncio.gather(*(connection.settled() for connection in self.connections))
        for job in list(self.jobs):
            if job.peek is None:
                if not job.told:
                    self._end(job, "cancelled", STOPPED)
            else:
                job.client.answer(Refused(id=job.peek, reason=STOPPED))
        # Rows of parts that are on their way come first; their ends are written when they are there.
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)
        await self.keeper.close()
        await asyncio.gather(*(connection.finish() for connection in self.connections))
        while self.connections:
            await asyncio.sleep(0.01)


def _state(job: Job) -> str:
    return "cancelling" if job.cancelling else "running" if job.state == "running" else "queued"


def _resident(pid: int) -> int:
    """Bytes of memory that a process holds; 0 where that can't be told."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
