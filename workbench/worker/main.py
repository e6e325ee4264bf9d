"""The control process from its start to its end: one for each WorkerSpec, a private socket, a log that stays small.

python -m workbench.worker.main --model M --device D --dtype T
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import logging
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import IO

from workbench import settings
from workbench.errors import UserError
from workbench.paths import open_in_runtime
from workbench.worker import requests
from workbench.worker.connection import Connection
from workbench.worker.control import Control
from workbench.worker.protocol import Message
from workbench.worker.supervisor import DEFAULT_LAB
from workbench.worker.worker_files import WorkerFiles, WorkerSpec, check_peer, check_socket, worker_files

log = logging.getLogger("workbench.control")

MAX_LOG = 2 << 20
"""bytes of a log; when it is longer, it becomes `.log.1` and begins anew"""


def main() -> None:
    """The entry of `python -m workbench.worker.main`."""
    parser = argparse.ArgumentParser(prog="workbench.worker.main")
    parser.add_argument("--model", default="default")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--lab", default=DEFAULT_LAB, help="module:function that opens the engine")
    parser.add_argument("--idle-seconds", type=float, help="instead of the settings' idle_minutes")
    parser.add_argument("--cancel-seconds", type=float, default=10.0)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s control %(process)d %(levelname)s %(message)s")
    users_umask = os.umask(0o077)
    # A cache that the user has placed may be shared: what the model process puts there is as the user's own files.
    model_umask = users_umask if os.environ.get("WORKBENCH_CACHE") else 0o077
    # A result must reach the session while another thread of ours works: threads take turns often.
    sys.setswitchinterval(0.001)
    try:
        idle = options.idle_seconds if options.idle_seconds is not None else settings.load().idle_minutes * 60
        spec = WorkerSpec(options.model, options.device, options.dtype).canonical()
        files = worker_files(spec)
        life_lock = _take_life_lock(files)
        if life_lock is None:
            log.info("another worker has this place")
            return
        with life_lock:
            files.lost.unlink(missing_ok=True)
            listening = _bind(files)
            try:
                asyncio.run(_run(spec, files, listening, options.lab, idle, options.cancel_seconds, model_umask))
            finally:
                with suppress(FileNotFoundError):
                    files.socket.unlink()
    except UserError as error:
        log.error("%s", error)
        sys.exit(2)


def _take_life_lock(files: WorkerFiles) -> IO[str] | None:
    """The lock that this worker holds for its life; None where another lives."""
    file = open_in_runtime(files.life_lock)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _bind(files: WorkerFiles) -> socket.socket:
    """The socket. One that a dead worker left goes: who holds the life lock is the only one to put it there."""
    if check_socket(files.socket):
        files.socket.unlink()
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(files.socket))
    except OSError as error:
        raise UserError(
            f"no socket can be made at {files.socket}: {error}; set WORKBENCH_RUNTIME to a shorter path on a local disk"
        ) from None
    listening.listen(64)
    return listening


async def _run(
    spec: WorkerSpec,
    files: WorkerFiles,
    listening: socket.socket,
    lab: str,
    idle: float,
    cancel_seconds: float,
    model_umask: int,
) -> None:
    loop = asyncio.get_running_loop()
    control = Control(spec, lab, idle, cancel_seconds, model_umask)
    for signal_number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(signal_number, control.stopped.set)
    control.supervisor.start()
    control.writer_thread.prepare()

    async def answer(front: Connection, message: Message) -> Message | None:
        return await requests.handle(control, front, message)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            check_peer(writer.get_extra_info("socket"))
        except UserError as error:
            log.warning("%s", error)
            writer.close()
            return
        await control.serve(Connection(reader, writer, answer))

    server = await asyncio.start_unix_server(serve, sock=listening)
    tasks = [loop.create_task(control.watch()), loop.create_task(_watch_log(files))]
    log.info("worker %d for %s on %s in %s", os.getpid(), spec.model, spec.device, spec.dtype)
    try:
        await control.stopped.wait()
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        lost = await control.finish()
        if lost:
            files.lost.write_text("\n".join(lost))
        log.info("the worker ended")
        heavy = {"torch", "transformers", "pandas", "datasets"} & set(sys.modules)
        assert not heavy, f"the control process imported {heavy}"


async def _watch_log(files: WorkerFiles) -> None:
    while True:
        await asyncio.sleep(30)
        rotate(files)


def rotate(files: WorkerFiles) -> None:
    """Standard output of both processes goes to the log: it is copied and emptied, never moved."""
    try:
        if files.log.stat().st_size <= MAX_LOG:
            return
        with files.log.open("r+b") as file:
            files.log.with_suffix(".log.1").write_bytes(file.read()[-MAX_LOG:])
            file.truncate(0)
    except OSError as error:
        log.warning("the log could not be shortened: %s", error)


if __name__ == "__main__":
    main()
