"""A front's connection to a worker: starts one where there is none, sends requests, receives events. No torch."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Literal, overload

import msgspec

from workbench.errors import UserError
from workbench.session.reader import SessionReader
from workbench.session.records import FINISHED
from workbench.worker.protocol import (
    PROTOCOL_VERSION,
    Changed,
    Hello,
    Message,
    Peek,
    PeekAnswer,
    Refused,
    Reply,
    Status,
    Stop,
    Submit,
    Submitted,
    Welcome,
    WorkerStatus,
)
from workbench.worker.start import ask, scan, start_worker, survey, wait_gone
from workbench.worker.wire import FrameError, decode, encode, read_frame
from workbench.worker.worker_files import (
    WorkerFiles,
    WorkerSilent,
    WorkerSpec,
    check_peer,
    check_socket,
    package_version,
    peer_pid,
    worker_files,
)

__all__ = ["WorkerClient", "WorkerSpec", "connect", "list_workers", "log_path", "run_step", "stop_workers"]

ASKED_AFTER = 5.0
"""seconds without a word of the worker after which it is asked for one"""
SILENCE = 20.0
"""seconds without a word after which a worker counts as stopped"""
POLL = 0.5
"""seconds between two readings of a session, in case an event was lost"""
NO_WORKER = "the worker is gone: what it had finished is in the session; run it again to start another"


class WorkerClient:
    """A connection.

    Attributes: `status`, the last WorkerStatus; `on_event`, called in the event loop with each WorkerStatus and
    Changed; `closed`, set when the connection has ended, whoever ended it.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.status: WorkerStatus = WorkerStatus()
        self.welcome = Welcome()
        self.on_event: Callable[[WorkerStatus | Changed], None] | None = None
        self.closed = asyncio.Event()
        self.problem = NO_WORKER
        """once it is closed: why, as a sentence"""
        self._heard = time.monotonic()
        self._reader = reader
        self._writer = writer
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._listening = asyncio.create_task(self._listen())
        self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Hangs up; the worker goes on."""
        self._writer.close()
        self._listening.cancel()
        self._watching.cancel()
        await asyncio.gather(self._listening, self._watching, return_exceptions=True)

    async def __aenter__(self) -> WorkerClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @overload
    async def request(self, message: Submit) -> Submitted: ...
    @overload
    async def request(self, message: Peek) -> PeekAnswer: ...
    @overload
    async def request(self, message: Hello) -> Welcome: ...
    @overload
    async def request(self, message: Status) -> WorkerStatus: ...
    @overload
    async def request(self, message: Message) -> Message: ...
    async def request(self, message: Message) -> Message:
        """The answer. Raises UserError with the worker's sentence where it refuses, and where it is gone."""
        number = next(self._numbers)
        frame = encode(msgspec.structs.replace(message, id=number))
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        if self.closed.is_set():
            raise UserError(self.problem)
        self._waiting[number] = answer
        try:
            self._writer.write(frame)
            await self._writer.drain()
            reply = await answer
        except ConnectionError:
            raise UserError(self.problem) from None
        finally:
            self._waiting.pop(number, None)
        if isinstance(reply, Refused):
            raise UserError(reply.reason)
        return reply

    async def _listen(self) -> None:
        try:
            while True:
                message: Message = decode(await read_frame(self._reader), Reply)
                self._heard = time.monotonic()
                if isinstance(message, WorkerStatus):
                    self.status = message
                request = self._waiting.get(message.id)
                if request and not request.done():
                    request.set_result(message)
                if isinstance(message, WorkerStatus | Changed) and self.on_event:
                    self.on_event(message)
        except (EOFError, OSError, FrameError):
            pass  # those who wait get the error below
        finally:
            self.closed.set()
            for request in self._waiting.values():
                if not request.done():
                    request.set_exception(UserError(self.problem))
            self._writer.close()

    async def _watch(self) -> None:
        """Asks after a worker that has said nothing for a while, and hangs up where it goes on saying nothing."""
        while not self.closed.is_set():
            await asyncio.sleep(ASKED_AFTER / 5)
            silence = time.monotonic() - self._heard
            if silence > SILENCE:
                self.problem = str(WorkerSilent(peer_pid(self._writer.get_extra_info("socket")), SILENCE))
                self._listening.cancel()
                self._writer.transport.abort()
                return
            if silence > ASKED_AFTER:
                self._writer.write(encode(Status(id=next(self._numbers))))


async def connect(
    spec: WorkerSpec = WorkerSpec(),  # noqa: B008 - frozen
    client: str = "cli",
    start: bool = True,
    options: Sequence[str] = (),
) -> WorkerClient:
    """A connection to the worker for `spec`; one is started where none runs, unless `start` is False.

    `options` are further arguments of a control process that has to be started (tests give another lab).
    Raises UserError: no worker, and none is to be started, a socket that is not ours, a busy worker of another version.
    """
    files = await asyncio.to_thread(worker_files, spec)
    connection = await _dial(files, client)
    if connection and _other_version(connection):
        await _replace(connection, files)
        connection = None
    if connection:
        return connection
    if not start:
        raise UserError(f"no worker runs for the model {spec.model!r}")
    await asyncio.to_thread(start_worker, spec, options)
    connection = await _dial(files, client)
    if not connection:
        raise UserError(f"the worker was started and is gone again: see {files.log}")
    return connection


async def _dial(files: WorkerFiles, client: str) -> WorkerClient | None:
    if not check_socket(files.socket):
        return None
    try:
        reader, writer = await asyncio.open_unix_connection(str(files.socket))
    except OSError:
        return None
    peer: socket.socket = writer.get_extra_info("socket")
    try:
        check_peer(peer)
    except UserError:
        writer.close()
        raise
    connection = WorkerClient(reader, writer)
    try:
        connection.welcome = await connection.request(Hello(version=package_version(), client=client))
        connection.status = await connection.request(Status())
    except UserError as error:
        await connection.close()
        if connection.problem != NO_WORKER:
            raise error
        return None
    return connection


def _other_version(connection: WorkerClient) -> bool:
    return (connection.welcome.protocol, connection.welcome.version) != (PROTOCOL_VERSION, package_version())


async def _replace(connection: WorkerClient, files: WorkerFiles) -> None:
    """Asks a worker of another version to go. Raises UserError where it is busy."""
    pid, version = connection.welcome.pid, connection.welcome.version or "unknown"
    try:
        await connection.request(Stop(when="idle"))
    except UserError:
        raise UserError(
            f"a worker of another version ({version}, process {pid}) is at work: "
            f"wait until it is done, or stop it with `workbench stop {pid}`"
        ) from None
    finally:
        await connection.close()
    if not await asyncio.to_thread(wait_gone, files):
        raise UserError(f"the worker of version {version} (process {pid}) does not end: end it with `kill {pid}`")


# --- running a step from start to end ------------------------------------------------------------------


async def run_step(client: WorkerClient, submit: Submit, on_change: Callable[[int], None] | None = None) -> int:
    """Submits a step and returns its number when it is over, whatever its end.

    `on_change` is called with the number when the session has news of the step. Raises UserError where the
    worker refuses, and where it is gone before the step is over.
    """
    changed = asyncio.Event()
    previous_listener = client.on_event

    def notify(event: WorkerStatus | Changed) -> None:
        if isinstance(event, Changed):
            changed.set()
        if previous_listener:
            previous_listener(event)

    client.on_event = notify
    try:
        step = (await client.request(submit)).step
        with SessionReader(submit.session) as reader:
            await _follow(client, reader, step, changed, on_change)
        return step
    finally:
        client.on_event = previous_listener


async def _follow(
    client: WorkerClient,
    reader: SessionReader,
    step: int,
    changed: asyncio.Event,
    on_change: Callable[[int], None] | None,
) -> None:
    seen_revision = -1
    seen_version = -1
    while True:
        worker_gone = client.closed.is_set()  # before looking: what it wrote last counts
        changed.clear()
        version = reader.data_version()
        if version != seen_version:
            seen_version = version
            row = reader.row(step)
            if row and row.revision != seen_revision:
                seen_revision = row.revision
                if on_change:
                    on_change(step)
                if row.status in FINISHED - {"lost"}:
                    return
        for unwritten in client.status.unwritten:
            if unwritten.step == step and unwritten.session == os.path.realpath(reader.path):
                raise UserError(
                    f"step {step} is over, but {unwritten.reason}; its result is kept in the worker's memory, and is "
                    f"written as soon as that is possible"
                )
        if worker_gone:
            if client.problem != NO_WORKER:
                raise UserError(f"{client.problem}; step {step} is not over")
            raise UserError(f"the worker ended before step {step} was done: {NO_WORKER.partition(': ')[2]}")
        waits = [asyncio.ensure_future(changed.wait()), asyncio.ensure_future(client.closed.wait())]
        try:
            await asyncio.wait(waits, timeout=POLL, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


# --- the workers there are -----------------------------------------------------------------------------


def list_workers() -> list[WorkerStatus]:
    """Every worker of ours, of whatever version; of one that does not answer only the process number is known.

    Blocks for some milliseconds each, and for ANSWER_SECONDS where none comes.
    """
    workers, silent = survey()
    return [status for _, _, status in workers] + [
        WorkerStatus(pid=error.pid, stage="silent", detail=str(error)) for error in silent
    ]


async def stop_workers(pid: int | None = None, when: Literal["now", "idle"] = "now") -> list[int]:
    """Asks the worker `pid`, or all of them, to go, and waits until they have; the pids of those.

    Raises UserError: there is no such worker, it is busy (with `when="idle"`), or does not end.
    """
    return await asyncio.to_thread(_stop, pid, when)


def _stop(pid: int | None, when: Literal["now", "idle"]) -> list[int]:
    workers, silent = survey()
    targets = [(files, welcome.pid) for files, welcome, _ in workers if pid in (None, welcome.pid)]
    silent = [error for error in silent if pid in (None, error.pid)]
    if pid is not None and not targets and not silent:
        raise UserError(f"there is no worker with the process number {pid}: `workbench ps` lists them")
    for files, worker_pid in targets:
        match ask(files, Stop(when=when)):
            case [Refused(reason=reason)]:
                raise UserError(reason)
        if not wait_gone(files):
            raise UserError(f"the worker {worker_pid} does not end: end it with `kill {worker_pid}`")
        if files.lost.exists():
            raise UserError(f"the worker {worker_pid} ended; {files.lost.read_text(errors='replace')}")
    if silent:
        raise silent[0]
    return [worker_pid for _, worker_pid in targets]


def log_path(spec: WorkerSpec | None = None, pid: int | None = None) -> Path:
    """A worker's log: of `spec`, of the process `pid`, or the one written last. Raises UserError if there is none."""
    if spec is not None:
        path = worker_files(spec).log
        if path.exists():
            return path
        raise UserError(f"no worker for the model {spec.model!r} has written a log yet")
    if pid is not None:
        for files, welcome, _ in scan():
            if welcome.pid == pid:
                return files.log
        raise UserError(f"there is no worker with the process number {pid}: `workbench ps` lists them")
    logs = sorted(worker_files(WorkerSpec()).socket.parent.glob("*.log"), key=lambda log: log.stat().st_mtime)
    if not logs:
        raise UserError("no worker has written a log yet")
    return logs[-1]
