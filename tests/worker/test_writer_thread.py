"""The writing thread: nothing is lost while the disk is full, and a session is free again when it rests."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import numpy as np
import pytest

from tests.session.test_trouble import large
from tests.worker.conftest import row
from workbench.errors import UserError
from workbench.session.encode import encode_views
from workbench.session.submission import make_submission
from workbench.session.update import Update
from workbench.session.writer import SessionWriter
from workbench.views import Text
from workbench.worker import writer_thread as writer_thread_module
from workbench.worker.writer_thread import WriterThread

PREDICT = make_submission("predict", {}, [])


@pytest.fixture
async def thread(monkeypatch):
    monkeypatch.setattr(writer_thread_module, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(writer_thread_module, "IDLE_SECONDS", 0.1)
    monkeypatch.setattr(writer_thread_module, "LOCK_WAIT_SECONDS", 1.0)
    told = []
    found = WriterThread(asyncio.get_running_loop(), lambda *change: told.append(change))
    found.told = told
    yield found
    await found.close()


async def comes_true(condition, seconds: float = 5.0):
    async with asyncio.timeout(seconds):
        while not (found := condition()):
            await asyncio.sleep(0.01)
    return found


def update(text: str, **views) -> Update:
    return Update(headline=text, views=encode_views(views) if views else None)


async def test_writes_are_told_and_merged(thread: WriterThread, session: str) -> None:
    step = await thread.add_step(session, PREDICT, origin="cli")
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()
    blocked = asyncio.create_task(
        thread.do(session, lambda _: asyncio.run_coroutine_threadsafe(gate.wait(), loop).result())
    )
    for number in range(100):
        thread.write(session, step, update(f"{number}", a=Text(title=f"{number}", text="")))
    thread.write(session, step, status="done")
    gate.set()
    await blocked
    await comes_true(lambda: row(session, step).status == "done")
    assert row(session, step).headline == "99"
    assert row(session, step).revision <= 4  # a hundred updates, written as one
    await comes_true(lambda: thread.told and thread.told[-1][:2] == (session, step))


async def test_a_full_disk_keeps_the_result_in_memory(thread: WriterThread, session: str) -> None:
    def limit(writer: SessionWriter, more: int) -> None:
        (pages,) = writer._connection.execute("PRAGMA page_count").fetchone()
        writer._connection.execute(f"PRAGMA max_page_count = {pages + more}")

    first = await thread.add_step(session, PREDICT, origin="cli")
    thread.write(session, first, update("first"), status="done")
    step = await thread.add_step(session, PREDICT, origin="cli")
    await thread.do(session, lambda writer: limit(writer, 6))
    thread.write(session, step, Update(headline="found", views=encode_views(large())), status="done")
    await comes_true(lambda: row(session, step).status == "failed")
    assert "disk is full; the result is kept in memory" in row(session, step).error
    assert thread.problems
    assert row(session, first).status == "done"
    await thread.do(session, lambda writer: limit(writer, 10_000))
    await comes_true(lambda: row(session, step).status == "done")
    found = row(session, step)
    assert (found.headline, found.error) == ("found", "")
    assert not thread.problems


async def test_a_session_at_rest_is_one_file_and_free(thread: WriterThread, session: str) -> None:
    step = await thread.add_step(session, PREDICT, origin="cli")
    await asyncio.sleep(0.3)
    with pytest.raises(UserError, match="being written"):
        SessionWriter(session)  # a step is open
    thread.write(session, step, status="done")
    SessionWriter(session, wait=5).close()
    assert not list(Path(session).parent.glob("a.db-*"))


async def test_a_session_that_another_writes_is_waited_for(thread: WriterThread, session: str) -> None:
    other = SessionWriter(session)
    with pytest.raises(UserError, match=f"process {os.getpid()}"):
        await thread.do(session, lambda writer: writer.note("x"))
    asyncio.get_running_loop().call_later(0.2, other.close)
    await thread.do(session, lambda writer: writer.note("x"))


async def test_a_deleted_session_is_refused_with_the_place_of_the_copy(thread: WriterThread, session: str) -> None:
    step = await thread.add_step(session, PREDICT, origin="cli")
    os.unlink(session)
    thread.write(session, step, update("found"), status="done")
    recovered = Path(session).with_name("a-recovered.db")
    await comes_true(lambda: recovered.exists() and row(str(recovered), step).status == "done")
    for _ in range(2):
        with pytest.raises(UserError, match="a-recovered.db"):
            await thread.do(session, lambda writer: writer.note("x"))
        await asyncio.sleep(0.3)  # the writer rests in between
    SessionWriter(session).close()
    await thread.do(session, lambda writer: writer.note("a new file"))


async def test_a_look_at_a_finished_session_does_not_write_it(thread: WriterThread, session: str) -> None:
    with SessionWriter(session) as writer:
        writer.finish(writer.add_step("predict", {}), "done")
    before = (Path(session).read_bytes(), os.stat(session).st_mtime_ns)
    await thread.mark_lost(session)
    assert (Path(session).read_bytes(), os.stat(session).st_mtime_ns) == before
    await thread.mark_lost(session + ".none")
    assert not os.path.exists(session + ".none")


async def test_what_waits_is_written_at_the_end(session: str) -> None:
    thread = WriterThread(asyncio.get_running_loop(), lambda *_: None)
    step = await thread.add_step(session, PREDICT, origin="cli")
    values = np.zeros(3)
    thread.write(session, step, update("found", a=Text(title="t", text=str(values))), status="done")
    await thread.close()
    assert row(session, step).status == "done"
    assert not list(Path(session).parent.glob("a.db-*"))


async def test_a_defect_in_one_session_ends_its_writing_alone(thread: WriterThread, session: str, monkeypatch) -> None:
    """With a sentence, for whoever asked; the thread goes on, also where a result waits to be written."""
    other = session.replace("a.db", "other.db")
    step = await thread.add_step(session, PREDICT, origin="cli")
    real = SessionWriter.apply

    def broken(self: SessionWriter, *args, **kwargs) -> int:
        if self.path.name == "a.db":
            raise TypeError("no such thing")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(SessionWriter, "apply", broken)
    thread.write(session, step, update("found"), status="done")
    await comes_true(lambda: thread.problems)
    assert "a.db" in thread.problems[0]
    assert "TypeError: no such thing" in thread.problems[0]
    with pytest.raises(UserError, match=r"a\.db can't be written.*TypeError"):
        await thread.do(session, lambda writer: writer.finish(step, "done"))
    second = await thread.add_step(other, PREDICT, origin="cli")
    thread.write(other, second, status="done")
    await comes_true(lambda: row(other, second).status == "done")
    monkeypatch.setattr(SessionWriter, "apply", real)
    await comes_true(lambda: row(session, step).status == "done")  # what waited is not lost
    assert row(session, step).headline == "found"
    await comes_true(lambda: not thread.problems)


async def test_after_the_end_nothing_is_taken(session: str) -> None:
    thread = WriterThread(asyncio.get_running_loop(), lambda *_: None)
    await thread.close()
    with pytest.raises(UserError, match="stopping"):
        await thread.do(session, lambda writer: writer.note("x"))
