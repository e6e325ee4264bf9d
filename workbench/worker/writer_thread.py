"""The one thread that writes session files, so that the event loop always answers.

Results are merged while they wait, and kept and tried again while the disk is full.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from workbench.errors import UserError
from workbench.model_info import ModelInfo
from workbench.session.reader import SessionReader
from workbench.session.records import Status
from workbench.session.submission import Submission
from workbench.session.update import Update
from workbench.session.writable_file import SessionMoved
from workbench.session.writer import SessionWriter

T = TypeVar("T")
log = logging.getLogger("workbench.writer_thread")

IDLE_SECONDS = 3.0
"""seconds without work after which a session is closed: checkpointed, one file, free for others"""
RETRY_SECONDS = 1.0
"""seconds between two tries to write what could not be written"""
LOCK_WAIT_SECONDS = IDLE_SECONDS + 2.0
"""seconds to wait for another worker to let go of a session"""

OnChange = Callable[[str, int, int], None]
"""session, step, revision"""


@dataclass
class _PendingWrite:
    """What is to be written of one step."""

    update: Update = field(default_factory=Update)
    start: tuple[ModelInfo | None, dict[str, str], float] | None = None
    """model, versions, time"""
    status: Status | None = None
    error: str = ""
    at: float = field(default_factory=time.time)
    failure_recorded: bool = False
    """the step's row says that its result could not be written"""

    def merged(self, later: _PendingWrite) -> _PendingWrite:
        return _PendingWrite(
            update=self.update.merged(later.update),
            start=self.start or later.start,
            status=self.status or later.status,
            error=self.error or later.error,
            at=self.at if self.status else later.at,
            failure_recorded=self.failure_recorded or later.failure_recorded,
        )


@dataclass
class _Session:
    writer: SessionWriter
    used: float = 0.0


class WriterThread:
    """Sessions are named by their real path. Methods are called from the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_change: OnChange) -> None:
        self._loop = loop
        self._on_change = on_change
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._guard = threading.Lock()
        self._pending: dict[tuple[str, int], _PendingWrite] = {}
        self._sessions: dict[str, _Session] = {}
        self._active: dict[str, set[int]] = {}
        self._moved: dict[str, UserError] = {}
        self._failing: dict[str, str] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="session writer", daemon=True)
        self._thread.start()

    @property
    def problems(self) -> list[str]:
        """Sentences for results that could not be written yet."""
        return list(self._failing.values())

    @property
    def unwritten(self) -> list[tuple[str, int, str]]:
        """Session, step and reason of every step that is over and not in its file."""
        with self._guard:
            pending = list(self._pending.items())
        failing = dict(self._failing)  # as it is now: the thread takes out what it could write after all
        return [
            (session, step, failing[session])
            for (session, step), write in pending
            if write.status is not None and session in failing
        ]

    async def do(self, session: str, work: Callable[[SessionWriter], T]) -> T:
        """Run `work` on the session's writer. Raises UserError."""
        return await self._call(lambda: self._on_writer(session, work, new=True))

    async def add_step(
        self, session: str, submission: Submission, *, expected: str = "", parent: int | None = None, origin: str
    ) -> int:
        """A queued step; its number. The session stays open until the step is over. Raises UserError."""

        def add() -> int:
            step = self._on_writer(
                session,
                lambda writer: writer.submit(submission, expected=expected, parent=parent, origin=origin),
                new=True,
            )
            self._active.setdefault(session, set()).add(step)
            self._notify(session, step, 1)
            return step

        return await self._call(add)

    async def mark_lost(self, session: str) -> None:
        """Steps of processes that are gone become `lost`; a session without such steps is not written."""

        def mark() -> None:
            if session not in self._sessions:
                if not os.path.exists(session):
                    return
                with SessionReader(session) as reader:
                    if not reader.lost(mine=True):
                        return
            self._on_writer(session, _nothing)

        await self._call(mark)

    def write(
        self,
        session: str,
        step: int,
        update: Update | None = None,
        *,
        start: tuple[ModelInfo | None, dict[str, str], float] | None = None,
        status: Status | None = None,
        error: str = "",
    ) -> None:
        """Write an update of a step soon; what waits for the same step is merged with it."""
        write = _PendingWrite(update or Update(), start, status, error)
        key = (session, step)
        with self._guard:
            earlier = self._pending.get(key)
            self._pending[key] = earlier.merged(write) if earlier else write
        if earlier is None:
            self._queue.put(lambda: self._write_pending(key))

    def prepare(self) -> None:
        """Import what the first request needs, ahead of it."""
        self._queue.put(_prepare)

    def settle(self, sessions: list[str]) -> None:
        """Bring sessions that were left with an empty journal (somebody read them then) into one file."""

        def settle() -> None:
            for session in sessions:
                if session not in self._sessions and os.path.exists(session) and os.path.exists(f"{session}-wal"):
                    try:
                        self._on_writer(session, _nothing)
                        self._close(session)
                    except UserError as error:
                        log.info("%s", error)

        self._queue.put(settle)

    async def close(self, patience: float = 10.0) -> list[str]:
        """Write what waits, close the sessions, end the thread; gives up after `patience` seconds.

        Returns a sentence for each step whose result is lost.
        """
        self._closed = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join, patience)
        lost = [
            f"the result of step {step} of {session} could not be written and is lost: "
            f"{self._failing.get(session, 'writing took too long')}"
            for session, step in self._pending
        ]
        for sentence in lost:
            log.error("%s", sentence)
        return lost

    # --- on the thread ---------------------------------------------------------------------------------

    def _work(self) -> None:
        retry_at = 0.0
        while True:
            try:
                work = self._queue.get(timeout=RETRY_SECONDS if self._pending or self._sessions else None)
            except queue.Empty:
                pass
            else:
                if work is None:
                    break
                try:
                    work()
                except Exception:  # of one session: this thread writes all of them
                    log.exception("a piece of writing failed")
            now = time.monotonic()
            if self._failing and now >= retry_at:
                retry_at = now + RETRY_SECONDS
                for key in list(self._pending):
                    self._write_pending(key)
            self._close_idle(now)
        for key in list(self._pending):
            self._write_pending(key)
        for session in list(self._sessions):
            self._close(session)

    async def _call(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise UserError("the worker is stopping: nothing new is written")
        done: asyncio.Future[T] = self._loop.create_future()

        def run() -> None:
            try:
                result = work()
            except BaseException as error:
                self._loop.call_soon_threadsafe(_set_exception, done, error)
            else:
                self._loop.call_soon_threadsafe(_set_result, done, result)

        self._queue.put(run)
        return await done

    def _on_writer(self, session: str, work: Callable[[SessionWriter], T], new: bool = False) -> T:
        """`work` on the session's writer. Raises UserError, also for a defect: that session is closed then."""
        try:
            return work(self._writer(session, new))
        except UserError:
            raise
        except Exception as defect:
            log.exception("%s can't be written", session)
            if session in self._sessions:
                self._close(session)
            raise UserError(
                f"{session} can't be written: the worker met a defect in it or in itself "
                f"({type(defect).__name__}: {defect}); workbench logs has the details. Other sessions are not affected"
            ) from defect

    def _writer(self, session: str, new: bool = False) -> SessionWriter:
        moved_error = self._moved.get(session)
        if moved_error and new:
            if not os.path.exists(session):
                raise moved_error
            del self._moved[session]
        open_session = self._sessions.get(session)
        if open_session is None:
            open_session = self._sessions[session] = _Session(SessionWriter(session, wait=LOCK_WAIT_SECONDS))
            for step in open_session.writer.mark_lost(active=self._active.get(session, set())):
                self._notify(session, step, 0)
        open_session.used = time.monotonic()
        return open_session.writer

    def _write_pending(self, key: tuple[str, int]) -> None:
        session, step = key
        with self._guard:
            write = self._pending.pop(key, None)
        if write is None:
            return

        def apply(writer: SessionWriter) -> int:
            if write.start:
                writer.start(step, *write.start)
                write.start = None
            return writer.apply(step, write.update, write.status, write.error, write.at)

        try:
            revision = self._on_writer(session, apply)
        except UserError as error:
            self._keep_for_retry(key, write, str(error))
            return
        if not any(other == session for other, _ in self._pending):
            self._failing.pop(session, None)
        if write.status:
            self._active.get(session, set()).discard(step)
        self._notify(session, step, revision)

    def _keep_for_retry(self, key: tuple[str, int], write: _PendingWrite, reason: str) -> None:
        """Keeps what could not be written, for the next try, and lets the step's row say so if that much fits."""
        session, step = key
        if session not in self._failing:
            log.error("%s", reason)
        self._failing[session] = reason
        if write.status and not write.failure_recorded:
            error = f"{reason}; the result is kept in memory and is written when that is over"
            try:
                revision = self._on_writer(session, lambda writer: writer.apply(step, Update(), "failed", error))
                self._notify(session, step, revision)
                write.failure_recorded = True
            except UserError as problem:
                log.info("%s", problem)
        with self._guard:
            later = self._pending.get(key)
            self._pending[key] = write.merged(later) if later else write

    def _close_idle(self, now: float) -> None:
        for session, open_session in list(self._sessions.items()):
            busy = self._active.get(session) or any(pending_session == session for pending_session, _ in self._pending)
            if not busy and now - open_session.used >= IDLE_SECONDS:
                self._close(session)

    def _close(self, session: str) -> None:
        writer = self._sessions.pop(session).writer
        if writer.recovered:
            self._moved[session] = SessionMoved(writer.path, writer.recovered)
        try:
            writer.close()
        except Exception:
            log.exception("%s could not be closed", session)

    def _notify(self, session: str, step: int, revision: int) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._on_change, session, step, revision)


def _prepare() -> None:
    import workbench.session.schema  # noqa: F401
    from workbench.experiments import experiments

    experiments()


def _nothing(writer: SessionWriter) -> None:
    """Opening it was all."""


def _set_result(done: asyncio.Future[T], result: T) -> None:
    if not done.done():
        done.set_result(result)


def _set_exception(done: asyncio.Future[T], error: BaseException) -> None:
    if not done.done():
        done.set_exception(error)
