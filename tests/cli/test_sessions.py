"""Sessions from the command line: read from the file alone, without a model."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.conftest import Run
from tests.cli.test_command_line import HEAVY, modules_after
from tests.drawing import samples
from workbench.cli.output import Printer
from workbench.cli.page import load_views, print_step
from workbench.cli.sessions import _figure_names
from workbench.edits import Entry, SetTo
from workbench.report import NextStep
from workbench.session.reader import SessionReader
from workbench.session.writer import SessionWriter
from workbench.views import Table


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """Three steps, one under another, with every kind of view and a note."""
    path = tmp_path / "capitals.db"
    with SessionWriter(path) as writer:
        first = writer.add_step("predict", {"prompt": "The capital of \x1b[31mFrance"}, expected="Paris")
        writer.start(first)
        views = {str(at): view for at, view in enumerate(samples.every_kind())}
        writer.publish(first, headline="' Paris' .771", scalars={"kl": None, "entropy": 1.5}, views=views)
        writer.finish(first, "done")
        second = writer.add_step("predict", {"prompt": "again"}, [SetTo("L1.N2", 0)], parent=first)
        writer.start(second)
        writer.finish(second, "failed", error="out of memory")
        writer.add_step("logit-lens", {"prompt": "later"})
        writer.note("overshoots above 8", first)
        writer.note("about all of it")
    return path


def test_show_lists_the_steps_as_a_tree(invoke: Run, session: Path) -> None:
    out = invoke("show", session, "--width", "110").stdout
    lines = out.splitlines()
    assert lines[0].startswith("capitals · ")
    assert "\\x1b[31m" in out
    assert "└ predict" in out
    assert "L1.N2=0" in out
    assert "failed: out of memory" in out
    assert "(expected: Paris)" in out
    assert "★ about all of it" in out
    data = json.loads(invoke("show", session, "--json").stdout)
    assert [step["id"] for step in data["steps"]] == [1, 2, 3]
    assert data["title"] == "capitals"


def test_a_table_is_printed_as_lines_of_json(invoke: Run, session: Path) -> None:
    table = next(view for view in samples.every_kind() if isinstance(view, Table))
    key = str(samples.every_kind().index(table))
    lines = invoke("show", session, "1", "--jsonl", key).stdout.splitlines()
    assert len(lines) == len(table.rows)
    assert set(json.loads(lines[0])) == {column.key or column.name for column in table.columns}
    assert "no table 'x': there are" in invoke("show", session, "1", "--jsonl", "x").stderr
    assert "give its number" in invoke("show", session, "--jsonl", key).stderr
    records = list(csv.reader(io.StringIO(invoke("show", session, "1", "--csv", key).stdout)))
    assert len(records) == len(lines) + 1
    assert len(records[0]) == len(json.loads(lines[0]))
    assert "no view 'x': there are" in invoke("show", session, "1", "--csv", "x").stderr
    assert "give its number" in invoke("show", session, "--csv", key).stderr


def test_show_draws_one_step(invoke: Run, session: Path) -> None:
    out = invoke("show", session, "1", "--width", "90").stdout
    assert "' Paris' .771" in out
    assert "★ overshoots above 8" in out
    for view in samples.every_kind():
        assert view.title in out
    assert "\x1b" not in out
    assert all(len(line) <= 90 for line in out.splitlines())


def test_show_as_json_has_every_number_and_null_for_nan(invoke: Run, session: Path) -> None:
    data = json.loads(invoke("show", session, "1", "--json").stdout)
    assert len(data["views"]) == len(samples.every_kind())
    tokens = next(view for view in data["views"] if view["kind"] == "tokens")
    assert tokens["data"]["rows"][0]["values"][0] is None
    assert data["scalars"] == {"entropy": 1.5, "kl": None}
    assert data["model"] is None


def test_json_has_every_character_and_shows_a_terminal_none_that_steers(invoke: Run, session: Path) -> None:
    unseen = "\x7f\x85\x9b\u061c\u200b\u200d\u202e\u2066\u2028\ufeff\U000e0041"
    text = f"a{unseen}\x1b[31mé日本🙂"
    with SessionWriter(session) as writer:
        writer.note(text, 1)
    written = invoke("show", session, "--json").stdout
    assert not set(unseen + "\x1b") & set(written)
    assert "é日本🙂" in written
    assert json.loads(written)["notes"][-1]["text"] == text


def test_a_step_that_is_not_there(invoke: Run, session: Path) -> None:
    result = invoke("show", session, "9")
    assert result.exit_code == 2
    assert "there is no step 9" in result.stderr


def test_replay_prints_the_timeline_without_torch(session: Path, invoke: Run) -> None:
    result = invoke("replay", session)
    assert result.exit_code == 0, result.output
    for title in ("── 1 ─", "── 2 ─", "── 3 ─"):
        assert title in result.stdout
    assert "failed: out of memory" in result.stdout
    modules = modules_after("import workbench.cli; workbench.cli.main()", "replay", "--text", str(session))
    assert not modules & {*HEAVY, "textual", "sqlite_utils"}


def test_sessions_are_listed_with_what_is_wrong_with_them(invoke: Run, own_folders: Path, session: Path) -> None:
    folder = own_folders / "data" / "sessions"
    folder.mkdir(parents=True)
    session.rename(folder / "capitals.db")
    (folder / "broken.db").write_bytes(b"nothing of the kind" * 100)
    out = invoke("sessions").stdout
    assert "capitals" in out
    assert "3" in out
    data = json.loads(invoke("sessions", "--json").stdout)
    assert {Path(item["path"]).name for item in data} == {"capitals.db", "broken.db"}
    assert next(item for item in data if item["problem"])["path"].endswith("broken.db")


def test_a_file_that_is_no_session_is_a_sentence(invoke: Run, tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"nothing of the kind" * 100)
    for command in (["show", "x.db"], ["replay", "x.db"], ["note", "x.db", "hello"]):
        result = invoke(*command)
        assert result.exit_code == 2, command
        assert result.stderr.count("\n") == 1


def test_a_note_is_written(invoke: Run, session: Path) -> None:
    assert invoke("note", session, "a thought", "--step", "2").exit_code == 0
    with SessionReader(session) as reader:
        assert [note.text for note in reader.notes(2)] == ["a thought"]
    result = invoke("note", session, "a thought", "--step", "9")
    assert result.exit_code == 2
    assert "no step 9" in result.stderr
    assert invoke("note", "none.db", "x").exit_code == 2


@pytest.mark.usefixtures("worker")
def test_a_note_goes_through_the_worker_that_has_the_session(invoke: Run, tmp_path: Path) -> None:
    ran = invoke("run", "predict", "--prompt", "wait:0", "--session", "s.db", "--model", "fake:")
    assert ran.exit_code == 0, ran.output
    result = invoke("note", "s.db", "a thought", "--step", "1")
    assert result.exit_code == 0, result.output
    with SessionReader(tmp_path / "s.db") as reader:
        assert [note.text for note in reader.notes(1)] == ["a thought"]


def test_next_steps_are_command_lines_with_the_edits_that_are_on(invoke: Run, tmp_path: Path) -> None:
    path = tmp_path / "n.db"
    with SessionWriter(path) as writer:
        step = writer.add_step("predict", {"prompt": "a b"}, [SetTo("L1.N2", 0)])
        writer.start(step)
        suggestions = [
            NextStep(label="as it is", experiment="logit-lens", params={"prompt": "a b"}),
            NextStep(label="clean", experiment="predict", params={"prompt": "a b"}, edits=[]),
            NextStep(
                label="a set by its name", experiment="probe-ablate", params={"data": "m", "units": "L1.N2"}, edits=[]
            ),
            NextStep(label="of another version", experiment="nowhere", params={"x": 1}),
        ]
        writer.publish(step, headline="h", next_steps=suggestions)
        writer.finish(step, "done")
    out = invoke("show", path, "1").stdout
    assert "    workbench run logit-lens --prompt 'a b' --edit L1.N2=0\n" in out
    assert "    workbench run predict --prompt 'a b'\n" in out
    assert f"    workbench run probe-ablate --data @m --units L1.N2 --session {path}\n" in out
    assert "    workbench run nowhere\n" in out


def test_a_crafted_view_is_a_note_and_the_rest_is_drawn(invoke: Run, tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "c.db"
    with SessionWriter(path) as writer:
        step = writer.add_step("predict", {"prompt": "a"})
        writer.start(step)
        writer.publish(step, views={"a": samples.table(), "b": samples.scatter(20), "c": samples.text()})
        writer.finish(step, "done")
    connection = sqlite3.connect(path)
    names = [row[1] for row in connection.execute("PRAGMA table_info(view)")]
    column = "spec" if "spec" in names else "data"
    connection.execute(f"UPDATE view SET {column} = '{{}}' WHERE position = 1")
    connection.commit()
    connection.close()
    result = invoke("show", path, "1")
    assert result.exit_code == 0, result.output
    assert "note: the view" in " ".join(result.stdout.split())
    assert samples.text().title in result.stdout


def test_units_are_pinned_listed_and_taken_out(invoke: Run, tmp_path: Path) -> None:
    assert invoke("pin", "p.db", "L5.H3, L1.N2-3", "--set", "mine").exit_code == 0
    assert invoke("pin", "p.db", "@refusal").exit_code == 0
    listed = invoke("pin", "p.db")
    assert listed.stdout.splitlines() == ["basket  @refusal", "basket:mine  L5.H3, L1.N2, L1.N3"]
    assert invoke("pin", "p.db", "L1.N2", "--set", "mine", "--remove").exit_code == 0
    pins = json.loads(invoke("pin", "p.db", "--json").stdout)
    assert {"unit": "L1.N3", "set": "mine"} in pins
    assert {"unit": "L1.N2", "set": "mine"} not in pins
    assert [invoke("pin", "p.db", *bad).exit_code for bad in (["X9"], ["L1.N1", "--set", "a,b"])] == [2, 2]
    assert invoke("pin", "none.db").exit_code == 2
    assert not (tmp_path / "none.db").exists()


def test_saved_stacks_are_shown(invoke: Run, tmp_path: Path) -> None:
    with SessionWriter(tmp_path / "s.db") as writer:
        writer.keep_stack("months", [Entry(SetTo("L1.N1", 0.0)), Entry(SetTo("L2.N2", 0.0), on=False)])
    assert "stack:months  L1.N1=0; (L2.N2=0, off)" in invoke("show", tmp_path / "s.db").stdout
    shown = json.loads(invoke("show", tmp_path / "s.db", "--json").stdout)
    assert [entry["on"] for entry in shown["stacks"]["months"]] == [True, False]
    assert shown["stacks"]["months"][0]["edit"]["units"] == "L1.N1"


def test_show_writes_a_figure_a_view_and_overwrites_none(invoke: Run, session: Path, tmp_path: Path) -> None:
    done = invoke("show", session, "1", "--svg", "figures", "--columns", "1")
    files = sorted((tmp_path / "figures").iterdir())
    assert len(files) == len(samples.every_kind()) == len(done.stdout.split())
    assert "step-1-0.svg" in {file.name for file in files}
    assert all(ElementTree.fromstring(file.read_text()).get("width") == "234pt" for file in files)
    files[0].write_text("mine")
    again = invoke("show", session, "1", "--svg", "figures")
    assert again.exit_code
    assert f"{files[0].name} is there already: --overwrite" in " ".join(again.stderr.split())
    assert files[0].read_text() == "mine"
    assert not invoke("show", session, "1", "--svg", "figures", "--overwrite").exit_code
    assert files[0].read_text() != "mine"


def test_figures_that_can_not_be_written_are_a_sentence(invoke: Run, session: Path) -> None:
    assert "give its number" in invoke("show", session, "--svg", "figures").stderr
    done = invoke("show", session, "1", "--svg", "/proc/nowhere")
    assert done.exit_code
    assert "can't be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert "no views" in invoke("show", session, "3", "--svg", "figures").stdout


def test_keys_of_a_crafted_file_are_names_of_files_no_two_alike() -> None:
    names = _figure_names(2, ["../../etc", "a b", "a-b", "", "日本", "x" * 300])
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"step-2-[a-z0-9-]+\.svg", name) for name in names)
    assert max(map(len, names)) < 100


def test_a_long_table_is_shortened_as_a_step_ends_and_whole_where_it_is_shown(
    invoke: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "long.db"
    with SessionWriter(path) as writer:
        step = writer.add_step("predict", {"prompt": "x"})
        writer.start(step)
        writer.publish(step, views={"long": samples.table(90), "short": samples.table(20)})
        writer.finish(step, "done")
    with SessionReader(path) as reader:
        record = reader.step(step)
        views, problems = load_views(reader, step)
    print_step(Printer(90), path, record, views, problems, whole=False)
    ended = " ".join(capsys.readouterr().out.split())
    assert "20 of 90 rows shown" in ended
    assert f"every row: workbench show {path} 1" in ended
    assert "of 20 rows" not in ended
    shown = invoke("show", path, "1").stdout
    assert "rows shown" not in shown
    assert re.search(r"^ *90 ", shown, re.MULTILINE)


@pytest.mark.parametrize(("lines", "times"), [(24, 2), (200, 1)])
def test_what_was_found_is_said_again_below_what_is_longer_than_the_screen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, lines: int, times: int
) -> None:
    path = tmp_path / "long.db"
    with SessionWriter(path) as writer:
        step = writer.add_step("predict", {"prompt": "x"})
        writer.start(step)
        writer.publish(step, headline="ninety of ninety", views={"long": samples.table(90)})
        writer.finish(step, "done")
    with SessionReader(path) as reader:
        record = reader.step(step)
        views, problems = load_views(reader, step)
    monkeypatch.setenv("LINES", str(lines))
    monkeypatch.setenv("COLUMNS", "90")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_step(Printer(), path, record, views, problems)
    printed = capsys.readouterr().out
    assert printed.count("ninety of ninety") == times
    assert "ninety of ninety" in printed[:100]
