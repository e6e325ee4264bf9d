"""One step from submitting to its end: over the socket, then from the session file, which is the truth."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.cli.progress_line import ProgressLine
from workbench.errors import UserError
from workbench.session.reader import SessionReader
from workbench.session.records import FINISHED, StepRecord
from workbench.worker import protocol

if TYPE_CHECKING:
    from workbench.worker.client import WorkerClient, WorkerSpec

LOOK = 0.25
"""seconds between looks at the file: hints may be lost"""
GRACE = 15.0
"""seconds that a step without its worker may take to say that it is lost"""


async def run_step(spec: WorkerSpec, submit: protocol.Submit, line: ProgressLine) -> StepRecord:
    """Submits, waits, and gives the finished step. Ctrl+C cancels it and keeps what is there; a second one leaves.

    Raises UserError where the worker refuses or cannot be started.
    """
    from workbench.worker.client import connect

    interrupt = _Interrupt()
    with interrupt.listening():
        line.say("looking for the worker")
        client = await _unless(interrupt, connect(spec, client="cli"))
        try:
            return await _follow(client, submit, line, interrupt)
        finally:
            line.clear()
            await client.close()


async def _follow(
    client: WorkerClient, submit: protocol.Submit, line: ProgressLine, interrupt: _Interrupt
) -> StepRecord:
    hint = asyncio.Event()
    client.on_event = lambda event: hint.set()
    reply = await client.request(submit)
    step = reply.step
    await client.request(protocol.Attach(session=submit.session))
    reader = SessionReader(Path(submit.session))
    try:
        alone_since: float | None = None
        asked = False
        while True:
            record = reader.step(step)
            if record.status in FINISHED:
                return record
            if interrupt.count > 1:
                raise KeyboardInterrupt
            if interrupt.count and not asked:
                asked = True
                with contextlib.suppress(UserError):
                    await client.request(protocol.Cancel(session=submit.session, step=step))
            if client.closed.is_set():
                alone_since = alone_since or time.monotonic()
                if time.monotonic() - alone_since > GRACE:
                    raise UserError(
                        f"the worker is gone, and step {step} of {submit.session} did not end: workbench logs says why"
                    )
            line.show(record, client.status, "cancelling" if asked else "")
            hint.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(_either(hint, interrupt.event), LOOK)
            if interrupt.count < 2:
                interrupt.event.clear()
    finally:
        reader.close()


async def _either(one: asyncio.Event, other: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in (one, other)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


class _Interrupt:
    """Ctrl+C as something to be asked about, not as an exception in the middle."""

    def __init__(self) -> None:
        self.count = 0
        self.event = asyncio.Event()

    def _came(self) -> None:
        self.count += 1
        self.event.set()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        try:
            loop.add_signal_handler(signal.SIGINT, self._came)
        except (NotImplementedError, RuntimeError, ValueError):  # not the main thread
            yield
            return
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)


async def _unless(interrupt: _Interrupt, wanted: object) -> WorkerClient:
    """The client, or KeyboardInterrupt where Ctrl+C comes first."""
    connecting = asyncio.ensure_future(wanted)  # type: ignore[arg-type]
    interrupted = asyncio.ensure_future(interrupt.event.wait())
    await asyncio.wait({connecting, interrupted}, return_when=asyncio.FIRST_COMPLETED)
    interrupted.cancel()
    if not connecting.done():
        connecting.cancel()
        raise KeyboardInterrupt
    client: WorkerClient = connecting.result()
    return client
