"""What keeps the house livable: imports point one way, and a new experiment is one new file."""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import workbench.experiments as room
from tests.conftest import ROOT
from tests.lab.labs import PROMPT, tiny_lab
from tests.tui.fakes import FakeClient, screen, until, workbench
from workbench.api import OpenedLab
from workbench.experiments import experiments
from workbench.session.submission import make_submission

# --- imports --------------------------------------------------------------------------------------


def imports_by_file() -> dict[str, set[str]]:
    """Every module of ours with the modules it names in an import, also inside functions and for types alone."""
    names: dict[str, Path] = {}
    for path in (ROOT / "workbench").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    named: dict[str, set[str]] = {}
    for module, path in names.items():
        targets: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                submodules = {f"{node.module}.{alias.name}" for alias in node.names} & names.keys()
                targets |= submodules or {node.module}
            elif isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
        named[module] = (targets & names.keys()) - {module}
    return named


def circles(named: dict[str, set[str]]) -> list[list[str]]:
    """Paths that come back to where they began, one for each module that lies on one."""
    back = []
    for start in named:
        came_from: dict[str, str] = {}
        waiting = [start]
        while waiting and start not in came_from:
            here = waiting.pop()
            for target in named[here] - came_from.keys():
                came_from[target] = here
                waiting.append(target)
        if start in came_from:
            path = [start, came_from[start]]
            while path[-1] != start:
                path.append(came_from[path[-1]])
            back.append(path[::-1])
    return back


def test_no_file_needs_another_that_needs_it() -> None:
    assert not circles(imports_by_file())


def test_a_circle_is_seen() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})
    assert not circles({"a": {"b", "c"}, "b": {"c"}, "c": set()})


def test_the_contracts_hold() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# --- an experiment is one file --------------------------------------------------------------------

LOUDNESS = '''
    """How large a unit is on a text.

    Made by a test.
    """

    from __future__ import annotations

    from typing import Annotated

    from msgspec import Meta

    from workbench.experiment import Experiment
    from workbench.params import Params as BaseParams, PromptText, UnitText
    from workbench.report import NextStep, Report
    from workbench.views import Heatmap, Scalar, Scalars


    class Params(BaseParams, kw_only=True, frozen=True):
        read: Annotated[PromptText, Meta(description="the text", extra={"example": "The capital of France is"})] = ""
        who: Annotated[UnitText, Meta(description="a neuron", extra={"example": "L1.N2"})] = ""


    def run(lab, params: Params, report: Report) -> None:
        tokens = len(lab.prompt(params.read))
        report.scalar("tokens", tokens)
        report.add("numbers", Scalars(title="Numbers", items=[Scalar(name="tokens", value=tokens)]))
        report.say(f"{params.who} over {tokens} tokens")


    def cell(params: Params, key: str, view: Heatmap, row: int, column: int) -> NextStep:
        there = {"read": params.read, "who": f"L{row}.N{column}"}
        return NextStep(label="listen here", experiment="loudness", params=there)


    EXPERIMENT = Experiment(
        name="loudness", help=__doc__, params=Params, run=run, group="saes", order=99, takes_edits=False,
        cell=cell,
    )
'''


@pytest.fixture
def loudness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A new experiment: one file beside the others."""
    (tmp_path / "loudness.py").write_text(textwrap.dedent(LOUDNESS).lstrip())
    monkeypatch.setattr(room, "__path__", [*room.__path__, str(tmp_path)])
    experiments.cache_clear()
    yield
    sys.modules.pop("workbench.experiments.loudness", None)
    experiments.cache_clear()


def test_a_new_experiment_is_found_checked_and_called_by_what_it_is_about(loudness: None) -> None:
    assert list(experiments())[-1] == "loudness"
    asked = make_submission("loudness", {"read": PROMPT, "who": "L1.N2"}, [])
    assert asked.command == f"workbench run loudness --read '{PROMPT}' --who L1.N2"
    assert not asked.long


def test_it_runs_from_python_and_is_logged(loudness: None, tmp_path: Path) -> None:
    from workbench.session.reader import SessionReader
    from workbench.session.writer import SessionWriter

    path = tmp_path / "loud.db"
    with OpenedLab(tiny_lab("llama"), SessionWriter(path)) as opened:
        result = opened.loudness(read=PROMPT, who="L1.N2")
    assert result.headline == "L1.N2 over 5 tokens"
    with SessionReader(path) as reader:
        (row,) = reader.rows(0)
        assert (row.experiment, row.label, row.status) == ("loudness", PROMPT, "done")


def test_it_is_a_command_with_flags_and_help(loudness: None) -> None:
    from click.testing import CliRunner

    from workbench.cli.run import run_command

    shown = CliRunner().invoke(run_command, ["loudness", "--help"]).output
    assert "--read TEXT" in shown
    assert "--who UNIT" in shown
    assert "How large a unit is on a text" in shown
    assert "--edit" not in shown


async def test_it_has_a_form_on_the_screen_that_it_belongs_to(loudness: None) -> None:
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        prompt = app.show("prompt")
        await until(pilot, lambda: any("loudness" in choice.words for choice in prompt.query("#experiments")))
        prompt.query_one("#experiments").set("loudness", notify=True)
        await until(pilot, lambda: "Enter runs loudness" in screen(app))
        assert [field.field.name for field in prompt.form.fields] == ["who", "expect"]


async def test_enter_on_a_cell_of_its_heat_map_does_what_the_file_says(loudness: None, tmp_path: Path) -> None:
    from tests.tui.fakes import lens
    from tests.tui.test_maps import opened, panel_of, session_with

    path = session_with(tmp_path / "loud.db", lens(), "loudness", "map", {"read": PROMPT, "who": "L1.N2"})
    async with opened(path) as (pilot, client, result):
        await pilot.press("enter")
        await until(pilot, lambda: panel_of(result).has_focus)
        await pilot.press("home", "right", "right")
        row, column = panel_of(result).cell or (-1, -1)
        assert column == 2
        await until(pilot, lambda: "Enter: listen here" in screen(pilot.app))
        await pilot.press("enter")
        await until(pilot, lambda: client.submitted)
        asked = client.submitted[-1]
        assert (asked.experiment, asked.params) == ("loudness", {"read": PROMPT, "who": f"L{row}.N2"})


# --- a file is about one thing --------------------------------------------------------------------


def test_no_python_file_has_more_than_400_lines() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for folder in ("workbench", "tests", "sessions", ".github")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert len(lengths) > 500
    assert not {name: n for name, n in lengths.items() if n > 400}
