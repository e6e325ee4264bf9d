"""From a labelled set to examples of one tokenizer, and what a reader of the result must know of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np

from workbench.datasets.labelled.alignment import TokenSpans, token_spans
from workbench.datasets.labelled.examples import Examples, Pooling
from workbench.datasets.labelled.labelled_set import LabelledSet, LabelledText, Read, Span
from workbench.datasets.labelled.problems import Problems, problems_of
from workbench.datasets.labelled.splitting import split_by_document, strata
from workbench.errors import UserError
from workbench.text import count, quoted

LEAST = 10
"""examples of each class; of numeric targets in all twice as many"""
_POOLING: dict[Read, Pooling] = {"last": "token", "first": "token", "mean": "mean", "max": "max", "extreme": "extreme"}
FIRST_POSITION = "read only the first position, where attention rests"
NO_TOKEN = "no token stands for their characters"


class _Row(NamedTuple):
    window: int
    first: int
    last: int
    label: float
    document: int


def examples_of(labelled: LabelledSet, tokenizer: Any, context: int, seed: int) -> tuple[Examples, Problems]:
    """A labelled set aligned to a tokenizer's tokens and split, with what is to be said of it.

    `tokenizer` is a fast one of transformers, `context` the most tokens that the model reads, `seed` the split's.
    Windows end at the context; position 0 is never read (METHODS, "Positions"). Texts without a document that are the
    same are one document. Raises UserError for a set that no probe can be fitted on: one class, NaN, fewer than LEAST
    examples of a class, labels that stand in the middle of tokens.
    """
    check_labels(labelled)
    tokens = token_spans(tokenizer, [text.text for text in labelled.texts])
    documents = _documents(labelled)
    left_out: Counter[str] = Counter()
    partial: list[str] = []
    rows: list[_Row] = []
    beyond = f"lie beyond the context of {count(context)} tokens"
    for at, (text, spans) in enumerate(zip(labelled.texts, tokens, strict=True)):
        for span in text.spans:
            covering = spans.covering(span.start, _word_end(text.text, span))
            place = _positions(covering, labelled.read)
            if place is None:
                left_out[NO_TOKEN if not len(covering) else FIRST_POSITION] += 1
            elif place[1] >= context:
                left_out[beyond] += 1
            else:
                rows.append(_Row(at, *place, span.label, documents[at]))
                partial += _partial(text, span, spans, covering)
    _check_enough(labelled, rows, left_out)
    if len(partial) * 2 > len(rows):
        raise UserError(
            f"{count(len(partial))} of {count(len(rows))} labels begin or end inside a token (the first: {partial[0]}):"
            " start and end count characters of the text, not bytes or tokens"
        )
    examples = _examples(labelled, rows, tokens, context, seed)
    return examples, problems_of(labelled, examples, dict(left_out), partial)


def read_positions(text: LabelledText, spans: TokenSpans, read: Read) -> list[tuple[int, int, float] | None]:
    """First and last position and label of each label of a text; None where no position is read, or only the first."""
    places = [_positions(spans.covering(span.start, _word_end(text.text, span)), read) for span in text.spans]
    return [place and (*place, span.label) for place, span in zip(places, text.spans, strict=True)]


def check_labels(labelled: LabelledSet) -> None:
    """Raises UserError for labels that are no numbers, no two classes, or stand outside their text."""
    values = Counter(span.label for _, span in labelled.spans())
    if not values:
        raise UserError(f"the set {quoted(labelled.name)} is empty: there is no example in it")
    for text, span in labelled.spans():
        if not np.isfinite(span.label):
            raise UserError(f"the label of {quoted(text.text)} is not a number (NaN or infinite): leave it out")
        if not 0 <= span.start < span.end <= len(text.text):
            raise UserError(
                f"the label at characters {span.start} to {span.end} does not lie in its text, {quoted(text.text)}, "
                f"which has {count(len(text.text))} characters"
            )
    if labelled.numeric:
        if len(values) < 2:
            raise UserError(f"every target is {next(iter(values)):g}: numbers that differ are needed")
        return
    if set(values) - {0, 1}:
        raise UserError(f"the labels are {', '.join(f'{value:g}' for value in sorted(values)[:5])}: 0 and 1 are needed")
    if len(values) < 2:
        raise UserError(f"every example is {labelled.classes[int(next(iter(values)))]}: two classes are needed")


def _documents(labelled: LabelledSet) -> list[int]:
    """Of each text, counted from 0."""
    numbers: dict[int | str, int] = {}
    keys: list[int | str] = [text.document if text.document >= 0 else text.text for text in labelled.texts]
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def _word_end(text: str, span: Span) -> int:
    """Where a label ends without the space behind its word, which is in the next word's token."""
    if span.end == len(text):
        return span.end
    word = text[span.start : span.end].rstrip()
    return span.start + len(word) if word else span.end


def _positions(covering: np.ndarray, read: Read) -> tuple[int, int] | None:
    """First and last position that are read; None where that is no position, or only the first of the window."""
    if not len(covering):
        return None
    first, last = int(covering[0]), int(covering[-1])
    if read == "first":
        last = first
    elif read == "last":
        first = last
    return (max(first, 1), last) if last else None


def _partial(text: LabelledText, span: Span, spans: TokenSpans, covering: np.ndarray) -> Iterator[str]:
    """The word around a label whose tokens hold letters outside it."""
    start, end = int(spans.start[covering[0]]), int(spans.end[covering[-1]])
    outside = text.text[start : span.start] + text.text[span.end : end]
    if outside.strip():
        yield f"{quoted(text.text[span.start : span.end])} in {quoted(text.text[start:end])}"


def _check_enough(labelled: LabelledSet, rows: list[_Row], left_out: Counter[str]) -> None:
    why = "; ".join(f"{count(n)} are left out because they {reason}" for reason, n in left_out.items())
    why = f" ({why})" if why else ""
    if labelled.numeric:
        if len(rows) < 2 * LEAST:
            raise UserError(f"there are {len(rows)} examples: numeric targets need at least {2 * LEAST}{why}")
        return
    for label, name in enumerate(labelled.classes):
        n = sum(row.label == label for row in rows)
        if n < LEAST:
            raise UserError(f"{quoted(name)} has {n} example{'s' * (n != 1)}: each class needs at least {LEAST}{why}")


def _examples(labelled: LabelledSet, rows: list[_Row], tokens: list[TokenSpans], context: int, seed: int) -> Examples:
    used = {number: at for at, number in enumerate(dict.fromkeys(row.window for row in rows))}
    window, first, last, document = (
        np.array(values, np.int64)
        for values in (
            [used[row.window] for row in rows],
            [row.first for row in rows],
            [row.last for row in rows],
            np.unique([row.document for row in rows], return_inverse=True)[1],
        )
    )
    label = np.array([row.label for row in rows])
    examples = Examples(
        windows=tuple(tokens[number].ids[:context] for number in used),
        window=window,
        first=first,
        last=last,
        label=label,
        document=document,
        split=split_by_document(document, strata(label, labelled.numeric), seed),
        pooling=_POOLING[labelled.read],
        classes=labelled.classes,
        numeric=labelled.numeric,
        content_hash="",
    )
    return msgspec.structs.replace(examples, content_hash=_hash(examples))


def _hash(examples: Examples) -> str:
    content = [examples.windows, examples.pooling, examples.classes, examples.numeric]
    digest = hashlib.sha256(msgspec.json.encode(content))
    for array in (examples.window, examples.first, examples.last, examples.label, examples.document, examples.split):
        digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()
