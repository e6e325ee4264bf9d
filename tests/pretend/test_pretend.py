"""Every experiment on one or two devices that are not the CPU gives the CPU's numbers, and needs no float64."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.pretend.cases import ALIKE
from tests.tiny import ARCHITECTURES
from workbench.experiments import experiments

ROOT = Path(__file__).parents[2]


def own_group(name: str) -> pytest.MarkDecorator:
    """Each test has its own process and shares nothing: any of pytest's may start it, beside the other slow tests."""
    return pytest.mark.xdist_group(f"pretend {name}")


def lines(program: str, *arguments: str) -> list[dict[str, Any]]:
    """In a process of its own: a device stays registered with torch."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.pretend.{program}", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    made = [json.loads(line) for line in done.stdout.splitlines()]
    if made and "skip" in made[0]:
        pytest.skip(made[0]["skip"])
    return made


def wrong(made: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in made if line["error"] or line["differs"]]


@pytest.mark.slow
@pytest.mark.parametrize("arch", [pytest.param(arch, marks=own_group(arch)) for arch in ARCHITECTURES])
def test_every_experiment_gives_the_cpu_s_numbers_without_float64_and_on_two_devices(arch: str) -> None:
    made = lines("compare", arch)
    assert wrong(made) == []
    assert {line["case"].split()[0] for line in made} == set(experiments()) - ALIKE


@pytest.mark.slow
@own_group("alike")
def test_so_do_those_that_read_and_write_every_architecture_alike() -> None:
    made = lines("compare", "llama", "alike")
    assert wrong(made) == []
    assert {line["case"].split()[0] for line in made} == ALIKE


@pytest.mark.slow
@own_group("shared")
def test_blocks_on_two_devices_share_keys_and_values() -> None:
    made = lines("shared")
    assert wrong(made) == []
    assert len(made) == 3


@pytest.mark.slow
@own_group("memory")
def test_what_runs_out_of_memory_is_halved_to_the_same_numbers_and_leaves_nothing() -> None:
    made = lines("limited", "llama")
    assert wrong(made) == []
    assert [line["case"] for line in made if not line["refused"]] == []
    assert [line["case"] for line in made if line["left"]] == []
