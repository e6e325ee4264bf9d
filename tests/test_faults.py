"""The campaign's short form: a fixed number of faults from one seed. `python -m tests.faults` goes on for hours."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.faults.__main__ import Campaign
from workbench.worker.client import stop_workers


@pytest.mark.slow
def test_nothing_is_lost_and_nothing_is_a_traceback(own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (own_folders / "here").mkdir()
    campaign = Campaign(own_folders / "here", seed=1)
    try:
        for kind, times in enumerate((6, 4, 2, 2)):
            for _ in range(times):
                campaign.one("kills", kind)
        for kind in range(4):
            campaign.one("runs", kind)
        for _ in range(60):
            campaign.one("mutations")
        campaign.one("models")
        for _ in range(6):
            campaign.one("judges")
        for kind, times in enumerate((3, 20)):
            for _ in range(times):
                campaign.one("messages", kind)
        for _ in range(4):
            campaign.one("disks")
        for _ in range(10):
            campaign.one("user")
    finally:
        asyncio.run(stop_workers())
    assert campaign.done["kills"] == 14
    assert campaign.done["runs"] >= 4
    assert campaign.done["user"] == (10 if os.getuid() == 0 else 0)
    assert campaign.summary().endswith(": nothing lost, no traceback")


def test_a_loss_is_noticed(own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The campaign itself: a step whose numbers are others fails it, with the seed that repeats it."""
    (own_folders / "here").mkdir()
    campaign = Campaign(own_folders / "here", seed=1)
    monkeypatch.setattr("tests.faults.things.numbers", lambda of, size=300: __import__("numpy").full(size, os.getpid()))
    with pytest.raises(AssertionError, match="has other numbers") as caught:
        for _ in range(5):
            campaign.one("kills", 0)
    assert caught.value.__notes__[-1].startswith("the fault: seed 1-kills-")
