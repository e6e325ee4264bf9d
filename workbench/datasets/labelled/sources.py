"""Contexts from a folder: programs by their language (file names), texts by their language (folders or file names)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import chain, zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np

from workbench.datasets.corpora import read_text
from workbench.datasets.labelled.labelled_set import LabelledSet, Span
from workbench.datasets.labelled.sampling import LIMIT, PIECE, Piece, cut, sampled
from workbench.datasets.pieces import pieces
from workbench.errors import UserError
from workbench.text import count, quoted

PROGRAMMING = {
    ".cpp": "C++", ".cc": "C++", ".cxx": "C++", ".hpp": "C++", ".c": "C", ".h": "C", ".go": "Go", ".html": "HTML",
    ".htm": "HTML", ".java": "Java", ".js": "JavaScript", ".mjs": "JavaScript", ".php": "PHP", ".py": "Python",
    ".xml": "XML",
}  # fmt: skip
_COMMENTS = re.compile(
    r"\A(\s*(?:<\?php\b|<\?xml[^>]*>|<!doctype[^>]*>)?)(?:\s*(?:/\*.*?\*/|//[^\n]*|<!--.*?-->))+", re.S | re.I
)
_PYTHON_COMMENTS = re.compile(r"\A()(?:\s*#[^\n]*)+")
LONGEST_NAME = 60
"""characters of the other classes' names together, above which they are counted"""


class _Document(NamedTuple):
    """Documents of one key are one for the split."""

    of_class: str
    key: tuple[str, int]
    text: str


def programming_set(folder: Path, positive: str, limit: int = LIMIT, seed: int = 0, piece: int = PIECE) -> LabelledSet:
    """Pieces of sources in one programming language against those in the others; the mean over a piece is read.

    Comments at a file's beginning are left out: they are licences, the same in every file of a project. A header `.h`
    is C, or where the folder also has C++ none, since its name doesn't say which.
    """
    files = _files(folder)
    with_cpp = any(PROGRAMMING.get(file.suffix.lower()) == "C++" for file in files)

    def language(file: Path) -> str:
        suffix = file.suffix.lower()
        return "" if with_cpp and suffix == ".h" else PROGRAMMING.get(suffix, "")

    def documents(name: str, file: Path) -> Iterator[_Document]:
        comments = _PYTHON_COMMENTS if name == "Python" else _COMMENTS
        for at, text in enumerate(pieces(comments.sub(r"\1", read_text(file)))):
            yield _Document(name, (str(file), at), text)

    return _folder_set(folder, positive, _by_class(files, language), documents, limit, seed, piece)


def language_set(folder: Path, positive: str, limit: int = LIMIT, seed: int = 0, piece: int = PIECE) -> LabelledSet:
    """Pieces of texts in one natural language against the others: `fr/…` or `fr.txt`; the mean over a piece is read.

    Files of the same name in several languages (`fr/article-1.txt`, `de/article-1.txt`) may be translations, so they
    are one document: their content is on one side of the split.
    """

    def language(file: Path) -> str:
        inside = file.relative_to(folder).parts
        return inside[0] if len(inside) > 1 else file.stem

    def documents(name: str, file: Path) -> Iterator[_Document]:
        inside = "/".join(file.relative_to(folder).parts[1:])
        for at, text in enumerate(pieces(read_text(file))):
            yield _Document(name, (inside, at), text)

    return _folder_set(folder, positive, _by_class(_files(folder), language), documents, limit, seed, piece)


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UserError(f"the folder {folder} is not there: texts of each class are read from it")
    return sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))


def _by_class(files: list[Path], class_of: Callable[[Path], str]) -> dict[str, list[Path]]:
    by_class: dict[str, list[Path]] = {}
    for file in files:
        if name := class_of(file):
            by_class.setdefault(name, []).append(file)
    return by_class


def _folder_set(
    folder: Path,
    positive: str,
    by_class: dict[str, list[Path]],
    documents: Callable[[str, Path], Iterator[_Document]],
    limit: int,
    seed: int,
    piece: int,
) -> LabelledSet:
    """A document is a file, or about 4,000 characters of a long one; the classes of label 0 are drawn evenly.

    Files that are no text are passed over. Raises UserError naming the classes there are.
    """
    names = {name.lower(): name for name in by_class}
    if positive.lower() not in names:
        known = ", ".join(by_class) or "none"
        raise UserError(f"there is no {quoted(positive)} in {folder}: the classes there are {known}")
    positive = names[positive.lower()]
    if len(by_class) < 2:
        raise UserError(f"all of {folder} is {positive}: texts of another class are needed beside it")
    random = np.random.default_rng(seed)
    numbers: dict[tuple[str, int], int] = {}
    shuffled: list[list[Piece]] = []
    for name, files in by_class.items():
        label = float(name == positive)
        of_class = [
            Piece(text, [Span(0, len(text), label)], numbers.setdefault(document.key, len(numbers)))
            for document in _readable(name, files, documents)
            for text in cut(document.text, piece)
        ]
        shuffled.append([of_class[at] for at in random.permutation(len(of_class))])
    in_turn = (each for each in chain.from_iterable(zip_longest(*shuffled)) if each is not None)
    texts = sampled(in_turn, limit, seed)
    if {span.label for text in texts for span in text.spans} != {0.0, 1.0}:
        raise UserError(f"there is no text in UTF-8 of {positive} and of another class in {folder}")
    others = [name for name in by_class if name != positive]
    listed = ", ".join(others)
    return LabelledSet(
        name=positive.lower(),
        texts=texts,
        read="mean",
        classes=(listed if len(listed) <= LONGEST_NAME else f"{count(len(others))} other classes", positive),
        note=f"{folder.resolve().name}, {count(len(by_class))} classes",
    )


def _readable(
    name: str, files: list[Path], documents: Callable[[str, Path], Iterator[_Document]]
) -> Iterator[_Document]:
    for file in files:
        try:
            yield from documents(name, file)
        except UserError:
            continue
