"""The model process: one main thread that loads a model and runs jobs, one after another or between batches.

Started by the control process with one end of a socket pair; it ends when the other end does.
"""

from __future__ import annotations

import argparse
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from collections import deque
from typing import Any

import msgspec
import numpy as np

from workbench.errors import Cancelled, UserError
from workbench.report import Report
from workbench.session.records import Status
from workbench.views import to_builtins
from workbench.worker import engine as engines
from workbench.worker.cores import use_batch_scheduling
from workbench.worker.engine import Engine
from workbench.worker.messages import (
    DEVICE_LOST,
    Answered,
    Drop,
    Ended,
    Identified,
    LoadFailed,
    Ready,
    Run,
    Stage,
    Started,
    ToModel,
)
from workbench.worker.protocol import PeekAnswer
from workbench.worker.sink import PeekSink, StepSink
from workbench.worker.wire import Pipe, PipeClosed

log = logging.getLogger("workbench.model")

_CANCEL_POLL_SECONDS = 0.02
"""seconds between two checks for a cancel within a pass"""


class Runner:
    """Runs what comes through the pipe. A job that comes while a step runs gets its turn between two batches."""

    def __init__(self, pipe: Pipe[ToModel], engine: Engine) -> None:
        self._pipe = pipe
        self._engine = engine
        self._waiting: deque[Run] = deque()
        self._dropped: set[int] = set()
        self._depth = 0
        self._last_poll = 0.0

    def run(self) -> None:
        """Until the control process is gone (PipeClosed)."""
        while True:
            if not self._waiting:
                self._receive(wait=True)
            while self._waiting:
                self._run_job(self._waiting.popleft())

    def _receive(self, wait: bool) -> None:
        for message in self._pipe.receive(wait):
            if isinstance(message, Run):
                self._waiting.append(message)
            elif isinstance(message, Drop):
                self._dropped.add(message.job)

    def _run_job(self, job: Run) -> None:
        outer_check = self._engine.cancel_check
        status: Status = "done"
        error = ""
        lost = False
        self._depth += 1
        try:
            self._check(job.job)
            self._pipe.send(Started(job=job.job))
            self._engine.cancel_check = lambda: self._poll_cancel(job.job)
            if job.peek is None:
                self._run_step(job)
            else:
                self._run_peek(job, job.peek)
        except Cancelled:
            status = "cancelled"
        except PipeClosed:
            raise
        except UserError as problem:
            status, error = "failed", str(problem)
        except Exception as defect:
            log.exception("%s failed", job.experiment)
            status, error, lost = "failed", engines.internal_error(defect), engines.device_is_lost(defect)
        finally:
            self._depth -= 1
            self._engine.cancel_check = outer_check
        self._dropped.discard(job.job)
        ended = Ended(job=job.job, status=status, error=error, memory=0)
        if not lost:
            ended.memory, ended.cached, ended.free = self._engine.memory(), self._engine.cached(), self._engine.free()
        self._pipe.send(ended)
        if lost:
            os._exit(DEVICE_LOST)

    def _run_step(self, job: Run) -> None:
        sink = StepSink(job.job, self._pipe.send, lambda: self._check(job.job), self._give_turn)
        report = Report(sink)
        report.earlier = job.earlier
        for remark in job.remarks:
            report.note(remark)
        try:
            self._engine.execute(job.experiment, job.params, job.edits, job.seed, report, job.directions, job.judge)
        except BaseException:
            try:
                sink.publish(report)
            except UserError:
                log.exception("a view of a failed step can't be kept")
            raise
        sink.publish(report)

    def _run_peek(self, job: Run, peek: int) -> None:
        report = Report(PeekSink(lambda: self._check(job.job)))
        answer = PeekAnswer(id=peek, slot=job.slot)
        lost = False
        try:
            self._engine.execute(job.experiment, job.params, job.edits, job.seed, report, job.directions)
            answer.headline, answer.scalars = report.headline, report.scalars
            answer.views = [to_builtins(view, _array_in_message) for view in report.views.values()]
        except Cancelled:
            answer.replaced = True
        except UserError as problem:
            answer.error = str(problem)
        except Exception as defect:
            log.exception("the peek %s failed", job.experiment)
            answer.error, lost = engines.internal_error(defect), engines.device_is_lost(defect)
        body = msgspec.msgpack.encode(answer)
        self._pipe.send(Answered(job=job.job, after=(len(body),)), [body])
        if lost:
            os._exit(DEVICE_LOST)

    def _check(self, job: int) -> None:
        self._receive(wait=False)
        if job in self._dropped:
            raise Cancelled

    def _poll_cancel(self, job: int) -> None:
        now = time.monotonic()
        if now - self._last_poll >= _CANCEL_POLL_SECONDS:
            self._last_poll = now
            self._check(job)

    def _give_turn(self) -> None:
        if self._depth > 1 or not self._waiting:
            return
        if self._engine.hooks_installed():
            raise AssertionError("a hook is installed between batches: another job would run under it")
        while self._waiting:
            self._run_job(self._waiting.popleft())


def _array_in_message(array: np.ndarray) -> dict[str, Any]:
    little_endian = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return {"dtype": little_endian.dtype.name, "shape": list(array.shape), "data": little_endian.tobytes()}


def _exit_with_control(end: socket.socket) -> None:
    """Ends this process when the control process is gone, whatever the main thread does."""
    poll = select.poll()
    poll.register(end, 0)  # hang-up is always reported
    poll.poll()
    os._exit(0)


def _identify(pipe: Pipe[ToModel], engine: Engine) -> None:
    try:
        pipe.send(Identified(info=engine.identify()))
    except (UserError, OSError, PipeClosed) as error:
        log.warning("the model has no fingerprint: %s", error)


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("model", "device", "dtype", "lab"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--fd", type=int, required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s model %(process)d %(levelname)s %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end = socket.socket(fileno=options.fd)
    threading.Thread(target=_exit_with_control, args=(end,), daemon=True).start()
    pipe: Pipe[ToModel] = Pipe(end, ToModel)

    def send_stage(stage: str, detail: str, fraction: float | None, seconds_left: float | None) -> None:
        pipe.send(Stage(stage=stage, detail=detail, fraction=fraction, seconds_left=seconds_left))

    try:
        engine = engines.engine_factory(options.lab)(options.model, options.device, options.dtype, send_stage)
    except UserError as problem:
        pipe.send(LoadFailed(reason=str(problem)))
        sys.exit(1)
    except Exception as defect:
        log.exception("the model can't be loaded")
        pipe.send(LoadFailed(reason=f"the model could not be loaded: {engines.internal_error(defect)}"))
        sys.exit(1)
    if engine.info.device == "cpu":
        use_batch_scheduling()
    pipe.send(Ready(info=engine.info, versions=engines.versions(), memory=engine.memory(), free=engine.free()))
    if not engine.info.fingerprint:
        threading.Thread(target=_identify, args=(pipe, engine), daemon=True).start()
    try:
        Runner(pipe, engine).run()
    except PipeClosed:
        sys.exit(0)


if __name__ == "__main__":
    main()
