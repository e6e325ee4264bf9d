"""Labelled tokens made from a corpus and a tokenizer by a rule, and compound words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from workbench.datasets.labelled.alignment import TokenSpans, token_spans
from workbench.datasets.labelled.features import Rule
from workbench.datasets.labelled.labelled_set import LabelledSet, LabelledText, Span
from workbench.datasets.labelled.sampling import LIMIT, POSITIVE_SHARE, Piece, cut, sampled
from workbench.errors import UserError
from workbench.text import count, quoted

WINDOW = 24
"""tokens of a compound word's text (METHODS, "Sparse probes")"""
COMPOUND_LIMIT = 8_000
_BATCH = 64
"""documents or pieces tokenized at once"""
T = TypeVar("T")
Documents = Iterable[tuple[int, str]]
"""number and text of each"""


def token_set(
    name: str,
    documents: Documents,
    tokenizer: Any,
    rule: Rule,
    *,
    classes: tuple[str, str] = ("other tokens", ""),
    numeric: bool = False,
    limit: int = LIMIT,
    seed: int = 0,
    note: str = "",
) -> LabelledSet:
    """Tokens of a corpus labelled by a rule, a fifth of them of label 1 where there are as many.

    Raises UserError where the rule holds nowhere in the corpus, or everywhere.
    """
    share = None if numeric else POSITIVE_SHARE
    texts = sampled(_labelled_pieces(documents, tokenizer, rule), limit, seed, share)
    labels = {span.label for text in texts for span in text.spans}
    if not numeric and labels != {0.0, 1.0}:
        where = "no token" if 1.0 not in labels else "every token"
        raise UserError(f"{where} of this corpus is {quoted(classes[1] or name)}: take another corpus or another rule")
    return LabelledSet(name=name, texts=texts, classes=(classes[0], classes[1] or name), numeric=numeric, note=note)


def _labelled_pieces(documents: Documents, tokenizer: Any, rule: Rule) -> Iterator[Piece]:
    pieces = ((number, piece) for number, text in documents for piece in cut(text))
    for batch in _batches(pieces):
        tokens = token_spans(tokenizer, [text for _, text in batch])
        for (number, text), spans in zip(batch, tokens, strict=True):
            yield Piece(text, list(_labelled_spans(spans, rule(text, spans))), number)


def _labelled_spans(spans: TokenSpans, labels: np.ndarray) -> Iterator[Span]:
    """Of tokens that can be read: not at position 0, and the last of those that stand for a character together."""
    for at in range(1, len(spans.ids)):
        start, end = int(spans.start[at]), int(spans.end[at])
        if not math.isnan(labels[at]) and end > start and int(spans.covering(start, end)[-1]) == at:
            yield Span(start, end, float(labels[at]))


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    waiting = iter(items)
    while batch := list(islice(waiting, _BATCH)):
        yield batch


def compound_set(
    words: str, documents: Documents, tokenizer: Any, *, limit: int = COMPOUND_LIMIT, seed: int = 0, note: str = ""
) -> LabelledSet:
    """Two words that belong together (`social security`), against each of them with another neighbour.

    Texts are windows of WINDOW tokens that end with the two, in any case and with or without a space before; half of
    the negatives keep the first word only, half the second. Both words are one token each. A fifth is of label 1.
    Raises UserError where `words` are not two, or the corpus has none of one kind.
    """
    pair = words.lower().split()
    if len(pair) != 2:
        raise UserError(f"a compound word is two words, as in --words 'social security', not {quoted(words)}")
    both, first_only, second_only = range(3)
    n_both = round(limit * POSITIVE_SHARE)
    wanted = {both: n_both, first_only: (limit - n_both) // 2, second_only: (limit - n_both) // 2}
    windows: dict[int, dict[str, int]] = {kind: {} for kind in wanted}
    with_either = ((number, text) for number, text in documents if any(word in text.lower() for word in pair))
    for batch in _batches(with_either):
        tokens = token_spans(tokenizer, [text for _, text in batch])
        for (number, text), spans in zip(batch, tokens, strict=True):
            for kind, window in _pairs(text, spans, *pair):
                if not any(window in of_kind for of_kind in windows.values()):
                    windows[kind][window] = number
        if all(len(windows[kind]) >= wanted[kind] for kind in wanted):
            break
    descriptions = {
        both: f"{quoted(words)}",
        first_only: f"{quoted(pair[0])} before another word",
        second_only: f"{quoted(pair[1])} after another word",
    }
    for kind, description in descriptions.items():
        if not windows[kind]:
            raise UserError(
                f"{description} is nowhere in this corpus with a token for each word: take a larger corpus, or words "
                "that are tokens of this model"
            )
    random = np.random.default_rng(seed)
    n_both = min(n_both, len(windows[both]))
    n_half = min(round(n_both * (1 - POSITIVE_SHARE) / POSITIVE_SHARE / 2), *(len(windows[kind]) for kind in (1, 2)))
    texts = []
    for kind, n in ((both, n_both), (first_only, n_half), (second_only, n_half)):
        listed = list(windows[kind].items())
        for at in sorted(random.permutation(len(listed))[:n].tolist()):
            window, number = listed[at]
            texts.append(LabelledText(window, [Span(0, len(window), float(kind == both))], number))
    return LabelledSet(
        name=words.lower().replace(" ", "-"),
        texts=texts,
        classes=("one of the two words", words),
        note=f"{note}; {count(n_both)} with both words, {count(n_half)} with each alone".removeprefix("; "),
    )


def _pairs(text: str, spans: TokenSpans, first: str, second: str) -> Iterator[tuple[int, str]]:
    """Windows that end with both words (0), the first and another (1), another and the second (2)."""
    starts, ends = spans.start.tolist(), spans.end.tolist()
    tokens = [text[start:end].strip().lower() for start, end in zip(starts, ends, strict=True)]
    for at in range(1, len(tokens)):
        has = tokens[at - 1] == first, tokens[at] == second
        if (
            any(has)
            and tokens[at]
            and _is_word(text, starts[at - 1], ends[at - 1])
            and _is_word(text, starts[at], ends[at])
        ):
            window = text[starts[max(at + 1 - WINDOW, 0)] : ends[at]]
            yield (0 if all(has) else 1 if has[0] else 2), window


def _is_word(text: str, start: int, end: int) -> bool:
    """Characters start…end are no part of a longer word."""
    inner = text[start:end].strip()
    begins = text[start].isspace() or not start or not text[start - 1].isalnum()
    return bool(inner) and begins and not (inner[-1].isalnum() and text[end : end + 1].isalnum())
