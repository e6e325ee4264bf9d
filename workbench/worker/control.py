"""The control process: queue, states and every write to session files. No torch in here."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from workbench.errors import UserError
from workbench.model_info import ModelInfo
from workbench.session.records import Status
from workbench.worker.connection import Connection
from workbench.worker.jobs import Job, Jobs
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
from workbench.worker.protocol import (
    JobState,
    PeekAnswer,
    Refused,
    Unwritten,
    WorkerStatus,
)
from workbench.worker.stage import StageTracker
from workbench.worker.step_writer import StepWriter
from workbench.worker.supervisor import Supervisor
from workbench.worker.worker_files import WorkerSpec, package_version
from workbench.worker.writer_thread import WriterThread

T = TypeVar("T")
log = logging.getLogger("workbench.control")

FAILED_IDLE_SECONDS = 60.0
"""seconds without requests after which a worker without a model ends"""
MAX_LISTED = 100
"""jobs named in a status"""
STOPPED = "the worker was stopped before it was done"


class Control:
    """One worker. `idle_seconds` 0 keeps it for good; a cancel that is not obeyed in `cancel_seconds` kills."""

    def __init__(
        self, spec: WorkerSpec, lab: str, idle_seconds: float, cancel_seconds: float, model_umask: int
    ) -> None:
        self.spec = spec
        self.jobs = Jobs()
        self.info: ModelInfo | None = None
        self.connections: set[Connection] = set()
        self.stopped = asyncio.Event()
        self.writer_thread = WriterThread(asyncio.get_running_loop(), self._session_changed)
        self.supervisor = Supervisor(spec, lab, model_umask, self._from_model, self._model_gone)
        self._idle_seconds = idle_seconds
        self._cancel_seconds = cancel_seconds
        self._stage = StageTracker(spec)
        self._versions: dict[str, str] = {}
        self._device_memory = 0
        self._cached = self._free = 0
        self._unidentified: set[str] = set()
        self._started = time.time()
        self._last_request = time.monotonic()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._step_writer = StepWriter(self.writer_thread, spec, self._in_background)

    # --- its status -----------------------------------------------------------------------------------

    def status(self) -> WorkerStatus:
        stage = "busy" if self._stage.name == "ready" and self.jobs.running else self._stage.name
        problems = self.writer_thread.problems
        return WorkerStatus(
            pid=os.getpid(),
            model_pid=self.supervisor.pid,
            version=package_version(),
            model=self.spec.model,
            device=self.spec.device,
            dtype=self.spec.dtype,
            stage=stage,
            detail=problems[0] if problems and stage in ("ready", "busy") else self._stage.detail,
            fraction=self._stage.fraction,
            seconds_left=self._stage.seconds_left(),
            info=self.info,
            memory=self._device_memory or self.supervisor.resident_memory,
            cached=self._cached,
            free=self._free,
            jobs=[
                JobState(
                    session=job.session_as_submitted,
                    step=job.step,
                    experiment=job.submission.experiment,
                    state=_state(job),
                    ends=job.progress.expected_end(time.time()),
                )
                for job in list(self.jobs)[:MAX_LISTED]
                if job.peek is None
            ],
            unwritten=[Unwritten(*entry) for entry in self.writer_thread.unwritten[:MAX_LISTED]],
            idle_seconds=0.0 if len(self.jobs) else time.monotonic() - self._last_request,
            started=self._started,
        )

    def broadcast_status(self) -> None:
        """To every front, merged where one is slow."""
        status = self.status()
        for connection in self.connections:
            if connection.greeted:
                connection.send_status(status)

    def _set_stage(self, stage: str, detail: str = "", fraction: float | None = None) -> None:
        self._stage.show(stage, detail, fraction)
        self.broadcast_status()

    def _session_changed(self, session: str, step: int, revision: int) -> None:
        for connection in self.connections:
            connection.send_change(session, step, revision)

    # --- jobs --------------------------------------------------------------------------------------------

    def touch(self) -> None:
        """A request came."""
        self._last_request = time.monotonic()

    def enqueue(self, job: Job) -> None:
        """Queues a job and wakes what failed before: a new request is a new try."""
        for replaced in self.jobs.add(job):
            self._answer_peek(replaced, PeekAnswer(id=replaced.peek or 0, slot=replaced.slot, replaced=True))
        if not self.supervisor.alive:
            self._stage.begin()
            self._set_stage("restarting")
            self.supervisor.start()
        self._dispatch()
        self.broadcast_status()

    def cancel(self, job: Job) -> None:
        """Ends a job that waits; asks one that runs, and insists after a while."""
        if job.state == "running":
            if not job.cancelling:
                job.cancelling = True
                self.supervisor.send(Drop(job=job.number))
                self._kill_later(job)
        else:
            self._end_before_start(job)
            self.writer_thread.write(job.session, job.step, status="cancelled")
        self.broadcast_status()

    def front_gone(self, connection: Connection) -> None:
        """Ends the peeks that nobody waits for any more, and makes each session that the front read one file again."""
        for job in self.jobs.of_client(connection):
            if job.state != "running":
                self._end_before_start(job)
        self.writer_thread.settle(list(connection.sessions))

    def _end_before_start(self, job: Job) -> None:
        if job.state == "sent":
            job.end_reported = job.cancelling = True
            self.supervisor.send(Drop(job=job.number))
        else:
            self.jobs.remove(job)

    def _answer_peek(self, job: Job, answer: PeekAnswer) -> None:
        self._end_before_start(job)
        job.client.answer(answer)

    def _kill_later(self, job: Job) -> None:
        asyncio.get_running_loop().call_later(self._cancel_seconds, self._kill_if_running, job)

    def _kill_if_running(self, job: Job) -> None:
        if self.jobs.in_process(job.number) is job:
            self.supervisor.kill(
                f"the model process was ended, because step {job.step} did not stop within "
                f"{self._cancel_seconds:g} s of being cancelled"
            )

    def _dispatch(self) -> None:
        if self._stage.name != "ready":
            return
        for job in self.jobs.next_to_send():
            self.supervisor.send(
                Run(
                    job=job.number,
                    experiment=job.submission.experiment,
                    params=job.submission.params,
                    edits=job.submission.edits,
                    seed=job.submission.seed,
                    directions=job.submission.directions,
                    earlier=job.submission.earlier,
                    judge=job.submission.judge,
                    remarks=job.submission.remarks,
                    peek=job.peek,
                    slot=job.slot,
                )
            )

    # --- what the model process says ------------------------------------------------------------------

    def _from_model(self, message: FromModel, after: memoryview) -> None:
        match message:
            case Stage():
                self._stage.measure(message.stage)
                self._set_stage(message.stage, message.detail, message.fraction)
                if message.seconds_left is not None:
                    self._stage.set_seconds_left(message.seconds_left)
            case Ready():
                self._stage.remember()
                self.info, self._versions = message.info, message.versions
                self._device_memory, self._free = message.memory, message.free
                self.touch()
                self._set_stage("ready")
                self._dispatch()
            case Identified():
                self.info = message.info
                self._identify_sessions(message.info)
                self.broadcast_status()
            case Started() | PartBegan() | PartEnded() | Published() | Answered() | Ended():
                job = self.jobs.in_process(message.job)
                if job:
                    self._from_job(job, message, after)

    def _from_job(
        self, job: Job, message: Started | PartBegan | PartEnded | Published | Answered | Ended, after: memoryview
    ) -> None:
        match message:
            case Started():
                job.state = "running"
                if job.end_reported:
                    self._kill_later(job)
                elif job.peek is None:
                    self.writer_thread.write(job.session, job.step, start=(self.info, self._versions, time.time()))
                    if self.info and not self.info.fingerprint:
                        self._unidentified.add(job.session)
                    self.broadcast_status()
            case PartBegan():
                if not job.end_reported:
                    self._step_writer.begin_part(job, message, self.info, self._versions)
            case PartEnded():
                self._step_writer.end_part(job, message.part, "failed" if message.error else "done", message.error)
            case Published():
                job.progress = message.progress
                if message.part:
                    self._step_writer.publish_part(job, message.part, message.update(after))
                elif not job.end_reported:
                    self.writer_thread.write(job.session, job.step, message.update(after))
            case Answered():
                if not job.end_reported and job.client in self.connections:
                    job.client.answer_encoded(after)
            case Ended():
                self._device_memory, self._cached, self._free = message.memory, message.cached, message.free
                self.jobs.remove(job)
                if job.peek is None and not job.end_reported:
                    self._end(job, message.status, message.error)
                self._dispatch()
                self.broadcast_status()

    def _end(self, job: Job, status: Status, error: str = "") -> None:
        self.touch()
        self._step_writer.end_step(job, status, error)

    def _in_background(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Starts a task; the worker waits for it before it ends."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _model_gone(self, reason: str, again: bool) -> None:
        self._device_memory = self._cached = self._free = 0
        for job in self.jobs.process_ended():
            if job.end_reported:
                continue
            if job.peek is not None:
                job.client.answer(PeekAnswer(id=job.peek, slot=job.slot, error=reason))
            elif job.cancelling:
                self._end(job, "cancelled", f"it did not stop by itself within {self._cancel_seconds:g} s")
            else:
                self._end(job, "failed", reason)
        if not again:
            self._fail_all(reason)
        self._stage.begin()
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
                await self.writer_thread.do(session, lambda writer: writer.set_fingerprint(info, self._started))
            except UserError as error:
                log.warning("%s", error)

        for session in self._unidentified:
            self._in_background(identify(session))
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
        """Once a second: reports the stage of what is under way, and ends the worker when it has been idle for long."""
        while True:
            await asyncio.sleep(1)
            if self._stage.name not in ("ready", "failed") or self.jobs.running or self.writer_thread.problems:
                self.broadcast_status()
            if len(self.jobs) or self.writer_thread.problems or not self._idle_seconds:
                continue
            limit = self._idle_seconds if self._stage.name != "failed" else min(FAILED_IDLE_SECONDS, self._idle_seconds)
            if time.monotonic() - self._last_request > limit and self._stage.name in ("ready", "failed"):
                log.info("idle for %.0f s: the worker ends", limit)
                self.stopped.set()

    async def finish(self) -> list[str]:
        """Everything that is known is written; the model process ends. Returns sentences for what could not be."""
        self._set_stage("stopping")
        await self.supervisor.stop()
        await asyncio.gather(*(connection.request_done() for connection in self.connections))
        for job in list(self.jobs):
            if job.peek is None:
                if not job.end_reported:
                    self._end(job, "cancelled", STOPPED)
            else:
                job.client.answer(Refused(id=job.peek, reason=STOPPED))
        # Rows of parts that are on their way come first; their ends are written when they are there.
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)
        lost = await self.writer_thread.close()
        await asyncio.gather(*(connection.finish() for connection in self.connections))
        while self.connections:
            await asyncio.sleep(0.01)
        return lost


def _state(job: Job) -> str:
    return "cancelling" if job.cancelling else "running" if job.state == "running" else "queued"
