"""Conversations: the turns of a chat, as the message lists that chat templates take."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from workbench.datasets.prompts import read_text
from workbench.errors import JSON_ERRORS, UserError
from workbench.text import safe

EXAMPLE = '[{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}]'


class Turn(msgspec.Struct, frozen=True):
    """What one of the two says, or the system turn."""

    role: Literal["system", "user", "assistant"]
    content: str


def read_conversation(typed: str) -> list[Turn]:
    """The turns of a JSON file, or of JSON itself, oldest first: `[{"role": "user", "content": "Hello"}, …]`.

    Raises UserError where it is none, or its turns do not follow each other.
    """
    typed = typed.strip()
    if not typed:
        return []
    where = "the messages"
    if not typed.startswith("["):
        path = Path(typed).expanduser()
        where, typed = str(path), read_text(path, "messages")
    try:
        turns = msgspec.json.decode(typed, type=list[Turn])
    except JSON_ERRORS as error:
        raise UserError(f"{where}: {safe(str(error))}; a conversation is a JSON list: {EXAMPLE}") from None
    if problem := problem_of(turns):
        raise UserError(f"{where}: {problem}")
    return turns


def problem_of(turns: list[Turn]) -> str:
    """Why these turns are no conversation: a system turn or none, then user and assistant in turn; else empty."""
    expected = "user"
    for number, turn in enumerate(turns, 1):
        if not turn.content:
            return f"turn {number} ({turn.role}) is empty: give its text, or leave it out"
        if turn.role == "system" and number == 1:
            continue
        if turn.role != expected:
            return f"turn {number} is of the {turn.role}, where the {expected} has to speak"
        expected = "assistant" if expected == "user" else "user"
    return ""
