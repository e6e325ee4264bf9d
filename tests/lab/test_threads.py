"""Threads of torch: no more than cores that run them, and recorded."""

from __future__ import annotations

import pytest
import torch

from workbench.worker import engine


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize(("allowed", "expected"), [(1, 1), (2, 2), (16, 3)])
def test_threads_follow_the_cores(monkeypatch: pytest.MonkeyPatch, allowed: int, expected: int) -> None:
    monkeypatch.setattr(engine, "allowed_cores", lambda: allowed)
    engine.limit_threads()
    assert torch.get_num_threads() == expected
    assert engine.versions()["threads"] == str(expected)


@pytest.mark.usefixtures("threads")
def test_what_the_user_has_set_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "allowed_cores", lambda: 1)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    engine.limit_threads()
    assert torch.get_num_threads() == 3
