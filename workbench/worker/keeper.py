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
from workbench.session.writer import SessionMoved, SessionWriter

T = TypeVar("T")
log = logging.getLogger("workbench.keeper")

REST = 3.0
"""seconds without work after which a session is closed: checkpointed, one file, free for others"""
RETRY = 1.0
"""seconds between two tries to write what could not be written"""
LOCK_WAIT = REST + 2.0
"""seconds to wait for another worker to let go of a session"""

OnChange = Callable[[str, int, int], None]
"""session, step, revision"""


@dataclass
class _Waiting:
    """What is to be written for one step."""

    update: Update = field(default_factory=Update)
    start: tuple[ModelInfo | None, dict[str, str], float] | None = None
    """model, versions, time"""
    status: Status | None = None
    error: str = ""
    at: float = field(default_factory=time.time)
    told: bool = False
    """the step's row says that its result could not be written"""

    def then(self, later: _Waiting) -> _Waiting:
        return _Waiting(
            update=self.update.merged(later.update),
            start=self.start or later.start,
            status=self.status or later.status,
            error=self.error or later.error,
            at=self.at if self.status else later.at,
            told=self.told or later.told,
        )


@dataclass
class _Session:
    writer: SessionWriter
    used: float = 0.0


class Keeper:
    """Sessions are named by their real path. Methods are called from the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_change: OnChange) -> None:
        self._loop = loop
        self._on_change = on_change
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._guard = threading.Lock()
        self._waiting: dict[tuple[str, int], _Waiting] = {}
        self._open: dict[str, _Session] = {}
        self._active: dict[str, set[int]] = {}
        self._moved: dict[str, UserError] = {}
        self._failing: dict[str, str] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="keeper", daemon=True)
        self._thread.start()

    @property
    def problems(self) -> list[str]:
        """Sentences for results that could not be written yet."""
        return list(self._failing.values())

    @property
    def unwritten(self) -> list[tuple[str, int, str]]:
        """Session, step and reason of every step that is over and not in its file."""
        with self._guard:
            waiting = list(self._waiting.items())
        failing = dict(self._failing)  # as it is now: the thread takes out what it could write after all
        return [
            (session, step, failing[session])
            for (session, step), news in waiting
            if news.status is not None and session in failing
        ]

    async def do(self, session: str, work: Callable[[SessionWriter], T]) -> T:
        """Run `work` on the session's writer. Raises UserError."""
        return await self._call(lambda: self._on_writer(session, work, new=True))

    async def add_step(
        self, session: str, asked: Submission, *, expected: str = "", parent: int | None = None, origin: str
    ) -> int:
        """A queued step; its number. The session stays open until the step is over. Raises UserError."""

        def add() -> int:
            step = self._on_writer(
                session,
                lambda writer: writer.submit(asked, expected=expected, parent=parent, origin=origin),
                new=True,
            )
            self._active.setdefault(session, set()).add(step)
            self._tell(session, step, 1)
            return step

        return await self._call(add)

    async def mark_lost(self, session: str) -> None:
        """Steps of processes that are gone become `lost`; a session without such steps is not written."""

        def mark() -> None:
            if session not in self._open:
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
        """Write a step's news soon; what waits for the same step is merged."""
        news = _Waiting(update or Update(), start, status, error)
        key = (session, step)
        with self._guard:
            before = self._waiting.get(key)
            self._waiting[key] = before.then(news) if before else news
        if before is None:
            self._queue.put(lambda: self._write_waiting(key))

    def prepare(self) -> None:
        """Import what the first request needs, before it comes."""
        self._queue.put(_prepare)

    def settle(self, sessions: list[str]) -> None:
        """Bring sessions that were left with an empty journal (somebody read them then) into one file."""

        def settle() -> None:
            for session in sessions:
                if session not in self._open and os.path.exists(session) and os.path.exists(f"{session}-wal"):
                    try:
                        self._on_writer(session, _nothing)
                        self._close(session)
                    except UserError as sentence:
                        log.info("%s", sentence)

        self._queue.put(settle)

    async def close(self, patience: float = 10.0) -> None:
        """Write what waits, close the sessions, end the thread; gives up after `patience` seconds."""
        self._closed = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join, patience)
        for (session, step), _ in self._waiting.items():
            log.error("the result of step %d of %s could not be written and is lost", step, session)

    # --- on the thread ---------------------------------------------------------------------------------

    def _work(self) -> None:
        retry_at = 0.0
        while True:
            try:
                work = self._queue.get(timeout=RETRY if self._waiting or self._open else None)
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
                retry_at = now + RETRY
                for key in list(self._waiting):
                    self._write_waiting(key)
            self._rest(now)
        for key in list(self._waiting):
            self._write_waiting(key)
        for session in list(self._open):
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
            if session in self._open:
                self._close(session)
            raise UserError(
                f"{session} can't be written: the worker met a defect in it or in itself "
                f"({type(defect).__name__}: {defect}); workbench logs has the details. Other sessions are not affected"
            ) from defect

    def _writer(self, session: str, new: bool = False) -> SessionWriter:
        moved = self._moved.get(session)
        if moved and new:
            if not os.path.exists(session):
                raise moved
            del self._moved[session]
        found = self._open.get(session)
        if found is None:
            found = self._open[session] = _Session(SessionWriter(session, wait=LOCK_WAIT))
            for step in found.writer.mark_lost(known=self._active.get(session, set())):
                self._tell(session, step, 0)
        found.used = time.monotonic()
        return found.writer

    def _write_waiting(self, key: tuple[str, int]) -> None:
        session, step = key
        with self._guard:
            waiting = self._waiting.pop(key, None)
        if waiting is None:
            return

        def apply(writer: SessionWriter) -> int:
            if waiting.start:
                writer.start(step, *waiting.start)
                waiting.start = None
            return writer.apply(step, waiting.update, waiting.status, waiting.error, waiting.at)

        try:
            revision = self._on_writer(session, apply)
        except UserError as sentence:
            self._failed(key, waiting, str(sentence))
            return
        if not any(other == session for other, _ in self._waiting):
            self._failing.pop(session, None)
        if waiting.status:
            self._active.get(session, set()).discard(step)
        self._tell(session, step, revision)

    def _failed(self, key: tuple[str, int], waiting: _Waiting, sentence: str) -> None:
        """Keeps what could not be written, for the next try, and lets the step's row say so if that much fits."""
        session, step = key
        if session not in self._failing:
            log.error("%s", sentence)
        self._failing[session] = sentence
        if waiting.status and not waiting.told:
            note = f"{sentence}; the result is kept in memory and is written when that is over"
            try:
                revision = self._on_writer(session, lambda writer: writer.apply(step, Update(), "failed", note))
                self._tell(session, step, revision)
                waiting.told = True
            except UserError as second:
                log.info("%s", second)
        with self._guard:
            later = self._waiting.get(key)
            self._waiting[key] = waiting.then(later) if later else waiting

    def _rest(self, now: float) -> None:
        for session, found in list(self._open.items()):
            busy = self._active.get(session) or any(other == session for other, _ in self._waiting)
            if not busy and now - found.used >= REST:
                self._close(session)

    def _close(self, session: str) -> None:
        writer = self._open.pop(session).writer
        if writer.recovered:
            self._moved[session] = SessionMoved(writer.path, writer.recovered)
        try:
            writer.close()
        except Exception:
            log.exception("%s could not be closed", session)

    def _tell(self, session: str, step: int, revision: int) -> None:
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
