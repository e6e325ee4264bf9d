"""The main flows as a user has them: a real terminal, the real model, the real line."""

from __future__ import annotations

import os
import shlex
import sqlite3
import subprocess

import pytest

from tests.conftest import wait_until
from tests.session.test_locks import any_tool
from workbench.session.reader import SessionReader

pytestmark = pytest.mark.slow


def test_from_the_first_question_to_the_replay(place, terminal):
    session = place.cwd / "sessions" / "flow.db"
    terminal.start(f"{place.program} --session {session}", place.cwd)
    terminal.wait_for("What do you want to know?")
    terminal.wait_for("ready")

    terminal.keys("Enter")  # the first question, with the example it comes with
    terminal.wait_for("Next token")
    terminal.wait_for("' Paris' .77")
    for name, found in (
        ("generate", "Continuation"),
        ("logit-lens", "top prediction from layer 29"),
    ):
        terminal.keys("]")
        terminal.wait_for(name)
        terminal.keys("F5")
        terminal.wait_for(found, 90)
    terminal.keys("[", "[")

    terminal.keys("F3")
    terminal.wait_for("Enter add")  # an empty stack begins in its field
    terminal.type("L24.N1005=0")
    terminal.keys("Enter")
    terminal.wait_for("[on]")
    terminal.keys("Escape")  # out of the field, then out of the screen: two at once would be Alt+Escape
    terminal.wait_for("a add")
    terminal.keys("Escape")
    terminal.wait_for("Prompt ·")
    terminal.keys("F5")
    terminal.wait_for(".773 → .466", 90)
    terminal.wait_for("larger than all", 90)

    terminal.keys("F4")
    terminal.wait_for("Timeline")
    terminal.wait_for("L24.N1005=0")
    terminal.keys("C-c")
    terminal.wait_for("Timeline")
    terminal.keys("C-q")
    terminal.wait_for("left with 0")

    with SessionReader(session) as reader:
        steps = reader.rows(0, None)
    assert {"predict", "generate", "logit-lens"} <= {step.experiment for step in steps}
    assert all(step.status == "done" for step in steps)
    replayed = place.run("replay", str(session), "--text")
    assert replayed.returncode == 0
    assert ".773 → .466" in replayed.stdout


def test_screens_go_on_reading_after_the_worker_has_rested(place, terminal):
    """Ask, back to Home, ask again, a rest, another program's look, ask: the screens once said `no step 3` for ever."""
    session = place.cwd / "sessions" / "rest.db"
    log = session.with_name("rest.db-wal")
    terminal.start(f"{place.program} --session {session}", place.cwd)
    terminal.wait_for("ready")
    terminal.keys("Enter")
    terminal.wait_for("Next token")
    terminal.wait_for("' Paris' .77")
    terminal.keys("Escape")
    terminal.wait_for("What do you want to know?")
    terminal.keys("Enter")
    terminal.wait_for("Next token")
    wait_until(lambda: step_status(session, 2) == "done", what="the second step")
    wait_until(lambda: not log.exists() or not log.stat().st_size, what="the worker's rest")
    assert any_tool(session) == 2
    terminal.keys("F5")
    wait_until(lambda: step_status(session, 3) == "done", 60, "the third step")
    terminal.keys("F4")
    shown = terminal.wait_for("3 steps")
    assert "there is no step" not in shown
    assert any_tool(session) == 3
    terminal.keys("C-q")
    terminal.wait_for("left with 0")


def step_status(session, step) -> str | None:
    if not session.exists():
        return None
    with SessionReader(session) as reader:
        row = reader.row(step)
    return row.status if row else None


def test_a_unit_over_a_prompt_from_home(place, terminal):
    terminal.start(f"{place.program} --session {place.cwd / 'unit.db'}", place.cwd)
    terminal.wait_for("ready")
    terminal.type("activation token")
    terminal.wait_for("what does")
    terminal.keys("Enter")
    terminal.wait_for("is at its strongest", 60)


def test_replay_in_a_terminal_needs_no_worker(place, terminal):
    terminal.start(f"{place.program} replay sessions/tour.db", place.cwd)
    terminal.wait_for("replay")
    terminal.wait_for("L24.N1005=0")
    before = terminal.screen()
    terminal.keys("Left", "Left")
    wait_until(lambda: terminal.screen() != before, what="another step")
    terminal.keys("C-q")
    terminal.wait_for("left with 0")


def test_the_line_drops_in_a_running_step_and_it_is_finished_when_one_comes_back(place, terminal, sshd):
    session = place.cwd / "sessions" / "line.db"
    remote = f"cd {place.cwd} && {place.program} --session {session}"
    names = {**place.env, "LC_ALL": "C.UTF-8"}
    terminal.start(shlex.join(sshd.command(remote, names)), place.cwd)
    terminal.wait_for("ready", 60)
    terminal.type("go on")
    terminal.wait_for("how does it go on")
    terminal.keys("Enter")
    terminal.wait_for("Continuation", 60)
    terminal.wait_gone("running", 60)

    # Ask for a long one through the same fields, then cut the line while it runs.
    done = place.run("run", "generate", "--help")
    assert "--tokens" in done.stdout
    command = f"{place.program} run generate --prompt Once --tokens 150 --session {session}"
    other = shlex.join(sshd.command(f"cd {place.cwd} && {command}", names))
    terminal.keys("C-q")
    terminal.wait_for("left with 0")
    terminal.close()
    terminal.start(other, place.cwd)
    running = wait_until(lambda: status_of(session, "generate", 150) == "running", 60, "a running step")
    assert running
    sshd.drop_connections()
    terminal.wait_for("left with", 30)
    wait_until(lambda: status_of(session, "generate", 150) == "done", 120, "the step's end without its terminal")

    terminal.close()
    terminal.start(shlex.join(sshd.command(remote, names)), place.cwd)
    terminal.wait_for("What do you want to know?")
    terminal.keys("F4")
    terminal.wait_for("Once", 30)
    terminal.keys("C-q")
    terminal.wait_for("left with 0")


def status_of(session, experiment, tokens) -> str | None:
    """The status of the step that generates so many tokens, straight from the file."""
    with sqlite3.connect(f"file:{session}?mode=ro", uri=True) as found:
        row = found.execute(
            "select status from step where experiment = ? and json_extract(params, '$.tokens') = ?",
            (experiment, tokens),
        ).fetchone()
    return row[0] if row else None


def test_output_through_a_pipe_over_ssh_ends(place, sshd, own_folders):
    """`ssh host workbench run … | cat` returns: the worker holds none of its descriptors."""
    place.run("stop", "--all")
    command = (
        f"cd {place.cwd} && {place.program} run predict --prompt 'The capital of France is' --session pipe.db | cat"
    )
    done = subprocess.run(
        sshd.command(command, place.env, tty=False),
        capture_output=True,
        env={**os.environ, **place.env},  # what SendEnv sends
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    assert "' Paris' .77" in done.stdout
