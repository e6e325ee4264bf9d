"""Every experiment on a device that is not the CPU gives the CPU's numbers, mixes nothing, and needs no float64."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import ARCHITECTURES
from workbench.experiments import experiments

ROOT = Path(__file__).parents[2]


def lines(program: str, *arguments: str) -> list[dict[str, Any]]:
    """In a process of its own: a device stays registered with torch."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.pretend.{program}", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    made = [json.loads(line) for line in done.stdout.splitlines()]
    if made and "skip" in made[0]:
        pytest.skip(made[0]["skip"])
    return made


def wrong(made: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in made if line["error"] or line["differs"]]


@pytest.mark.slow
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_experiment_gives_the_cpu_s_numbers_without_float64(arch: str) -> None:
    made = lines("compare", arch, "without-float64", *(["all"] if arch == "llama" else []))
    assert wrong(made) == []
    if arch == "llama":
        assert {line["case"].split()[0] for line in made} == set(experiments())


@pytest.mark.slow
def test_every_experiment_gives_the_cpu_s_numbers_where_there_is_float64() -> None:
    assert wrong(lines("compare", "llama")) == []


@pytest.mark.slow
def test_what_runs_out_of_memory_is_halved_to_the_same_numbers_and_leaves_nothing() -> None:
    made = lines("limited", "llama")
    assert wrong(made) == []
    assert [line["case"] for line in made if not line["refused"]] == []
    assert [line["case"] for line in made if line["left"]] == []
