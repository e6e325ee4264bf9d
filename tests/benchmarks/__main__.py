"""Runs the benchmarks named, or all, each in folders of its own, and prints the table that README shows."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.measure import Results, machine
from tests.conftest import make_folders, share_model, stop_processes_of

ALL = (
    "startup", "forward", "why", "arms", "worker", "screens", "neighbours", "index", "activations", "probes",
    "sae_errors", "jobs",
)  # fmt: skip


def main(names: list[str]) -> int:
    results = Results()
    print(f"{machine()}; SmolLM2-135M-Instruct (from Q4_1), float32, seed 0", flush=True)
    for name in names or ALL:
        root = Path(tempfile.mkdtemp(prefix="wb-"))
        env = {**make_folders(root), "HF_HUB_OFFLINE": "1"}
        share_model(root / "cache", indexes=name == "index")
        os.environ.update(env)
        work = root / "here"
        work.mkdir()
        try:
            importlib.import_module(f"tests.benchmarks.{name}").run(results, env, work)
        finally:
            subprocess.run([sys.executable, "-m", "workbench", "stop", "--all"], capture_output=True, timeout=60)
            stop_processes_of(root / "run")
            shutil.rmtree(root, ignore_errors=True)
    print()
    print(results.markdown())
    return 0 if all(passed for *_, passed in results.rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
