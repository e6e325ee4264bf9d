"""A set or direction lies once in the session file, by its hash, and stays as long as a step uses it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.session import old
from tests.session.conftest import every_view
from workbench.artifacts import Use
from workbench.artifacts.direction import Direction, from_content
from workbench.errors import UserError
from workbench.experiments import experiment
from workbench.session.directions import resolve_directions
from workbench.session.format import SCHEMA_VERSION
from workbench.session.reader import SessionReader
from workbench.session.typed_sets import read_sets
from workbench.session.update import Update
from workbench.session.writer import SessionWriter

ROWS = [{"prompt": f"{number}", "answer": "", "foil": ""} for number in range(20)]


def refusal(*numbers: float, **contrast: str) -> Direction:
    return Direction(name="refusal", vector=np.array(numbers, "<f4").tobytes(), contrast=contrast)


def query(path: Path, question: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(question).fetchall()
    finally:
        connection.close()


def test_a_set_lies_once_and_reads_as_it_was_asked(own_folders: Path) -> None:
    path = own_folders / "a.db"
    with SessionWriter(path) as writer:
        for _ in range(3):
            writer.add_step("predict", {"prompts": ROWS, "chat": True}, names={"prompts": "capitals"})
    assert query(path, "SELECT kind, name FROM artifact") == [("prompt set", "capitals")]
    assert all(len(params) < 200 for (params,) in query(path, "SELECT params FROM step"))
    with SessionReader(path) as reader:
        assert reader.step(3).params == {"prompts": ROWS, "chat": True}
        assert [row.label for row in reader.rows()] == ["capitals, 20 prompts"] * 3
        (row,) = reader.artifacts()
        assert (row.kind, row.name, row.step, row.steps) == ("prompt set", "capitals", 1, 3)
        (used,) = reader.artifacts_of(2)
        assert (used.role, used.name, used.hash) == ("used", "capitals", row.hash)


def test_a_changed_set_takes_the_name_and_the_old_step_keeps_its_rows(own_folders: Path) -> None:
    path = own_folders / "a.db"
    with SessionWriter(path) as writer:
        writer.add_step("predict", {"prompts": ROWS}, names={"prompts": "capitals"})
        writer.add_step("predict", {"prompts": ROWS[:3]}, names={"prompts": "capitals"})
        writer.add_step("predict", {"prompts": ROWS})  # run again from the file, which knows no name
    with SessionReader(path) as reader:
        assert [len(reader.step(step).params["prompts"]) for step in (1, 2, 3)] == [20, 3, 20]
        named = reader.artifact_named("prompt set", "capitals")
        assert named == reader.artifacts_of(2)[0].hash != reader.artifacts_of(1)[0].hash
        assert reader.artifact_named("prompt set", "nouns") is None


def test_an_artifact_knows_the_steps_that_used_and_made_it(own_folders: Path) -> None:
    path, direction = own_folders / "a.db", refusal(1, 2)
    with SessionWriter(path) as writer:
        writer.add_step("direction", {"name": "refusal"})
        made = msgspec.structs.replace(direction.use, role="made")
        writer.apply(1, Update(artifacts=[made]), "done")
        writer.rename_artifact("direction", "refusal", "unsafe")
        writer.add_step(
            "project", {"direction": "@unsafe"}, uses=[msgspec.structs.replace(direction.use, name="unsafe")]
        )
        writer.add_step("predict", {"prompt": "x"})
    with SessionReader(path) as reader:
        steps = [(row.step, row.experiment, row.name, row.role) for row in reader.steps_with(direction.hash)]
        assert steps == [(2, "project", "unsafe", "used"), (1, "direction", "refusal", "made")]
        assert reader.steps_with("no such hash") == []


def test_a_direction_lies_once_with_the_prompts_behind_it(own_folders: Path) -> None:
    path = own_folders / "a.db"
    vector = refusal(1, 2, 3, 4, site="L1.resid_pre", positive='["a"]')
    with SessionWriter(path) as writer:
        for _ in range(2):
            writer.add_step("predict", {"prompt": "x"}, uses=[Use(content=vector.content, name="refusal")])
    with SessionReader(path) as reader:
        (row,) = reader.artifacts()
        assert row.hash == vector.hash
        back = from_content("refusal", reader.content(row.hash))
    assert back == vector
    np.testing.assert_array_equal(back.numbers, [1, 2, 3, 4])
    assert query(path, "SELECT count(*) FROM array") == [(1,)]


def test_an_array_that_an_artifact_uses_stays_when_a_view_lets_it_go(own_folders: Path) -> None:
    path = own_folders / "a.db"
    view = every_view()["lines"]
    array = view.series[0].y
    vector = Direction(name="r", vector=array.astype("<f4").tobytes())
    with SessionWriter(path) as writer:
        step = writer.add_step("predict", {"prompt": "x"}, uses=[Use(content=vector.content, name="r")])
        writer.publish(step, views={"a": view})
        writer.publish(step, views={"a": every_view()["text"]})
    with SessionReader(path) as reader:
        np.testing.assert_array_equal(reader.content(vector.hash).array, array)
    assert query(path, "SELECT count(*) FROM array") == [(1,)]


def test_a_name_goes_and_the_bytes_stay_while_a_step_uses_them(own_folders: Path) -> None:
    path = own_folders / "a.db"
    vector = refusal(1, 2)
    with SessionWriter(path) as writer:
        step = writer.add_step("predict", {"prompt": "x"}, uses=[Use(content=vector.content, name="refusal")])
        assert writer.remove_artifact("direction", "refusal") == 0
        with pytest.raises(UserError, match="no direction 'refusal'"):
            writer.remove_artifact("direction", "refusal")
    with SessionReader(path) as reader:
        assert reader.artifact_named("direction", "refusal") is None
        assert reader.artifacts_of(step)[0].name == "refusal"
        assert reader.content(vector.hash).array is not None
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM step_artifact")
    connection.commit()
    connection.close()
    with SessionWriter(path) as writer:
        assert writer.prune_artifacts() > 0
        assert writer.prune_artifacts() == 0
    assert query(path, "SELECT (SELECT count(*) FROM array), (SELECT count(*) FROM array_chunk)") == [(0, 0)]


def test_what_is_not_what_its_hash_says_is_a_sentence(own_folders: Path) -> None:
    path = own_folders / "a.db"
    with SessionWriter(path) as writer:
        writer.add_step("predict", {"prompts": ROWS})
    connection = sqlite3.connect(path)
    connection.execute("UPDATE artifact SET spec = ?", (json.dumps({"rows": ROWS[:1]}),))
    connection.commit()
    with SessionReader(path) as reader, pytest.raises(UserError, match="damaged"):
        reader.step(1)
    connection.execute("DELETE FROM step_artifact")
    connection.execute("DELETE FROM artifact")
    connection.commit()
    connection.close()
    with SessionReader(path) as reader, pytest.raises(UserError, match="missing"):
        reader.step(1)


@pytest.mark.parametrize(("make", "version"), [(old.version_1, 1), (old.version_2, 2)])
def test_an_old_session_is_read_as_it_is_and_brought_up_to_date(own_folders: Path, make: Any, version: int) -> None:
    path = make(own_folders / "old.db")
    assert old.version_of(path) == version
    with SessionReader(path) as reader:
        before = [reader.step(row.id) for row in reader.rows()]
        assert before
        assert reader.artifacts() == []
        assert reader.artifacts_of(1) == []
        assert reader.artifact_named("direction", "refusal") is None
    assert old.version_of(path) == version, "reading changed the file"
    with SessionWriter(path) as writer:
        again = writer.add_step("predict", {"prompts": old.ROWS}, names={"prompts": "old"})
    assert old.version_of(path) == SCHEMA_VERSION == 3
    with SessionReader(path) as reader:
        assert [reader.step(step.id) for step in before] == before
        assert reader.step(again).params["prompts"] == old.ROWS


def test_inline_rows_of_an_old_step_stay_as_they_are(own_folders: Path) -> None:
    path = old.version_2(own_folders / "old.db")
    SessionWriter(path).close()
    ((params,),) = query(path, "SELECT params FROM step")
    assert json.loads(params)["prompts"] == old.ROWS


@pytest.mark.parametrize("stored", [False, True])
def test_a_name_that_is_nowhere_names_those_of_the_session_where_it_has_some(own_folders: Path, stored: bool) -> None:
    path = own_folders / "a.db"
    with SessionWriter(path) as writer:
        uses = [Use(content=refusal(1, 2).content, name="refusal")] if stored else []
        writer.add_step("predict", {"prompts": ROWS}, uses=uses, names={"prompts": "numbers"} if stored else {})
    with pytest.raises(UserError) as direction_error:
        resolve_directions(["other"], str(path))
    with pytest.raises(UserError) as set_error:
        read_sets(experiment("predict").params, {"prompts": "@other"}, path)
    assert str(direction_error.value).endswith("in the session: @refusal") == stored
    assert str(set_error.value).endswith("in the session: @numbers") == stored
    assert stored or not any("in the session" in str(error.value) for error in (direction_error, set_error))
