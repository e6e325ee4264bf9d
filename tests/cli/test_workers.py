"""`ps`, `stop`, `logs`, `models`, `settings`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from workbench.settings import Settings


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
