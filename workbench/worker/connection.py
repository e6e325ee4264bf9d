"""One front at the control process' socket. A slow one delays nobody: its events are merged, its requests wait."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec

from workbench.errors import JSON_ERRORS, UserError
from workbench.worker.protocol import Changed, Hello, Message, Refused, Request, Status, Stop, WorkerStatus
from workbench.worker.wire import LENGTH, FrameError, encode, read_frame

log = logging.getLogger("workbench.connection")

MAX_REQUEST = 1 << 28
"""bytes of one request: a battery is sent with all of its labelled sets"""
MAX_BACKLOG = 64
"""answers a front may leave unread before its requests are read no more"""

Handler = Callable[["Connection", Message], Awaitable[Message | None]]
"""the answer to a request, or None where it comes later; raises UserError to refuse"""


class _RequestHead(msgspec.Struct):
    """What can be read of a request that this version does not know."""

    id: int = 0
    type: str = ""


class Connection:
    """Reads requests, writes answers and events. Hello, Status and Stop never wait behind other requests."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handle: Handler) -> None:
        self._reader = reader
        self._writer = writer
        self._handle = handle
        self._answers: deque[bytes] = deque()
        self._status: WorkerStatus | None = None
        self._changes: dict[tuple[str, int], int] = {}
        self._wake = asyncio.Event()
        self._backlog_room = asyncio.Event()
        self._requests: asyncio.Queue[Message] = asyncio.Queue(MAX_BACKLOG)
        self._current: asyncio.Task[None] | None = None
        self.greeted = False
        self.sessions: dict[str, str] = {}
        """real path of each session it follows, to the path as it said it"""

    async def serve(self) -> None:
        """Until the front is gone."""
        tasks = [asyncio.create_task(part()) for part in (self._write, self._work, self._read)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception) and not isinstance(result, EOFError | OSError | FrameError):
                    log.error("a connection ended on a defect", exc_info=result)
            await self.request_done()
            self._writer.close()

    # --- to the front -----------------------------------------------------------------------------------

    def answer(self, message: Message) -> None:
        self._answers.append(encode(message))
        self._wake.set()

    def answer_encoded(self, body: memoryview) -> None:
        """A message that is msgpack already."""
        self._answers.append(LENGTH.pack(len(body)) + body)
        self._wake.set()

    def send_status(self, status: WorkerStatus) -> None:
        """The newest one only."""
        self._status = status
        self._wake.set()

    def send_change(self, session: str, step: int, revision: int) -> None:
        """Of a session it follows, by its real path."""
        session_as_submitted = self.sessions.get(session)
        if session_as_submitted is not None:
            self._changes[session_as_submitted, step] = revision
            self._wake.set()

    async def request_done(self) -> None:
        """Until the request under way is done: what a request does in several parts is never cut between them."""
        if self._current:
            await asyncio.wait([self._current])

    async def finish(self, patience: float = 0.5) -> None:
        """Hangs up when the last answers are out; a front that does not read them gets no more."""
        end = asyncio.get_running_loop().time() + patience
        while (self._answers or self._status) and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.01)
        self._writer.transport.abort()

    # --- inside -------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        while True:
            while len(self._answers) > MAX_BACKLOG:
                self._backlog_room.clear()
                await self._backlog_room.wait()
            body = await read_frame(self._reader, MAX_REQUEST)
            try:
                message: Message = msgspec.msgpack.decode(body, type=Request)
            except JSON_ERRORS as error:
                self._refuse_unknown(body, error)
                continue
            if isinstance(message, Hello | Status | Stop):
                await self._respond(message)
            else:
                await self._requests.put(message)

    def _refuse_unknown(self, body: bytes, error: Exception) -> None:
        try:
            head = msgspec.msgpack.decode(body, type=_RequestHead)
        except JSON_ERRORS:
            raise FrameError("the front sent what is no message") from None
        self.answer(Refused(id=head.id, reason=f"this worker does not understand the request {head.type!r}: {error}"))

    async def _work(self) -> None:
        while True:
            self._current = asyncio.create_task(self._respond(await self._requests.get()))
            await asyncio.shield(self._current)

    async def _respond(self, request: Message) -> None:
        try:
            answer = await self._handle(self, request)
        except UserError as error:
            answer = Refused(reason=str(error))
        except Exception as defect:
            log.exception("a request failed")
            answer = Refused(reason=f"the worker stopped at a defect ({type(defect).__name__}): see workbench logs")
        if answer is not None:
            answer.id = request.id
            self.answer(answer)

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._answers:
                self._writer.write(self._answers.popleft())
                await self._writer.drain()
                self._backlog_room.set()
            if self._status:
                status, self._status = self._status, None
                self._writer.write(encode(status))
            changes, self._changes = self._changes, {}
            for (session, step), revision in changes.items():
                self._writer.write(encode(Changed(session=session, step=step, revision=revision)))
            await self._writer.drain()
