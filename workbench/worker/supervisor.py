"""Starts the model process, watches it, kills it, and starts it again, but not for ever."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable

from workbench.errors import UserError
from workbench.worker.cores import model_environment
from workbench.worker.messages import DEVICE_LOST, FromModel, LoadFailed, ToModel
from workbench.worker.pipe import ModelPipe
from workbench.worker.wire import FrameError
from workbench.worker.worker_files import WorkerSpec

log = logging.getLogger("workbench.supervisor")

DEFAULT_LAB = "workbench.worker.engine:open_lab_engine"
"""what the model process opens; a name, so that nothing of it is imported here"""

MAX_DEATHS = 3
DEATHS_WITHIN_SECONDS = 300.0
"""seconds: after MAX_DEATHS in this time the model process is not started again unasked"""


class Supervisor:
    """One model process at a time.

    `on_message` gets what it sends; `on_gone(reason, again)` is called when it is over: `again` says whether
    a new one is being started, and without it `reason` is the sentence why not.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        lab: str,
        umask: int,
        on_message: Callable[[FromModel, memoryview], None],
        on_gone: Callable[[str, bool], None],
    ) -> None:
        self._spec = spec
        self._lab = lab
        self._umask = umask
        self._on_message = on_message
        self._on_gone = on_gone
        self._process: asyncio.subprocess.Process | None = None
        self._pipe: ModelPipe | None = None
        self._deaths: list[float] = []
        self._load_failed = ""
        self._killed_for = ""
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """0 where none runs."""
        process = self._process
        return process.pid if process and process.returncode is None else 0

    @property
    def resident_memory(self) -> int:
        """Bytes of memory that the process holds; 0 where the system does not say."""
        try:
            with open(f"/proc/{self.pid}/statm") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError, IndexError):
            return 0

    @property
    def alive(self) -> bool:
        """Whether a model process runs or is being started."""
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Starts the model process, forgetting earlier deaths."""
        if not self.alive and not self._stopping:
            self._deaths.clear()
            self._task = asyncio.get_running_loop().create_task(self._run_until_stopped())

    def send(self, message: ToModel) -> None:
        if self._pipe:
            self._pipe.send(message)

    def kill(self, reason: str) -> None:
        """Ends the process at once; `reason` is what `on_gone` will say. It is started again."""
        process = self._process
        if process and process.returncode is None:
            self._killed_for = reason
            process.kill()

    async def stop(self) -> None:
        """Ends the process for good."""
        self._stopping = True
        process = self._process
        if process and process.returncode is None:
            process.kill()
        if self._task:
            await asyncio.wait([self._task], timeout=5)

    async def _run_until_stopped(self) -> None:
        while True:
            self._load_failed = self._killed_for = ""
            try:
                exit_code = await self._run_once()
            except (OSError, UserError) as error:
                self._on_gone(f"the model process could not be started: {error}", False)
                return
            if self._stopping:
                return
            if self._load_failed:
                self._on_gone(self._load_failed, False)
                return
            reason = self._killed_for or _exit_reason(exit_code)
            log.error("%s", reason)
            if not self._killed_for:
                now = time.monotonic()
                self._deaths = [death for death in self._deaths if now - death < DEATHS_WITHIN_SECONDS] + [now]
            if len(self._deaths) >= MAX_DEATHS:
                minutes = DEATHS_WITHIN_SECONDS / 60
                self._on_gone(
                    f"the model process ended {MAX_DEATHS} times within {minutes:g} minutes (last: {reason}); "
                    "run something to try once more, workbench logs has the details",
                    False,
                )
                return
            self._on_gone(reason, True)

    async def _run_once(self) -> int:
        ours, theirs = socket.socketpair()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "workbench.worker.model_process",
                *(f"--model={self._spec.model}", f"--device={self._spec.device}", f"--dtype={self._spec.dtype}"),
                *(f"--lab={self._lab}", f"--fd={theirs.fileno()}"),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=model_environment(),
                umask=self._umask,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        self._pipe = await ModelPipe.open(ours, self._message, self._protocol_error)
        exit_code = await self._process.wait()
        try:
            # What it sent last lies in the socket still; a child of its own may hold the other end open.
            await asyncio.wait_for(self._pipe.ended.wait(), 2)
        except TimeoutError:
            self._pipe.close()
        self._pipe = None
        return exit_code

    def _message(self, message: FromModel, after: memoryview) -> None:
        if isinstance(message, LoadFailed):
            self._load_failed = message.reason
        else:
            self._on_message(message, after)

    def _protocol_error(self, error: FrameError) -> None:
        self.kill(f"the model process was stopped: {error}")


def _exit_reason(exit_code: int) -> str:
    """How a process ended, in plain words."""
    if exit_code == DEVICE_LOST:
        return "the GPU of the model process failed, and would have gone on failing"
    if exit_code >= 0:
        return f"the model process ended by itself (exit code {exit_code})"
    if exit_code == -signal.SIGKILL:
        return "the model process was killed (signal 9): most often the system does that when memory runs out"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    return f"the model process crashed in native code or was ended from outside ({name})"
