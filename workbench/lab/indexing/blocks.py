"""Documents to blocks: windows of tokens in rows, padded on the right, in a few fixed shapes.

A document is cut into windows of `context` tokens, each with its BOS where the tokenizer adds one. Windows come in
shelves of some blocks; within a shelf the longest go first, so that little is padding. A window's numbers do not
depend on its neighbours, so all of this decides the last bits and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.index.format import IndexSettings, half_of, in_sample


@dataclass(frozen=True)
class Window:
    """Some consecutive tokens of one document."""

    document: int
    start: int
    """of its first token in the document"""
    ids: np.ndarray
    """without BOS"""
    last: bool
    """the document ends with it"""


@dataclass(frozen=True)
class Block:
    """Rows of tokens for one pass. Rows of the first half of the documents come first."""

    ids: np.ndarray
    """int64 [row, position], padded on the right with 0"""
    lengths: np.ndarray
    """int64 [row], with BOS"""
    documents: np.ndarray
    """int64 [row]"""
    starts: np.ndarray
    """int64 [row]: place in its document of the row's position 0 (where that is BOS: of position 1, minus 1)"""
    closes: frozenset[int]
    """documents whose last window is in this block"""
    first_half: int
    """rows of documents in half 0"""

    def part(self, first: int, end: int) -> Block:
        """Some of the rows, which close no document by themselves."""
        return Block(
            self.ids[first:end],
            self.lengths[first:end],
            self.documents[first:end],
            self.starts[first:end],
            frozenset(),
            min(max(self.first_half - first, 0), end - first),
        )

    @property
    def counted(self) -> np.ndarray:
        """bool [row, position]: what enters statistics. Never position 0, never padding."""
        position = np.arange(self.ids.shape[1])
        inside: np.ndarray = (position >= 1) & (position < self.lengths[:, None])
        return inside

    def sampled(self, one_in: int) -> np.ndarray:
        """bool [row, position]: the counted tokens of the sample."""
        position = self.starts[:, None] + np.arange(self.ids.shape[1])
        chosen: np.ndarray = self.counted & in_sample(self.documents[:, None], position, one_in)
        return chosen

    @property
    def tokens(self) -> int:
        """How many are counted."""
        return int((self.lengths - 1).sum())


def widths(context: int) -> list[int]:
    """Row lengths that blocks come in, ascending: the context, and two steps to each octave below, down to 16."""
    lengths = {context}
    width = context
    while width > 16:
        lengths |= {max(16, width * 3 // 4), max(16, width // 2)}
        width //= 2
    return sorted(lengths)


def windows(document: int, ids: np.ndarray, step: int, shortest: int) -> list[Window]:
    """A document's windows of `step` tokens; one with fewer than `shortest` has no token that counts, and is left."""
    starts = [start for start in range(0, len(ids), step) if len(ids) - start >= shortest]
    return [Window(document, start, ids[start : start + step], last=start == starts[-1]) for start in starts]


def blocks(
    documents: Iterable[tuple[int, np.ndarray]],
    settings: IndexSettings,
    bos: int | None,
    switches: Sequence[int] = (),
) -> Iterator[tuple[list[tuple[int, np.ndarray]], Block]]:
    """The blocks of a stream of (number, token ids). With each come the documents first read for it.

    `switches` are lengths after which the model rotates differently: no block has rows on both sides of one.
    The same documents give the same blocks; more documents at the end change none of the earlier ones, except that
    the shelf that was last may have been cut short.
    """
    step = settings.context - (bos is not None)
    shortest = 1 if bos is not None else 2
    fill = settings.shelf_blocks * settings.block_tokens
    shelf: list[Window] = []
    read: list[tuple[int, np.ndarray]] = []
    room = fill
    for number, ids in documents:
        document_windows = windows(number, ids, step, shortest)
        if not document_windows:
            continue
        read.append((number, ids))
        for window in document_windows:
            shelf.append(window)
            room -= len(window.ids)
            if room <= 0:
                yield from _with_documents(_shelf_blocks(shelf, settings, bos, switches), read)
                shelf, room, read = [], fill, []
    yield from _with_documents(_shelf_blocks(shelf, settings, bos, switches), read)


def _with_documents(
    shelf_blocks: Iterator[Block], read: list[tuple[int, np.ndarray]]
) -> Iterator[tuple[list[tuple[int, np.ndarray]], Block]]:
    for block in shelf_blocks:
        yield read, block
        read = []


def _shelf_blocks(
    shelf: list[Window], settings: IndexSettings, bos: int | None, switches: Sequence[int]
) -> Iterator[Block]:
    front = int(bos is not None)
    ordered = sorted(shelf, key=lambda window: -len(window.ids))
    windows_left = {window.document: 0 for window in shelf}
    for window in shelf:
        windows_left[window.document] += 1
    ends = {window.document for window in shelf if window.last}
    possible_widths = sorted({*widths(settings.context), *switches})
    at = 0
    while at < len(ordered):
        longest = len(ordered[at].ids) + front
        width = next(width for width in possible_widths if width >= longest)
        shorter = max((switch for switch in switches if switch < width), default=0)
        rows = ordered[at : at + max(1, settings.block_tokens // width)]
        rows = [window for window in rows if len(window.ids) + front > shorter]
        at += len(rows)
        for window in rows:
            windows_left[window.document] -= 1
        closes = frozenset(w.document for w in rows if windows_left[w.document] == 0 and w.document in ends)
        yield _block(rows, width, bos, closes)


def _block(rows: list[Window], width: int, bos: int | None, closes: frozenset[int]) -> Block:
    halves = half_of(np.array([row.document for row in rows]))
    order = np.argsort(halves, kind="stable")
    front = int(bos is not None)
    ids = np.zeros((len(rows), width), dtype=np.int64)
    for row, source in zip(ids, order, strict=True):
        if bos is not None:
            row[0] = bos
        row[front : front + len(rows[source].ids)] = rows[source].ids
    placed = [rows[source] for source in order]
    return Block(
        ids=ids,
        lengths=np.array([len(row.ids) + front for row in placed]),
        documents=np.array([row.document for row in placed]),
        starts=np.array([row.start - front for row in placed]),
        closes=closes,
        first_half=int((halves == 0).sum()),
    )
