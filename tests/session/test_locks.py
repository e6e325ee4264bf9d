"""SQLite's locks outlive every look at a session: real processes, since POSIX locks belong to one.

The other program is any SQLite tool: opening, one SELECT, closing. It may delete the write-ahead log only where nobody
else has the file open.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT
from workbench.errors import UserError
from workbench.session.opening import wal_path
from workbench.session.reader import SessionReader
from workbench.session.writer import SessionWriter

PLAYER = """
import sys
from workbench.session.reader import SessionReader
from workbench.session.writer import SessionWriter
path = sys.argv[1]
for line in sys.stdin:
    try:
        answer = eval(line) if not line.startswith("!") else exec(line[1:])
    except Exception as error:
        answer = f"{type(error).__name__}: {error}"
    print(answer, flush=True)
"""

TOOL = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(*connection.execute("SELECT count(*) FROM step").fetchone())
connection.close()
"""


class Player:
    """Another process with the session module, told line by line what to do."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PLAYER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def says(self, line: str) -> str:
        assert self.process.stdin
        assert self.process.stdout
        print(line, file=self.process.stdin, flush=True)
        return self.process.stdout.readline().strip()

    def do(self, line: str) -> None:
        assert self.says("!" + line) == "None"


@contextmanager
def player(path: Path) -> Iterator[Player]:
    other = Player(path)
    try:
        yield other
    finally:
        other.process.kill()
        other.process.communicate()


def any_tool(path: Path) -> int:
    """What `sqlite3 FILE "SELECT count(*) FROM step"` does, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", TOOL, str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_a_second_reader_costs_the_first_one_nothing(session: Path) -> None:
    """Home looks at every session while another screen reads one; then the worker rests, and works again."""
    with player(session) as front, player(session) as worker:
        worker.do("w = SessionWriter(path); w.add_step('predict', {})")
        front.do("first = SessionReader(path)")
        assert front.says("first.count()") == "3"
        front.do("SessionReader(path).close()")
        worker.do("w.close()")
        assert wal_path(session).exists()  # somebody reads: it is emptied, never deleted
        worker.do("w = SessionWriter(path); w.add_step('predict', {})")
        assert front.says("first.count()") == "4"
        assert front.says("first.step(4).experiment") == "predict"


def test_any_tool_may_look_while_a_worker_writes_and_reads(session: Path) -> None:
    with player(session) as worker:
        worker.do("w = SessionWriter(path); w.add_step('predict', {})")
        worker.do("SessionReader(path).close()")  # the basket of a step that names it
        log = wal_path(session)
        before = os.stat(log).st_ino
        assert any_tool(session) == 3
        assert os.stat(log).st_ino == before
        worker.do("w.add_step('predict', {}); w.finish(4, 'done')")
        with SessionReader(session) as reader:
            assert reader.step(4).status == "done"
        worker.process.send_signal(signal.SIGKILL)
        worker.process.wait()
    with SessionReader(session) as reader:
        assert reader.count() == 4
        assert reader.step(4).status == "done"


def test_any_tool_may_look_while_somebody_reads_at_rest(session: Path) -> None:
    before = session.read_bytes()
    with SessionReader(session) as reader:
        assert reader.count() == 2
        assert any_tool(session) == 2
        with sqlite3.connect(session) as tool:  # and even write, as sqlite3 does without asking for WAL
            tool.execute("INSERT INTO note (text, created) VALUES ('from outside', 1.0)")
        tool.close()
        assert "from outside" in [note.text for note in reader.notes()]
    assert session.read_bytes() != before


def test_a_log_deleted_by_hand_loses_nothing(session: Path) -> None:
    """Not by a lock of ours that was dropped: `rm FILE-wal`, or a program that copies folders."""
    with SessionWriter(session) as writer, player(session) as front:
        writer.add_step("predict", {})
        front.do("r = SessionReader(path)")
        assert front.says("r.count()") == "3"
        wal_path(session).unlink()
        writer.add_step("predict", {})
        writer.finish(4, "done")
        assert front.says("r.count()") == "4"
        assert front.says("r.step(4).status") == "done"
        assert any_tool(session) == 4
    with SessionReader(session) as reader:
        assert reader.count() == 4


def test_what_changes_while_it_is_read_is_read_again(session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file at rest is read without locks: what was read across somebody's write does not count."""
    changes = iter([b"x", b""])

    class Restless(SessionReader):
        def _row(self, values):  # type: ignore[no-untyped-def]
            if next(changes, b""):
                with sqlite3.connect(self.path) as tool:
                    tool.execute("UPDATE step SET headline = 'new'")
                tool.close()
            return super()._row(values)

    with Restless(session) as reader:
        assert [row.headline for row in reader.rows()] == ["new", "new"]


def test_a_file_that_never_rests_is_a_sentence(session: Path) -> None:
    class Restless(SessionReader):
        def _row(self, values):  # type: ignore[no-untyped-def]
            os.utime(self.path)
            return super()._row(values)

    with Restless(session) as reader, pytest.raises(UserError, match="try again"):
        reader.rows()


def test_no_session_file_is_opened_but_through_sqlite(session: Path) -> None:
    """Every open of the interpreter itself is heard; SQLite's own are not among them."""
    code = f"""
import sys
heard = []
sys.addaudithook(lambda event, args: heard.append(str(args[0])) if event == "open" else None)
from workbench.session.places import summarise
from workbench.session.reader import SessionReader
from workbench.session.writer import SessionWriter
path = {str(session)!r}
with SessionWriter(path) as writer, SessionReader(path) as reader:
    writer.add_step("predict", {{}})
    reader.count(), reader.rows(), reader.step(1), summarise(path)
print([name for name in heard if name.startswith(path)])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
