"""Files of prompts: text, one prompt a line, or JSONL with prompt, answer and foil."""

from __future__ import annotations

from pathlib import Path

import msgspec

from workbench.errors import UserError
from workbench.text import safe

MAX_BYTES = 1 << 28


class PromptRow(msgspec.Struct, frozen=True):
    """One line of a prompt set."""

    prompt: str
    answer: str = ""
    foil: str = ""


def read_prompts(path: Path) -> list[PromptRow]:
    """The prompts of a file, in its order; empty lines are left out.

    A file whose name ends in .jsonl, or whose first line starts with `{`, is JSONL: {"prompt": "The capital of France
    is", "answer": " Paris", "foil": " Lyon"}, of which only prompt is required. Raises UserError naming the line.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} is larger than {MAX_BYTES >> 20} MiB: that is not a file of prompts")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"the prompts in {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: byte {error.start} cannot be read") from None
    lines = [(number, line) for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1) if line.strip()]
    if not lines:
        raise UserError(f"there is no prompt in {path}: write one on each line")
    if path.suffix == ".jsonl" or lines[0][1].lstrip().startswith("{"):
        return [_row(path, number, line) for number, line in lines]
    return [PromptRow(line) for _, line in lines]


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    prompt: str
    answer: str = ""
    foil: str = ""


def _row(path: Path, number: int, line: str) -> PromptRow:
    try:
        fields = msgspec.json.decode(line, type=_Line)
    except msgspec.DecodeError as error:
        problem = safe(str(error)).replace("Object", "the object")
        raise UserError(
            f'{path}, line {number}: {problem}; a line is {{"prompt": "…", "answer": "…", "foil": "…"}}, '
            "and only prompt is required"
        ) from None
    if not fields.prompt:
        raise UserError(f"{path}, line {number}: the prompt is empty")
    return PromptRow(fields.prompt, fields.answer, fields.foil)
