"""Whoever waits for a worker waits for so long and no longer, and is told for what: stopped, full, or being started."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.full_disk import FullDisk, small_disk
from tests.worker.conftest import LAB, ROOT, Open, ask_for, row, until, until_row
from workbench.errors import UserError
from workbench.worker import client as client_module
from workbench.worker import start
from workbench.worker.client import WorkerSpec, connect, list_workers, run_step, stop_workers
from workbench.worker.protocol import Note, Status
from workbench.worker.worker_files import worker_files


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience of a second in place of twenty."""
    monkeypatch.setattr(client_module, "ASKED_AFTER", 0.2)
    monkeypatch.setattr(client_module, "SILENCE", 1.0)
    monkeypatch.setattr(start, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(start, "START_SECONDS", 0.5)


@pytest.fixture
def disk(own_folders: Path) -> Iterator[FullDisk]:
    with small_disk(own_folders / "disk") as disk:
        yield disk


async def test_a_stopped_worker_is_said_and_goes_on_when_it_is_let(
    worker: Open, session: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    client = await worker()
    status = await until(client, lambda status: status.stage == "ready")
    request.getfixturevalue("soon")
    step = (await client.request(ask_for(session, "wait:2"))).step
    os.kill(status.pid, signal.SIGSTOP)
    try:
        with pytest.raises(UserError, match=rf"process {status.pid}\) has not answered for 1 s.*kill -CONT"):
            await client.request(Note(session=session, text="x"))
        with pytest.raises(UserError, match="has not answered"):
            await client.request(Status())
        with pytest.raises(UserError, match="has not answered"):
            await connect(WorkerSpec("fake"), options=(LAB,))
        (listed,) = await asyncio.to_thread(list_workers)
        assert (listed.pid, listed.stage) == (status.pid, "silent")
        with pytest.raises(UserError, match="kill -9"):
            await stop_workers(pid=status.pid)
        with pytest.raises(UserError, match="kill -9"):
            await stop_workers()
    finally:
        os.kill(status.pid, signal.SIGCONT)
    await until_row(session, step, "done")
    again = await worker()
    assert (await again.request(Status())).pid == status.pid


async def test_a_step_whose_worker_is_stopped_is_not_followed_for_ever(
    worker: Open, session: str, request: pytest.FixtureRequest
) -> None:
    client = await worker()
    status = await until(client, lambda status: status.stage == "ready")
    request.getfixturevalue("soon")
    following = asyncio.create_task(run_step(client, ask_for(session, "wait:3")))
    await until_row_exists(session)
    await until_row(session, 1, "running")
    os.kill(status.pid, signal.SIGSTOP)
    try:
        with pytest.raises(UserError, match="has not answered for 1 s.*step 1 is not over"):
            await following
    finally:
        os.kill(status.pid, signal.SIGCONT)
    await until_row(session, 1, "done")


async def until_row_exists(session: str) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                row(session, 1)
                return
            except (UserError, AssertionError):
                await asyncio.sleep(0.01)


@pytest.mark.usefixtures("soon")
async def test_a_start_that_another_never_ends_is_given_up(own_folders: Path) -> None:
    files = worker_files(WorkerSpec("fake"))
    with files.start_lock.open("a+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=r"more than 0.5 s \(it holds .*\.start\)"):
            await connect(WorkerSpec("fake"), options=(LAB,))


async def test_a_full_disk_is_said_and_stop_discards_nothing(worker: Open, disk: FullDisk) -> None:
    client = await worker()
    session = str(disk.folder / "a.db")
    await run_step(client, ask_for(session, "x"))
    step = (await client.request(ask_for(session, "wait:1"))).step
    disk.fill()
    status = await until(client, lambda status: bool(status.unwritten))
    assert "disk is full" in status.detail
    (listed,) = await asyncio.to_thread(list_workers)
    assert listed.unwritten[0].step == step
    with pytest.raises(UserError, match=rf"in no file yet.*disk is full.*`kill {status.pid}` ends it without them"):
        await stop_workers(pid=status.pid)
    disk.free()
    await until_row(session, step, "done")
    await until(client, lambda status: not status.unwritten)
    assert await stop_workers() == [status.pid]


async def test_a_disk_that_is_full_as_the_worker_stops_is_no_success(worker: Open, disk: FullDisk) -> None:
    client = await worker()
    session = str(disk.folder / "a.db")
    await run_step(client, ask_for(session, "x"))
    await client.request(ask_for(session, "stuck"))
    await until_row(session, 2, "running")
    disk.fill()
    with pytest.raises(UserError, match=r"ended; the result of step 2 of .*lost: .*disk is full"):
        await stop_workers()
    disk.free()
    assert row(session, 1).status == "done"
    await until_row(session, 2, "lost")
    await worker()
    assert await stop_workers()  # and the next one knows nothing of it


def test_a_full_runtime_folder_is_a_sentence(disk: FullDisk, own_folders: Path) -> None:
    (disk.folder / "run").mkdir(mode=0o700)
    disk.fill_with_files()
    environment = {**os.environ, "WORKBENCH_RUNTIME": str(disk.folder / "run"), "PYTHONPATH": str(ROOT)}
    command = [
        sys.executable,
        "-m",
        "workbench",
        "run",
        "predict",
        "--prompt",
        "x",
        "--session",
        "a.db",
        "--model",
        "/nowhere",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, cwd=own_folders)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "set WORKBENCH_RUNTIME to another folder" in done.stderr
    assert "No space left" in done.stderr
