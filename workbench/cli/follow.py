"""One step from submitting to its end, with its progress shown and Ctrl+C understood."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.cli.progress_line import ProgressLine
from workbench.cost import cost_line, cost_of, seconds_of
from workbench.errors import UserError
from workbench.session.reader import SessionReader
from workbench.session.records import FINISHED, StepRecord
from workbench.worker.protocol import Cancel, Submit
from workbench.worker.waiting import waiting_words

if TYPE_CHECKING:
    from workbench.worker.client import WorkerClient, WorkerSpec

_TICK = 0.2
"""seconds between two reads of the progress"""
POLLS_AFTER_HANGUP = 10
"""reads of the step, a tick apart, after its worker hung up"""
SHORTEST_ANNOUNCED = 2.0
"""seconds; the cost of a shorter run is not announced"""


async def follow_step(spec: WorkerSpec, submit: Submit, line: ProgressLine) -> StepRecord:
    """Submits a step and returns its record when it is over, whatever its end.

    Ctrl+C cancels it and keeps what there is; a second one leaves at once. Raises UserError where the worker refuses
    or cannot be started.
    """
    from workbench.worker.client import connect

    with _Interrupts() as interrupts:
        line.say("looking for the worker")
        client = await interrupts.unless(connect(spec, client="cli"))
        try:
            return await _Follower(client, submit, line, interrupts).run()
        finally:
            line.clear()
            await client.close()


class _Follower:
    """Waits for a step in the background and keeps the line on stderr up to date."""

    def __init__(self, client: WorkerClient, submit: Submit, line: ProgressLine, interrupts: _Interrupts) -> None:
        self._client, self._submit, self._line, self._interrupts = client, submit, line, interrupts
        self._step: int | None = None
        self._cancelling = False
        self._cost_shown = False
        self._wait_shown = False
        self._opened = contextlib.ExitStack()
        self._reader: SessionReader | None = None

    async def run(self) -> StepRecord:
        from workbench.worker.client import run_step

        with self._opened:
            return await self._run(asyncio.ensure_future(run_step(self._client, self._submit, self._on_submitted)))

    async def _run(self, waiting: asyncio.Future[int]) -> StepRecord:
        interrupted = asyncio.ensure_future(self._interrupts.next())
        try:
            while not waiting.done():
                either: set[asyncio.Future[Any]] = {waiting, interrupted}
                await asyncio.wait(either, timeout=_TICK, return_when=asyncio.FIRST_COMPLETED)
                if interrupted.done():
                    interrupted = asyncio.ensure_future(self._interrupts.next())
                if self._interrupts.count > 1:
                    raise KeyboardInterrupt
                if self._interrupts.count and self._step is not None and not self._cancelling:
                    self._cancelling = True
                    await self._cancel(self._step)
                if self._step is not None:
                    self._show_cost()
                    self._show_wait()
                    prefix = "cancelling" if self._cancelling else ""
                    self._line.show(self._record(), self._client.status, self._submit.session, prefix)
            waiting.result()
        except UserError:
            record = await self._end_without_worker()
            if record is None:
                raise
            return record
        finally:
            waiting.cancel()
            interrupted.cancel()
        return self._record()

    async def _end_without_worker(self) -> StepRecord | None:
        """The step as the session file has it, whose process may still be ending; None where it was never begun."""
        for _ in range(POLLS_AFTER_HANGUP):
            self._reader = None  # a reader asks only now and then whether the step's process is still there
            record = self._record() if self._step is not None else None
            if record is None or record.status in FINISHED:
                return record
            await asyncio.sleep(_TICK)
        return None

    def _show_cost(self) -> None:
        """Once, as soon as the model and its rate are known; what takes no time needs no line."""
        status = self._client.status
        if self._cost_shown or status is None or status.info is None:
            return
        name, params = self._submit.experiment, self._submit.params
        cost = cost_of(name, params, status.info)
        took = None if cost is None else seconds_of(name, cost, status.info)
        if cost is None or (took is not None and took < SHORTEST_ANNOUNCED):
            self._cost_shown = True
        elif took is not None:
            self._cost_shown = True
            self._line.keep(cost_line(name, params, status.info, status.free))

    def _show_wait(self) -> None:
        """Once, where no line is rewritten that says it: for which step this one waits."""
        status, step = self._client.status, self._step
        if self._wait_shown or self._line.is_live or status is None or status.stage != "busy" or step is None:
            return
        running = [(job.session, job.step) for job in status.jobs if job.state != "queued"]
        if running and (self._submit.session, step) not in running:
            self._wait_shown = True
            self._line.keep(waiting_words(status.jobs, self._submit.session, step))

    def _on_submitted(self, step: int) -> None:
        self._step = step

    def _record(self) -> StepRecord:
        assert self._step is not None
        if self._reader is None:  # one for all reads: it keeps the sets of the parameters, which can be large
            self._reader = self._opened.enter_context(SessionReader(Path(self._submit.session)))
        return self._reader.step(self._step)

    async def _cancel(self, step: int) -> None:
        with contextlib.suppress(UserError):  # the step ended before the message arrived
            await self._client.request(Cancel(session=self._submit.session, step=step))


class _Interrupts:
    """Counts presses of Ctrl+C, in place of an exception wherever the program is."""

    def __init__(self) -> None:
        self.count = 0
        self._event = asyncio.Event()

    def _on_interrupt(self) -> None:
        self.count += 1
        self._event.set()

    async def next(self) -> None:
        """Returns at the next Ctrl+C."""
        self._event.clear()
        await self._event.wait()

    async def unless(self, awaited: Coroutine[Any, Any, WorkerClient]) -> WorkerClient:
        """The result of `awaited`. Raises KeyboardInterrupt where Ctrl+C comes first."""
        task, interrupted = asyncio.ensure_future(awaited), asyncio.ensure_future(self.next())
        await asyncio.wait({task, interrupted}, return_when=asyncio.FIRST_COMPLETED)
        interrupted.cancel()
        if not task.done():
            task.cancel()
            raise KeyboardInterrupt
        return task.result()

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        try:
            loop.add_signal_handler(signal.SIGINT, self._on_interrupt)
        except (NotImplementedError, RuntimeError, ValueError):  # not in the main thread
            yield
            return
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)

    def __enter__(self) -> _Interrupts:
        self._context = self._listening()
        self._context.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._context.__exit__(*exception)
