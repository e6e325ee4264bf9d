"""Key to repaint on every screen while a forward runs, and a session of 10,000 steps against one of ten."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.measure import Pty, Results, median, percentile
from workbench.session.reader import SessionReader
from workbench.session.writer import SessionWriter
from workbench.worker.client import WorkerSpec, connect, run_step
from workbench.worker.protocol import Cancel, Submit

KEYS = 60
QUIET = 0.03
"""seconds without a byte after which a key's repaint is over: shorter than elsewhere, since the worker's state is drawn
once a second beside it, and would be taken for the key's"""
PAGE = 40
ESCAPE = "\x1b"
"""leaves a field, so that letters are keys"""


def run(results: Results, env: dict[str, str], folder: Path) -> None:
    asyncio.run(_while_a_forward_runs(results, env, folder))
    _many_steps(results, env, folder)


async def _while_a_forward_runs(results: Results, env: dict[str, str], folder: Path) -> None:
    session = folder / "keys.db"
    client = await connect(WorkerSpec())
    try:
        for prompt in ("The capital of France is", "The opposite of hot is", "Monday, Tuesday,"):
            await run_step(client, Submit(session=str(session), experiment="predict", params={"prompt": prompt}))
        rows = [{"prompt": f"{number} " + "word " * 250} for number in range(4000)]
        long = await client.request(
            Submit(session=str(folder / "long.db"), experiment="predict", params={"prompts": rows})
        )
        await asyncio.to_thread(_keys_on_screens, results, env, session)
        with SessionReader(folder / "long.db") as reader:
            assert reader.step(long.step).status == "running", "the forward passes ended too soon to say anything"
        await client.request(Cancel(session=str(folder / "long.db"), step=long.step))
    finally:
        await client.close()


def _keys_on_screens(results: Results, env: dict[str, str], session: Path) -> None:
    program = Pty([sys.executable, "-m", "workbench", "--session", str(session)], env=env)
    try:
        program.wait_for("What do you want to know?")
        program.settle(1.0)
        _pressed(results, program, "Home", ["\x1b[B", "\x1b[A"])
        program.send(ESCAPE)
        program.settle(0.5)
        program.send("p")
        program.settle(0.5)
        _pressed(results, program, "Prompt, typing", ["a", "\x7f"])
        program.send(ESCAPE)
        program.settle(0.5)
        program.send("t")
        program.wait_for("Timeline")
        program.settle(0.5)
        _pressed(results, program, "Timeline", ["k", "j"])
        program.send("e")
        program.settle(0.5)
        _pressed(results, program, "edits, typing", ["a", "\x7f"])
    finally:
        program.close()


def _pressed(results: Results, program: Pty, screen: str, keys: Sequence[str]) -> None:
    repaints = [program.repaint(keys[number % len(keys)], silence=QUIET) for number in range(KEYS)]
    times = [seconds for seconds, _ in repaints if not math.isnan(seconds)]
    p95 = percentile(times, 95) if times else float("nan")
    results.add(
        f"key to repaint on {screen} while a forward runs, p95 of {len(times)}",
        "< 50 ms",
        f"{1000 * p95:.0f} ms, {median([size for _, size in repaints]):.0f} bytes a key",
        p95 < 0.050,
    )


def _many_steps(results: Results, env: dict[str, str], folder: Path) -> None:
    paths = {count: folder / f"steps-{count}.db" for count in (10, 10_000)}
    for count, path in paths.items():
        _write_steps(path, count)
    opened = []
    for _ in range(9):
        start = time.perf_counter()
        with SessionReader(paths[10_000]) as reader:
            total = reader.count()
            reader.rows(total - PAGE, total)
            reader.tree()
        opened.append(time.perf_counter() - start)
    results.add(
        "a session of 10,000 steps opens, with its tree and its last page",
        "< 200 ms",
        f"{1000 * median(opened):.0f} ms",
        median(opened) < 0.200,
    )
    p95 = {}
    for count, path in paths.items():
        program = Pty([sys.executable, "-m", "workbench", "replay", str(path)], env=env)
        try:
            program.wait_for("Timeline")
            program.settle(1.0)
            times = [program.repaint("k" if number % 2 else "j")[0] for number in range(KEYS)]
            p95[count] = percentile([value for value in times if not math.isnan(value)], 95)
        finally:
            program.close()
    results.add(
        "key to repaint in its timeline, p95, against a session of ten",
        "< 50 ms",
        f"{1000 * p95[10_000]:.0f} ms against {1000 * p95[10]:.0f} ms",
        p95[10_000] < 0.050,
    )


def _write_steps(path: Path, count: int) -> None:
    with SessionWriter(path) as writer:
        for number in range(count):
            step = writer.add_step(experiment="predict", params={"prompt": f"prompt number {number}"})
            writer.publish(step, headline=f"' Paris' .{number % 1000:03d}")
            writer.finish(step, "done")
