"""Files of prompts: text, one prompt a line; JSONL, JSON and CSV with prompt, answer and foil."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from workbench.errors import JSON_ERRORS, UserError
from workbench.files import read_bounded
from workbench.text import quoted, safe

MAX_BYTES = 1 << 28
_JSON_LIST = re.compile(r"\s*\[\s*[\[\]{\"]")
"""how one begins; `[INST]` is a text"""
csv.field_size_limit(MAX_BYTES)


class PromptRow(msgspec.Struct, frozen=True):
    """One line of a prompt set."""

    prompt: str
    answer: str = ""
    foil: str = ""


def read_prompts(path: Path) -> list[PromptRow]:
    """The prompts of a file, in its order; empty lines are left out.

    A file whose name ends in .jsonl, or whose first line starts with `{`, is JSONL: {"prompt": "The capital of France
    is", "answer": " Paris", "foil": " Lyon"}, of which only prompt is required. One that ends in .json, or begins as a
    JSON list does, is a list of such objects or of texts. One that ends in .csv, or whose first line names two or more
    of the columns prompt, answer, foil and category, is a CSV of these. As published sets of instructions have it, a
    prompt may be called instruction, and a category is left out. Anything else is text, one prompt a line. Raises
    UserError naming the line.
    """
    text = read_text(path, "prompts")
    suffix = path.suffix.lower()
    if suffix == ".json" or (suffix not in (".jsonl", ".csv") and _JSON_LIST.match(text)):
        return _list(path, text)
    lines = [(number, line) for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1) if line.strip()]
    if not lines:
        raise UserError(f"there is no prompt in {path}: write one on each line")
    if suffix == ".jsonl" or (suffix != ".csv" and lines[0][1].lstrip().startswith("{")):
        return [_row(path, number, line) for number, line in lines]
    if suffix == ".csv" or _is_header(lines[0][1]):
        return _csv_rows(path, text)
    return [PromptRow(line) for _, line in lines]


def read_text(path: Path, what: str) -> str:
    """A text file or pipe as it is; `what` it should hold, for sentences. Raises UserError."""
    data = read_bounded(path, MAX_BYTES, what)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: byte {error.start} cannot be read") from None


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
    except JSON_ERRORS as error:
        problem = safe(str(error)).replace("Object", "the object")
        raise UserError(
            f'{where}: {problem}; a line is {{"prompt": "…", "answer": "…", "foil": "…"}}, and only prompt is required'
        ) from None
    return fields.row(where)


def _list(path: Path, text: str) -> list[PromptRow]:
    try:
        entries = msgspec.json.decode(text, type=list[_Line | str])
    except JSON_ERRORS as error:
        raise UserError(
            f'{path}: {safe(str(error))}; a JSON file of prompts is a list, [{{"prompt": "…", "answer": "…"}}, …] or '
            '["…", …]'
        ) from None
    if not entries:
        raise UserError(f"there is no prompt in {path}: its list is empty")
    rows = (_Line(prompt=entry) if isinstance(entry, str) else entry for entry in entries)
    return [row.row(f"{path}, entry {number}") for number, row in enumerate(rows, 1)]


def _columns(cells: Sequence[str]) -> list[str]:
    return [cell.strip().lower() for cell in cells]


def _is_header(line: str) -> bool:
    """Whether a line says the columns of a CSV of prompts; one column alone is a text."""
    try:
        columns = _columns(next(csv.reader([line]), []))
    except csv.Error:
        return False
    return len(columns) > 1 and not _unknown(columns)


def _unknown(columns: Sequence[str]) -> list[str]:
    """Columns that a set of prompts does not have."""
    return [column for column in columns if column not in _Line.__struct_fields__]


def _csv_rows(path: Path, text: str) -> list[PromptRow]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows = []
    try:
        columns = next((_columns(cells) for cells in reader if cells), [])
        if _unknown(columns) or len(set(columns)) < len(columns) or not {"prompt", "instruction"} & set(columns):
            raise UserError(
                f"{path} has the columns {quoted(', '.join(columns), 60)} in its first line: a CSV of prompts has "
                "prompt, and may have answer, foil and category"
            )
        for cells in reader:
            where = f"{path}, line {reader.line_num}"
            if cells and len(cells) != len(columns):
                raise UserError(f"{where}: there are {len(cells)} cells where the first line has {len(columns)}")
            if any(cells):
                rows.append(_Line(**dict(zip(columns, cells, strict=True))).row(where))
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: no CSV ({safe(str(error))})") from None
    if not rows:
        raise UserError(f"there is no prompt in {path}: write one on each line under the columns")
    return rows
