"""Fewer examples of a large set, with a share of label 1 that a probe can be fitted on; seeded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from workbench.datasets.labelled.labelled_set import LabelledText, Span

POSITIVE_SHARE = 0.2
"""METHODS 3"""
LIMIT = 4_000
"""examples"""
PIECE = 500
"""characters at least of the texts that documents are cut into: a hundred tokens or so"""


class Piece(NamedTuple):
    """A part of a document, with everything in it that could be an example."""

    text: str
    spans: list[Span]
    document: int


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

    From one piece at most ten, spread over it at random. With fewer of label 1 than that, there are so many of label 0
    that the share stays, but at least as many as of label 1. Pieces are read only until there are enough. With no
    share (numeric targets) examples are drawn as they come.
    """
    random = np.random.default_rng(seed)
    wanted = {1: limit, 0: 0} if share is None else {1: round(limit * share), 0: limit - round(limit * share)}
    per_piece = {1: 10, 0: 0} if share is None else {1: 4, 0: 6}
    have = {0: 0, 1: 0}
    kept: list[tuple[Piece, list[Span]]] = []
    for piece in pieces:
        chosen: list[Span] = []
        for label in (0, 1):
            room = min(per_piece[label], wanted[label] - have[label])
            candidates = [span for span in piece.spans if share is None or span.label == label] if room > 0 else []
            drawn = random.permutation(len(candidates))[:room]
            chosen += [candidates[at] for at in drawn]
            have[label] += len(drawn)
        if chosen:
            kept.append((piece, sorted(chosen, key=lambda span: span.start)))
        if all(have[label] >= wanted[label] for label in wanted):
            break
    if share is not None and 0 < have[1] < wanted[1]:
        surplus = have[0] - max(have[1], round(have[1] * (1 - share) / share))
        kept = _without(kept, max(surplus, 0), random)
    return [LabelledText(piece.text, spans, piece.document) for piece, spans in kept if spans]


def _without(
    kept: Sequence[tuple[Piece, list[Span]]], surplus: int, random: np.random.Generator
) -> list[tuple[Piece, list[Span]]]:
    """Without `surplus` examples of label 0, drawn at random."""
    negatives = [
        (at, place) for at, (_, spans) in enumerate(kept) for place, span in enumerate(spans) if not span.label
    ]
    dropped = {negatives[at] for at in random.permutation(len(negatives))[:surplus].tolist()}
    return [
        (piece, [span for place, span in enumerate(spans) if (at, place) not in dropped])
        for at, (piece, spans) in enumerate(kept)
    ]
