"""Contexts from a folder: programs by their language (file names), texts by their language (folders or file names)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from workbench.datasets.corpora import read_text
from workbench.datasets.labelled.labelled_set import LabelledSet, Span
from workbench.datasets.labelled.sampling import LIMIT, Piece, cut, sampled
from workbench.datasets.pieces import pieces
from workbench.errors import UserError
from workbench.text import quoted

PROGRAMMING = {
    ".cpp": "C++", ".cc": "C++", ".cxx": "C++", ".hpp": "C++", ".c": "C", ".h": "C", ".go": "Go", ".html": "HTML",
    ".htm": "HTML", ".java": "Java", ".js": "JavaScript", ".mjs": "JavaScript", ".php": "PHP", ".py": "Python",
    ".xml": "XML",
}  # fmt: skip


def programming_set(folder: Path, positive: str, limit: int = LIMIT, seed: int = 0) -> LabelledSet:
    """Pieces of sources in one programming language against those in the others; the mean over a piece is read."""
    return _folder_set(folder, positive, lambda file: PROGRAMMING.get(file.suffix.lower(), ""), limit, seed)


def language_set(folder: Path, positive: str, limit: int = LIMIT, seed: int = 0) -> LabelledSet:
    """Pieces of texts in one natural language against the others: `fr/…` or `fr.txt`; the mean over a piece is read."""

    def language(file: Path) -> str:
        inside = file.relative_to(folder).parts
        return inside[0] if len(inside) > 1 else file.stem

    return _folder_set(folder, positive, language, limit, seed)


def _folder_set(folder: Path, positive: str, class_of: Callable[[Path], str], limit: int, seed: int) -> LabelledSet:
    """A document is a file, or about 4,000 characters of a long one. Raises UserError naming the classes there are."""
    if not folder.is_dir():
        raise UserError(f"the folder {folder} is not there: texts of each class are read from it")
    by_class: dict[str, list[Path]] = {}
    for file in sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith(".")):
        if name := class_of(file):
            by_class.setdefault(name, []).append(file)
    names = {name.lower(): name for name in by_class}
    if positive.lower() not in names:
        known = ", ".join(by_class) or "none"
        raise UserError(f"there is no {quoted(positive)} in {folder}: the classes there are {known}")
    positive = names[positive.lower()]
    if len(by_class) < 2:
        raise UserError(f"all of {folder} is {positive}: texts of another class are needed beside it")
    random = np.random.default_rng(seed)
    documents = list(_documents(by_class))
    texts = [
        Piece(piece, [Span(0, len(piece), float(name == positive))], number)
        for number, (name, document) in enumerate(documents)
        for piece in cut(document)
    ]
    if not {bool(piece.spans[0].label) for piece in texts} == {True, False}:
        raise UserError(f"there is no text in UTF-8 of {positive} and of another class in {folder}")
    shuffled = (texts[at] for at in random.permutation(len(texts)))
    return LabelledSet(
        name=positive.lower(),
        texts=sampled(shuffled, limit, seed),
        read="mean",
        classes=(", ".join(name for name in by_class if name != positive)[:80], positive),
        note=str(folder),
    )


def _documents(by_class: dict[str, list[Path]]) -> Iterator[tuple[str, str]]:
    """Class and text of each; files that are no text are passed over."""
    for name, files in by_class.items():
        for file in files:
            try:
                content = read_text(file)
            except UserError:
                continue
            for document in pieces(content):
                yield name, document
