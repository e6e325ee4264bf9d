"""`workbench artifacts`: what there is, where it lies, and what may go."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Run
from tests.cli.test_command_line import HEAVY, modules_after
from tests.session.conftest import INFO
from workbench.artifacts import Use, model
from workbench.artifacts.direction import directions_dir, keep_direction, read_direction
from workbench.artifacts.index import content_of
from workbench.index.store import indexes_dir
from workbench.session.directions import known_directions
from workbench.session.reader import SessionReader
from workbench.session.writer import SessionWriter

ROWS = [{"prompt": f"number {number}", "answer": "", "foil": ""} for number in range(20)]


@pytest.fixture
def direction(tmp_path: Path) -> Path:
    np.save(tmp_path / "r.npy", np.array([3, 0, 4, 0], np.float32))
    return keep_direction("refusal", tmp_path / "r.npy")


@pytest.fixture
def session(tmp_path: Path, direction: Path) -> Path:
    """A step with a direction, a set and an index, in a folder that Home lists."""
    path = tmp_path / "sessions" / "capitals.db"
    path.parent.mkdir()
    with SessionWriter(path) as writer:
        uses = [
            read_direction("refusal").use,
            Use(content=content_of(indexes_dir() / "stdlib", 4, "f" * 64), name="stdlib", role="made"),
        ]
        step = writer.add_step("predict", {"prompts": ROWS}, uses=uses, names={"prompts": "numbers"})
        writer.start(step, INFO)
        writer.finish(step, "done")
    return path


def test_the_list_says_what_and_where_from(invoke: Run, session: Path) -> None:
    rows = json.loads(invoke("artifacts", "list", "--json").stdout)
    listed = [(row["kind"], row["name"], row["model"], Path(row["path"]).name, row["step"]) for row in rows]
    assert sorted(listed, key=str) == [
        ("direction", "refusal", "", "refusal.npy", None),
        ("direction", "refusal", "tiny", "capitals.db", 1),
        ("prompt set", "numbers", "", "capitals.db", 1),
    ]
    assert len({row["hash"] for row in rows if row["kind"] == "direction"}) == 1
    text = invoke("artifacts", "list").stdout
    assert "capitals.db, step 1" in text
    assert "prompt set" in text
    only = json.loads(invoke("artifacts", "list", "--kind", "prompt set", "--session", session, "--json").stdout)
    assert [row["name"] for row in only] == ["numbers"]


def test_nothing_yet_is_a_sentence(invoke: Run) -> None:
    assert "none yet" in invoke("artifacts", "list").stdout
    assert "none is stored yet" in invoke("artifacts", "show", "x").stderr


def test_one_is_shown_from_the_folder_or_the_session(invoke: Run, session: Path) -> None:
    text = invoke("artifacts", "show", "@refusal").stdout
    assert "norm 5" in text
    data = json.loads(invoke("artifacts", "show", "numbers", "--session", session, "--json").stdout)
    assert data["facts"]["prompts"] == "20"
    assert data["facts"]["prompt 1"] == "number 0"
    assert data["artifact"]["step"] == 1
    index = json.loads(invoke("artifacts", "show", "stdlib", "--session", session, "--json").stdout)
    assert index["facts"]["revision"] == "4"
    wrong = invoke("artifacts", "show", "verbs")
    assert wrong.exit_code == 2
    assert "there is no artifact 'verbs': there are refusal" in wrong.stderr
    assert "there is no kind 'lamp'" in invoke("artifacts", "list", "--kind", "lamp").stderr


def test_a_name_that_stands_for_several_is_asked_about(invoke: Run, session: Path) -> None:
    other = session.with_name("other.db")
    with SessionWriter(other) as writer:
        writer.add_step("predict", {"prompts": ROWS[:2]}, names={"prompts": "numbers"})
    several = invoke("artifacts", "show", "numbers")
    assert several.exit_code == 2
    assert "name a session with --session" in several.stderr
    assert '"2"' in invoke("artifacts", "show", "numbers", "--session", other, "--json").stdout


def test_a_file_goes_and_sessions_keep_theirs(invoke: Run, session: Path, direction: Path) -> None:
    result = invoke("artifacts", "rm", "@refusal")
    assert "sessions that used it keep theirs" in result.stdout
    assert not direction.exists()
    with SessionReader(session) as reader:
        assert reader.artifact_named("direction", "refusal")


def test_a_name_goes_and_what_a_step_uses_stays(invoke: Run, session: Path, direction: Path) -> None:
    result = invoke("artifacts", "rm", "@refusal", "--session", session)
    assert "names no direction" in result.stdout
    assert "stay: 1 step uses it" in result.stdout
    assert direction.exists()
    with SessionReader(session) as reader:
        assert reader.artifact_named("direction", "refusal") is None
        (kept,) = [use for use in reader.artifacts_of(1) if use.kind == "direction"]
        np.testing.assert_array_equal(reader.content(kept.hash).array, [3, 0, 4, 0])
    assert "no artifact 'refusal'" in invoke("artifacts", "rm", "@refusal", "--session", session).stderr


def test_pruning_says_what_it_freed(invoke: Run, session: Path) -> None:
    assert "nothing to free" in invoke("artifacts", "prune").stdout
    before = session.read_bytes()
    invoke("artifacts", "rm", "@refusal", "--session", session)
    connection = sqlite3.connect(session)
    connection.execute("DELETE FROM step_artifact WHERE name = 'refusal'")
    connection.commit()
    connection.close()
    (indexes_dir() / "killed").mkdir(parents=True)
    (indexes_dir() / "killed" / "tokens.npy").write_bytes(bytes(100_000))
    result = invoke("artifacts", "prune")
    assert result.stdout.startswith("freed ")
    assert not (indexes_dir() / "killed").exists()
    with SessionReader(session) as reader:
        assert sorted(row.kind for row in reader.artifacts()) == ["index", "prompt set"]
    assert before != session.read_bytes()
    assert "nothing to free" in invoke("artifacts", "prune").stdout


def test_a_broken_file_is_listed_with_its_problem(invoke: Run) -> None:
    directions_dir().mkdir(parents=True)
    (directions_dir() / "bad.npy").write_bytes(b"no")
    (row,) = json.loads(invoke("artifacts", "list", "--json").stdout)
    assert "can't be read" in row["problem"]
    assert "can't be read" in invoke("artifacts", "show", "bad").stdout
    assert invoke("artifacts", "rm", "bad").exit_code == 0


def test_listing_imports_nothing_heavy(session: Path) -> None:
    command = ["artifacts", "list", "--session", str(session)]
    loaded = modules_after(f"import workbench.cli; workbench.cli.main({command!r})")
    assert not loaded & {*HEAVY, "textual"}


def test_a_step_shows_what_it_used_and_made(invoke: Run, session: Path) -> None:
    shown = invoke("show", session, "1").stdout
    assert "used: direction refusal (" in shown
    assert "used: prompt set numbers (" in shown
    assert "made: index stdlib (" in shown
    artifacts = json.loads(invoke("show", session, "1", "--json").stdout)["artifacts"]
    assert {(artifact["kind"], artifact["name"]) for artifact in artifacts} == {
        ("direction", "refusal"),
        ("prompt set", "numbers"),
        ("index", "stdlib"),
    }


def test_the_sessions_directions_come_before_those_of_the_data_folder(session: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([1, 0, 0, 0], np.float32))
    keep_direction("another", tmp_path / "a.npy")
    with SessionReader(session) as reader:
        assert known_directions(reader) == ["@refusal", "@another"]


def test_an_exported_model_is_listed_with_its_folder_by_the_session_that_made_it(
    invoke: Run, session: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "exports" / "never-refuses"
    folder.parent.mkdir()

    def write(building: Path) -> None:
        (building / "w").write_bytes(b"x" * 2048)

    written = model.write_model(folder, "tiny", "f" * 64, write)
    with SessionWriter(session) as writer:
        content = model.content_of(folder, written.hash, "f" * 64)
        use = Use(content=content, name=folder.name, role="made")
        step = writer.add_step("export-model", {"folder": str(folder)}, uses=[use])
        writer.start(step, INFO)
        writer.finish(step, "done")
    for where in ((), ("--session", session)):
        rows = json.loads(invoke("artifacts", "list", "--kind", "model", *where, "--json").stdout)
        (row,) = rows
        assert (row["name"], row["path"], row["step"], row["hash"]) == ("never-refuses", str(folder), 2, written.hash)
        assert row["bytes"] >= 2048
        assert not row["problem"]
    assert "never-refuses" in invoke("artifacts", "list").stdout
    assert json.loads(invoke("artifacts", "show", "never-refuses", "--json").stdout)["artifact"]["path"] == str(folder)
    (folder / "w").unlink()
    (folder / "artifact.json").unlink()
    folder.rmdir()
    gone = json.loads(invoke("artifacts", "list", "--kind", "model", "--json").stdout)[0]
    assert gone["problem"] == f"not there any more: moved or removed from {folder}"
    assert "not there any" in invoke("artifacts", "list", "--kind", "model").stdout
