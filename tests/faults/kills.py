"""kill -9 at random moments: of whoever writes a session or artifacts, and of both processes of a worker."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path

from tests.faults.child import Child, Say
from tests.faults.things import (
    check_artifacts,
    check_listed,
    check_slow,
    check_step,
    whole_slowly,
    write_artifacts,
    write_step,
)
from tests.worker.conftest import LAB, ask_for, until
from workbench.session.reader import SessionReader
from workbench.session.writer import SessionWriter
from workbench.worker.client import WorkerSpec, connect, run_step, stop_workers
from workbench.worker.protocol import Attach


def kill_a_session_writer(chance: random.Random, folder: Path) -> None:
    """What was said to be done is there bit for bit; the rest is lost or not begun; the file goes on."""
    path = folder / f"kills-{chance.randrange(4)}.db"

    def work(say: Say) -> None:
        with SessionWriter(path) as writer:
            while True:
                say(write_step(writer))

    child = Child(work)
    if chance.random() < 0.8:
        child.wait_for_a_line()
    steps = [int(line) for line in child.kill(chance.random() * 0.1)]
    if not path.exists():
        return
    if steps:  # else it may have been killed while it made the file, which only a writer repairs
        with SessionReader(path) as reader:
            for step in steps:
                check_step(reader, step)
    with SessionWriter(path) as writer:
        writer.mark_lost(active=set())
        steps.append(write_step(writer))
    with SessionReader(path) as reader:
        check_step(reader, steps[-1])
        assert {row.status for row in reader.rows()} <= {"done", "lost"}
    if path.stat().st_size > 1 << 22:
        path.unlink()


def kill_a_writer_of_artifacts(chance: random.Random, folder: Path) -> None:
    """Data sets, directions, SAEs: whole or not there."""
    start = chance.randrange(10**6) * 1000

    def work(say: Say) -> None:
        for number in range(start, start + 1000):
            write_artifacts(number)
            say(number)

    child = Child(work)
    if chance.random() < 0.8:
        child.wait_for_a_line()
    for line in child.kill(chance.random() * 0.05):
        check_artifacts(int(line))
    check_listed()


def kill_a_build(chance: random.Random, folder: Path) -> None:
    """A folder that is made in parts and goes on where it was ends with the same bits, however often it is killed."""
    root = folder / f"builds-{chance.randrange(10**9)}"

    def work(_: Say) -> None:
        whole_slowly(root)

    for _ in range(chance.randrange(1, 4)):
        Child(work).kill(chance.random() * 0.06)
    check_slow(whole_slowly(root))


def kill_a_worker(chance: random.Random, folder: Path) -> None:
    asyncio.run(_kill_a_worker(chance, folder / "worker.db"))


async def _kill_a_worker(chance: random.Random, path: Path) -> None:
    """Steps that were done stay; one that ran is lost or failed, and run again with its seed gives the same number."""
    session, seed = str(path), chance.randrange(1000)
    client = await connect(WorkerSpec("fake"), client="test", options=(LAB,))
    status = await until(client, lambda status: status.stage == "ready")
    done = [await run_step(client, ask_for(session, "batches:8:0.001", seed=seed)) for _ in range(2)]
    doomed = (await client.request(ask_for(session, "batches:60:0.01", seed=seed))).step
    await asyncio.sleep(chance.random() * 0.5)
    control = chance.random() < 0.5
    os.kill(status.pid if control else status.model_pid, signal.SIGKILL)
    if control:
        await client.closed.wait()
    await client.close()
    client = await connect(WorkerSpec("fake"), client="test", options=(LAB,))
    try:
        await client.request(Attach(session=session))
        await until(client, lambda status: status.stage == "ready" and not status.jobs)
        again = await run_step(client, ask_for(session, "batches:8:0.001", seed=seed))
        with SessionReader(path) as reader:
            first, *others = [reader.step(step).scalars["total"] for step in [*done, again]]
            assert all(total == first for total in others), "a step that was run again has another number"
            assert all(reader.row(step).status == "done" for step in [*done, again])
            assert reader.row(doomed).status in ("lost", "failed", "done"), reader.row(doomed)
    finally:
        await client.close()
        if chance.random() < 0.2:
            await stop_workers()


ALL = (kill_a_session_writer, kill_a_writer_of_artifacts, kill_a_build, kill_a_worker)
