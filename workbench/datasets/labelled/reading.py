"""Files of labelled texts: CSV, JSONL, and a set as it is stored here (JSON), each also compressed.

A CSV has the columns `prompt` (or `text`) and `target` (or `label`), and may have `document`, and `start` and `end`,
the characters that are labelled; a line of JSONL has the same keys, or `spans`, a list of [start, end, label]. Targets
are 0 and 1, two names, or numbers.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from workbench.datasets.labelled.labelled_set import LabelledSet
from workbench.datasets.labelled.targets import Choice, Row, labelled_set
from workbench.errors import JSON_ERRORS, UserError
from workbench.files import read_bounded
from workbench.text import count, quoted, safe, size

MAX_BYTES = 1 << 28
SUFFIXES = tuple(f".{kind}{packed}" for kind in ("csv", "jsonl", "json") for packed in ("", ".gz", ".zst"))
_WITH_CLASS = re.compile(r"(.+\.(?:csv|jsonl)(?:\.gz|\.zst)?|sae-probes:\s*\d+)=(.+)", re.IGNORECASE)
_BLOCK = 1 << 16
"""bytes unpacked at once"""
_TEXT, _TARGET = ("prompt", "text"), ("target", "label")
_KNOWN = (*_TEXT, *_TARGET, "document", "start", "end")
csv.field_size_limit(MAX_BYTES)


def read_labelled(path: Path, choice: Choice | None = None) -> LabelledSet:
    """The set of a file; `choice` says which target is label 1, and whether targets are numbers.

    Raises UserError naming the file, the line and what would be right.
    """
    name, suffix = split_suffix(path)
    text = _text(path)
    if suffix.startswith(".json") and not suffix.startswith(".jsonl"):
        return _stored(path, text, choice)
    target = choice.target if choice else ""
    rows = list((_json_lines if suffix.startswith(".jsonl") else _csv_rows)(path, text, target))
    if not rows:
        raise UserError(f"there is no example in {path}: a CSV has a line `prompt,target` and a line for each example")
    return labelled_set(f"{name}-{target}" if target else name, rows, choice, path.name)


def read_typed(text: str) -> LabelledSet:
    """A file as it is typed; `topics.csv=sport` is the same set with that class as label 1, against all others.

    Raises UserError as `read_labelled` does.
    """
    file, positive = split_class(text)
    labelled = read_labelled(Path(file).expanduser(), Choice(positive=positive))
    return of_class(labelled, positive)


def split_class(text: str) -> tuple[str, str]:
    """What was typed, and the class named behind it; empty where there is none, or a file has that name."""
    typed = _WITH_CLASS.fullmatch(text)
    if typed is None or Path(text).expanduser().is_file():
        return text, ""
    return typed[1], typed[2].strip()


def of_class(labelled: LabelledSet, positive: str) -> LabelledSet:
    """Named after its class too: sets of several classes of a file are several sets."""
    if not positive:
        return labelled
    suffix = re.sub(r"[^\w.-]+", "-", positive).strip("-.")
    return msgspec.structs.replace(labelled, name=f"{labelled.name}-{suffix}" if suffix else labelled.name)


def split_suffix(path: Path) -> tuple[str, str]:
    """A file's name without its suffix, and the suffix of SUFFIXES; a file of another name is read as CSV."""
    for suffix in SUFFIXES:
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)], suffix
    return path.stem, ".csv"


def _text(path: Path) -> str:
    raw = read_bounded(path, MAX_BYTES, "labelled texts")
    if path.name.lower().endswith(".zst"):
        raw = _decompressed_zst(path, raw)
    elif path.name.lower().endswith(".gz"):
        raw = _decompressed_gz(path, raw)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: byte {count(error.start)} cannot be read") from None


def _decompressed_zst(path: Path, raw: bytes) -> bytes:
    try:
        import zstandard
    except ImportError:
        raise UserError(f"{path} needs the package zstandard: pip install zstandard, or unpack it first") from None
    content = bytearray()
    try:
        while raw:  # frame by frame
            frame = zstandard.ZstdDecompressor().decompressobj()
            for start in range(0, len(raw), _BLOCK):
                content += frame.decompress(raw[start : start + _BLOCK])
                if len(content) > MAX_BYTES:
                    raise _too_large(path)
                if frame.eof:
                    break
            if not frame.eof:
                raise UserError(f"{path} is no whole zstd file: it ends early")
            raw = frame.unused_data + raw[start + _BLOCK :]
    except zstandard.ZstdError as error:
        raise UserError(f"{path} is no whole zstd file: {safe(str(error))}") from None
    return bytes(content)


def _decompressed_gz(path: Path, raw: bytes) -> bytes:
    try:
        with gzip.open(io.BytesIO(raw)) as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} is no whole gzip file: {safe(str(error))}") from None
    if len(content) > MAX_BYTES:
        raise _too_large(path)
    return content


def _too_large(path: Path) -> UserError:
    return UserError(f"{path} unpacks to more than {size(MAX_BYTES)}: that is no labelled set")


# --- CSV -----------------------------------------------------------------------------------------------


def _csv_rows(path: Path, text: str, target: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        if target and target not in header:
            raise UserError(f"{path} has the columns {quoted(', '.join(header), 60)}: there is no {quoted(target)}")
        of_named = header.index(target) if target else None
        header = [cell.lower() for cell in header]
        column = {name: header.index(name) for name in _KNOWN if name in header}
        of_text = next((column[name] for name in _TEXT if name in column), None)
        of_target = next((column[name] for name in _TARGET if name in column), None) if of_named is None else of_named
        if of_text is None or of_target is None:
            raise UserError(
                f"{path} has the columns {quoted(', '.join(header), 60)}: a labelled set needs prompt and target"
            )
        for cells in reader:
            if not cells:
                continue
            where = f"{path}, line {count(reader.line_num)}"
            if len(cells) != len(header):
                raise UserError(f"{where}: there are {len(cells)} cells where the first line has {len(header)}")
            span = [_integer(cells[column[name]], where, name) for name in ("start", "end") if name in column]
            document = cells[column["document"]] if "document" in column else ""
            yield Row(
                cells[of_text], cells[of_target].strip(), where, document, (span[0], span[1]) if span[1:] else None
            )
    except csv.Error as error:
        raise UserError(f"{path}, line {count(reader.line_num)}: no CSV ({safe(str(error))})") from None


def _integer(cell: str, where: str, name: str) -> int:
    try:
        return int(cell)
    except ValueError:
        raise UserError(f"{where}: {name} is {quoted(cell)}, and counts characters: a whole number is needed") from None


# --- JSON ----------------------------------------------------------------------------------------------


class _Line(msgspec.Struct):
    """Other keys are passed over."""

    prompt: str = ""
    text: str = ""
    target: str | float | bool | None = None
    label: str | float | bool | None = None
    document: str | int | None = None
    start: int | None = None
    end: int | None = None
    spans: list[tuple[int, int, str | float | bool]] | None = None


def _json_lines(path: Path, text: str, key: str) -> Iterator[Row]:
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {count(number)}"
        try:
            entry = msgspec.json.decode(line, type=_Line)
            named = msgspec.json.decode(line, type=dict[str, Any]).get(key) if key else None
        except JSON_ERRORS as error:
            raise UserError(f'{where}: {safe(str(error))}; a line is {{"prompt": "…", "target": 1}}') from None
        document = "" if entry.document is None else str(entry.document)
        content = entry.prompt or entry.text
        if key and not isinstance(named, str | float | int):
            raise UserError(f"{where}: there is no target {quoted(key)}, a number or a class's name")
        if entry.spans is not None and not key:
            if not document:
                document = f"line {number}"
            for start, end, target in entry.spans:
                yield Row(content, _written(target), where, document, (start, end))
            continue
        value = entry.label if entry.target is None else entry.target
        value = named if key else value
        if value is None:
            raise UserError(f'{where}: there is no target; a line is {{"prompt": "…", "target": 1}}')
        span = None if entry.start is None or entry.end is None else (entry.start, entry.end)
        yield Row(content, _written(value), where, document, span)


def _written(target: str | float | bool) -> str:
    if isinstance(target, bool):
        return str(int(target))
    return target if isinstance(target, str) else f"{target:.17g}"


def _stored(path: Path, text: str, choice: Choice | None) -> LabelledSet:
    if choice is not None and choice != Choice():
        raise UserError(f"{path} is stored with its labels: the other options are for CSV and JSONL")
    try:
        return msgspec.json.decode(text, type=LabelledSet)
    except JSON_ERRORS as error:
        raise UserError(f"{path} is no labelled set as it is stored here: {safe(str(error))}") from None
