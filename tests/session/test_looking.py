"""Looking at a session never writes it, and what is wrong with a file is a sentence."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.errors import UserError
from workbench.session import query, readable_file
from workbench.session.encode import MAX_ARRAY, array_bytes, decode_view
from workbench.session.places import list_sessions, summarise
from workbench.session.reader import SessionReader
from workbench.session.writer import SessionWriter


def look_at_all(path: Path) -> None:
    with SessionReader(path) as reader:
        reader.title, reader.count(), reader.notes(), reader.pins(), reader.model(), reader.data_version()
        for row in reader.rows():
            reader.step(row.id)
            for view in reader.views(row.id):
                reader.load_view(view)


def change(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as database:
        for statement in statements:
            database.execute(statement)
    database.close()


def test_looking_writes_nothing(session: Path) -> None:
    before = (session.read_bytes(), session.stat().st_mtime_ns, sorted(os.listdir(session.parent)))
    look_at_all(session)
    assert (session.read_bytes(), session.stat().st_mtime_ns, sorted(os.listdir(session.parent))) == before


def test_a_copy_in_wal_mode_is_not_written_either(session: Path) -> None:
    change(session, "PRAGMA journal_mode = WAL")
    assert session.read_bytes()[18] == 2
    before = (session.read_bytes(), session.stat().st_mtime_ns, sorted(os.listdir(session.parent)))
    look_at_all(session)
    assert (session.read_bytes(), session.stat().st_mtime_ns, sorted(os.listdir(session.parent))) == before


def test_a_frozen_reader_notices_when_writing_begins(session: Path) -> None:
    change(session, "PRAGMA journal_mode = WAL")
    with SessionReader(session) as reader:
        assert reader.count() == 2
        first = reader.data_version()
        with SessionWriter(session) as writer:
            writer.add_step("predict", {})
            assert reader.count() == 3
            assert reader.data_version() != first


READ = """
import os, sys
from workbench.session.reader import SessionReader
if os.getuid() == 0:  # root ignores the mode of a folder
    os.setgid(65534)
    os.setuid(65534)
reader = SessionReader(sys.argv[1])
print(reader.count(), reader.notice)
"""


def read_as_nobody(path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)], capture_output=True, text=True, timeout=60, cwd=Path.cwd()
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_a_read_only_folder(session: Path, own_folders: Path, mode: str) -> None:
    folder = own_folders / "shared"
    folder.mkdir()
    shutil.copy(session, folder / "a.db")
    change(folder / "a.db", f"PRAGMA journal_mode = {mode}")
    (folder / "a.db").chmod(0o444)
    own_folders.chmod(0o755)
    folder.chmod(0o555)
    try:
        assert read_as_nobody(folder / "a.db") == "2"
    finally:
        folder.chmod(0o755)


def test_a_journal_that_cannot_be_read_from_here_is_said(session: Path, own_folders: Path) -> None:
    folder = own_folders / "shared"
    folder.mkdir()
    with SessionWriter(session) as writer:
        writer.add_step("predict", {})
        for name in ("a.db", "a.db-wal"):
            shutil.copy(session.with_name(name), folder / name)
            (folder / name).chmod(0o444)
    own_folders.chmod(0o755)
    folder.chmod(0o555)
    try:
        said = read_as_nobody(folder / "a.db")
    finally:
        folder.chmod(0o755)
    assert said.startswith("2 its newest steps may not show")


# --- what is not a session ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"x" * 5000, "no SQLite file"),
        (b"SQLite format 3\0", "cut short"),
        (b"SQLite format 3\0" + b"\xff" * 5000, "damaged|not a session|cannot be read"),
    ],
)
def test_other_files(own_folders: Path, content: bytes, sentence: str) -> None:
    path = own_folders / "x.db"
    path.write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        SessionReader(path)
    assert summarise(path).problem


def test_other_things(own_folders: Path) -> None:
    with pytest.raises(UserError, match="no session at"):
        SessionReader(own_folders / "nothing.db")
    with pytest.raises(UserError, match="a folder"):
        SessionReader(own_folders)
    os.mkfifo(own_folders / "pipe.db")
    with pytest.raises(UserError, match="not a regular file"):
        SessionReader(own_folders / "pipe.db")
    with sqlite3.connect(own_folders / "other.db") as other:
        other.execute("CREATE TABLE step (id)")
    with pytest.raises(UserError, match="not a session of the workbench"):
        SessionReader(own_folders / "other.db")
    with pytest.raises(UserError, match="not a session of the workbench"):
        SessionWriter(own_folders / "other.db")


def test_newer(session: Path) -> None:
    change(session, "PRAGMA user_version = 99")
    before = session.read_bytes()
    for opening in (SessionReader, SessionWriter):
        with pytest.raises(UserError, match="newer workbench"):
            opening(session)
    assert session.read_bytes() == before


def test_cut_short(session: Path) -> None:
    whole = session.read_bytes()
    for size in (50, 4096, len(whole) // 2, len(whole) - 1):
        session.write_bytes(whole[:size])
        for opening in (SessionReader, SessionWriter):
            with pytest.raises(UserError, match="cut short"):
                opening(session)
    session.write_bytes(whole)
    look_at_all(session)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=30))
def test_damage_is_never_a_traceback(session: Path, hits: list[tuple[int, int]]) -> None:
    data = bytearray(session.read_bytes())
    for place, value in hits:
        data[place % len(data)] = value
    damaged = session.with_name("damaged.db")
    damaged.write_bytes(data)
    try:
        look_at_all(damaged)
    except UserError as sentence:
        assert str(damaged) in str(sentence) or str(sentence)


# --- files made to hurt -------------------------------------------------------------------------------------


def test_views_and_triggers_are_not_opened(session: Path) -> None:
    change(session, "CREATE TRIGGER t AFTER INSERT ON note BEGIN DELETE FROM step; END")
    for opening in (SessionReader, SessionWriter):
        with pytest.raises(UserError, match="triggers or views"):
            opening(session)


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("ALTER TABLE step ADD COLUMN slow TEXT AS (hex(zeroblob(100000000))) VIRTUAL", "generated or hidden columns"),
        ("CREATE VIRTUAL TABLE words USING fts5(word)", "virtual tables"),
        ("CREATE INDEX slow ON step (length(params))", "indexes over expressions"),
        ("CREATE INDEX slow ON step (params) WHERE length(params) > 3", "indexes over expressions"),
        ("CREATE VIEW steps AS SELECT * FROM step", "triggers or views"),
    ],
)
def test_what_computes_is_not_opened(session: Path, statement: str, says: str) -> None:
    change(session, statement)
    for opening in (SessionReader, SessionWriter):
        with pytest.raises(UserError, match=says):
            opening(session)


def test_a_default_that_computes_is_not_opened_and_a_check_is_not_made(session: Path) -> None:
    with sqlite3.connect(session) as database:
        (made,) = database.execute("SELECT sql FROM sqlite_master WHERE name = 'note'").fetchone()
    checked = made.replace('"text" TEXT', '"text" TEXT CHECK (length([text]) > 1000)')
    assert checked != made
    change(session, "DROP TABLE note", checked)
    with SessionWriter(session) as writer:
        writer.note("short")
    computed = made.replace('"text" TEXT', '"text" TEXT DEFAULT (hex(zeroblob(100000000)))')
    change(session, "DROP TABLE note", computed)
    with pytest.raises(UserError, match="columns whose default is computed"):
        SessionReader(session)


def test_further_tables_columns_and_indexes_of_others_are_no_harm(session: Path) -> None:
    change(
        session,
        "CREATE TABLE mine (a, b DEFAULT (hex(3)), c AS (a + 1))",
        "CREATE INDEX mine_a ON mine (a)",
        "CREATE INDEX mine_step ON step (headline, experiment DESC)",
        "ALTER TABLE step ADD COLUMN stars INTEGER DEFAULT 5",
        "ALTER TABLE note ADD COLUMN author TEXT DEFAULT 'me'",
    )
    look_at_all(session)
    with SessionWriter(session) as writer:
        writer.note("still written")
    with SessionReader(session) as reader:
        assert reader.notes()[-1].text == "still written"


def test_a_link_to_itself_does_not_hide_the_other_sessions(session: Path, own_folders: Path, monkeypatch) -> None:
    monkeypatch.chdir(own_folders)
    folder = own_folders / "data" / "sessions"
    folder.mkdir()
    shutil.copy(session, folder / "good.db")
    (folder / "loop.db").symlink_to("loop.db")
    (folder / "gone.db").symlink_to("nowhere.db")
    assert [summary.title for summary in list_sessions()] == ["capitals"]


def test_a_table_that_never_ends(session: Path, monkeypatch) -> None:
    monkeypatch.setattr(readable_file, "TIME_LIMIT", 0.3)
    change(
        session,
        "DROP TABLE step",
        "CREATE VIEW step AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS id FROM n",
    )
    with pytest.raises(UserError, match="damaged"):
        SessionReader(session)


def test_a_question_that_takes_too_long_is_given_up(session: Path, monkeypatch) -> None:
    monkeypatch.setattr(readable_file, "TIME_LIMIT", 0.2)
    with SessionReader(session) as reader:
        monkeypatch.setattr(
            query,
            "PINS",
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*), '', '', 0 FROM n",
        )
        with pytest.raises(UserError, match="too long"):
            reader.pins()
        assert reader.count() == 2  # and the reader still works


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE array SET shape = '[1000000, 1000000]'",
        "UPDATE array SET shape = '[-1]'",
        "UPDATE array SET shape = '{}'",
        "UPDATE array SET shape = '[[[['",
        "UPDATE array SET dtype = 'object'",
        "UPDATE array SET dtype = 'O'",
        "UPDATE array SET dtype = 7",
        "UPDATE array_chunk SET data = zeroblob(3)",
        "UPDATE array_chunk SET data = 'text'",
        "DELETE FROM array_chunk",
        "DELETE FROM array",
        "UPDATE view SET spec = 'no json'",
        "UPDATE view SET spec = '{}'",
        "UPDATE view SET spec = NULL",
        "UPDATE view SET spec = replace(hex(zeroblob(100000)), '00', '[')",
        "UPDATE view SET spec = json_set(spec, '$.kind', 'nothing')",
        "UPDATE view SET spec = json_remove(spec, '$.title')",
        "UPDATE view SET spec = json_set(spec, '$.labels', json('[]')) WHERE kind IN ('bars', 'scatter')",
        "UPDATE view SET spec = json_set(spec, '$.rows', json('[[1],[2]]')) WHERE kind = 'table'",
        "UPDATE view SET spec = json_set(spec, '$.rows', json('[[{}, []]]')) WHERE kind = 'table'",
        "UPDATE view SET spec = json_set(spec, '$.texts', json('[[]]')) WHERE kind = 'heatmap'",
        "UPDATE view SET spec = json_set(spec, '$.tokens', json('[]')) WHERE kind = 'tokens'",
        "UPDATE view SET spec = json_set(spec, '$.edges', json('[1]')) WHERE kind = 'histogram'",
        "UPDATE view SET spec = json_set(spec, '$.x', json('[1, 2]')) WHERE kind = 'lines'",
        "UPDATE step SET params = '[1]'",
        "UPDATE step SET status = 'dancing'",
        "UPDATE step SET progress = '{\"done\": []}'",
        "UPDATE model SET info = '{}'",
        "UPDATE edit SET spec = '[]'",
    ],
)
def test_crafted_contents_are_a_sentence(session: Path, statement: str) -> None:
    change(session, statement)
    with pytest.raises(UserError):
        look_at_all(session)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE step SET headline = zeroblob(1000), label = 7, error = x'ff00fe', revision = 'x', seed = 'x'",
        "UPDATE step SET headline = replace(hex(zeroblob(2000000)), '00', '[bold]')",
        "UPDATE step SET created = 9e999, started = 'x', finished = -1",
        "UPDATE step SET owner = 'x', status = 'running'",
        "UPDATE note SET text = x'ff', created = 9e999",
        "UPDATE pin SET unit = 7, created = NULL",
        "UPDATE meta SET value = zeroblob(2000000) WHERE key = 'title'",
    ],
)
def test_crafted_texts_are_cut_and_typed(session: Path, statement: str) -> None:
    change(session, statement)
    look_at_all(session)
    with SessionReader(session) as reader:
        assert all(len(row.headline) <= 1000 and row.created < 1e11 for row in reader.rows())
        assert len(reader.title) <= 1000


def test_an_entry_larger_than_any_of_ours(session: Path) -> None:
    change(session, "UPDATE view SET spec = zeroblob(100000000) WHERE key = 'text'")
    with SessionReader(session) as reader, pytest.raises(UserError):
        reader.views(1)


def test_array_bounds() -> None:
    assert array_bytes("float32", [2, 3]) == 24
    for dtype, shape in [
        ("float32", [MAX_ARRAY]),
        ("float32", [2**62, 2**62]),
        ("complex64", [1]),
        ("float32", [True]),
        ("float32", [1] * 9),
        ("float32", "12"),
    ]:
        with pytest.raises(UserError):
            array_bytes(dtype, shape)


def test_many_large_arrays_of_one_view_are_refused_before_they_are_read() -> None:
    reference = '{"$array": "%d", "dtype": "float64", "shape": [%d]}'
    size = MAX_ARRAY // 8
    series = ", ".join(f'{{"name": "a", "y": {reference % (number, size)}}}' for number in range(5))
    rest = f'"x": {reference % (0, size)}, "series": [{series}], "x_label": "", "y_label": ""'
    spec = f'{{"kind": "lines", "title": "", {rest}}}'
    with pytest.raises(UserError, match="its arrays hold more"):
        decode_view(spec, lambda _: np.lib.stride_tricks.as_strided(np.zeros(1), (size,), (0,)))
