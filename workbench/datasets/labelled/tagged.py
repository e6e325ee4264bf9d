"""Files of words with their part of speech, `word/TAG` (as the Brown corpus is published): labelled words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from workbench.datasets.labelled.labelled_set import LabelledSet, Span
from workbench.datasets.labelled.sampling import LIMIT, PIECE, Piece, sampled
from workbench.errors import UserError
from workbench.text import quoted

_NO_SPACE_BEFORE = frozenset(".,;:?!)]}%'")
_NO_SPACE_AFTER = frozenset("([{`$")


def read_tagged(path: Path, tags: Sequence[str], name: str, limit: int = LIMIT, seed: int = 0) -> LabelledSet:
    """Words with one of `tags` (`NN`, `nn*`) against all others; each file of a folder is a document.

    The text is the words with spaces between them, none before punctuation. A word's last token is read. Raises
    UserError for what is no word/TAG file (of a folder, where none of its files is one: a README beside them is passed
    over), and for tags that no word has, naming the frequent ones.
    """
    if not tags:
        raise UserError("which tags are label 1? Name them with --tags, for example --tags 'NN,NNS' or --tags 'nn*'")
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
    frequent: Counter[str] = Counter()
    pieces: list[Piece] = []
    problem: UserError | None = None
    for number, file in enumerate(files):
        of_file: Counter[str] = Counter()
        try:
            pieces += list(_pieces(file, number, tags, of_file))
        except UserError as error:
            problem = problem or error
            continue
        frequent += of_file
    if not frequent:
        raise problem or UserError(
            f"there is no word/TAG in {path}: each word of such a file is followed by / and its tag"
        )
    if not any(fnmatchcase(tag, pattern) for tag in frequent for pattern in tags):
        common = ", ".join(tag for tag, _ in frequent.most_common(12))
        raise UserError(f"no word of {path} has the tag {quoted(', '.join(tags))}: the most frequent are {common}")
    shuffled = (pieces[at] for at in np.random.default_rng(seed).permutation(len(pieces)))
    return LabelledSet(
        name=name,
        texts=sampled(shuffled, limit, seed),
        classes=("other tags", ", ".join(tags)),
        note=f"word/TAG, {path.resolve().name}",
    )


def _pieces(file: Path, document: int, tags: Sequence[str], frequent: Counter[str]) -> Iterator[Piece]:
    try:
        content = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{file} is not UTF-8 text") from None
    text, spans = "", list[Span]()
    for line in content.split("\n"):
        for item in line.split():
            word, slash, tag = item.rpartition("/")
            if not slash or not word or not tag:
                raise UserError(f"{file}: {quoted(item)} is no word/TAG: each word is followed by / and its tag")
            frequent[tag] += 1
            joined = not text or text[-1] in _NO_SPACE_AFTER or word[0] in _NO_SPACE_BEFORE
            text += word if joined else f" {word}"
            label = float(any(fnmatchcase(tag, pattern) for pattern in tags))
            spans.append(Span(len(text) - len(word), len(text), label))
        if len(text) >= PIECE:
            yield Piece(text, spans, document)
            text, spans = "", []
    if spans:
        yield Piece(text, spans, document)
