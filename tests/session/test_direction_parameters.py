"""Directions that parameters name travel with the run; `all` is written out as the names there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from tests.session.conftest import INFO
from workbench.artifacts.direction import Direction, Origin, directions_dir
from workbench.errors import UserError
from workbench.session.submission import Submission, make_submission
from workbench.session.writer import SessionWriter


def keep(name: str, *numbers: float) -> None:
    directions_dir().mkdir(parents=True, exist_ok=True)
    np.save(directions_dir() / f"{name}.npy", np.asarray(numbers, np.float32))


def submitted(session: str = "", d_model: int = 4, **more: Any) -> Submission:
    params = {"direction": "@refusal"} | more.pop("params", {})
    info = replace(INFO, d_model=d_model, fingerprint="here")
    return make_submission("project", params, [], session=session, info=info, **more)


def test_one_direction_travels_with_its_numbers_and_takes_its_name(own_folders: Path) -> None:
    keep("refusal", 1, 2, 3, 4)
    submission = submitted(params={"beside": ""})
    assert list(submission.directions) == ["refusal"]
    np.testing.assert_array_equal(submission.directions["refusal"].numbers, [1, 2, 3, 4])
    assert submission.directions["refusal"].takes_name
    assert submission.command == "workbench run project --direction @refusal --beside ''"
    with pytest.raises(UserError, match="no direction @other"):
        submitted(params={"direction": "@other"})


def test_all_is_every_direction_of_this_width_and_no_other_model(own_folders: Path) -> None:
    keep("refusal", 1, 2, 3, 4)
    keep("kept", 4, 3, 2, 1)
    keep("wide", 1, 2, 3, 4, 5)
    (directions_dir() / "broken.npy").write_text("no array")
    session = str(own_folders / "s.db")
    vector = np.asarray([1, 0, 0, 0], "<f4").tobytes()
    own = Direction(name="own", vector=vector, origin=Origin(fingerprint="here"))
    foreign = Direction(name="foreign", vector=vector, origin=Origin(fingerprint="there"))
    with SessionWriter(session) as writer:
        writer.submit(replace(submitted(params={"beside": ""}), directions={"own": own, "foreign": foreign}))
    submission = submitted(session)
    assert submission.params["beside"] == "@own, @kept, @refusal"
    assert list(submission.directions) == ["refusal", "own", "kept"]
    assert {name for name, direction in submission.directions.items() if direction.takes_name} == {"refusal"}
    assert "--beside '@own, @kept, @refusal'" in submission.command
    assert submission.directions["own"].made_by == "step 1 of s.db"
    assert submission.directions["kept"].made_by == ""


def test_a_step_that_runs_again_compares_with_what_it_recorded(own_folders: Path) -> None:
    keep("refusal", 1, 2, 3, 4)
    keep("kept", 4, 3, 2, 1)
    session = str(own_folders / "s.db")
    first = submitted(session)
    with SessionWriter(session) as writer:
        step = writer.submit(first)
    keep("kept", 9, 9, 9, 9)
    keep("later", 1, 1, 1, 1)
    again = submitted(session, params=first.params, again=step)
    assert again.params == first.params
    np.testing.assert_array_equal(again.directions["kept"].numbers, [4, 3, 2, 1])
    np.testing.assert_array_equal(submitted(session).directions["kept"].numbers, [9, 9, 9, 9])
