"""Steps, peeks, cancel and crashes, over a model without torch."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.worker.conftest import Open, ask_for, row, until, until_row
from workbench.edits import parse_edits
from workbench.errors import UserError
from workbench.judging import JudgeCommand
from workbench.session.reader import SessionReader
from workbench.session.writer import SessionWriter
from workbench.worker.client import run_step, stop_workers
from workbench.worker.protocol import Attach, Cancel, Changed, Note, Peek, Pin, Rename, Submit, WorkerStatus


async def test_a_judge_comes_with_a_request_and_from_nowhere_else(worker: Open, session: str) -> None:
    client = await worker()
    sets = {name: [{"prompt": "The capital of France is"}] for name in ("harmful", "harmless")}
    params = {"direction": "@L1.N2.out", **sets}
    sent = session.replace("a.db", "sent.db")  # somebody's, with a judge among its parameters: it is refused, not run
    with SessionWriter(sent) as writer:
        writer.add_step("arms", {**params, "judge": ["/bin/my-judge"]})
    judge = JudgeCommand(argv=["/bin/my-judge", "--secret-word"], folder="/")

    async def notes(**more: Any) -> list[str]:
        step = await run_step(client, Submit(session=session, experiment="arms", params=params, **more))
        with SessionReader(session) as reader:
            return list(reader.step(step).remarks)

    assert await notes(judge=judge) == ["came with a judge"]
    assert await notes() == ["came without a judge"]
    assert await notes(judge=judge, parent=1, again=True) == ["came without a judge"]
    assert b"secret-word" not in Path(session).read_bytes()
    with pytest.raises(UserError, match="nothing that a judge could read"):
        await run_step(client, ask_for(session, "hello", judge=judge))
    with SessionReader(sent) as reader:
        record = reader.step(1)
    with pytest.raises(UserError, match="no parameter 'judge'"):
        await run_step(client, Submit(session=sent, experiment="arms", params=record.params, parent=1, again=True))


async def test_a_step_from_start_to_end(worker: Open, session: str) -> None:
    client = await worker()
    heard: list[int] = []
    step = await run_step(client, ask_for(session, "hello", expected="words", seed=4), heard.append)
    assert heard[-1] == step == 1
    with SessionReader(session) as reader:
        record = reader.step(step)
        assert (record.status, record.headline, record.seed, record.expected) == ("done", "did hello", 4, "words")
        assert record.model.name == "fake"
        assert record.versions["python"]
        assert record.params["prompt"] == "hello"
        assert "chat" in record.params  # all parameters, not only those that were given
        assert record.command == "workbench run predict --prompt hello --model fake --seed 4"
        assert record.created <= record.started <= record.finished
        assert reader.load_view(reader.views(step)[0]).text == "hello"
    await until(client, lambda status: status.info.fingerprint == "f" * 64)
    with SessionReader(session) as reader:
        async with asyncio.timeout(5):
            while reader.step(step).fingerprint != "f" * 64:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ({"experiment": "nothing"}, "no experiment 'nothing'"),
        ({"params": {"promt": "x"}}, "no parameter 'promt'"),
        ({"params": {"prompt": "x", "top_k": "many"}}, "top_k"),
        ({"session": "relative.db"}, "absolute path"),
        ({"session": "/nowhere/at/all.db"}, "no folder"),
        ({"parent": 12}, "no step 12"),
    ],
)
async def test_what_could_never_run_is_refused(worker: Open, session: str, message: dict, sentence: str) -> None:
    client = await worker()
    given = {"session": session, "experiment": "predict", "params": {"prompt": "x"}} | message
    with pytest.raises(UserError, match=sentence):
        await client.request(Submit(**given))


async def test_edits_are_checked_against_the_model_once_it_is_known(worker: Open, session: str) -> None:
    client = await worker()
    await until(client, lambda status: status.stage == "ready")
    with pytest.raises(UserError, match="no layer 7"):
        await client.request(ask_for(session, "x", edits=parse_edits(["L7.N1=0"])))
    assert not os.path.exists(session)


async def test_failures_are_sentences(worker: Open, session: str) -> None:
    client = await worker()
    step = await run_step(client, ask_for(session, "fail:there is no such thing"))
    assert (row(session, step).status, row(session, step).error) == ("failed", "there is no such thing")
    step = await run_step(client, ask_for(session, "defect"))
    assert "defect (ZeroDivisionError: by nothing)" in row(session, step).error
    assert row(session, step).headline == "began defect"  # what it had said is kept


async def test_a_gpu_that_fails_for_good_costs_a_model_process_and_one_that_is_full_does_not(
    worker: Open, session: str
) -> None:
    client = await worker()
    before = (await until(client, lambda status: status.stage == "ready")).model_pid
    await run_step(client, ask_for(session, "gpu:out of memory"))
    assert (await until(client, lambda status: status.stage == "ready")).model_pid == before
    for asked in ("step", "peek"):
        before = (await until(client, lambda status: status.stage == "ready")).model_pid
        what = "gpu:an illegal memory access was encountered"
        if asked == "step":
            error = row(session, await run_step(client, ask_for(session, what))).error
        else:
            ask = {"experiment": "predict", "slot": "card"}
            error = (await client.request(Peek(params={"prompt": what}, **ask))).error
        assert "the GPU failed (CUDA error: an illegal memory access was encountered)" in error
        done = await run_step(client, ask_for(session, "after"))
        assert row(session, done).status == "done"
        assert (await until(client, lambda status: status.stage == "ready")).model_pid != before


@pytest.mark.parametrize(
    ("how", "sentence"), [("crash", "SIGSEGV"), ("killed", "memory runs out"), ("exit", "exit code 7")]
)
async def test_a_crash_fails_the_step_and_the_next_one_runs(
    worker: Open, session: str, how: str, sentence: str
) -> None:
    client = await worker()
    broken = (await client.request(ask_for(session, how))).step
    queued = await run_step(client, ask_for(session, "after"))
    assert row(session, broken).status == "failed"
    assert sentence in row(session, broken).error
    assert row(session, queued).status == "done"


async def test_kill_9_of_the_model_process(worker: Open, session: str) -> None:
    client = await worker()
    status = await until(client, lambda status: status.stage == "ready")
    step = (await client.request(ask_for(session, "batches:1000:0.05"))).step
    await until_row(session, step, "running")
    with SessionReader(session) as reader:
        async with asyncio.timeout(10):
            while len(reader.views(step)) < 2:
                await asyncio.sleep(0.02)
    os.kill(status.model_pid, signal.SIGKILL)
    found = await until_row(session, step, "failed")
    assert "signal 9" in found.error
    with SessionReader(session) as reader:
        assert len(reader.views(step)) == 2  # what it had published is kept, and readable
        for view in reader.views(step):
            reader.load_view(view)
    await run_step(client, ask_for(session, "again"))


async def test_a_process_that_keeps_dying_is_given_up_and_tried_again_when_asked(worker: Open, session: str) -> None:
    client = await worker("fake:dies")
    for _ in range(2):
        step = await run_step(client, ask_for(session, "x"))
        assert "ended 3 times within 5 minutes" in row(session, step).error
        status = await until(client, lambda status: status.stage == "failed")
        assert "try once more" in status.detail


async def test_a_model_that_is_not_there(worker: Open, session: str) -> None:
    client = await worker("fake:none", "--idle-seconds=1")
    step = await run_step(client, ask_for(session, "x"))
    assert (row(session, step).status, row(session, step).error) == ("failed", "there is no model of this name")
    status = await until(client, lambda status: status.stage == "failed")
    assert status.detail == "there is no model of this name"
    async with asyncio.timeout(10):
        await client.closed.wait()  # and it does not stay for long


async def test_cancel_that_is_obeyed(worker: Open, session: str) -> None:
    client = await worker()
    status = await until(client, lambda status: status.stage == "ready")
    for prompt in ("batches:1000:0.01", "wait:1000"):
        running = (await client.request(ask_for(session, prompt))).step
        queued = (await client.request(ask_for(session, "never"))).step
        await until_row(session, running, "running")
        await client.request(Cancel(session=session, step=queued))
        await client.request(Cancel(session=session, step=running))
        assert (await until_row(session, running, "cancelled")).headline.startswith("began")
        await until_row(session, queued, "cancelled")
        with pytest.raises(UserError, match="does not run"):
            await client.request(Cancel(session=session, step=queued))
    assert (await until(client, lambda status: not status.jobs)).model_pid == status.model_pid


async def test_cancel_that_is_not_obeyed_kills(worker: Open, session: str) -> None:
    client = await worker("fake", "--cancel-seconds=0.3")
    status = await until(client, lambda status: status.stage == "ready")
    stuck = (await client.request(ask_for(session, "stuck"))).step
    queued = (await client.request(ask_for(session, "after"))).step
    await until_row(session, stuck, "running")
    await client.request(Cancel(session=session, step=stuck))
    assert "did not stop by itself" in (await until_row(session, stuck, "cancelled")).error
    await until_row(session, queued, "done")
    assert (await until(client, lambda status: status.stage == "ready")).model_pid != status.model_pid


async def test_what_runs_beside_a_stuck_step_fails_with_the_reason(worker: Open, session: str) -> None:
    client = await worker("fake", "--cancel-seconds=0.3")
    outer = (await client.request(ask_for(session, "batches:1000:0.01", long=True))).step
    await until_row(session, outer, "running")
    inner = (await client.request(ask_for(session, "stuck"))).step
    await until_row(session, inner, "running")
    await client.request(Cancel(session=session, step=inner))
    await until_row(session, inner, "cancelled")
    assert f"because step {inner} did not stop" in (await until_row(session, outer, "failed")).error


async def test_interactive_steps_get_their_turn_and_change_nothing(worker: Open, session: str) -> None:
    client = await worker()
    alone = await run_step(client, ask_for(session, "batches:20:0.02", seed=5, long=True))
    outer = (await client.request(ask_for(session, "batches:20:0.02", seed=5, long=True))).step
    await until_row(session, outer, "running")
    for prompt in ("hello", "fail:on purpose", "defect", "batches:2:0.01"):
        inner = await run_step(client, ask_for(session, prompt))
        assert row(session, inner).status in ("done", "failed")
    assert row(session, outer).status == "running"
    await until_row(session, outer, "done")
    with SessionReader(session) as reader:
        assert reader.step(alone).scalars["total"] == reader.step(outer).scalars["total"]
        first, second = (reader.load_view(reader.views(step)[1]) for step in (alone, outer))
        assert np.array_equal(first.series[0].y, second.series[0].y)


async def test_a_second_batch_waits(worker: Open, session: str) -> None:
    client = await worker()
    first = (await client.request(ask_for(session, "batches:30:0.02", long=True))).step
    second = (await client.request(ask_for(session, "batches:1:0.01", long=True))).step
    await until_row(session, second, "done")
    assert row(session, first).status == "done"
    with SessionReader(session) as reader:
        assert reader.step(first).finished <= reader.step(second).started


async def test_a_hook_left_between_batches_fails_the_step(worker: Open, session: str) -> None:
    client = await worker()
    outer = (await client.request(ask_for(session, "leak", long=True))).step
    await until_row(session, outer, "running")
    await client.request(ask_for(session, "x"))
    assert "a hook is installed between batches" in (await until_row(session, outer, "failed")).error


async def test_peeks(worker: Open, session: str) -> None:
    client = await worker()
    ask = {"experiment": "predict", "slot": "card"}
    answer = await client.request(Peek(params={"prompt": "hello"}, **ask))
    assert (answer.headline, answer.views[0]["text"], answer.error) == ("did hello", "hello", "")
    assert not os.path.exists(session)
    assert (await client.request(Peek(params={"prompt": "fail:no"}, **ask))).error == "no"
    running = asyncio.create_task(client.request(Peek(params={"prompt": "wait:0.5"}, **ask)))
    await asyncio.sleep(0.1)
    replaced = asyncio.create_task(client.request(Peek(params={"prompt": "old"}, **ask)))
    await asyncio.sleep(0.05)
    newest = await client.request(Peek(params={"prompt": "new"}, **ask))
    assert newest.headline == "did new"
    assert (await replaced).replaced
    assert (await running).headline == "did wait:0.5"
    answer = await client.request(Peek(params={"prompt": "big:800"}, **ask))
    (array,) = {str(view["x"]["shape"]) for view in answer.views if view["kind"] == "lines"}
    assert array == "[100]"
    crashed = await client.request(Peek(params={"prompt": "crash"}, **ask))
    assert "SIGSEGV" in crashed.error


async def test_two_fronts_hear_of_each_other(worker: Open, session: str) -> None:
    first, second = await worker(), await worker()
    heard: list[Changed] = []
    stages: list[str] = []

    def hear(event: object) -> None:
        if isinstance(event, Changed):
            heard.append(event)
        elif isinstance(event, WorkerStatus):
            stages.append(event.stage)

    second.on_event = hear
    await second.request(Attach(session=session))
    step = await run_step(first, ask_for(session, "wait:0.3"))
    async with asyncio.timeout(5):
        while not any(change.step == step and change.revision >= 3 for change in heard) or stages[-1:] != ["ready"]:
            await asyncio.sleep(0.01)
    assert "busy" in stages
    assert {change.session for change in heard} == {session}


async def test_notes_pins_and_names(worker: Open, session: str) -> None:
    client = await worker()
    step = await run_step(client, ask_for(session, "x"))
    await client.request(Note(session=session, step=step, text="look"))
    await client.request(Pin(session=session, unit="L1.N2"))
    await client.request(Rename(session=session, title="my session"))
    with pytest.raises(UserError, match="no step 9"):
        await client.request(Note(session=session, step=9, text="look"))
    with SessionReader(session) as reader:
        assert [note.text for note in reader.notes(step)] == ["look"]
        assert [pin.unit for pin in reader.pins()] == ["L1.N2"]
        assert reader.title == "my session"


async def test_a_large_result_arrives_whole(worker: Open, session: str) -> None:
    client = await worker()
    step = await run_step(client, ask_for(session, "big:40000000"))
    with SessionReader(session) as reader:
        view = reader.load_view(reader.views(step)[1])
        assert view.x.shape == (5_000_000,)


async def test_a_session_that_another_process_writes_is_refused(worker: Open, session: str) -> None:
    client = await worker()
    with SessionWriter(session), pytest.raises(UserError, match=f"process {os.getpid()}"):
        await client.request(ask_for(session, "x"))
    await run_step(client, ask_for(session, "x"))


async def test_a_newer_session_is_refused(worker: Open, session: str) -> None:
    with SessionWriter(session) as writer:
        writer._connection.execute("PRAGMA user_version = 99")
    client = await worker()
    with pytest.raises(UserError, match="newer workbench"):
        await client.request(ask_for(session, "x"))


async def test_parts_of_a_step_are_steps_under_it(worker: Open, session: str) -> None:
    client = await worker()
    step = await run_step(client, ask_for(session, "parts:", seed=4))
    await until_row(session, 3, "done")
    with SessionReader(session) as reader:
        assert [found.parent for found in reader.rows(0, 10)] == [None, step, step]
        for number in (1, 2):
            part = reader.step(step + number)
            assert (part.headline, part.status, part.seed, part.origin) == (f"did part {number}", "done", 4, "part")
            assert part.params["prompt"] == f"part {number}"
            assert part.started <= part.finished
            assert part.command.startswith(f"workbench run predict --prompt 'part {number}' --edit L1.N{number}=0")
            assert reader.load_view(reader.views(part.id)[0]).text == f"{number}: 2"
        whole = reader.step(step)
        assert whole.progress.stage == "part 2"
        assert reader.load_view(reader.views(step)[0]).text == "both parts"


async def test_a_part_that_fails_says_why_also_where_its_step_goes_on(worker: Open, session: str) -> None:
    client = await worker()
    await run_step(client, ask_for(session, "parts:skip"))
    await until_row(session, 4, "done")
    with SessionReader(session) as reader:
        assert [found.status for found in reader.rows(0, 10)] == ["done", "failed", "done", "done"]
        part = reader.step(2)
        assert (part.headline, part.error) == ("began part 0", "this part failed")


async def test_a_part_that_is_not_over_ends_like_its_step(worker: Open, session: str) -> None:
    client = await worker()
    await run_step(client, ask_for(session, "parts:fail"))
    await until_row(session, 3, "failed")
    again = (await client.request(ask_for(session, "parts:wait"))).step
    with SessionReader(session) as reader:
        async with asyncio.timeout(20):
            while reader.count() < again + 2:
                await asyncio.sleep(0.01)
    await until_row(session, again + 2, "running")
    await client.request(Cancel(session=session, step=again))
    await until_row(session, again + 2, "cancelled")
    with SessionReader(session) as reader:
        assert [found.status for found in reader.rows(0, 10)] == [
            *("failed", "done", "failed"),
            *("cancelled", "done", "cancelled"),
        ]


async def test_stopping_ends_the_parts_of_a_step(worker: Open, session: str) -> None:
    client = await worker()
    step = (await client.request(ask_for(session, "parts:wait"))).step
    with SessionReader(session) as reader:
        async with asyncio.timeout(20):
            while reader.count() < step + 2:
                await asyncio.sleep(0.01)
    await stop_workers()
    with SessionReader(session) as reader:
        assert [found.status for found in reader.rows()] == ["cancelled", "done", "cancelled"]
