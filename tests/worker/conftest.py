"""Workers over a model without torch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from workbench.session.reader import SessionReader
from workbench.session.records import StepRow
from workbench.worker.client import WorkerClient, WorkerSpec, connect
from workbench.worker.protocol import Submit, WorkerStatus
from workbench.worker.start import scan, wait_gone

ROOT = Path(__file__).parents[2]
LAB = "--lab=tests.worker.fake_lab:open_fake"

Open = Callable[..., Awaitable[WorkerClient]]


@pytest.fixture
async def worker(own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Open]:
    """Connects to the worker of a fake model, and starts it; all are stopped in the end."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # a worker's folder is /
    clients: list[WorkerClient] = []

    async def open_worker(model: str = "fake", *options: str, start: bool = True) -> WorkerClient:
        client = await connect(WorkerSpec(model), client="test", start=start, options=(LAB, *options))
        clients.append(client)
        return client

    yield open_worker
    from workbench.worker.client import stop_workers

    for client in clients:
        await client.close()
    places = [place for place, _, _ in scan()]
    await stop_workers()
    assert all(wait_gone(place) for place in places)


@pytest.fixture
def session(own_folders: Path) -> str:
    return str(own_folders / "a.db")


def ask_for(session: str, prompt: str, long: bool = False, **more) -> Submit:
    return Submit(session=session, experiment="sweep" if long else "predict", params={"prompt": prompt}, **more)


def row(session: str, step: int) -> StepRow:
    with SessionReader(session) as reader:
        found = reader.row(step)
        assert found
        return found


async def until(client: WorkerClient, condition: Callable[[WorkerStatus], bool], seconds: float = 20) -> WorkerStatus:
    """The first status for which the condition holds."""
    import asyncio

    from workbench.worker.protocol import Status

    async with asyncio.timeout(seconds):
        while True:
            status = await client.request(Status())
            if condition(status):
                return status
            await asyncio.sleep(0.01)


async def until_row(session: str, step: int, *statuses: str, seconds: float = 20) -> StepRow:
    """The step's row, once it has one of these statuses."""
    import asyncio

    async with asyncio.timeout(seconds):
        while True:
            found = row(session, step)
            if found.status in statuses:
                return found
            await asyncio.sleep(0.01)
