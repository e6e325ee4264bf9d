"""The disk full, the file moved or deleted while open, older and newer schemas."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from workbench.edits import Entry, Scale, SetTo
from workbench.errors import UserError
from workbench.session import format as session_format
from workbench.session import opening, schema, writable_file
from workbench.session.reader import SessionReader
from workbench.session.submission import read_edits
from workbench.session.writable_file import CannotWrite, SessionMoved
from workbench.session.writer import SessionWriter
from workbench.views import AnyView, Lines, Series


def large(size: int = 1 << 18) -> dict[str, AnyView]:
    y = np.random.default_rng(0).random(size)
    return {"a": Lines(title="large", x=y, series=[Series(name="a", y=y)], x_label="", y_label="")}


def test_a_full_disk(session: Path) -> None:
    with SessionWriter(session) as full:
        step = full.add_step("predict", {})
        (pages,) = full._connection.execute("PRAGMA page_count").fetchone()
        full._connection.execute(f"PRAGMA max_page_count = {pages + 5}")
        with pytest.raises(CannotWrite, match="disk is full"):
            full.publish(step, headline="never", views=large())
        full.finish(step, "failed", error="the disk is full")  # this much fits
        full._connection.execute("PRAGMA max_page_count = 1000000")
        full.publish(step, headline="now", views=large())
    with SessionReader(session) as reader:
        assert reader.row(1).status == "done"
        assert reader.row(step).headline == "now"
        reader.load_view(reader.views(step)[0])


LIMITED = """
import resource, sys, signal
from tests.session.test_trouble import large
from workbench.session.writable_file import CannotWrite
from workbench.session.writer import SessionWriter
writer = SessionWriter(sys.argv[1])
step = writer.add_step("predict", {})
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
try:
    writer.publish(step, views=large())
except CannotWrite as sentence:
    print(sentence)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
writer.publish(step, headline="now", views=large())
writer.close()
"""


def test_a_limit_on_file_sizes(session: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(session)], capture_output=True, text=True, timeout=60, cwd=Path.cwd()
    )
    assert done.returncode == 0, done.stderr
    assert "cannot be written" in done.stdout
    with SessionReader(session) as reader:
        assert [row.status for row in reader.rows(0, 2)] == ["done", "failed"]
        assert reader.row(3).headline == "now"
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


@pytest.mark.parametrize("how", ["deleted", "renamed", "replaced"])
def test_a_file_that_goes_away_under_its_writer(session: Path, how: str) -> None:
    open_writer = SessionWriter(session)
    running = open_writer.add_step("predict", {"prompt": "in the journal only"})
    if how == "deleted":
        session.unlink()
    elif how == "renamed":
        session.rename(session.with_name("b.db"))
    else:
        shutil.copy(session, session.with_name("c.db"))
        session.with_name("c.db").rename(session)
    open_writer.publish(running, headline="found")
    open_writer.finish(running, "done")
    recovered = open_writer.recovered
    assert recovered == session.with_name("a-recovered.db")
    with pytest.raises(
        SessionMoved, match="(moved or deleted|replaced by another file) while it was open.*a-recovered.db"
    ):
        open_writer.add_step("predict", {})
    with pytest.raises(SessionMoved):
        open_writer.note("x")
    open_writer.close()
    with SessionReader(recovered) as reader:
        assert reader.count() == 3
        assert (reader.row(running).status, reader.row(running).headline) == ("done", "found")
        reader.load_view(reader.views(1)[0])
    if how != "replaced":
        assert not list(session.parent.glob("a.db*"))
    assert not list(session.parent.glob("a-recovered.db-*"))


def test_recovery_goes_elsewhere_where_the_folder_is_gone(session: Path, own_folders: Path) -> None:
    folder = own_folders / "project"
    folder.mkdir()
    moved = folder / "a.db"
    shutil.copy(session, moved)
    open_writer = SessionWriter(moved)
    shutil.rmtree(folder)
    open_writer.finish(1, "done")
    assert open_writer.recovered == own_folders / "data" / "sessions" / "a-recovered.db"
    open_writer.close()
    with SessionReader(own_folders / "data" / "sessions" / "a-recovered.db") as reader:
        assert reader.count() == 2


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_a_file_that_goes_away_under_its_reader(session: Path, how: str) -> None:
    with SessionReader(session) as reader:
        copy = session.with_name("c.db")
        shutil.copy(session, copy)
        session.unlink()
        if how == "replaced":
            copy.rename(session)
        with pytest.raises(UserError, match="while it was open"):
            reader.count()
        with pytest.raises(UserError, match="while it was open"):
            reader.data_version()


# --- versions ----------------------------------------------------------------------------------------------


NEXT = session_format.SCHEMA_VERSION + 1


@pytest.fixture
def two_versions(monkeypatch) -> Iterator[None]:
    """A workbench of the future, with one more migration."""
    known = list(schema.migrations._migrations)

    @schema.migration(NEXT)
    def stars(db) -> None:
        db.execute("ALTER TABLE step ADD COLUMN stars INTEGER DEFAULT 0")

    for module in (session_format, opening, writable_file):
        monkeypatch.setattr(module, "SCHEMA_VERSION", NEXT)
    yield
    schema.migrations._migrations[:] = known


def columns(path: Path) -> list[str]:
    with sqlite3.connect(path) as database:
        return [row[1] for row in database.execute("PRAGMA table_info(step)")]


def test_an_old_session_is_read_as_it_is_and_migrated_when_written(session: Path, two_versions) -> None:
    before = session.read_bytes()
    with SessionReader(session) as reader:
        rows = reader.rows()
    assert session.read_bytes() == before
    assert "stars" not in columns(session)
    SessionWriter(session).close()
    assert "stars" in columns(session)
    with SessionReader(session) as reader:
        assert reader.rows() == rows
    with sqlite3.connect(session) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (NEXT,)
        assert [name for (name,) in database.execute("SELECT name FROM _sqlite_migrations ORDER BY id")] == [
            "001_first",
            "002_stacks",
            "003_artifacts",
            f"{NEXT:03d}_stars",
        ]


def test_a_session_of_the_future_is_refused(session: Path, two_versions, monkeypatch) -> None:
    SessionWriter(session).close()
    monkeypatch.setattr(opening, "SCHEMA_VERSION", NEXT - 1)
    with pytest.raises(UserError, match=f"schema {NEXT}, this one knows {NEXT - 1}"):
        SessionReader(session)


def test_a_migration_that_fails_leaves_the_file_as_it_was(session: Path, two_versions) -> None:
    @schema.migration(NEXT)
    def broken(db) -> None:
        db.execute("ALTER TABLE step ADD COLUMN half INTEGER")
        db.execute("NONSENSE")

    with pytest.raises(UserError):
        SessionWriter(session)
    assert "half" not in columns(session)
    with SessionReader(session) as reader:
        assert reader.count() == 2


def test_a_session_from_before_there_were_stacks_has_none_until_one_is_saved(tmp_path: Path) -> None:
    session = tmp_path / "old.db"
    known = list(schema.migrations._migrations)
    schema.migrations._migrations[:] = known[:1]
    try:
        with sqlite3.connect(session) as database:
            schema.migrate(database)
    finally:
        schema.migrations._migrations[:] = known
    with SessionReader(session) as reader:
        assert reader.stacks() == {}
    entries = (Entry(SetTo("L1.N1", 0.0)), Entry(Scale("L5.H3", 2.0), on=False))
    with SessionWriter(session) as writer:
        writer.keep_stack("months", [])
        writer.keep_stack("months", entries)
        writer.keep_stack("days", entries)
        writer.keep_stack("days", [], remove=True)
    with SessionReader(session) as reader:
        assert reader.stacks() == {"months": entries}
        assert read_edits(["stack:months; L2.N2=0"], str(session)) == [SetTo("L1.N1", 0.0), SetTo("L2.N2", 0.0)]
    with sqlite3.connect(session) as database:
        assert database.execute("SELECT edits FROM stack").fetchall() == [("L1.N1=0",)]


def test_the_schema_is_as_its_document_says(session: Path) -> None:
    document = (Path(schema.__file__).parent / "SCHEMA.md").read_text()
    with sqlite3.connect(session) as database:
        for table in (*session_format.TABLES, "stack"):
            assert f"`{table}`" in document
            for row in database.execute(f"PRAGMA table_info({table})"):
                assert f"`{row[1]}`" in document, f"{table}.{row[1]}"


def test_a_file_that_takes_its_place_is_left_alone(session: Path, own_folders: Path) -> None:
    """The old one's log lay beside it, and was played into the new file: its steps were gone."""
    other = own_folders / "other.db"
    with SessionWriter(other) as new:
        for _ in range(7):
            new.finish(new.add_step("generate", {"prompt": "another"}), "done")
    with SessionWriter(session) as old:
        step = old.add_step("predict", {"prompt": "x"})
        shutil.move(other, session)
        old.finish(step, "done")
        assert old.recovered
        assert not opening.wal_path(session).exists()
        with pytest.raises(SessionMoved, match="was replaced by another file"):
            old.add_step("predict", {})
        with SessionReader(session) as reader:
            assert [row.experiment for row in reader.rows()] == ["generate"] * 7
    with SessionWriter(session) as again:
        assert again.add_step("predict", {}) == 8
    with SessionReader(session) as reader:
        assert reader.count() == 8
    with SessionReader(old.recovered) as reader:
        assert reader.row(step).status == "done"


def test_a_new_session_is_whole_without_its_log(own_folders: Path) -> None:
    path = own_folders / "new.db"
    with SessionWriter(path) as new:
        new.add_step("predict", {})
        alone = own_folders / "alone.db"
        shutil.copyfile(path, alone)
    with SessionReader(alone) as reader:
        assert reader.title == "new"


def test_a_step_whose_process_is_gone_says_what_to_do(session: Path) -> None:
    with SessionWriter(session) as left:
        step = left.add_step("predict", {})
        with left._change() as connection:
            connection.execute("UPDATE step SET owner = 'nobody' WHERE id = ?", (step,))
    with SessionReader(session) as reader:
        assert reader.step(step).status == reader.row(step).status == "lost"
        assert "run it again" in reader.step(step).error
        assert "run it again" in reader.row(step).error


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_said(own_folders: Path) -> None:
    folder = own_folders / "closed"
    folder.mkdir(mode=0o555)
    with pytest.raises(UserError, match="--session FILE"):
        SessionWriter(folder / "new.db")


def test_a_session_in_a_deleted_ones_place_takes_nothing_of_what_was_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with SessionWriter(path) as writer:
        writer.add_step("predict", {"prompt": "old"})
        left = {end: path.with_name(f"{path.name}{end}").read_bytes() for end in ("-wal", "-shm")}
    path.unlink()
    for end, content in left.items():
        path.with_name(f"{path.name}{end}").write_bytes(content)
    with SessionWriter(path) as writer:
        writer.add_step("predict", {"prompt": "new"})
    with SessionReader(path) as reader:
        assert [row.label for row in reader.rows()] == ["new"]
