"""`workbench why PROMPT ANSWER`, and directions from files, against a worker without torch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Run
from workbench import paths

pytestmark = pytest.mark.usefixtures("worker")
FAKE = ("--model", "fake:")


def test_prompt_and_answer_need_no_flags(invoke: Run, tmp_path: Path) -> None:
    result = invoke("why", "parts:", " Paris", "--foil", " Lyon", "--session", "s.db", "--json", *FAKE)
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert data["experiment"] == "why"
    assert (data["params"]["prompt"], data["params"]["answer"], data["params"]["foil"]) == ("parts:", " Paris", " Lyon")
    alone = json.loads(invoke("why", "wait:0", "--session", "s.db", "--json", *FAKE).stdout)
    assert alone["params"]["answer"] == ""
    assert alone["step"] == 4, "the first had two parts, which are steps"


def test_a_prompt_is_needed(invoke: Run) -> None:
    result = invoke("why", *FAKE)
    assert result.exit_code == 2
    assert "PROMPT" in result.stderr


def test_a_direction_is_kept_under_its_name(invoke: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "r.npy", np.arange(1, 5, dtype=np.float32))
    options = ("--edit", "L1.resid_post+=2*@refusal", "--session", "s.db", "--json", *FAKE)
    result = invoke("run", "predict", "--prompt", "wait:0", "--direction", "refusal=r.npy", *options)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["edits"] == ["L1.resid_post+=2*@refusal"]
    assert np.array_equal(np.load(paths.data_dir() / "directions" / "refusal.npy"), [1, 2, 3, 4])
    np.save(tmp_path / "other.npy", np.ones(4, np.float32))
    result = invoke("run", "predict", "--prompt", "wait:0", "--direction", "refusal=other.npy", *options)
    assert result.exit_code != 0
    assert "another direction already" in result.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [("refusal", "a name and a file"), ("1x=r.npy", "no name for a direction"), ("x=none.npy", "can't be read")],
)
def test_what_is_no_direction_is_a_sentence(invoke: Run, text: str, says: str) -> None:
    result = invoke("run", "predict", "--prompt", "wait:0", "--direction", text, *FAKE)
    assert result.exit_code != 0
    assert says in result.stderr


def test_what_it_will_take_is_said_before_it_begins(invoke: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench import cost

    options = ("why", "wait:0", "--session", "s.db", "--json", *FAKE)
    assert "passes" not in invoke(*options).stderr  # nothing is measured
    monkeypatch.setattr(cost, "measured", lambda info: {cost.FORWARD: cost.Measured(50, 1)})
    result = invoke(*options)
    assert result.stderr.startswith("about ")
    assert "passes of 2 tokens" in result.stderr
    json.loads(result.stdout)
    monkeypatch.setattr(cost, "measured", lambda info: {cost.FORWARD: cost.Measured(1e9, 1)})
    assert "passes" not in invoke(*options).stderr


def test_a_direction_parameter_takes_the_flag_of_files_to_keep(invoke: Run, tmp_path: Path) -> None:
    shown = invoke("run", "project", "--help").output
    assert "--direction @NAME" in shown
    assert "NAME=FILE" not in shown
    result = invoke("run", "project", "--direction", "refusal", "--session", "s.db", *FAKE)
    assert (result.exit_code, "one direction is wanted here" in result.output + result.stderr) == (2, True)
    result = invoke("run", "project", "--direction", "@nowhere", "--session", "s.db", *FAKE)
    assert "no direction @nowhere" in result.output + result.stderr
