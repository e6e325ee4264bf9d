"""The command line in this process, with a worker that has no torch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from workbench.cli import main
from workbench.worker import client

Run = Callable[..., Result]
FAKE = ("--lab", "tests.worker.fake_lab:open_fake")


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`invoke("run", "predict", …)` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *args: CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Workers that are started here run the fake lab, and are gone afterwards."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setattr(client, "connect", partial(client.connect, options=FAKE))
    yield
    asyncio.run(client.stop_workers())
