"""Conversations as they are typed: files, JSON, and what is wrong with one."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.datasets.conversation import Turn, problem_of, read_conversation
from workbench.errors import UserError

HELLO = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]


def test_a_file_and_the_same_json_typed(tmp_path):
    path = tmp_path / "talk.json"
    path.write_text(json.dumps(HELLO))
    turns = [Turn("system", "Be brief."), Turn("user", "Hi")]
    assert read_conversation(str(path)) == read_conversation(f" {json.dumps(HELLO)}\n") == turns
    assert read_conversation("  ") == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[", "talk.json: Input data was truncated"),
        (b'{"role": "user"}', "a conversation is a JSON list"),
        (b'[{"role": "robot", "content": "x"}]', "Invalid enum value 'robot'"),
        (b'[{"role": "user", "content": ""}]', r"turn 1 \(user\) is empty"),
        (b'[{"role": "assistant", "content": "x"}]', "turn 1 is of the assistant, where the user has to speak"),
        (b'[{"role": "user", "content": "x"}, {"role": "system", "content": "x"}]', "turn 2 is of the system"),
        (b"\xff", "not UTF-8"),
        (b"[" * 100_000, "talk.json"),
    ],
)
def test_what_is_no_conversation_is_a_sentence(tmp_path, content, says):
    path = tmp_path / "talk.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=says):
        read_conversation(str(path))
    with pytest.raises(UserError, match=r"the messages in .*gone.json cannot be read: No such file"):
        read_conversation(str(tmp_path / "gone.json"))


TURNS = st.lists(st.builds(Turn, st.sampled_from(["system", "user", "assistant"]), st.text(max_size=8)), max_size=6)


@given(TURNS)
def test_any_turns_are_read_again_or_have_a_problem(turns):
    typed = msgspec.json.encode(turns).decode()
    if problem_of(turns):
        with pytest.raises(UserError, match="turn"):
            read_conversation(typed)
    else:
        assert read_conversation(typed) == turns
        assert all(turn.role != "system" for turn in turns[1:])


@given(st.text(max_size=60))
def test_any_text_is_turns_or_a_sentence(text):
    try:
        read_conversation("[" + text)
    except UserError as error:
        assert str(error).startswith("the messages: ")
