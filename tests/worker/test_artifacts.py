"""What `@name` and a set stand for where a run is submitted, against a worker without torch."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.session import old
from tests.worker.conftest import Open
from tests.worker.fake_lab import INFO
from tests.worker.test_stories import at_rest, run_step
from workbench.artifacts.direction import Direction, Origin, directions_dir
from workbench.edits import Edit, parse_edits
from workbench.errors import UserError
from workbench.session.directions import resolve_directions
from workbench.session.reader import SessionReader
from workbench.session.records import StepRecord
from workbench.session.writer import SessionWriter
from workbench.views import from_builtins
from workbench.worker.client import WorkerClient
from workbench.worker.peeks import peek_views
from workbench.worker.protocol import KeepDirection, Peek, RenameArtifact, Submit


def keep(*numbers: float) -> Path:
    directions_dir().mkdir(parents=True, exist_ok=True)
    file = directions_dir() / "refusal.npy"
    np.save(file, np.array(numbers, np.float32))
    return file


async def ran(client: WorkerClient, session: str, **more: Any) -> StepRecord:
    given: dict[str, Any] = {
        "session": session,
        "experiment": "predict",
        "params": {"prompt": "x"},
        "edits": parse_edits(["L1.resid_post+=2*@refusal"]),
        **more,
    }
    step = await run_step(client, Submit(**given))
    with SessionReader(session) as reader:
        return reader.step(step)


async def again(client: WorkerClient, session: str, record: StepRecord) -> StepRecord:
    """As the timeline runs a step again."""
    edits = from_builtins(record.edits, as_type=list[Edit])
    more = {"experiment": record.experiment, "params": record.params, "edits": edits}
    return await ran(client, session, parent=record.id, again=True, **more)


async def test_the_numbers_come_from_the_folder_then_from_the_session(worker: Open, session: str) -> None:
    client = await worker()
    file = keep(1, 2, 3, 4)
    first = await ran(client, session)
    assert first.scalars["@refusal"] == 10
    file.unlink()
    assert (await ran(client, session)).scalars["@refusal"] == 10
    with SessionReader(session) as reader:
        (row,) = reader.artifacts()
        assert (row.kind, row.name, row.step, row.steps) == ("direction", "refusal", 1, 2)
        assert [use.name for use in reader.artifacts_of(2)] == ["refusal"]


async def test_a_step_runs_again_with_the_vector_it_recorded(worker: Open, session: str) -> None:
    client = await worker()
    keep(1, 2, 3, 4)
    first = await ran(client, session)
    keep(5, 5, 5, 5)
    same = await again(client, session, first)
    assert same.scalars["@refusal"] == 10
    assert any("holds another by now" in remark for remark in same.remarks)
    plain = await ran(client, session)
    assert plain.scalars["@refusal"] == 10
    assert any("holds another by now" in remark for remark in plain.remarks)


async def test_the_name_may_stand_for_another_by_now(worker: Open, session: str) -> None:
    client = await worker()
    keep(1, 2, 3, 4)
    first = await ran(client, session)
    await client.close()
    await at_rest(session)
    with SessionWriter(session, wait=10) as writer:
        writer.remove_artifact("direction", "refusal")
    keep(5, 5, 5, 5)
    client = await worker()
    second = await ran(client, session)
    assert second.scalars["@refusal"] == 20
    assert second.remarks == []
    same = await again(client, session, first)
    assert same.scalars["@refusal"] == 10
    assert any("the name stands for another by now" in remark for remark in same.remarks)
    assert (await ran(client, session)).scalars["@refusal"] == 20, "a run again took the name"


async def test_a_session_copied_alone_runs_again(worker: Open, session: str, own_folders: Path) -> None:
    client = await worker()
    file = keep(1, 2, 3, 4)
    rows = [{"prompt": "one", "answer": "", "foil": ""}, {"prompt": "two", "answer": "", "foil": ""}]
    first = await ran(client, session, params={"prompt": "", "prompts": rows}, names={"prompts": "numbers"})
    await client.close()
    await at_rest(session)
    file.unlink()
    copy = str(own_folders / "elsewhere.db")
    shutil.copyfile(session, copy)
    client = await worker()
    with SessionReader(copy) as reader:
        assert reader.step(first.id).params["prompts"] == rows
        assert reader.row(first.id).label == "numbers, 2 prompts"  # type: ignore[union-attr]
    same = await again(client, copy, first)
    assert same.scalars["@refusal"] == 10
    assert same.params == first.params
    with SessionReader(copy) as reader:
        assert reader.row(same.id).label == "numbers, 2 prompts"  # type: ignore[union-attr]


async def test_a_name_that_stands_for_nothing_is_refused(worker: Open, session: str) -> None:
    client = await worker()
    with pytest.raises(UserError, match="no direction @refusal"):
        await ran(client, session)
    with pytest.raises(UserError, match="no direction @nowhere"):
        await ran(client, session, experiment="activations", edits=[], params={"prompt": "x", "units": "@nowhere"})


async def test_a_peek_takes_the_sessions_direction(worker: Open, session: str) -> None:
    client = await worker()
    file = keep(1, 2, 3, 4)
    await ran(client, session)
    file.unlink()
    edits = parse_edits(["@refusal=0"])
    peek = Peek(slot="a", experiment="predict", params={"prompt": "x"}, edits=edits, session=session)
    answer = await client.request(peek)
    assert answer.scalars["@refusal"] == 10
    assert peek_views(answer)
    with SessionWriter(session, wait=10) as writer:
        writer.remove_artifact("direction", "refusal")
    keep(5, 5, 5, 5)
    assert (await client.request(peek)).scalars["@refusal"] == 20
    about = msgspec.structs.replace(peek, step=1)
    assert (await client.request(about)).scalars["@refusal"] == 10
    file.unlink()
    with pytest.raises(UserError, match="no direction @refusal"):
        await client.request(Peek(slot="a", experiment="predict", params={"prompt": "x"}, edits=edits))


@pytest.mark.parametrize("make", [old.version_1, old.version_2])
async def test_an_old_session_runs_again(worker: Open, session: str, make: Any) -> None:
    make(Path(session))
    with SessionReader(session) as reader:
        before = reader.step(1)
        count = reader.count()
    client = await worker()
    same = await again(client, session, before)
    assert (same.status, same.parent, same.params["prompt"]) == ("done", 1, before.params["prompt"])
    assert same.params.get("prompts") == before.params.get("prompts")
    with SessionReader(session) as reader:
        assert reader.count() == count + 1
        assert reader.step(1).params == before.params


async def test_a_step_that_meant_stored_weights_uses_them_again(worker: Open, session: str) -> None:
    old.version_2(Path(session))
    edits = parse_edits(["L1.resid_post+=2*@L1.N2.in; L0.resid_post@L0.N3.out=0; L1.resid_post-=@L1.N2.gate.raw"])
    connection = sqlite3.connect(session)
    connection.execute("DELETE FROM edit")
    for position, edit in enumerate(edits):
        spec = msgspec.json.encode(edit).decode()
        connection.execute(
            "INSERT INTO edit (step, position, op, units, text, spec) VALUES (1, ?, 'add', ?, ?, ?)",
            (position, edit.units, str(edit), spec),
        )
    connection.commit()
    connection.close()
    with SessionReader(session) as reader:
        before = reader.step(1)
    client = await worker()
    same = await again(client, session, before)
    texts = [str(edit) for edit in from_builtins(same.edits, as_type=list[Edit])]
    assert texts == [
        "L1.resid_post+=2*@L1.N2.in.raw",
        "L0.resid_post@L0.N3.out.raw=0",
        "L1.resid_post-=@L1.N2.gate.raw",
    ]
    (remark,) = [remark for remark in same.remarks if "as stored" in remark]
    assert remark.startswith("step 1 meant the weights as stored")
    assert ".in.raw" in same.command
    third = await again(client, session, same)
    assert third.remarks == []
    fresh = await ran(client, session, edits=edits)
    assert next(str(edit) for edit in from_builtins(fresh.edits, as_type=list[Edit])) == "L1.resid_post+=2*@L1.N2.in"
    forked = await again(client, session, fresh)
    assert forked.edits == fresh.edits, "a step of this version means effective weights"


async def test_an_open_session_gets_and_renames_directions_by_messages(worker: Open, session: str) -> None:
    client = await worker()
    keep(1, 2, 3, 4)
    await ran(client, session)
    vector = np.array([1, 0, 0, 0], "<f4").tobytes()
    made = Direction(name="caps", vector=vector, origin=Origin(purpose="add", layer=1, site="resid_pre"))
    await client.request(KeepDirection(session=session, direction=made))
    assert (await ran(client, session, edits=parse_edits(["@caps=0"]))).scalars["@caps"] == 1
    with pytest.raises(UserError, match="another direction 'refusal' already"):
        renamed = RenameArtifact(session=session, kind="direction", name="caps", new_name="refusal")
        await client.request(renamed)
    await client.request(RenameArtifact(session=session, kind="direction", name="caps", new_name="upper-case"))
    assert (await ran(client, session, edits=parse_edits(["@upper-case=0"]))).scalars["@upper-case"] == 1
    with pytest.raises(UserError, match="no direction @caps"):
        await ran(client, session, edits=parse_edits(["@caps=0"]))
    for name in ("a b", "L1.N2.in"):
        with pytest.raises(UserError, match="no name for a direction"):
            await client.request(RenameArtifact(session=session, kind="direction", name="upper-case", new_name=name))


async def test_what_a_step_used_of_another_model_it_uses_again(worker: Open, session: str) -> None:
    vector = np.array([1, 0, 0, 0], "<f4").tobytes()
    made = Direction(name="caps", vector=vector, origin=Origin(fingerprint="e" * 64, model="base"))
    with SessionWriter(session) as writer:
        step = writer.add_step("predict", {"prompt": "x"}, parse_edits(["@caps=0"]), uses=[made.use])
        info = msgspec.structs.replace(INFO, fingerprint="f" * 64)
        writer.start(step, info)
        writer.finish(step, "done")
    assert resolve_directions(["caps"], session, step)["caps"].transfer
    assert not resolve_directions(["caps"], session)["caps"].transfer
    assert resolve_directions(["caps"], session, transfer=True)["caps"].transfer


async def test_a_transfer_is_in_the_steps_command_and_goes_with_its_direction(worker: Open, session: str) -> None:
    client = await worker()
    keep(1, 2, 3, 4)
    assert "--transfer" not in (await ran(client, session)).command
    assert "--transfer" in (await ran(client, session, transfer=True)).command


async def test_a_step_makes_directions_that_later_steps_use_by_name(worker: Open, session: str) -> None:
    client = await worker()
    made = await ran(client, session, params={"prompt": "make:3"}, edits=[])
    assert made.status == "done"
    with SessionReader(session) as reader:
        rows = {row.name: row for row in reader.artifacts()}
        assert set(rows) == {"made", "other", "late"}
        assert {row.step for row in rows.values()} == {made.id}
        assert {use.role for use in reader.artifacts_of(made.id)} == {"made"}
        numbers = {name: reader.content(row.hash).array for name, row in rows.items()}
        np.testing.assert_array_equal(numbers["made"], [3, 6, 9, 12])
        np.testing.assert_array_equal(numbers["other"], [-6, -12, -18, -24])
        np.testing.assert_array_equal(numbers["late"], [12, 24, 36, 48])
        lines = next(row for row in reader.views(made.id) if row.key == "made")
        np.testing.assert_array_equal(reader.load_view(lines).x, [0, 1, 2])
    used = await ran(client, session, edits=parse_edits(["L1.resid_post+=2*@other"]))
    assert used.scalars["@other"] == -60
