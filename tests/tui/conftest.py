"""Every test looks at a terminal with all colours, in a folder of its own."""

from pathlib import Path

import pytest

from tests.tui import results
from tests.tui.fakes import make_session


@pytest.fixture(autouse=True, scope="session")
def made_results() -> None:
    """What the experiments make is made before any screen waits for it."""
    results.result("why")


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch, own_folders: Path) -> Path:
    """The project folder, with ./sessions."""
    for name, value in (("TERM", "xterm-256color"), ("COLORTERM", "truecolor"), ("LANG", "C.UTF-8")):
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "TMUX", "LC_ALL", "LC_CTYPE", "WORKBENCH_ASCII"):
        monkeypatch.delenv(name, raising=False)
    project = own_folders / "project"
    (project / "sessions").mkdir(parents=True)
    monkeypatch.chdir(project)
    return project


@pytest.fixture
def tour(terminal: Path) -> Path:
    """A recorded session of six steps."""
    return make_session(terminal / "sessions" / "tour.db")
