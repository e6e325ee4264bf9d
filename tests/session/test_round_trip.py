"""What is written is what is read, and one file holds it."""

from __future__ import annotations

import os
import sqlite3
import string
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.session.conftest import INFO, every_view
from workbench.edits import Function, parse_edits
from workbench.errors import UserError
from workbench.report import NextStep, Progress
from workbench.session import file_system, opening, places, query, reader, store, writer
from workbench.session.encode import encode_array
from workbench.session.format import CHUNK, DTYPES, MAX_JSON
from workbench.session.owner import Owner, is_gone, this_process
from workbench.session.reader import SessionReader
from workbench.session.writer import SessionWriter
from workbench.views import Lines, Series, Text, to_builtins


def same(one, other) -> bool:
    def bits(array: np.ndarray):
        return [array.dtype.name, array.shape, array.tobytes().hex()]

    return to_builtins(one, bits) == to_builtins(other, bits)


def test_all_that_was_said(session: Path) -> None:
    with SessionReader(session) as reader:
        assert reader.title == "capitals"
        assert reader.count() == 2
        first, second = reader.rows()
        assert (first.id, first.label, first.edits, first.status) == (1, "The capital", "L1.N2=0; L2.H1*=2", "done")
        assert (first.headline, first.notes) == ("it says Paris", 1)
        assert (second.parent, second.status, second.error, second.expected) == (1, "failed", "no luck", "noise")
        assert reader.rows(1, 2) == [second] == [reader.row(2)]
        record = reader.step(1)
        assert record.model == INFO
        assert record.versions == {"torch": "2"}
        assert record.edits == [msgspec.to_builtins(edit) for edit in parse_edits(["L1.N2=0; L2.H1*=2"])]
        assert record.scalars == {"kl": 0.5, "none": None}
        assert (record.seed, record.replayable, record.params) == (3, True, {"prompt": "The capital"})
        assert [note.text for note in reader.notes()] == ["a note", "of the session"]
        assert [note.text for note in reader.notes(1)] == ["a note"]
        assert [pin.unit for pin in reader.pins()] == ["L1.N2"]
        assert reader.model() == INFO
        with pytest.raises(UserError, match="no step 7"):
            reader.step(7)
        assert reader.row(7) is None


def test_every_view_comes_back_bit_for_bit(session: Path) -> None:
    with SessionReader(session) as reader:
        rows = reader.views(1)
        assert [row.key for row in rows] == list(every_view())
        assert all(row.final for row in rows)
        for row, view in zip(rows, every_view().values(), strict=True):
            assert same(reader.load_view(row), view), row.kind


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    array=arrays.arrays(
        st.sampled_from(sorted(DTYPES)), arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5)
    )
)
def test_any_array(array: np.ndarray, own_folders: Path) -> None:
    with SessionWriter(own_folders / "any.db") as writer:
        flat = array.reshape(-1)
        step = writer.add_step("predict", {})
        writer.publish(
            step, views={"a": Lines(title="", x=flat, series=[Series(name="", y=flat)], x_label="", y_label="")}
        )
        writer.finish(step, "done")
    with SessionReader(own_folders / "any.db") as reader:
        view = reader.load_view(reader.views(step)[0])
        assert view.x.dtype == array.dtype
        assert view.x.tobytes() == array.tobytes()


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(headline=text, body=text, prompt=text, key=st.text(string.ascii_letters, min_size=1), note=text)
def test_any_text(headline: str, body: str, prompt: str, key: str, note: str, own_folders: Path) -> None:
    with SessionWriter(own_folders / "any.db") as writer:
        step = writer.add_step("predict", {"prompt": prompt})
        writer.publish(step, headline=headline, views={key: Text(title=body, text=body)}, remarks=[note])
        writer.note(note, step)
        writer.finish(step, "done", error=note)
    with SessionReader(own_folders / "any.db") as reader:
        record = reader.step(step)
        assert (record.headline, record.error, record.params) == (headline, note, {"prompt": prompt})
        assert record.remarks == [note]
        assert reader.notes(step)[0].text == note
        assert reader.load_view(reader.views(step)[0]) == Text(title=body, text=body)


def test_a_large_array_lies_in_chunks_with_a_preview(own_folders: Path) -> None:
    large = np.arange(CHUNK // 2, dtype=np.float64)  # four chunks
    with SessionWriter(own_folders / "b.db") as writer:
        step = writer.add_step("predict", {})
        writer.publish(
            step, views={"a": Lines(title="", x=large, series=[Series(name="", y=large)], x_label="", y_label="")}
        )
    with sqlite3.connect(own_folders / "b.db") as database:
        sizes = database.execute("SELECT length(data) FROM array_chunk ORDER BY number").fetchall()
        (preview,) = database.execute("SELECT preview FROM array").fetchone()
    assert sizes == [(CHUNK,)] * 4
    assert preview.startswith("0, 1, 2")
    assert "mean 262144" in preview
    with SessionReader(own_folders / "b.db") as reader:
        assert np.array_equal(reader.array(encode_array(large).hash), large)


def test_an_array_that_no_number_is_in_is_refused() -> None:
    for array in (np.array(["a"]), np.array([None]), np.array([1j])):
        with pytest.raises(UserError, match="cannot be kept"):
            encode_array(array)


def test_a_running_view_is_one_row_and_leaves_no_arrays_behind(own_folders: Path) -> None:
    path = own_folders / "c.db"
    with SessionWriter(path) as writer, SessionReader(path) as reader:
        step = writer.add_step("predict", {})
        seen = {reader.data_version()}
        for value in range(5):
            y = np.full(3, value)
            view = Lines(title=f"{value}", x=np.arange(3), series=[Series(name="a", y=y)], x_label="", y_label="")
            revision = writer.publish(step, views={"sum": view}, progress=Progress(done=value))
            assert reader.data_version() not in seen
            seen.add(reader.data_version())
        (row,) = reader.views(step)
        assert (row.title, row.final, row.revision) == ("4", False, 5)
        assert reader.row(step).revision == revision
        assert reader.step(step).progress.done == 4
        (count,) = writer._connection.execute("SELECT count(*) FROM array").fetchone()
        assert count == 2  # the last y, and x


def test_what_is_none_stays(own_folders: Path) -> None:
    with SessionWriter(own_folders / "d.db") as writer, SessionReader(own_folders / "d.db") as reader:
        step = writer.add_step("predict", {})
        writer.publish(step, headline="h", next_steps=[NextStep(label="l", experiment="e")])
        writer.publish(step, scalars={"a": 1.0})
        record = reader.step(step)
        assert (record.headline, record.scalars, record.next_steps[0].label) == ("h", {"a": 1.0}, "l")


def test_one_file_is_left(session: Path) -> None:
    assert sorted(path.name for path in session.parent.glob("a.db*")) == ["a.db"]
    assert session.read_bytes()[18] == 1  # a rollback journal: copying is enough, and looking writes nothing


def test_a_reader_that_is_there_at_the_end_loses_nothing(own_folders: Path) -> None:
    path = own_folders / "e.db"
    writer = SessionWriter(path)
    writer.add_step("predict", {})
    with SessionReader(path) as reader:
        writer.add_step("predict", {})
        writer.close()
        assert reader.count() == 2
        copy = own_folders / "copy.db"
        copy.write_bytes(path.read_bytes())  # the one file, without what lies beside it
        with SessionReader(copy) as other:
            assert other.count() == 2
        SessionWriter(path).close()
        assert reader.count() == 2


def test_on_a_network_file_system_a_rollback_journal_is_used(own_folders: Path, monkeypatch) -> None:
    path = own_folders / "f.db"
    SessionWriter(path).close()
    with SessionWriter(path):
        assert path.with_name("f.db-wal").exists()
    monkeypatch.setattr(file_system, "_mounts", lambda: [("/", "ext4"), (str(own_folders), "nfs4")])
    with SessionWriter(path) as writer:
        writer.add_step("predict", {})
        assert not path.with_name("f.db-wal").exists()
        with SessionReader(path) as reader:
            assert reader.count() == 1


def test_file_systems_are_told_apart(monkeypatch) -> None:
    monkeypatch.setattr(
        file_system,
        "_mounts",
        lambda: [("/", "ext4"), ("/home", "nfs"), ("/home/me/local", "xfs"), ("/homework", "tmpfs")],
    )
    assert file_system.file_system(Path("/home/me/a.db")) == "nfs"
    assert file_system.file_system(Path("/home/me/local/a.db")) == "nfs"  # there is no such folder: its parent counts
    assert file_system.file_system(Path("/homework/a.db")) == "ext4"
    assert file_system.is_network(Path("/home/x"))
    assert not file_system.is_network(Path("/x"))


def test_one_writer_at_a_time(session: Path) -> None:
    with SessionWriter(session), pytest.raises(UserError, match=f"process {os.getpid()}"):
        SessionWriter(session)
    link = session.with_name("link.db")
    link.symlink_to(session)
    with SessionWriter(session), pytest.raises(UserError, match="being written"):
        SessionWriter(link)
    SessionWriter(session).close()


def test_lost_steps(own_folders: Path) -> None:
    path = own_folders / "g.db"
    me = this_process()
    with SessionWriter(path) as writer:
        gone = msgspec.structs.replace(me, pid=2**22 - 1)
        writer._owner = msgspec.json.encode(gone).decode()
        lost = [writer.add_step("predict", {}), writer.add_step("predict", {})]
        writer.start(lost[1])
        writer.finish(writer.add_step("predict", {}), "done")
        writer._owner = msgspec.json.encode(msgspec.structs.replace(me, host="elsewhere")).decode()
        far = writer.add_step("predict", {})
    before = path.read_bytes()
    with SessionReader(path) as reader:
        assert [row.status for row in reader.rows()] == ["lost", "lost", "done", "queued"]
        assert reader.step(1).status == "lost"
        assert reader.lost() == lost
    assert path.read_bytes() == before
    with SessionWriter(path) as writer:
        assert writer.mark_lost() == lost
        assert writer.mark_lost() == []
    with SessionReader(path) as reader:
        assert "run it again" in reader.row(1).error
        assert reader.row(far).status == "queued"


def test_a_later_process_with_the_same_number_is_another() -> None:
    me = this_process()
    assert not is_gone(me)
    assert is_gone(msgspec.structs.replace(me, started="1"))
    assert is_gone(msgspec.structs.replace(me, boot="before"))
    assert not is_gone(msgspec.structs.replace(me, namespace="pid:[1]"))
    assert is_gone(Owner(me.host, me.boot, me.namespace, 2**22 - 1, "5"))


def test_a_python_function_is_kept_as_source_and_not_replayable(own_folders: Path) -> None:
    with SessionWriter(own_folders / "h.db") as writer, SessionReader(own_folders / "h.db") as reader:
        step = writer.add_step("predict", {}, [Function("L1.resid_post", "lambda x: x")])
        record = reader.step(step)
        assert not record.replayable
        assert record.edits == [{"op": "function", "units": "L1.resid_post", "source": "lambda x: x"}]


def test_refusals(session: Path, own_folders: Path) -> None:
    with SessionWriter(session) as writer:
        with pytest.raises(UserError, match="no step 9"):
            writer.add_step("predict", {}, parent=9)
        with pytest.raises(UserError, match="no step 9"):
            writer.note("x", 9)
        with pytest.raises(ValueError):
            writer.finish(1, "running")
    with pytest.raises(UserError, match="no folder"):
        SessionWriter(own_folders / "nowhere" / "a.db")
    with pytest.raises(UserError, match="is a folder"):
        SessionWriter(own_folders)
    other = own_folders / "text.db"
    other.write_text("this is a text of some length")
    with pytest.raises(UserError, match="no SQLite file"):
        SessionWriter(other)
    assert other.read_text() == "this is a text of some length"


def test_the_fingerprint_comes_later(own_folders: Path) -> None:
    known = msgspec.structs.replace(INFO, fingerprint="f" * 64)
    since = time.time()
    with SessionWriter(own_folders / "i.db") as writer, SessionReader(own_folders / "i.db") as reader:
        step = writer.add_step("predict", {})
        writer.start(step, INFO)
        assert reader.step(step).fingerprint == ""
        writer.set_fingerprint(known, time.time() + 1)
        assert reader.step(step).fingerprint == ""  # an earlier row may be of other weights
        writer.set_fingerprint(known, since)
        assert reader.step(step).fingerprint == "f" * 64
        assert reader.model() == known


def test_pins_are_in_a_set_once(session: Path) -> None:
    with SessionWriter(session) as writer, SessionReader(session) as reader:
        writer.pin("L1.N2")
        writer.pin("L1.N2", "mine")
        assert [(pin.unit, pin.name) for pin in reader.pins()] == [("L1.N2", ""), ("L1.N2", "mine")]
        writer.pin("L1.N2", remove=True)
        assert [(pin.unit, pin.name) for pin in reader.pins()] == [("L1.N2", "mine")]


def test_a_failed_transaction_leaves_nothing(session: Path, monkeypatch) -> None:
    with SessionWriter(session) as writer, SessionReader(session) as reader:
        before = reader.views(1)
        monkeypatch.setattr(store, "put_end", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            writer.finish(1, "cancelled")
        assert reader.views(1) == before
        assert reader.row(1).status == "done"


def test_ten_thousand_steps_open_at_once(own_folders: Path) -> None:
    path = own_folders / "large.db"
    with SessionWriter(path) as writer:
        first = writer.add_step("predict", {"prompt": "The capital of France is " * 20})
        writer.finish(first, "done")
        columns = ", ".join(
            row[1] for row in writer._connection.execute("PRAGMA table_info(step)") if row[1] not in ("id", "parent")
        )
        writer._connection.execute(
            f"WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) "
            f"INSERT INTO step (id, parent, {columns}) SELECT i, i - 1, {columns} FROM n, step WHERE step.id = 1"
        )
    start = time.perf_counter()
    with SessionReader(path) as reader:
        assert reader.count() == 10_000
        assert reader.rows(9960, 10_000)[-1].id == 10_000
        opened = time.perf_counter() - start
        times = []
        for place in range(0, 9960, 400):
            start = time.perf_counter()
            reader.rows(place, place + 40)
            times.append(time.perf_counter() - start)
    assert opened < 0.2
    assert sorted(times)[len(times) // 2] < 0.02


def test_home_lists_sessions_and_says_what_is_wrong_with_others(own_folders: Path, monkeypatch) -> None:
    monkeypatch.chdir(own_folders)
    assert places.new_session_path("x").parent == own_folders / "data" / "sessions"
    (own_folders / "sessions").mkdir()
    first = places.new_session_path("x")
    assert first == own_folders / "sessions" / "x.db"
    with SessionWriter(first) as writer:
        writer.publish(writer.add_step("predict", {}), headline="it says")
    assert places.new_session_path("x").name == "x-2.db"
    (own_folders / "sessions" / "bad.db").write_text("nothing of ours")
    found = {Path(summary.path).name: summary for summary in places.list_sessions()}
    assert (found["x.db"].steps, found["x.db"].last, found["x.db"].problem) == (1, "it says", "")
    assert "no SQLite file" in found["bad.db"].problem


@pytest.mark.parametrize("character", ["a", "Ж", "\x01", "\n"])
def test_what_is_written_can_be_read_however_large(
    own_folders: Path, character: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the limits that both have, here a hundredth of them: a character takes one byte, or six as JSON."""
    limit = MAX_JSON // 128
    for module in (opening, reader, writer):
        monkeypatch.setattr(module, "MAX_JSON", limit)
    monkeypatch.setattr(query, "STEP", query.STEP.replace(str(MAX_JSON), str(limit)))
    path, refused, n = own_folders / "a.db", 0, 0
    with SessionWriter(path) as session:
        for n_characters in (limit // 8, limit // 6 - 99, limit // 2 - 99, limit - 99, limit, 2 * limit, 3 * limit):
            text = character * n_characters
            try:
                step = session.add_step("predict", {"prompt": text})
            except UserError as error:
                assert "a session keeps at most" in str(error)
                refused += 1
                continue
            n += 1
            with SessionReader(path) as opened:
                assert opened.step(step).params["prompt"] == text
                assert len(opened.rows()) == n
                assert opened.find(["predict"])
    assert refused >= 2
    assert n >= 2
