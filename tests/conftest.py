"""Every test has folders of its own and must leave no process behind."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

THREADS = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
"""of torch in the tests' own processes, which share the cores with each other and with workers"""
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROOT = Path(__file__).parents[1]

USER_CACHE = Path(os.environ.get("WORKBENCH_CACHE", Path.home() / ".cache" / "workbench"))
"""Where the converted default model is: the one thing that tests share with the user."""


def pytest_configure(config: pytest.Config) -> None:
    """Before any test module imports torch."""
    os.environ.update({**THREADS, **os.environ})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests run one after another in one process, beside the others; those with a group of their own do not."""
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group("slow"))


def processes_of(runtime: Path) -> dict[int, str]:
    """Pid and command of every process that was started with this runtime folder (Linux only)."""
    commands = {}
    variable = f"WORKBENCH_RUNTIME={runtime}".encode()
    for entry in Path("/proc").iterdir() if Path("/proc").is_dir() else []:
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if variable in (entry / "environ").read_bytes().split(b"\0"):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if command:  # a zombie has none
                    commands[int(entry.name)] = command
        except OSError:
            continue
    return commands


def wait_until(condition, seconds: float = 10.0, what: str = "the condition"):
    """The first true value of `condition()`; fails after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come true within {seconds:g} s")


def stop_processes_of(runtime: Path) -> dict[int, str]:
    """Ends what is left of a test, and says what that was after two seconds of grace."""
    end = time.monotonic() + 2
    while (left := processes_of(runtime)) and time.monotonic() < end:
        time.sleep(0.05)
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return left


def make_folders(root: Path) -> dict[str, str]:
    """The environment that keeps a test's files in `root`."""
    for name in ("run", "data", "cache"):
        (root / name).mkdir(mode=0o700)
    return {
        "WORKBENCH_RUNTIME": str(root / "run"),
        "WORKBENCH_DATA": str(root / "data"),
        "WORKBENCH_CACHE": str(root / "cache"),
        "WORKBENCH_CONFIG": str(root / "settings.toml"),
    }


def without_threads() -> dict[str, str]:
    """The environment of a program that is started as a user would."""
    return {name: value for name, value in os.environ.items() if name not in THREADS}


def share_model(cache: Path, indexes: bool = False) -> None:
    """The user's models in a cache folder of a test's own; and copies of the user's indexes, or of the weights part."""
    for name in ("downloads", "models", "hashes", "strength", "timings"):
        (USER_CACHE / name).mkdir(parents=True, exist_ok=True)
        (cache / name).symlink_to(USER_CACHE / name)
    for index in (USER_CACHE / "indexes").glob("*-*" if indexes else "weights-*"):
        shutil.copytree(index, cache / "indexes" / index.name)


@pytest.fixture(autouse=True)
def own_folders(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Runtime, data, cache and settings of this test alone; short, since socket paths have to be."""
    root = Path(tempfile.mkdtemp(prefix="wb-"))
    for name, value in make_folders(root).items():
        monkeypatch.setenv(name, value)
    for name in (*THREADS, "COLUMNS", "LINES"):  # workers see to their threads as a user's do; xdist sets a width
        monkeypatch.delenv(name, raising=False)
    yield root
    left = stop_processes_of(root / "run")
    shutil.rmtree(root, ignore_errors=True)
    assert not left, f"processes were left behind: {left}"
