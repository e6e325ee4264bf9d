"""How fast the control process answers, and an interactive step starts, whatever the model does."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks.measure import Results, percentile
from workbench.session.reader import SessionReader
from workbench.worker.client import WorkerClient, WorkerSpec, connect, run_step
from workbench.worker.protocol import Cancel, Status, Submit


def run(results: Results, env: dict[str, str], folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "workbench", "stop", "--all"], env={**os.environ, **env}, capture_output=True)
    asyncio.run(_loading_and_forward(results, folder))
    asyncio.run(_planted_hold(results, folder))
    asyncio.run(_beside_a_long_job(results, folder))


async def _ping(client: WorkerClient, until: asyncio.Event) -> list[float]:
    times = []
    while not until.is_set():
        start = time.perf_counter()
        await client.request(Status())
        times.append(time.perf_counter() - start)
        await asyncio.sleep(0.005)
    return times


def _tell(results: Results, when: str, times: list[float]) -> None:
    p99 = percentile(times, 99)
    results.add(f"ping answered, {when}, p99 of {len(times):,}", "< 10 ms", f"{1000 * p99:.1f} ms", p99 < 0.010)


async def _while_pinging(client: WorkerClient, work: asyncio.Task[object]) -> list[float]:
    over = asyncio.Event()
    work.add_done_callback(lambda _: over.set())
    times = await _ping(client, over)
    await work
    return times


async def _loading_and_forward(results: Results, folder: Path) -> None:
    session = str(folder / "pings.db")
    asking, working = await connect(WorkerSpec()), await connect(WorkerSpec())
    try:
        first = Submit(session=session, experiment="predict", params={"prompt": "The capital of France is"})
        times = await _while_pinging(asking, asyncio.create_task(run_step(working, first)))
        _tell(results, "while the model process imports and loads", times)
        rows = [{"prompt": f"{number} " + "word " * 200} for number in range(40)]
        many = Submit(session=session, experiment="predict", params={"prompts": rows})
        times = await _while_pinging(asking, asyncio.create_task(run_step(working, many)))
        _tell(results, "during forward passes", times)
    finally:
        await asking.close()
        await working.close()


async def _planted_hold(results: Results, folder: Path) -> None:
    options = ("--lab", "tests.worker.fake_lab:FakeLab")
    spec = WorkerSpec(model="fake")
    asking, working = await connect(spec, options=options), await connect(spec)
    try:
        times = []
        for _ in range(5):
            held = Submit(session=str(folder / "held.db"), experiment="predict", params={"prompt": "hold:1.0"})
            times += await _while_pinging(asking, asyncio.create_task(run_step(working, held)))
        _tell(results, "while the model process holds its interpreter for 1 s", times)
    finally:
        await asking.close()
        await working.close()


async def _beside_a_long_job(results: Results, folder: Path) -> None:
    session = folder / "beside.db"
    client, long = await connect(WorkerSpec()), await connect(WorkerSpec())
    try:
        rows = [{"prompt": f"{number} " + "word " * 200} for number in range(2000)]
        submitted = await long.request(Submit(session=str(session), experiment="predict", params={"prompts": rows}))
        steps = []
        for number in range(20):
            ask = Submit(session=str(session), experiment="predict", params={"prompt": f"The {number}th word is"})
            steps.append(await run_step(client, ask))
        with SessionReader(session) as reader:
            assert reader.step(submitted.step).status == "running", "the long job ended too soon to say anything"
            waits = [(reader.step(step).started or 0) - reader.step(step).created for step in steps]
        await long.request(Cancel(session=str(session), step=submitted.step))
        p95 = percentile(waits, 95)
        results.add("interactive step starts beside a long job, p95 of 20", "≤ 1 s", f"{p95:.2f} s", p95 <= 1)
    finally:
        await client.close()
        await long.close()
