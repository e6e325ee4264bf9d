"""Starting a worker: under a lock, in a process session of its own, holding nothing of the terminal's."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from workbench.errors import UserError
from workbench.files import free_disk
from workbench.paths import open_in_runtime
from workbench.text import size
from workbench.worker.protocol import Done, Hello, Message, Refused, Status, Stop, Welcome, WorkerStatus
from workbench.worker.wire import FrameError, Parser, encode
from workbench.worker.worker_files import (
    WorkerFiles,
    WorkerSilent,
    WorkerSpec,
    all_worker_files,
    check_peer,
    check_socket,
    peer_pid,
    worker_files,
)

START_SECONDS = 60.0
"""how long a control process may take until it answers; a cold network disk is slow"""
ANSWER_SECONDS = 3.0
_LEAST_ROOM = 1 << 16
"""bytes that a log and locks need"""

_Answer = Welcome | WorkerStatus | Done | Refused


def start_worker(spec: WorkerSpec, options: Sequence[str] = ()) -> None:
    """Returns when a worker for `spec` answers, which another may have started meanwhile. Blocks; raises UserError.

    Idle workers on the same device are asked to go first: two models rarely fit.
    """
    files = worker_files(spec)
    with _lock(files):
        if ask(files, Status()) is not None:
            return
        stop_idle_on(spec.device, except_for=files)
        process = _spawn(spec.canonical(), files, options)
        # A zombie would look alive to those who ask whether the worker is.
        threading.Thread(target=process.wait, daemon=True, name="reaper").start()
        end = time.monotonic() + START_SECONDS
        while not _answers(files):
            if process.returncode is not None:
                raise UserError(f"the worker could not be started: {_why_not(files.log)}")
            if time.monotonic() > end:
                raise UserError(f"the worker did not answer within {START_SECONDS:g} s: see {files.log}")
            time.sleep(0.01)


def ask(files: WorkerFiles, *messages: Message) -> list[_Answer] | None:
    """Answers of the worker with these files; None where there is none. Blocks for ANSWER_SECONDS at most.

    Raises UserError where the socket is not ours alone, and WorkerSilent.
    """
    if not check_socket(files.socket):
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_SECONDS)
        try:
            connection.connect(str(files.socket))
            check_peer(connection)
            connection.sendall(
                b"".join(
                    encode(msgspec.structs.replace(message, id=number)) for number, message in enumerate(messages, 1)
                )
            )
            return list(_receive_answers(connection, len(messages)))
        except TimeoutError:
            raise WorkerSilent(peer_pid(connection), ANSWER_SECONDS) from None
        except (OSError, FrameError, EOFError):
            return None


def _receive_answers(connection: socket.socket, remaining: int) -> Iterator[_Answer]:
    parser: Parser[_Answer] = Parser(_Answer)
    while remaining:
        count = connection.recv_into(parser.room())
        if not count:
            raise EOFError
        received = parser.received(count)
        if received and received[0].id:  # events have none
            remaining -= 1
            yield received[0]


def _answers(files: WorkerFiles) -> bool:
    try:
        return ask(files, Status()) is not None
    except WorkerSilent:  # it begins to listen before it has the time to answer
        return False


def scan() -> list[tuple[WorkerFiles, Welcome, WorkerStatus]]:
    """The workers that answer, of whatever version."""
    return survey()[0]


def survey() -> tuple[list[tuple[WorkerFiles, Welcome, WorkerStatus]], list[WorkerSilent]]:
    """The workers that answer, of whatever version, and those that don't; a socket of someone else is passed over."""
    workers = []
    silent = []
    for files in all_worker_files():
        try:
            answers = ask(files, Hello(client="list"), Status())
        except WorkerSilent as error:
            silent.append(error)
            continue
        except UserError:
            continue
        match answers:
            case [Welcome() as welcome, WorkerStatus() as status]:
                workers.append((files, welcome, status))
    return workers, silent


def stop_idle_on(device: str, except_for: WorkerFiles) -> None:
    """Asks workers on a device to go, where they are idle, and waits until they are gone."""
    for files, _, status in scan():
        worker_devices = status.info.devices if status.info else status.device.split(",")
        same_device = "auto" in (device, *worker_devices) or not set(device.split(",")).isdisjoint(worker_devices)
        if files != except_for and same_device and not status.jobs:
            try:
                answers = ask(files, Stop(when="idle"))
            except WorkerSilent:
                continue
            match answers:
                case [Done()]:
                    wait_gone(files)


def wait_gone(files: WorkerFiles, seconds: float = 15.0) -> bool:
    """Whether the worker's life ended within `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not is_running(files):
            return True
        time.sleep(0.02)
    return False


def is_running(files: WorkerFiles) -> bool:
    """Whether a worker of these files lives, also one that does not answer any more."""
    if not files.life_lock.exists():
        return False
    try:
        with files.life_lock.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def _spawn(spec: WorkerSpec, files: WorkerFiles, options: Sequence[str]) -> subprocess.Popen[bytes]:
    environment = dict(os.environ)
    for name in ("WORKBENCH_RUNTIME", "WORKBENCH_DATA", "WORKBENCH_CACHE", "WORKBENCH_CONFIG"):
        if environment.get(name):
            environment[name] = os.path.abspath(environment[name])
    with open_in_runtime(files.log) as output:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "workbench.worker.main"),
                *(f"--model={spec.model}", f"--device={spec.device}", f"--dtype={spec.dtype}"),
                *options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=environment,
            start_new_session=True,
            close_fds=True,
        )


@contextmanager
def _lock(files: WorkerFiles) -> Iterator[None]:
    with open_in_runtime(files.start_lock) as file:
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise UserError(
                        f"another command has been starting this worker for more than {START_SECONDS:g} s (it holds "
                        f"{files.start_lock}): wait for it, or end it"
                    ) from None
            time.sleep(0.02)
        yield


def _why_not(log: Path) -> str:
    free = free_disk(log.parent)
    if free < _LEAST_ROOM:
        return f"{log.parent} is full ({size(free)} free); make room there, or set WORKBENCH_RUNTIME to another folder"
    return last_line(log)


def last_line(log: Path) -> str:
    """The last thing a worker wrote."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else f"{log} says nothing"
