"""`ps`, `stop`, `logs`, `models`, `settings`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.conftest import wait_until
from tests.worker.conftest import ask_for, until
from workbench.session.reader import SessionReader
from workbench.settings import Settings
from workbench.worker.client import WorkerSpec, connect


def started(invoke: Run, model: str = "fake:") -> None:
    ran = invoke("run", "predict", "--prompt", "wait:0", "--session", "s.db", "--model", model)
    assert ran.exit_code == 0, ran.output


@pytest.mark.usefixtures("worker")
def test_workers_are_listed_stopped_and_read_about(invoke: Run) -> None:
    assert "no worker is running" in invoke("ps").stdout
    assert json.loads(invoke("ps", "--json").stdout) == []
    started(invoke)
    (worker,) = json.loads(invoke("ps", "--json").stdout)
    assert worker["pid"] > 0
    assert worker["model_pid"] > 0
    assert worker["stage"] == "ready"
    shown = invoke("ps").stdout
    assert str(worker["pid"]) in shown
    assert str(worker["model_pid"]) in shown
    assert worker["cached"] == 3 << 20
    assert "3.0 MiB of it cached passes" in " ".join(shown.split())
    logged = invoke("logs", worker["pid"])
    assert logged.exit_code == 0
    assert "loading" in logged.stdout or logged.stdout
    wrong = invoke("stop", "1")
    assert wrong.exit_code == 2
    assert f"running are {worker['pid']}" in wrong.stderr
    assert invoke("stop", worker["model_pid"]).stdout == f"stopped {worker['pid']}\n"
    assert "no worker is running" in invoke("stop").stdout
    assert invoke("logs").exit_code == 0  # the last one's


@pytest.mark.usefixtures("worker")
def test_a_step_that_nobody_follows_is_listed_and_cancelled(invoke: Run, own_folders: Path) -> None:
    started(invoke)
    session = own_folders / "s.db"

    async def leave_two() -> list[int]:
        client = await connect(WorkerSpec("fake:"), client="test", start=False)
        steps = [
            (await client.request(ask_for(str(session), "batches:2000:0.05", long=True))).step,
            (await client.request(ask_for(str(session), "batches:1:0.05", long=True))).step,
        ]
        await until(client, lambda status: any(job.state != "queued" for job in status.jobs))
        await client.close()
        return steps

    running, waiting = asyncio.run(leave_two())
    listed = " ".join(invoke("ps").stdout.split())
    assert f"s.db {running} sweep runs" in listed
    assert f"s.db {waiting} sweep queued" in listed
    assert "workbench cancel SESSION STEP" in listed
    assert invoke("cancel", session, waiting).stdout == f"cancelled step {waiting}\n"
    assert invoke("cancel", session, running).exit_code == 0
    with SessionReader(session) as reader:
        wait_until(lambda: {reader.row(step).status for step in (running, waiting)} == {"cancelled"}, 10, "their end")
    gone = invoke("cancel", session, running)
    assert gone.exit_code == 2
    assert f"step {running} of {session} neither runs nor waits: workbench ps lists" in gone.stderr


def test_without_a_log_that_is_said(invoke: Run) -> None:
    result = invoke("logs")
    assert result.exit_code == 2
    assert "log" in result.stderr


def test_settings_tell_value_and_meaning(invoke: Run, own_folders: Path) -> None:
    (own_folders / "settings.toml").write_text("idle_minutes = 5\n[keys]\nhelp = 'f2'\n")
    out = invoke("settings").stdout
    for name in Settings.__struct_fields__:
        assert name in out
    assert "idle_minutes = 5" in out
    assert "default 60" in out
    data = json.loads(invoke("settings", "--json").stdout)
    assert data["settings"]["keys"] == {"help": "f2"}
    assert data["path"] == str(own_folders / "settings.toml")
    assert "# idle_minutes = 60" in invoke("settings", "--example").stdout


def test_models_are_listed(invoke: Run) -> None:
    result = invoke("models")
    assert result.exit_code == 0, result.output
    data = json.loads(invoke("models", "--json").stdout)
    assert all({"name", "ref", "ready"} <= set(model) for model in data)
