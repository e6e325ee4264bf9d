"""`workbench ps`, `stop` and `logs`."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from workbench.cli.options import PATH, json_option
from workbench.cli.saying import say
from workbench.errors import UserError

if TYPE_CHECKING:
    from workbench.worker.protocol import WorkerStatus

_EXPLAINED = ("failed", "restarting", "silent", "ready", "busy")
"""stages whose detail is a sentence; of the last two it says what could not be written"""
CANCELS = "workbench cancel SESSION STEP ends one, and keeps what there is"
_TAIL_LINES = 200
"""lines of a log that are printed"""
_POLL_SECONDS = 0.3
"""seconds between reads of a log that is followed"""


@click.command("ps", help="List the workers that are running, with the process ids of both their processes.")
@json_option
def ps_command(as_json: bool) -> None:
    from workbench.worker.client import list_workers

    workers = list_workers()
    if as_json:
        from workbench.cli.output import print_json

        print_json([_json(worker) for worker in workers])
        return
    from workbench.cli.output import Printer
    from workbench.cli.page import short_path
    from workbench.drawing import draw
    from workbench.settings import load
    from workbench.text import seconds
    from workbench.views import Column, Table

    printer = Printer(theme=load().theme)
    rows = [
        [
            str(worker.pid),
            str(worker.model_pid) if worker.model_pid else None,
            worker.info.name if worker.info else worker.model,
            f"{worker.info.place} {worker.info.dtype}" if worker.info else None,
            worker.stage + (f": {worker.detail}" if worker.detail and worker.stage in _EXPLAINED else ""),
            len(worker.jobs) if worker.stage != "silent" else None,
            _memory(worker),
            seconds(worker.idle_seconds) if not worker.jobs and worker.stage != "silent" else None,
        ]
        for worker in workers
    ]
    columns = [
        Column(name="pid"),
        Column(name="model pid"),
        Column(name="model"),
        Column(name="on"),
        Column(name="state"),
        Column(name="jobs", kind="int"),
        Column(name="memory"),
        Column(name="idle for"),
    ]
    if not rows:
        printer.text("no worker is running")
        return
    printer.lines(draw(Table(title="workers", columns=columns, rows=rows), printer.width, style=printer.style))
    jobs = [
        [short_path(Path(job.session)), job.step, job.experiment, job.state if job.state == "queued" else "runs"]
        for worker in workers
        for job in worker.jobs
    ]
    if jobs:
        columns = [
            Column(name="session", gives_way="never"),
            Column(name="step", kind="int"),
            Column(name="experiment"),
        ]
        table = Table(title="steps", columns=[*columns, Column(name="state")], rows=jobs, note=CANCELS)
        printer.text("")
        printer.lines(draw(table, printer.width, style=printer.style))


def _memory(worker: WorkerStatus) -> str | None:
    """`612 MiB, 81 MiB of it cached passes`; the cache is bounded, so that a thousand steps take no more."""
    from workbench.text import size

    if not worker.memory:
        return None
    cached = f", {size(worker.cached)} of it cached passes" if worker.cached else ""
    return f"{size(worker.memory)}{cached}"


def _json(worker: WorkerStatus) -> dict[str, object]:
    """A worker's status; `pid` is the control process, `model_pid` the one with the model."""
    from workbench.views import to_builtins

    data: dict[str, object] = to_builtins(worker)
    return {key: value for key, value in data.items() if key not in ("type", "id")}


@click.command("stop", help="Stop the worker with this PID (workbench ps), the only one there is, or all.")
@click.argument("pid", type=int, required=False)
@click.option("--all", "all_workers", is_flag=True, help="Stop all of them.")
@click.option(
    "--when",
    type=click.Choice(["now", "idle"]),
    default="now",
    show_default=True,
    help="idle leaves alone what has something to do; now cancels it, and what is finished is kept.",
)
def stop_command(pid: int | None, all_workers: bool, when: Literal["now", "idle"]) -> None:
    from workbench.worker.client import list_workers, stop_workers

    workers = list_workers()
    if pid is not None and all_workers:
        raise UserError("a pid and --all were both given: leave one out")
    if not workers and pid is None:
        say("no worker is running")
        return
    workers.sort(key=lambda worker: worker.stage == "silent")  # those that answer are stopped all the same
    chosen = [worker.pid for worker in workers if pid in (None, worker.pid, worker.model_pid)]
    if not chosen:
        running = ", ".join(str(worker.pid) for worker in workers) or "none"
        raise UserError(f"there is no worker {pid}: running are {running}")
    if len(chosen) > 1 and not all_workers:
        raise UserError(f"several workers are running ({', '.join(map(str, chosen))}): name one, or say --all")
    for worker_pid in chosen:
        asyncio.run(stop_workers(worker_pid, when))
        say(f"stopped {worker_pid}")


@click.command("cancel", help="Cancel a step that runs or waits; what there is of it stays in its session.")
@click.argument("file", type=PATH)
@click.argument("step", type=int)
def cancel_command(file: Path, step: int) -> None:
    from workbench.cli.sessions import send_to_worker
    from workbench.worker.protocol import Cancel

    if not send_to_worker(Cancel(session=str(file.absolute()), step=step)):
        raise UserError(f"step {step} of {file} neither runs nor waits: workbench ps lists those that do")
    say(f"cancelled step {step}")


@click.command("logs", help="Print the log of the worker with this PID, of the only one, or of the one that ran last.")
@click.argument("pid", type=int, required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on printing what is added; Ctrl+C ends.")
def logs_command(pid: int | None, follow: bool) -> None:

    path = _log_path(pid)
    say(f"{path}", err=True)
    for line in _log_lines(path, follow):
        say(line.rstrip("\n"))
        if follow:
            sys.stdout.flush()


def _log_path(pid: int | None) -> Path:
    from workbench.worker.client import list_workers, log_path

    if pid is None:
        running = list_workers()
        if len(running) > 1:
            raise UserError(
                f"several workers are running ({', '.join(str(worker.pid) for worker in running)}): name one"
            )
        return log_path(pid=running[0].pid if running else None)
    control = next((worker.pid for worker in list_workers() if pid in (worker.pid, worker.model_pid)), pid)
    return log_path(pid=control)


def _log_lines(path: Path, follow: bool) -> Iterator[str]:
    """The last lines of a log; with `follow`, those that come too."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from file.readlines()[-_TAIL_LINES:]
            while follow:
                line = file.readline()
                if line:
                    yield line
                else:
                    time.sleep(_POLL_SECONDS)
    except OSError as error:
        raise UserError(f"the log {path} cannot be read: {error.strerror}") from None
