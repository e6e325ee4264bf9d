"""First paint and memory of Home against a bare Textual app with one label."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.benchmarks.measure import Pty, Results, median

RUNS = 9
HOME = "What do you want to know?"


def run(results: Results, env: dict[str, str], folder: Path) -> None:
    bare = [sys.executable, str(Path(__file__).with_name("bare_app.py"))]
    ours = [sys.executable, "-m", "workbench"]
    for label, warm in (("cold worker", False), ("warm worker", True)):
        paints: dict[str, list[float]] = {"bare": [], "ours": []}
        memory: dict[str, list[int]] = {"bare": [], "ours": []}
        for _ in range(RUNS):
            for name, command in (("bare", bare), ("ours", ours)):
                program = Pty(command, env=env)
                try:
                    paints[name].append(program.wait_for(HOME))
                    program.settle(0.5)
                    memory[name].append(program.private_memory())
                finally:
                    program.close()
                if name == "ours" and not warm:
                    stop_workers(env)
        ratio = median(paints["ours"]) / median(paints["bare"])
        results.add(
            f"first paint of Home, {label}, {RUNS} interleaved runs",
            "≤ 2 × bare app",
            f"{ratio:.2f} × ({median(paints['ours']):.2f} s against {median(paints['bare']):.2f} s)",
            ratio <= 2,
        )
        ratio = median(memory["ours"]) / median(memory["bare"])
        results.add(
            f"private memory after Home, {label}",
            "≤ 2.5 × bare app",
            f"{ratio:.2f} × ({mebibytes(memory['ours'])} against {mebibytes(memory['bare'])})",
            ratio <= 2.5,
        )


def stop_workers(env: dict[str, str]) -> None:
    import os
    import subprocess

    subprocess.run(
        [sys.executable, "-m", "workbench", "stop", "--all"], env={**os.environ, **env}, capture_output=True, timeout=60
    )


def mebibytes(values: list[int]) -> str:
    return f"{median(values) / 2**20:.0f} MiB"
