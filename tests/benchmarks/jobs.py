"""The model process's memory over a thousand jobs of seven experiments, each on another prompt, on a tiny model."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import psutil

from tests.benchmarks.measure import Results
from tests.tiny import TEXT, tiny_model
from tests.worker.conftest import until
from workbench.edits import Edit
from workbench.edits.grammar import parse_edits
from workbench.worker.client import WorkerSpec, connect, run_step
from workbench.worker.protocol import Submit

JOBS = 1000
SETTLED = 100
"""jobs after which everything has been imported once"""
EXPERIMENTS = ("predict", "effect", "why", "logit-lens", "generate", "dla", "sweep")
WORDS = TEXT.split()


def run(results: Results, env: dict[str, str], folder: Path) -> None:
    tiny_model("llama", folder / "tiny")
    resident = asyncio.run(_resident(WorkerSpec(str(folder / "tiny"), "cpu", "float32"), str(folder / "jobs.db")))
    settled, last = resident[SETTLED], resident[JOBS]
    measured = f"{last - settled:+,} MiB, {settled:,} after {SETTLED} jobs, {last:,} after {JOBS:,}"
    results.add(
        f"memory of the model process over {JOBS:,} jobs of {len(EXPERIMENTS)} experiments on a tiny model",
        f"grows by < 100 MiB behind the first {SETTLED}", measured, last - settled < 100,
    )  # fmt: skip


async def _resident(spec: WorkerSpec, session: str) -> dict[int, int]:
    """MiB of the model process by how many jobs have ended."""
    chance = random.Random(0)
    client = await connect(spec)
    try:
        status = await until(client, lambda status: status.stage == "ready", 120)
        process = psutil.Process(status.model_pid)
        resident = {}
        for job in range(1, JOBS + 1):
            experiment = chance.choice(EXPERIMENTS)
            edits: list[Edit] = parse_edits([f"L{job % 3}.N{job % 64}=0"]) if experiment == "effect" else []
            prompt = " ".join(chance.choice(WORDS) for _ in range(chance.randrange(5, 40)))
            asked = Submit(session=session, experiment=experiment, params={"prompt": prompt}, edits=edits, seed=job)
            await run_step(client, asked)
            if job in (SETTLED, JOBS):
                resident[job] = process.memory_info().rss >> 20
        return resident
    finally:
        await client.close()
