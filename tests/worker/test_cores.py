"""Cores that the model process may use, and how its threads wait."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.worker.conftest import Open, until
from workbench.worker.cores import PASSIVE_WAIT, allowed_cores


def tree(root: Path, groups: str, **files: str) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        file = root / "sys/fs/cgroup" / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.fixture
def sixteen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)


@pytest.mark.usefixtures("sixteen")
@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/user.slice/a.scope\n", {}, 16),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 16),
        ("0::/\n", {"cpu.max": "400000 100000\n"}, 4),
        ("0::/job/step\n", {"job__cpu.max": "250000 100000", "job__step__cpu.max": "max 100000"}, 3),
        ("0::/job/step\n", {"job__cpu.max": "900000 100000", "job__step__cpu.max": "200000 100000"}, 2),
        ("0::/a/b/not/seen/here\n", {"cpu.max": "50000 100000"}, 1),
        ("3:cpu,cpuacct:/docker/x\n0::/\n", {"cpu__cpu.cfs_quota_us": "600000", "cpu__cpu.cfs_period_us": "100000"}, 6),
        ("3:cpu:/x\n", {"cpu__x__cpu.cfs_quota_us": "-1", "cpu__x__cpu.cfs_period_us": "100000"}, 16),
        ("4:memory:/x\n", {"cpu__x__cpu.cfs_quota_us": "100000", "cpu__x__cpu.cfs_period_us": "100000"}, 16),
        ("0::/\n", {"cpu.max": "nonsense"}, 16),
        ("0::/\n", {"cpu.max": "3200000 100000"}, 16),
    ],
)
def test_the_quota_of_a_container_or_job_counts(tmp_path: Path, groups: str, files: dict[str, str], cores: int) -> None:
    assert allowed_cores(tree(tmp_path, groups, **files)) == cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux has affinities")
def test_so_does_the_affinity() -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    code += "from workbench.worker.cores import allowed_cores; print(allowed_cores())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stdout.strip() == "1", done.stderr


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="Linux shows a process' environment")
@pytest.mark.parametrize("own", ["", "ACTIVE"])
async def test_the_model_process_sleeps_while_it_waits(worker: Open, monkeypatch: pytest.MonkeyPatch, own: str) -> None:
    """Without anything in the user's environment; what is there counts."""
    for name in PASSIVE_WAIT:
        monkeypatch.delenv(name, raising=False)
    if own:
        monkeypatch.setenv("OMP_WAIT_POLICY", own)
    status = await until(await worker(), lambda status: status.stage == "ready")
    environment = Path(f"/proc/{status.model_pid}/environ").read_text().split("\0")
    assert f"OMP_WAIT_POLICY={own or 'PASSIVE'}" in environment
    assert (f"GOMP_SPINCOUNT={PASSIVE_WAIT['GOMP_SPINCOUNT']}" in environment) == (not own)
    assert os.sched_getscheduler(status.model_pid) == os.SCHED_BATCH
    assert os.sched_getscheduler(status.pid) == os.SCHED_OTHER
    assert os.getpriority(os.PRIO_PROCESS, status.model_pid) == os.getpriority(os.PRIO_PROCESS, 0)
