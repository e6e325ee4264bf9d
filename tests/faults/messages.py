"""Messages with bytes changed, to a worker and to the parser of what the model process says."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from tests.faults.mutations import mutated
from tests.worker.conftest import LAB, until
from workbench.edits import parse_edits
from workbench.worker.client import WorkerSpec, connect, log_path
from workbench.worker.messages import Answered, Ended, FromModel, Started, size_after
from workbench.worker.protocol import Attach, Cancel, Hello, Note, Peek, Pin, Rename, Status, Submit
from workbench.worker.wire import LENGTH, FrameError, Parser, encode
from workbench.worker.worker_files import worker_files

BATCH = 20
"""messages on one connection"""


def send_to_a_worker(chance: random.Random, folder: Path) -> int:
    """BATCH messages at most, as the worker hangs up on what is no frame; it answers others, and its log is clean."""
    return asyncio.run(_send(chance, str(folder / "messages.db")))


async def _send(chance: random.Random, session: str) -> int:
    client = await connect(WorkerSpec("fake"), client="test", options=(LAB,))
    try:
        await until(client, lambda status: status.stage == "ready")
        edits = parse_edits(["L1.N2=0"])
        valid = (
            Hello(client="x"), Status(), Note(session=session, text="t"), Pin(session=session, unit="L1.N2"),
            Submit(session=session, experiment="predict", params={"prompt": "x"}, edits=edits, seed=1),
            Peek(slot="s", experiment="predict", params={"prompt": "x"}), Cancel(session=session, step=1),
            Rename(session=session, title="t"), Attach(session=session),
        )  # fmt: skip
        _, writer = await asyncio.open_unix_connection(str(worker_files(WorkerSpec("fake")).socket))
        sent = 0
        for _ in range(BATCH):
            frame = encode(chance.choice(valid))
            body = mutated(chance, frame[LENGTH.size :])
            whole = mutated(chance, frame) if chance.random() < 0.1 else LENGTH.pack(len(body)) + body
            writer.write(whole)
            sent += 1
            try:
                await asyncio.wait_for(writer.drain(), 5)
            except (ConnectionError, TimeoutError):
                break
        writer.close()
        await asyncio.wait_for(client.request(Status()), 20)
        log = log_path(WorkerSpec("fake")).read_text(errors="replace")
        assert "Traceback" not in log, log[log.index("Traceback") - 300 :][:3000]
        return sent
    finally:
        await client.close()


def parse_what_a_model_process_says(chance: random.Random, folder: Path) -> int:
    valid = (Started(job=1), Ended(job=1, status="done", error="", memory=0), Answered(job=1, after=(3,)))
    data = b"".join(encode(chance.choice(valid)) + b"abc" for _ in range(BATCH))
    parser: Parser[FromModel] = Parser(FromModel, size_after, limit=1 << 20)
    view = memoryview(mutated(chance, data))
    try:
        while view:
            room = parser.room()
            count = min(len(room), len(view))
            room[:count], view = view[:count], view[count:]
            parser.received(count)
    except FrameError as error:
        assert "the other side" in str(error)
    return BATCH


ALL = (send_to_a_worker, parse_what_a_model_process_says)
