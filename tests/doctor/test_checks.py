"""The doctor's findings: each trouble has its sentence and its cure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from workbench import doctor
from workbench.cli import main
from workbench.doctor import finding, login, machine, places, terminal
from workbench.model_info import LayersOn, ModelInfo
from workbench.text import size
from workbench.worker.protocol import WorkerStatus


def only(findings: list[finding.Finding]) -> finding.Finding:
    (single,) = findings
    return single


def test_nothing_of_torch_is_imported_to_look() -> None:
    code = "import sys, workbench.doctor as d; d.checks(); print(*sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "textual"} & set(process.stdout.split())


def test_everything_that_is_not_ok_has_a_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "CHECKS", [check for check in machine.CHECKS if check is not machine.device])
    for each in doctor.findings():
        assert each.detail, each
        assert each.state == "ok" or each.cure, each


def test_a_check_that_fails_does_not_stop_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[finding.Finding]:
        raise OSError("no such thing")

    monkeypatch.setattr(doctor, "checks", lambda: [broken, machine.python])
    findings = list(doctor.findings())
    assert findings[0].state == "warning"
    assert "no such thing" in findings[0].detail
    assert len(findings) == 2


def probe(monkeypatch: pytest.MonkeyPatch, out: str, errors: str = "") -> None:
    process = SimpleNamespace(stdout=out, stderr=errors, returncode=0)
    monkeypatch.setattr(machine.subprocess, "run", lambda *_, **__: process)


def test_a_gpu_that_cannot_be_used_is_told_with_driver_and_need(monkeypatch: pytest.MonkeyPatch) -> None:
    capabilities = {
        "torch": "2.13", "devices": ["cpu"], "dtypes": {"cpu": ["float32"]}, "auto": "cpu", "threads": 2, "cores": 2,
        "problem": "NVIDIA A100: its driver is 470.1, and torch's CUDA 12.6 needs 525.60.13 or newer",
    }  # fmt: skip
    probe(monkeypatch, json.dumps(capabilities))
    result = only(machine.device())
    assert result.state == "warning"
    assert "470.1" in result.detail
    assert "525.60.13" in result.detail
    probe(monkeypatch, "\n" + json.dumps({**capabilities, "problem": ""}))
    assert only(machine.device()).state == "ok"


def test_torch_that_cannot_be_imported_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    probe(monkeypatch, "", "Traceback\nImportError: libcudart.so.12")
    result = only(machine.device())
    assert result.state == "bad"
    assert "libcudart" in result.detail


def test_little_memory_names_who_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.lab import memory

    monkeypatch.setattr(memory, "free_memory", lambda device: 1 << 28)
    monkeypatch.setattr(memory, "holders", lambda device: [memory.Holder(pid=42, name="python", memory=5 << 30)])
    result = only(machine.memory())
    assert result.state == "warning"
    assert f"python (42) holds {size(5 << 30)}" in result.detail


def test_packages_out_of_range_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = machine.metadata.version
    monkeypatch.setattr(machine.metadata, "version", lambda name: "9.9" if name == "torch" else real(name))
    result = only(machine.packages())
    assert result.state == "bad"
    assert "torch 9.9 is outside" in result.detail


def test_a_job_of_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert machine.slurm() == []
    monkeypatch.setenv("SLURM_JOB_ID", "1234")
    assert "job 1234" in only(machine.slurm()).detail


def test_the_socket_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert only(places.socket_folder()).state == "ok"
    open_to_all = tmp_path / "open"
    open_to_all.mkdir(mode=0o755)
    monkeypatch.setenv("WORKBENCH_RUNTIME", str(open_to_all))
    assert only(places.socket_folder()).state == "bad"
    monkeypatch.setenv("WORKBENCH_RUNTIME", str(tmp_path / ("long" * 25)))
    assert "too long" in only(places.socket_folder()).detail


def test_the_sessions_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.session import file_system

    monkeypatch.setattr(file_system, "file_system", lambda path: "nfs4")
    monkeypatch.setattr(places.shutil, "disk_usage", lambda path: SimpleNamespace(free=100 << 30))
    assert "network file system" in only(places.sessions_folder()).detail
    monkeypatch.setattr(places.shutil, "disk_usage", lambda path: SimpleNamespace(free=1 << 20))
    assert only(places.sessions_folder()).state == "bad"


def test_what_logind_was_told(tmp_path: Path) -> None:
    first, second = tmp_path / "logind.conf", tmp_path / "later.conf"
    first.write_text("[Login]\n#KillUserProcesses=no\nKillUserProcesses=yes\n")
    assert login.kill_user_processes([first, tmp_path / "none"])
    second.write_text("[Login]\nKillUserProcesses = no\n")
    assert not login.kill_user_processes([first, second])
    first.write_text("[Login]\n#KillUserProcesses=yes\n")
    assert not login.kill_user_processes([first])


def test_tmux() -> None:
    slow, copying = terminal.tmux_findings("500", "external", "")
    assert slow.state == "warning"
    assert "500 ms" in slow.detail
    assert "escape-time 10" in slow.cure
    assert "set-clipboard on" in copying.cure
    assert [finding.state for finding in terminal.tmux_findings("10", "on", "")] == ["ok", "ok"]
    assert terminal.tmux_findings("", "", "") == []
    assert "reach the terminal" in terminal.tmux_findings("", "", "256,RGB,title")[0].detail
    assert "terminal-features" in terminal.tmux_findings("", "", "256,title")[0].detail


@pytest.mark.parametrize(
    ("term", "more", "none", "state", "says"),
    [
        ("xterm", "", "", "warning", "16"),
        ("xterm-256color", "", "", "ok", "256"),
        ("xterm-256color", "truecolor", "", "ok", "24-bit"),
        ("dumb", "", "", "warning", "dumb"),
        ("xterm", "", "1", "ok", "NO_COLOR"),
    ],
)
def test_colours(monkeypatch: pytest.MonkeyPatch, term: str, more: str, none: str, state: str, says: str) -> None:
    for name, value in (("TERM", term), ("COLORTERM", more), ("NO_COLOR", none)):
        monkeypatch.setenv(name, value)
    result = only(terminal.colours())
    assert result.state == state
    assert says in result.detail


def test_the_command_exits_1_only_where_something_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    warning = finding.warning("colours", "16 (xterm)", "another terminal")
    bad = finding.bad("socket folder", "not yours", "remove it")
    monkeypatch.setattr(doctor, "checks", lambda: [lambda: [warning]])
    fine = CliRunner().invoke(main, ["doctor"])
    assert fine.exit_code == 0
    assert "warning" in fine.stdout
    assert "another terminal" in fine.stdout
    monkeypatch.setattr(doctor, "checks", lambda: [lambda: [warning, bad]])
    result = CliRunner().invoke(main, ["doctor", "--json"])
    assert result.exit_code == 1
    assert [item["state"] for item in json.loads(result.stdout)] == ["warning", "bad"]


def test_a_loaded_model_says_where_its_layers_lie_and_what_has_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    gib = 1 << 30
    info = ModelInfo(
        name="Llama-70B", ref="here", architecture="LlamaForCausalLM", device="cuda:0", dtype="bfloat16",
        spread=(LayersOn("cuda:0", 0, 37), LayersOn("cuda:1", 38, 79)), n_layers=80, n_heads=64, n_kv_heads=8,
        d_model=8192, d_head=128, d_mlp=28_672, d_vocab=128_256, n_ctx=8192, gated_mlp=True,
    )  # fmt: skip
    workers = [WorkerStatus(pid=1, info=info, free=90 * gib), WorkerStatus(pid=2, stage="loading")]
    monkeypatch.setattr("workbench.worker.client.list_workers", lambda: workers)
    finding_ = only(machine.workers())
    assert finding_.state == "ok"
    assert finding_.detail == (
        "Llama-70B on cuda:0 (layers 0–37), cuda:1 (layers 38–79) in bfloat16, 90 GiB free: "
        "room for every experiment on 512 tokens"
    )
    workers[0].free = 2 * gib
    finding_ = only(machine.workers())
    assert finding_.state == "warning"
    assert "2.0 GiB free: the model fits, but not gradients of 512 tokens (" in finding_.detail
    assert set(finding_.detail.partition("tokens (")[2].partition(")")[0].split(", ")) == {"why", "sweep"}
    assert "generation" not in finding_.detail
    workers.pop(0)
    assert machine.workers() == []
