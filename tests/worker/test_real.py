"""The worker with a real lab: a tiny model from a configuration, and once the default model."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import USER_CACHE
from tests.tiny import tiny_model
from tests.worker.conftest import ask_for, row, until, until_row
from workbench.edits import parse_edits
from workbench.session.reader import SessionReader
from workbench.worker.client import WorkerSpec, connect, run_step, stop_workers
from workbench.worker.protocol import Cancel, Peek, Submit

pytestmark = pytest.mark.slow

PROMPT = "The capital of France is"


@pytest.fixture
async def tiny(own_folders: Path):
    client = await connect(WorkerSpec(str(tiny_model("llama", own_folders / "model"))), client="test")
    yield client
    await client.close()
    await stop_workers()


async def test_a_tiny_model_end_to_end(tiny, session: str) -> None:
    step = await run_step(tiny, ask_for(session, PROMPT, edits=parse_edits(["L1.N3=0"])))
    with SessionReader(session) as reader:
        record = reader.step(step)
        assert (record.status, record.error) == ("done", "")
        assert len(record.fingerprint) == 64
        assert {"torch", "transformers", "transformer_lens"} <= set(record.versions)
        assert record.scalars["kl"] > 0
        for view in reader.views(step):
            reader.load_view(view)
    answer = await tiny.request(Peek(slot="card", experiment="predict", params={"prompt": PROMPT}))
    assert answer.views and not answer.error


async def test_the_first_step_after_opening_may_be_an_index(tiny, session: str) -> None:
    step = await run_step(tiny, Submit(session=session, experiment="index", params={"tokens": 0}))
    with SessionReader(session) as reader:
        record = reader.step(step)
        assert (record.status, record.error) == ("done", "")
        assert "can be browsed by their weights" in record.headline


async def test_predicts_between_batches_change_no_bit(tiny, session: str) -> None:
    prompts = [{"prompt": f"The capital of {place} is"} for place in ("France", "Germany", "Italy", "Spain") * 100]

    def long() -> Submit:
        return Submit(session=session, experiment="predict", params={"prompts": prompts}, seed=1)

    alone = await run_step(tiny, long())
    beside = 0
    for _ in range(5):  # a loaded machine may finish the long one before a second step came
        outer = (await tiny.request(long())).step
        await until_row(session, outer, "running", "done")
        while row(session, outer).status == "running":
            edits = parse_edits([f"L{beside % 3}.N{beside % 64}*=3"])
            inner = await run_step(tiny, ask_for(session, PROMPT, edits=edits))
            assert row(session, inner).status == "done"
            beside += 1
        if beside > 1:
            break
    assert beside > 1
    with SessionReader(session) as reader:
        for first, second in zip(reader.views(alone), reader.views(outer), strict=True):
            assert first.spec == second.spec  # arrays are named by their hash
        assert reader.step(alone).scalars == reader.step(outer).scalars


async def test_cancel_within_a_generation(tiny, session: str) -> None:
    step = (
        await tiny.request(Submit(session=session, experiment="generate", params={"prompt": PROMPT, "tokens": 200}))
    ).step
    await until_row(session, step, "running", seconds=120)
    await tiny.request(Cancel(session=session, step=step))
    before = time.monotonic()
    await until_row(session, step, "cancelled")
    assert time.monotonic() - before < 5
    assert (await until(tiny, lambda status: status.stage == "ready")).info.name == "model"


@pytest.mark.skipif(not (USER_CACHE / "models").is_dir(), reason="the default model has not been converted yet")
async def test_the_default_model(own_folders: Path, session: str, monkeypatch) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(USER_CACHE))
    client = await connect(WorkerSpec(), client="test")
    try:
        step = await run_step(client, ask_for(session, PROMPT))
        assert "Paris" in row(session, step).headline
        beside = []
        for number in range(5):
            before = time.perf_counter()
            step = await run_step(client, ask_for(session, f"{PROMPT} {number}"))
            took = time.perf_counter() - before
            beside.append(took - (row(session, step).seconds or 0))
        assert np.median(beside) < 0.3, "what the worker adds to a step"
    finally:
        await client.close()
        await asyncio.wait_for(stop_workers(), 30)
