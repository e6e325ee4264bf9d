"""The control process always answers: beside a busy model process, a long write, a front that does not read."""

from __future__ import annotations

import asyncio
import time

from tests.worker.conftest import Open, ask_for, row, until, until_row
from workbench.worker import client as fronts
from workbench.worker.client import WorkerSpec, log_path, run_step
from workbench.worker.protocol import Attach, Hello, Status
from workbench.worker.wire import encode
from workbench.worker.worker_files import worker_files

# --- always answering ---------------------------------------------------------------------------------------


async def ping(client: fronts.WorkerClient, seconds: float) -> list[float]:
    times = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        before = time.perf_counter()
        await client.request(Status())
        times.append(time.perf_counter() - before)
        await asyncio.sleep(0.002)
    return sorted(times)


async def test_pings_are_answered_while_the_model_process_holds_its_interpreter(worker: Open, session: str) -> None:
    client = await worker()
    await until(client, lambda status: status.stage == "ready")
    step = (await client.request(ask_for(session, "hold:1"))).step
    times = await ping(client, 0.9)
    assert row(session, step).status in ("queued", "running")
    assert len(times) > 20
    assert times[len(times) // 2] < 0.02
    assert times[-1] < 0.5  # a hold would show as one second; the slack is for a machine that others use
    await until_row(session, step, "done")


async def test_pings_are_answered_beside_a_long_write(worker: Open, session: str) -> None:
    client = await worker()
    await until(client, lambda status: status.stage == "ready")
    step = (await client.request(ask_for(session, "big:60000000"))).step
    times: list[float] = []
    async with asyncio.timeout(60):
        while row(session, step).status != "done":
            times += await ping(client, 0.2)
    times.sort()
    assert times[len(times) // 2] < 0.02
    assert times[int(len(times) * 0.95)] < 0.2


async def test_a_front_that_does_not_read_delays_nobody(worker: Open, session: str) -> None:
    client = await worker()
    await until(client, lambda status: status.stage == "ready")
    _, writer = await asyncio.open_unix_connection(str(worker_files(WorkerSpec("fake")).socket), limit=1024)
    writer.write(encode(Hello(id=1)) + encode(Attach(id=2, session=session)))
    writer.write(b"".join(encode(Status(id=number)) for number in range(3, 100_003)))
    step = await run_step(client, ask_for(session, "batches:20:0.02"))
    assert row(session, step).status == "done"
    times = await ping(client, 0.3)
    assert times[len(times) // 2] < 0.05
    # Its requests are read no more, so that answers don't pile up for it.
    assert writer.transport.get_write_buffer_size() > 500_000
    writer.transport.abort()


async def test_garbage_on_the_socket_closes_that_line_only(worker: Open, session: str) -> None:
    client = await worker()
    for data in (b"\xff" * 100, b"GET / HTTP/1.1\r\n\r\n", encode(Status())[:-1]):
        reader, writer = await asyncio.open_unix_connection(str(worker_files(WorkerSpec("fake")).socket))
        writer.write(data)
        writer.write_eof()
        await asyncio.wait_for(reader.read(), 5)
        writer.close()
    await run_step(client, ask_for(session, "x"))
    assert "Traceback" not in log_path().read_text()
