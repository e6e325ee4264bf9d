"""What users install is what was tested: the wheel's files, the versions' bounds, what the constraints pin."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BOUNDED = ("torch", "transformers", "transformer_lens", "numpy", "gguf", "textual", "rich", "plotext", "matplotlib")
"""they compute numbers, or draw what is compared with pictures"""


def tree() -> set[str]:
    """Every file of the package, as git has it or would."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "workbench"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    if listed.returncode == 0 and listed.stdout:
        return {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}
    files = (file for file in (ROOT / "workbench").rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return {str(file.relative_to(ROOT)) for file in files}


def build(source: Path, into: Path) -> set[str]:
    """The wheel's files of the package."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(into), "."]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (wheel,) = into.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        return {name for name in opened.namelist() if name.startswith("workbench/")}


def copied(to: Path) -> Path:
    """A checkout: building leaves files beside the source."""
    for name in [*tree(), "pyproject.toml", "README.md", "LICENSE"]:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, to / name)
    return to


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package(tmp_path: Path) -> None:
    source = copied(tmp_path / "source")
    data = {f"workbench/experiments/data.{suffix}" for suffix in ("json", "jsonl", "csv", "txt", "md", "tcss")}
    for name in data:
        (source / name).write_text("x")
    assert build(source, tmp_path / "wheel") == tree() | data


def test_what_computes_and_what_draws_ends_at_a_tested_version() -> None:
    bounds = {requirement.name: requirement for requirement in map(Requirement, PROJECT["dependencies"])}
    for name in BOUNDED:
        assert {"<"} & {part.operator for part in bounds[name].specifier}, f"{name} has no upper bound"
        installed = metadata.version(name)
        assert bounds[name].specifier.contains(installed), f"{name} {installed} was installed against its bound"
        major, minor, *_ = (int(part) for part in re.findall(r"\d+", installed))
        for beyond in (f"{major}.{minor + 1}.0", f"{major + 1}.0.0"):
            assert not bounds[name].specifier.contains(beyond), f"{name} {beyond} was never tested"


def needed(names: list[str]) -> set[str]:
    """These packages and all that they need."""
    seen: set[str] = set()
    while names:
        requirement = Requirement(names.pop())
        name = canonicalize_name(requirement.name)
        if name in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        try:
            names += metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
    return seen


def test_the_constraints_pin_tools_of_the_tests_alone() -> None:
    lines = (ROOT / "tests/constraints.txt").read_text().splitlines()
    pinned = {canonicalize_name(Requirement(line).name) for line in lines if line and not line.startswith("#")}
    assert not pinned & needed(list(PROJECT["dependencies"]))
    assert pinned <= needed(list(PROJECT["optional-dependencies"]["test"]))
