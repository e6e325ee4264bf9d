"""Files of prompts: text, one prompt a line; JSONL with prompt, answer and foil; JSON lists of instructions."""

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
    is", "answer": " Paris", "foil": " Lyon"}, of which only prompt is required. One that ends in .json is a list
    [{"instruction": "How do I …?", "category": "…"}], as published sets of instructions are; instruction and prompt are
    the same, and a category is left out. Raises UserError naming the line.
    """
    text = read_text(path, "prompts")
    if path.suffix == ".json":
        return _list(path, text)
    lines = [(number, line) for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1) if line.strip()]
    if not lines:
        raise UserError(f"there is no prompt in {path}: write one on each line")
    if path.suffix == ".jsonl" or lines[0][1].lstrip().startswith("{"):
        return [_row(path, number, line) for number, line in lines]
    return [PromptRow(line) for _, line in lines]


def read_text(path: Path, what: str) -> str:
    """A text file as it is; `what` it should hold, for sentences. Raises UserError."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} is larger than {MAX_BYTES >> 20} MiB: that is not a file of {what}")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        if isinstance(error, UnicodeDecodeError):
            raise UserError(f"{path} is not UTF-8 text: byte {error.start} cannot be read") from None
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(f"the {what} in {path} cannot be read: {reason}") from None


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    prompt: str = ""
    instruction: str = ""
    category: str | None = None
    answer: str = ""
    foil: str = ""

    def row(self, where: str) -> PromptRow:
        """Raises UserError for one without a text, or with two."""
        if bool(self.prompt) == bool(self.instruction):
            problem = "prompt and instruction are the same: give one" if self.prompt else "the prompt is empty"
            raise UserError(f"{where}: {problem}")
        return PromptRow(self.prompt or self.instruction, self.answer, self.foil)


def _row(path: Path, number: int, line: str) -> PromptRow:
    where = f"{path}, line {number}"
    try:
        fields = msgspec.json.decode(line, type=_Line)
    except msgspec.DecodeError as error:
        problem = safe(str(error)).replace("Object", "the object")
        raise UserError(
            f'{where}: {problem}; a line is {{"prompt": "…", "answer": "…", "foil": "…"}}, and only prompt is required'
        ) from None
    return fields.row(where)


def _list(path: Path, text: str) -> list[PromptRow]:
    try:
        entries = msgspec.json.decode(text, type=list[_Line])
    except msgspec.DecodeError as error:
        raise UserError(
            f'{path}: {safe(str(error))}; a .json file of prompts is a list [{{"instruction": "…", "category": "…"}}]'
        ) from None
    if not entries:
        raise UserError(f"there is no prompt in {path}: its list is empty")
    return [entry.row(f"{path}, entry {number}") for number, entry in enumerate(entries, 1)]
