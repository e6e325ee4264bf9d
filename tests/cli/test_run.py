"""`workbench run` against a worker without torch."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Run
from tests.conftest import wait_until
from workbench.cli.sessions import send_to_worker
from workbench.cli.why import why_command
from workbench.edits import Entry, SetTo
from workbench.errors import UserError
from workbench.experiment import command_line
from workbench.experiments import experiment
from workbench.params import make_params
from workbench.session.reader import SessionReader
from workbench.worker.protocol import KeepStack

pytestmark = pytest.mark.usefixtures("worker")
FAKE = ("--model", "fake:")


def test_json_is_exactly_the_step(invoke: Run, tmp_path: Path) -> None:
    session = tmp_path / "s.db"
    result = invoke(
        "run", "predict", "--prompt", "batches:3:0", "--edit", "L1.N2=0", "--seed", 4, "--session", session, "--json",
        *FAKE,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert list(data) == [
        *("session", "step", "experiment", "params", "edits", "model", "seed", "status", "headline", "scalars"),
        *("artifacts", "views"),
    ]
    assert data["session"] == str(session)
    assert (data["step"], data["experiment"], data["edits"], data["seed"]) == (1, "predict", ["L1.N2=0"], 4)
    assert (data["model"], data["status"], data["headline"]) == ("fake", "done", "did batches:3:0")
    assert data["params"]["prompt"] == "batches:3:0"
    assert data["scalars"]["total"] > 0
    assert [(view["kind"], view["title"]) for view in data["views"]] == [("text", "text"), ("lines", "2")]
    assert data["views"][0]["data"] == {"note": "", "tokenization": "", "text": "batches:3:0"}


def test_text_leads_with_the_sentence_and_ends_with_the_step(invoke: Run, tmp_path: Path) -> None:
    result = invoke("run", "predict", "--prompt", "wait:0", "--session", "s.db", "--expect", "nothing", *FAKE)
    lines = result.stdout.splitlines()
    assert lines[0] == "did wait:0"
    assert "expected: nothing" in lines
    assert lines[-1].startswith("step 1 of s.db · ")
    assert lines[-1].endswith("fake · cpu float32")
    with SessionReader(tmp_path / "s.db") as reader:
        assert reader.step(1).origin == "cli"


def test_without_a_session_there_is_one_a_day(invoke: Run, own_folders: Path) -> None:
    for number in (1, 2):
        data = json.loads(invoke("run", "predict", "--prompt", "wait:0", "--json", *FAKE).stdout)
        assert data["step"] == number
        assert data["session"] == str(own_folders / "data" / "sessions" / f"shell-{time.strftime('%Y-%m-%d')}.db")


def test_a_failed_step_exits_1_with_its_reason(invoke: Run) -> None:
    result = invoke("run", "predict", "--prompt", "fail:the moon is full", "--session", "s.db", *FAKE)
    assert result.exit_code == 1
    assert "failed: the moon is full" in result.stdout
    result = invoke("run", "predict", "--prompt", "crash", "--session", "s.db", "--json", *FAKE)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["status"] == "failed"


def test_what_the_worker_refuses_exits_2(invoke: Run) -> None:
    result = invoke("run", "predict", "--prompt", "wait:0", "--session", "s.db", "--top", "2000", *FAKE)
    assert result.exit_code == 2
    assert "top: expected `int` <= 1000" in result.stderr


def test_arrays_are_saved_under_readable_names(invoke: Run, tmp_path: Path) -> None:
    result = invoke("run", "predict", "--prompt", "batches:2:0", "--session", "s.db", "--out", "a.npz", *FAKE)
    assert result.exit_code == 0, result.output
    with np.load(tmp_path / "a.npz") as arrays:
        assert any(name.endswith((".a", ".y")) for name in arrays.files), arrays.files
    for out, says in (("a.txt", "name it a.npz"), ("none/a.npz", "there is no folder")):
        result = invoke("run", "predict", "--prompt", "wait:0", "--out", out, *FAKE)
        assert result.exit_code == 2
        assert says in result.stderr


SCRIPT = """
from functools import partial
from workbench.worker import client
client.connect = partial(client.connect, options=("--lab", "tests.worker.fake_lab:open_fake"))
from workbench.cli import main
main()
"""


def start(*args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def running(session: Path) -> bool:
    try:
        with SessionReader(session) as reader:
            row = reader.row(1)
    except UserError:  # not there yet
        return False
    return bool(row and row.status == "running")


def test_ctrl_c_cancels_and_keeps_what_there_is(tmp_path: Path) -> None:
    session = tmp_path / "s.db"
    process = start("run", "predict", "--prompt", "batches:1000:0.05", "--session", str(session), "--json", *FAKE)
    wait_until(lambda: running(session), what="the step runs")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    data = json.loads(out)
    assert data["status"] == "cancelled"
    assert data["views"]


def test_the_worker_holds_no_pipe_open(tmp_path: Path) -> None:
    """`workbench run … | cat` ends although the worker stays."""
    process = start("run", "predict", "--prompt", "wait:0", "--session", str(tmp_path / "s.db"), *FAKE)
    out, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert out.startswith("did wait:0")


def test_a_lost_worker_is_said_and_exits_1(tmp_path: Path) -> None:
    from workbench.worker.client import list_workers

    session = tmp_path / "s.db"
    process = start("run", "predict", "--prompt", "batches:1000:0.05", "--session", str(session), *FAKE)
    wait_until(lambda: running(session), what="the step runs")
    (worker,) = list_workers()
    os.kill(worker.pid, signal.SIGKILL)
    out, errors = process.communicate(timeout=30)
    assert process.returncode == 1, (out, errors)
    assert "lost" in out


def test_a_stack_saved_through_the_worker_is_an_edit_of_the_next_run(invoke: Run, tmp_path: Path) -> None:
    session = tmp_path / "s.db"
    command = ("run", "predict", "--prompt", "batches:1:0", "--session", session, "--json", *FAKE)
    assert invoke(*command).exit_code == 0
    entries = [Entry(SetTo("L1.N1", 0.0)), Entry(SetTo("L2.N2", 0.0), on=False)]
    assert send_to_worker(KeepStack(session=str(session), name="months", entries=entries))
    result = invoke(*command, "--edit", "stack:months; L0.N3*=2")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["edits"] == ["L1.N1=0", "L0.N3*=2"]
    refused = invoke(*command, "--edit", "stack:days")
    assert refused.exit_code == 2
    assert "no stack 'days' is saved in this session: stack:months" in refused.stderr


def test_a_set_is_read_once_and_taken_again_by_its_name(invoke: Run, tmp_path: Path) -> None:
    (tmp_path / "capitals.jsonl").write_text('{"prompt": "one", "answer": " two"}\n{"prompt": "three"}\n')
    options = ("--session", "s.db", *FAKE)
    assert invoke("run", "predict", "--prompts", "capitals.jsonl", *options).exit_code == 0
    (tmp_path / "capitals.jsonl").unlink()
    assert invoke("run", "predict", "--prompts", "@capitals", *options).exit_code == 0
    with SessionReader(tmp_path / "s.db") as reader:
        assert [row.label for row in reader.rows()] == ["capitals, 2 prompts"] * 2
        assert reader.step(1).params["prompts"] == reader.step(2).params["prompts"]
        assert reader.step(2).params["prompts"][0] == {"prompt": "one", "answer": " two", "foil": ""}
        (row,) = reader.artifacts()
        assert row.steps == 2
    wrong = invoke("run", "predict", "--prompts", "@nouns", *options)
    assert wrong.exit_code == 2
    assert "no prompt set @nouns" in wrong.stderr
    assert "in the session: @capitals" in wrong.stderr


def test_a_conversation_from_a_file_and_its_line_again(invoke: Run, tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "it's\nI"}, {"role": "assistant", "content": "so"}]
    (tmp_path / "talk.json").write_text(json.dumps([*turns, {"role": "user", "content": "batches:1:0"}]))
    common = ("run", "generate", "--chat", "--session", tmp_path / "s.db", *FAKE)
    data = json.loads(invoke(*common, "--messages", "talk.json", "--json").stdout)
    assert (data["params"]["prompt"], data["params"]["messages"]) == ("batches:1:0", turns)
    params = make_params(experiment("generate").params, data["params"])
    line = shlex.split(command_line("generate", params))
    assert json.loads(line[line.index("--messages") + 1]) == turns
    again = invoke(*line[1:], "--session", tmp_path / "s.db", "--json", *FAKE)
    assert json.loads(again.stdout)["params"] == data["params"]
    wrong = invoke(*common, "--messages", '[{"role": "me", "content": "x"}]')
    assert wrong.exit_code != 0
    assert "a conversation is a JSON list" in wrong.stderr


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["-5 + 3 =", " -2"], ("-5 + 3 =", " -2")),
        (["- item", "--chat", "-7"], ("- item", "-7")),
        (["-- x", "y"], ("-- x", "y")),
        (["--foil", "--chat", "a", "-h b"], ("a", "-h b")),
        (["--", "--prompt", "-x"], ("--prompt", "-x")),
        (["-5", "--seed=3"], ("-5", None)),
    ],
)
def test_texts_that_begin_with_a_dash_are_no_options(typed: list[str], expected: tuple[str, str | None]) -> None:
    values = why_command.make_context("why", typed).params
    assert (values["prompt"], values["answer"]) == expected


def test_an_option_that_there_is_not_is_said(invoke: Run) -> None:
    assert "no such option" in invoke("why", "a", "--anser", "b").stderr.lower()
    assert "no such option" in invoke("why", "a", "-x").stderr.lower()
