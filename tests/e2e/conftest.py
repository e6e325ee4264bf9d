"""One worker with the real model for all end-to-end tests, in folders of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import make_folders, share_model, stop_processes_of, without_threads
from tests.e2e.terminal import Sshd, Terminal

ROOT = Path(__file__).parent.parent.parent


class Place:
    """A working folder with its environment; `run` is the command line in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cwd = root / "here"
        (self.cwd / "sessions").mkdir(parents=True)
        shutil.copy(ROOT / "sessions" / "tour.db", self.cwd / "sessions")
        self.env = {**make_folders(root), "HF_HUB_OFFLINE": "1"}
        self.program = f"{sys.executable} -m workbench"
        share_model(root / "cache")

    def run(self, *words: str, timeout: float = 180) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "workbench", *words],
            cwd=self.cwd,
            env={**without_threads(), **self.env},
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )

    def json(self, *words: str) -> object:
        done = self.run(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="session")
def place() -> Iterator[Place]:
    root = Path(tempfile.mkdtemp(prefix="wb-"))
    found = Place(root)
    done = found.run("run", "predict", "--prompt", "warm up", "--session", "warm.db", timeout=400)
    assert done.returncode == 0, done.stderr
    yield found
    found.run("stop", "--all")
    left = stop_processes_of(root / "run")
    shutil.rmtree(root, ignore_errors=True)
    assert not left, f"processes were left behind: {left}"


@pytest.fixture
def terminal(place: Place, own_folders: Path) -> Iterator[Terminal]:
    if not shutil.which("tmux"):
        pytest.fail("tmux is needed: apt-get install tmux") if os.environ.get("CI") else pytest.skip("no tmux here")
    found = Terminal(own_folders, env=place.env)
    yield found
    found.close()


@pytest.fixture
def sshd(own_folders: Path) -> Iterator[Sshd]:
    if not Sshd.program():
        pytest.fail("sshd is needed in CI") if os.environ.get("CI") else pytest.skip("no sshd here: ssh is not tested")
    found = Sshd(own_folders)
    try:
        found.start()
    except AssertionError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"sshd does not start here, ssh is not tested: {error}")
    yield found
    found.close()
