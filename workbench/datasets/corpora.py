"""Corpora: where an index's text comes from, as numbered documents. No torch here.

    stdlib          docstrings and prose of the Python standard library that runs this: always there
    stdlib:code     the same with its source
    FILE            a text file, or .jsonl with a "text" field a line
    FOLDER          every text file in it
    org/name        a data set of the Hugging Face hub, streamed (org/name:config for one of several)

A corpus' hash is that of the text of its documents in their order; of a streamed one, that of its address and first
documents.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from workbench.datasets.pieces import pieces
from workbench.datasets.standard_library import standard_library
from workbench.errors import UserError
from workbench.files import read_bounded
from workbench.index.format import CorpusInfo
from workbench.text import count, size

LONGEST_LINE = 1 << 20
"""characters; a longer line is no prose"""
MAX_PIPE = 1 << 28
"""bytes read of what is no file"""
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?")


@dataclass(frozen=True)
class Corpus:
    """Documents in order; can be read from the first as often as needed."""

    info: CorpusInfo
    texts: Iterable[str]
    shard: tuple[int, int] = (0, 1)
    """(i, n): only documents whose number leaves i when divided by n"""

    def documents(self) -> Iterator[tuple[int, str]]:
        """Number and text of each document."""
        remainder, divisor = self.shard
        return ((number, text) for number, text in enumerate(self.texts) if number % divisor == remainder)


def open_corpus(spec: str) -> Corpus:
    """The corpus that `--corpus` names. Raises UserError for what is no text, too long a line, or empty."""
    spec = spec.strip()
    if spec in ("", "stdlib"):
        return _in_memory(
            "stdlib", "stdlib", standard_library(), "docstrings and documentation of the Python standard library"
        )
    if spec == "stdlib:code":
        return _in_memory(
            "stdlib-code",
            spec,
            standard_library(code=True),
            "source, docstrings and documentation of the standard library",
        )
    path = Path(spec).expanduser()
    if path.is_dir():
        return _in_memory(path.resolve().name, str(path.resolve()), _folder(path), "")
    if path.exists():
        texts = _jsonl(path) if path.suffix in (".jsonl", ".ndjson") else pieces(read_text(path))
        return _in_memory(path.stem, str(path.resolve()), texts, "")
    if _HUB_ID.fullmatch(spec) and not spec.startswith("."):
        return _hub(spec)
    raise UserError(
        f"there is no corpus {spec!r}: name `stdlib`, `stdlib:code`, a text file, a .jsonl file, a folder, or a data "
        f"set of the hub as org/name"
    )


def _in_memory(name: str, spec: str, texts: Iterable[str], note: str) -> Corpus:
    """A corpus that fits in memory as text, hashed."""
    documents = [text for text in texts if text.strip()]
    if not documents:
        raise UserError(f"the corpus {spec} is empty: there is no text in it")
    digest = hashlib.sha256()
    for text in documents:
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    info = CorpusInfo(
        name=name,
        spec=spec,
        hash=digest.hexdigest(),
        documents=len(documents),
        characters=sum(map(len, documents)),
        note=note,
    )
    return Corpus(info, documents)


# --- files ---------------------------------------------------------------------------------------------


def read_text(path: Path) -> str:
    """A whole text file, or a pipe of MAX_PIPE bytes at most.

    Raises UserError for a binary one, another encoding, or a line too long to be text.
    """
    raw = read_bounded(path, max(MAX_PIPE, path.stat().st_size if path.is_file() else 0), "text")
    if b"\0" in raw[:65536]:
        raise UserError(f"{path} is a binary file: a corpus is text in UTF-8")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not text in UTF-8 (byte {count(error.start)} is no character of it): convert it first"
        ) from None
    _check_lines(text, path)
    return text.replace("\r\n", "\n")


def _check_lines(text: str, where: object) -> None:
    longest = max(map(len, text.split("\n")), default=0)
    if longest > LONGEST_LINE:
        raise UserError(
            f"{where} has a line of {size(longest)}, which is no prose: a corpus' lines have at most "
            f"{size(LONGEST_LINE)}; break it into lines"
        )


def _jsonl(path: Path) -> Iterator[str]:
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            raise UserError(f'{path}, line {count(number)}: not JSON; each line is an object with a "text"') from None
        text = value.get("text") if isinstance(value, dict) else value
        if not isinstance(text, str):
            raise UserError(f'{path}, line {count(number)}: there is no "text" in it; each line needs one')
        yield text


def _folder(folder: Path) -> Iterator[str]:
    """The text files below a folder, ordered by the hash of their path; what is binary or hidden is passed over."""
    files = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += [Path(root) / name for name in names if not name.startswith(".")]
    if not files:
        raise UserError(f"the folder {folder} is empty: there is no file in it")
    problem: UserError | None = None
    has_text = False
    for file in sorted(files, key=lambda file: hashlib.sha256(str(file.relative_to(folder)).encode()).digest()):
        try:
            texts = list(_jsonl(file)) if file.suffix in (".jsonl", ".ndjson") else list(pieces(read_text(file)))
        except UserError as error:
            problem = error
            continue
        has_text = has_text or any(text.strip() for text in texts)
        yield from texts
    if problem and not has_text:
        raise UserError(f"there is no text in the folder {folder}: {problem}")


# --- the hub ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Streamed:
    """A data set of the hub, read as it comes."""

    spec: str

    def __iter__(self) -> Iterator[str]:
        for row in self._rows():
            text = row.get("text")
            if isinstance(text, str) and text.strip():
                yield from pieces(text)

    def _rows(self) -> Iterator[dict[str, Any]]:
        try:
            from datasets import load_dataset
        except ImportError:
            raise UserError("a data set of the hub needs the package `datasets`: pip install datasets") from None
        name, _, config = self.spec.partition(":")
        try:
            yield from load_dataset(name, config or None, split="train", streaming=True)
        except UserError:
            raise
        except Exception as error:  # the hub, its cache and every data set's own code may fail in any way
            lines = str(error).strip().splitlines()
            raise UserError(
                f"the data set {self.spec} cannot be read from the hub: {lines[0] if lines else type(error).__name__}"
            ) from None


def _hub(spec: str) -> Corpus:
    """Streamed; its identity is its address and its first documents, since the whole is not read before."""
    texts = _Streamed(spec)
    first_texts = list(islice(texts, 16))
    if not first_texts:
        raise UserError(f"the data set {spec} has no text: its rows need a column named text")
    digest = hashlib.sha256("\0".join([spec, *first_texts]).encode("utf-8", "surrogatepass")).hexdigest()
    name = spec.partition(":")[0].rpartition("/")[2]
    return Corpus(CorpusInfo(name=name, spec=spec, hash=digest, documents=0, note="streamed from the hub"), texts)
