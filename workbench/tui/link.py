"""The line to the worker: connects in the background, comes back when it breaks, and says in words how it stands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import UserError

if TYPE_CHECKING:
    from workbench.worker.client import WorkerClient, WorkerSpec
    from workbench.worker.protocol import Message, WorkerStatus

Connect = Callable[["WorkerSpec"], Awaitable["WorkerClient"]]
DEATH_LIMIT = 3
"""a worker that dies this often within a minute of its start is not started again unasked"""


async def connect_worker(spec: WorkerSpec) -> WorkerClient:
    from workbench.worker.client import connect

    return await connect(spec, client="tui")


class Link:
    """Keeps a connection. `on_status` and `on_hint(session, step)` are called in the event loop."""

    def __init__(
        self,
        spec: WorkerSpec,
        on_status: Callable[[], None],
        on_hint: Callable[[str, int], None],
        connect: Connect = connect_worker,
    ) -> None:
        self.spec = spec
        self.status: WorkerStatus | None = None
        self.status_at = 0.0
        """when it came, on the monotonic clock: seconds left count down from there"""
        self.problem = ""
        """why there is no worker, as a sentence; empty while there is one or one is on its way"""
        self.disconnections = 0
        """how often the line broke"""
        self._session: Path | None = None
        self._on_status, self._on_hint = on_status, on_hint
        self._connect = connect
        self._client: WorkerClient | None = None
        self._settled = asyncio.Event()
        self._retry = asyncio.Event()

    @property
    def session(self) -> str:
        """The path of the session whose hints come; empty for none."""
        return str(self._session or "")

    @property
    def connected(self) -> bool:
        return self._client is not None

    async def run(self) -> None:
        """For as long as the app lives."""
        deaths: list[float] = []
        while True:
            self._settled.clear()
            self.problem = ""
            self._on_status()
            try:
                client = await self._connect(self.spec)
            except (UserError, OSError) as error:
                self._fail(str(error))
                await self._wait_for_retry()
                deaths.clear()
                continue
            self._client = client
            client.on_event = self._event
            self._set_status(client.status)
            self._settled.set()
            if self._session:
                await self._attach()
            await client.closed.wait()
            self._client, self.status = None, None
            self.disconnections += 1
            deaths = [at for at in deaths if time.monotonic() - at < 60] + [time.monotonic()]
            if len(deaths) >= DEATH_LIMIT:
                self._fail(f"the worker went away {DEATH_LIMIT} times within a minute: `workbench logs` says why")
                await self._wait_for_retry()
                deaths.clear()

    def _fail(self, sentence: str) -> None:
        self.problem = sentence
        self._settled.set()
        self._on_status()

    async def _wait_for_retry(self) -> None:
        self._retry.clear()
        await self._retry.wait()

    def restart(self) -> None:
        """Try again after a failure."""
        self._retry.set()

    async def request(self, message: Message) -> Any:
        """The worker's answer; waits while one is being started. Raises UserError where there is none."""
        while True:
            await self._settled.wait()
            client = self._client
            if client is None:
                if self.problem:
                    raise UserError(f"there is no worker: {self.problem}")
                await asyncio.sleep(0)  # between a broken line and the next try
                continue
            return await client.request(message)

    async def attach(self, session: Path | None) -> None:
        """Hear of this session's steps from now on, also after the line broke."""
        self._session = session
        if session and self._client:
            await self._attach()

    async def _attach(self) -> None:
        from workbench.worker.protocol import Attach

        try:
            await self.request(Attach(session=str(self._session)))
        except (UserError, OSError):
            return  # a session that can't be written can still be read; submitting to it says why not

    def _event(self, event: Any) -> None:
        from workbench.worker.protocol import Changed, WorkerStatus

        if isinstance(event, WorkerStatus):
            self._set_status(event)
        elif isinstance(event, Changed):
            self._on_hint(event.session, event.step)

    def _set_status(self, status: WorkerStatus | None) -> None:
        self.status, self.status_at = status, time.monotonic()
        self._on_status()

    async def close(self) -> None:
        if self._client:
            await self._client.close()
