"""What happened to people: screens that went blind, steps that stayed queued for ever, results that were gone.

Real workers, real other programs; the model is a fake.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.session.test_locks import any_tool
from tests.worker.conftest import Open, ask_for, row, until, until_row
from workbench.errors import UserError
from workbench.session.opening import wal_path
from workbench.session.reader import SessionReader
from workbench.session.writer import SessionWriter
from workbench.worker import client as fronts
from workbench.worker.protocol import Attach, Pin, Submit
from workbench.worker.wire import encode


async def run_step(client: fronts.WorkerClient, submit: Submit) -> int:
    """A run that hangs is a failure."""
    async with asyncio.timeout(30):
        return await fronts.run_step(client, submit)


async def at_rest(session: str) -> None:
    """The worker has let go of the session: its log is in the file."""
    await asyncio.to_thread(
        wait_until, lambda: not wal_path(Path(session)).exists() or not wal_path(Path(session)).stat().st_size
    )


async def test_a_screen_that_reads_sees_what_is_asked_after_a_rest(worker: Open, session: str) -> None:
    """Ask; back to Home, which looks at every session; a rest of the worker; ask again."""
    client = await worker()
    await run_step(client, ask_for(session, "x"))
    with SessionReader(session) as screen:
        assert screen.count() == 1
        SessionReader(session).close()
        await at_rest(session)
        for number in (2, 3):
            step = await run_step(client, ask_for(session, "y"))
            assert step == number
            assert screen.step(step).status == "done"
            await client.request(Pin(session=session, unit=f"L1.N{number}"))
        assert [pin.unit for pin in screen.pins()] == ["L1.N2", "L1.N3"]


async def test_the_basket_costs_no_finished_step(worker: Open, session: str) -> None:
    """A step that names the basket makes the control process read the file that it writes."""
    client = await worker()
    await run_step(client, ask_for(session, "x"))
    await client.request(Pin(session=session, unit="L1.N2"))
    units = Submit(session=session, experiment="activations", params={"prompt": "x", "units": "basket"})
    await run_step(client, units)
    log = wal_path(Path(session))
    before = os.stat(log).st_ino
    assert any_tool(Path(session)) == 2
    assert os.stat(log).st_ino == before, "another program deleted the log of a session that is written"
    for number in (3, 4, 5):
        assert await run_step(client, ask_for(session, "y")) == number
        assert row(session, number).status == "done"
    os.kill(client.welcome.pid, signal.SIGKILL)
    await client.closed.wait()
    assert any_tool(Path(session)) == 5
    with SessionReader(session) as reader:
        assert [found.status for found in reader.rows()] == ["done"] * 5
        assert reader.step(2).params["units"] == "L1.N2"


LEAVE = """
import socket, sys
from workbench.worker.protocol import Submit
from workbench.worker.wire import encode
place, session, prompt = sys.argv[1:]
with socket.socket(socket.AF_UNIX) as line:
    line.connect(place)
    line.sendall(encode(Submit(id=1, session=session, experiment="predict", params={"prompt": prompt})))
"""


async def test_a_front_that_leaves_right_after_asking_leaves_no_ghost(worker: Open, session: str) -> None:
    from workbench.worker.client import WorkerSpec
    from workbench.worker.worker_files import worker_files

    client = await worker()
    await until(client, lambda status: status.stage == "ready")
    place = worker_files(WorkerSpec("fake")).socket
    for number in range(12):
        _, writer = await asyncio.open_unix_connection(str(place))
        writer.write(encode(ask_for(session, f"{number}")))
        await writer.drain()
        if number % 2:
            await asyncio.sleep(0.002 * number)  # cut at another place each time
        writer.close()
    command = [sys.executable, "-c", LEAVE, str(place), session, "process"]
    await asyncio.to_thread(subprocess.run, command, check=True, timeout=60)
    await run_step(client, ask_for(session, "last"))
    await until(client, lambda status: not status.jobs)
    with SessionReader(session) as reader:
        await asyncio.to_thread(wait_until, lambda: {found.status for found in reader.rows()} == {"done"})
        assert reader.count() >= 2
    SessionWriter(session, wait=10).close()  # and the session is free


async def test_steps_that_an_older_version_left_queued_are_mended_on_opening(worker: Open, session: str) -> None:
    client = await worker()
    await run_step(client, ask_for(session, "x"))
    await at_rest(session)
    with SessionWriter(session, wait=10) as writer:
        with writer._change() as connection:
            (owner,) = connection.execute("SELECT owner FROM step").fetchone()
        writer._owner = owner  # the worker's: it lives, and knows nothing of this step
        ghost = writer.add_step("predict", {"prompt": "ghost"})
    assert row(session, ghost).status == "queued"
    await client.request(Attach(session=session))
    lost = await until_row(session, ghost, "lost")
    assert "run it again" in lost.error


async def test_a_crafted_owner_ends_nobodys_writing(worker: Open, session: str, own_folders: Path) -> None:
    """It once ended the only writing thread, and every later run waited for ever."""
    client = await worker()
    await run_step(client, ask_for(session, "x"))
    for number, owner in enumerate([7, 1.5, b"\xff\x00", "[]", '{"pid": "x"}', "null", '{"pid": 1e999}', "\x00"]):
        crafted = str(own_folders / f"crafted{number}.db")
        with SessionWriter(crafted) as writer:
            writer.add_step("predict", {"prompt": "x"})
            with writer._change() as connection:
                connection.execute("UPDATE step SET owner = ?, status = 'running'", (owner,))
        assert row(crafted, 1).status == "lost"
        await client.request(Attach(session=crafted))
        assert await run_step(client, ask_for(crafted, "y")) == 2
        assert row(crafted, 1).status == "lost"
        assert row(crafted, 2).status == "done"
    assert await run_step(client, ask_for(session, "x")) == 2


async def test_an_early_end_of_a_file_is_not_the_end_of_the_model_process(worker: Open, session: str) -> None:
    client = await worker()
    status = await until(client, lambda status: status.stage == "ready")
    step = await run_step(client, ask_for(session, "eof"))
    assert row(session, step).status == "failed"
    assert "EOFError" in row(session, step).error
    await run_step(client, ask_for(session, "x"))
    assert (await until(client, lambda status: True)).model_pid == status.model_pid


async def test_a_disk_that_takes_nothing_is_said_and_not_waited_for(worker: Open, session: str) -> None:
    client = await worker()
    running = asyncio.create_task(run_step(client, ask_for(session, "wait:1")))
    await until(client, lambda status: bool(status.jobs) and status.jobs[0].state == "running")
    limit = resource.RLIMIT_FSIZE
    resource.prlimit(client.welcome.pid, limit, (1, resource.RLIM_INFINITY))
    try:
        with pytest.raises(UserError, match="step 1 is over, but .* kept in the worker's memory"):
            await running
    finally:
        resource.prlimit(client.welcome.pid, limit, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert (await until_row(session, 1, "done")).headline == "did wait:1"
    await until(client, lambda status: not status.unwritten)
