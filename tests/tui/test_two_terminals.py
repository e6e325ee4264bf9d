"""Two terminals on one worker and one session: each sees the other's steps, and Ctrl+C is for one's own."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.benchmarks.measure import Pty
from workbench.session.reader import SessionReader
from workbench.worker import client

_OPEN = """
import sys
from functools import partial
from pathlib import Path
from workbench.worker import client
client.connect = partial(client.connect, options=("--lab", "tests.worker.fake_lab:open_fake"))
from workbench.settings import Settings
from workbench.tui.entry import run
from workbench.worker.worker_files import WorkerSpec
sys.exit(run(WorkerSpec(model="fake:"), Path(sys.argv[1]), Settings()))
"""
CANCEL, TIMELINE = "\x03", "\x1bOS"


@pytest.fixture
def terminals(terminal):
    """Opens the workbench on one session, as often as called."""
    opened = []

    def open_one() -> Pty:
        program = Pty(
            [sys.executable, "-c", _OPEN, str(terminal / "both.db")],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        opened.append(program)
        program.wait_for("What do you want to know?")
        program.wait_for("model ready")
        return program

    yield open_one
    for program in opened:
        program.close()
    asyncio.run(client.stop_workers())


def test_each_sees_the_others_steps_and_cancels_only_its_own(terminals, terminal):
    one = terminals()
    one.send("batches:6000:.05\r")
    one.wait_for("began batches:6000")
    other = terminals()
    other.send("batches:6001:.05\r")
    other.wait_for("step 2")
    one.send(TIMELINE)
    one.wait_for("batches:6001")
    other.send(TIMELINE)
    other.wait_for("batches:6000")

    other.send(CANCEL)  # the first step runs, but it is the other's
    other.wait_for("cancelled")
    with SessionReader(terminal / "both.db") as reader:
        assert [row.status for row in reader.rows(0)] == ["running", "cancelled"]
    other.send(CANCEL)
    other.wait_for("step 1 was not asked from here")
    with SessionReader(terminal / "both.db") as reader:
        assert reader.row(1).status == "running"

    other.send("\x1b")  # the sentence goes, then the screen
    other.wait_for(lambda text: "was not asked from here" not in text)
    other.send("\x1b")
    other.wait_for("chat template")
    _ask(other, "batches:3:0")
    one.send(CANCEL)
    one.wait_for(lambda text: text.count("cancelled") >= 2)
    one.wait_for("did batches:3:0")
    other.wait_for("did batches:3:0")
    with SessionReader(terminal / "both.db") as reader:
        assert [row.status for row in reader.rows(0)] == ["cancelled", "cancelled", "done"]
        assert [row.label for row in reader.rows(0)] == ["batches:6000:.05", "batches:6001:.05", "batches:3:0"]


def _ask(program, prompt):
    """Another prompt, on the Prompt screen."""
    program.send("i")
    for _ in range(100):  # before the prompt has the keys, letters are keys of the screen
        program.settle(0.2)
        if "Enter run  Tab next" in program.text():
            break
    program.send(f"\x15{prompt}\r")


def test_steps_asked_at_the_same_moment_are_all_kept(terminals, terminal):
    both = [terminals(), terminals()]
    for program in both:
        program.send("batches:2:0\r")
    for program in both:
        program.wait_for("did batches:2:0")
    for number in range(3):
        for program in both:
            _ask(program, f"batches:{number + 3}:0")
        for program in both:
            program.wait_for(f"did batches:{number + 3}:0")
    for program in both:
        program.send(TIMELINE)
        program.wait_for("8 steps")
    with SessionReader(terminal / "both.db") as reader:
        rows = reader.rows(0)
    assert sorted(row.label for row in rows) == sorted(2 * [f"batches:{number + 2}:0" for number in range(4)])
    assert {row.status for row in rows} == {"done"}
