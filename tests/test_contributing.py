"""CONTRIBUTING's commands are CI's and its examples do what it says (its kind of unit: test_house_units.py)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

import workbench.experiments
import workbench.tui.screens
from tests import contributing
from tests.conftest import ROOT
from tests.lab.labs import PROMPT, plain, tiny_lab
from tests.tui.fakes import FakeClient, make_session, screen, until
from tests.tui.fakes import workbench as make_app
from workbench.api import OpenedLab
from workbench.experiments import experiments

EXPERIMENT = "workbench/experiments/stream_norm.py"
SCREEN = "workbench/tui/screens/tally/__init__.py"


def put(path: str, package: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example where Python looks for `package`'s modules."""
    file = folder / Path(path).relative_to(package.__name__.replace(".", "/"))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(contributing.example(path))
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])


def test_its_commands_are_those_of_ci() -> None:
    ci = (ROOT / ".ci/run").read_text()
    for block in contributing.TEXT.split("```sh\n")[1:]:
        for command in block.partition("```")[0].strip().split(" && "):
            assert command in ci, command


def test_every_example_is_run_formatted_and_linted(tmp_path: Path) -> None:
    assert set(contributing.examples()) == {
        EXPERIMENT,
        SCREEN,
        "workbench/units/kinds/coordinate.py",
        "workbench/lab/kinds/coordinate.py",
    }
    for number, text in enumerate(contributing.examples().values()):
        (tmp_path / f"example_{number}.py").write_text(text)
    for command in (["check"], ["format", "--diff"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--config", str(ROOT / "pyproject.toml"), str(tmp_path)],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_its_experiment_is_the_norm_of_the_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(EXPERIMENT, workbench.experiments, tmp_path, monkeypatch)
    experiments.cache_clear()
    try:
        with OpenedLab(tiny_lab("gpt2")) as lab:
            result = lab.stream_norm(prompt=PROMPT)
            edited = lab.stream_norm(prompt=PROMPT, edits="L0.resid_post*=2")
    finally:
        sys.modules.pop("workbench.experiments.stream_norm", None)
        experiments.cache_clear()
    ids = torch.from_numpy(tiny_lab("gpt2").prompt(PROMPT).ids[None])
    reference = plain("gpt2")
    norms = [float(reference.read(ids, layer, "resid_post")[0, -1].norm()) for layer in range(len(reference.layers))]
    assert result.views["norms"].series[0].y == pytest.approx(norms, rel=1e-5)  # type: ignore[union-attr]
    assert edited.views["norms"].series[1].y[0] == pytest.approx(2 * norms[0], rel=1e-5)  # type: ignore[union-attr]
    assert result.scalars["norm"] == pytest.approx(norms[-1], rel=1e-5)


async def test_its_screen_counts_the_steps_of_the_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(SCREEN, workbench.tui.screens, tmp_path / "screens", monkeypatch)
    try:
        app = make_app(FakeClient(), make_session(tmp_path / "tour.db"))
        async with app.run_test(size=(100, 30)) as pilot:
            app.show("tally")
            await until(pilot, lambda: "done: " in screen(app) and "failed: " in screen(app))
            await pilot.press("f1")
            await until(pilot, lambda: "How many steps of this session are done" in screen(app))
    finally:
        sys.modules.pop("workbench.tui.screens.tally", None)
