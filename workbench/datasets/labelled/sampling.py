"""Fewer examples of a large set, with a share of label 1 that a probe can be fitted on; seeded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from workbench.datasets.labelled.labelled_set import LabelledText, Span

POSITIVE_SHARE = 0.2
"""as the paper has it (METHODS, "Sparse probes")"""
LIMIT = 4_000
"""examples"""
PIECE = 500
"""characters at least of the texts that documents are cut into: a hundred tokens or so"""


PER_DOCUMENT = {1: 2, 0: 8}
"""examples of each label that a document gives first"""


class Piece(NamedTuple):
    """A part of a document, with everything in it that could be an example."""

    text: str
    spans: list[Span]
    document: int


class _Drawn(NamedTuple):
    piece: int
    span: Span


def cut(text: str, least: int = PIECE) -> list[str]:
    """A document as pieces of `least` characters and up to the end of a line, or of a word in long lines."""
    pieces, start = [], 0
    while len(text) - start > 2 * least:
        at = text.find("\n", start + least, start + 2 * least) + 1
        at = at or text.find(" ", start + least, start + 2 * least)
        at = at if at > 0 else start + least
        pieces.append(text[start:at])
        start = at
    return [piece for piece in [*pieces, text[start:]] if piece.strip()]


def sampled(pieces: Iterable[Piece], limit: int, seed: int, share: float | None = POSITIVE_SHARE) -> list[LabelledText]:
    """At most `limit` examples of what the pieces hold, `share` of them of label 1 where there are as many.

    PER_DOCUMENT from a document, at random; more of them only where the pieces end before there are enough, since
    examples of one document are alike. With fewer of label 1 than asked for, there are so many of label 0 that the
    share stays, but at least as many as of label 1. Pieces are read only until there are enough. With no share
    (numeric targets) examples are drawn whatever their label.
    """
    random = np.random.default_rng(seed)
    wanted = {1: limit, 0: 0} if share is None else {1: round(limit * share), 0: limit - round(limit * share)}
    drawn: dict[int, list[_Drawn]] = {0: [], 1: []}
    spare: dict[int, list[_Drawn]] = {0: [], 1: []}
    of_document: Counter[tuple[int, int]] = Counter()
    kept: list[Piece] = []
    for piece in pieces:
        for label in (0, 1):
            candidates = [span for span in piece.spans if share is None or (span.label == 1) == label]
            for at in random.permutation(len(candidates))[: wanted[label]].tolist():
                example = _Drawn(len(kept), candidates[at])
                if len(drawn[label]) < wanted[label] and of_document[piece.document, label] < PER_DOCUMENT[label]:
                    of_document[piece.document, label] += 1
                    drawn[label].append(example)
                elif len(spare[label]) < wanted[label]:
                    spare[label].append(example)
        kept.append(piece)
        if all(len(drawn[label]) >= wanted[label] for label in wanted):
            break
    for label in (0, 1):
        missing = wanted[label] - len(drawn[label])
        drawn[label] += [spare[label][at] for at in random.permutation(len(spare[label]))[:missing].tolist()]
    if share is not None and 0 < len(drawn[1]) < wanted[1]:
        n = max(len(drawn[1]), round(len(drawn[1]) * (1 - share) / share))
        drawn[0] = [drawn[0][at] for at in random.permutation(len(drawn[0]))[:n].tolist()]
    spans: dict[int, list[Span]] = {}
    for example in sorted([*drawn[0], *drawn[1]], key=lambda example: (example.piece, example.span.start)):
        spans.setdefault(example.piece, []).append(example.span)
    return [LabelledText(kept[at].text, of_piece, kept[at].document) for at, of_piece in spans.items()]
