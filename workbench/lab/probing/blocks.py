"""The windows of a labelled set in blocks for one pass each: of like length, padded on the right.

The same set and limits give the same blocks, so that what a build before has read is what this one would read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from workbench.datasets.labelled.examples import Examples
from workbench.lab.rotations import Rotations


@dataclass(frozen=True)
class Block:
    """Windows of one pass, and the examples that read them."""

    windows: np.ndarray
    """int64 [row]"""
    examples: np.ndarray
    """int64 [example], ascending"""
    rows: np.ndarray
    """int64 [example], the row that each reads"""

    def part(self, first: int, end: int) -> Block:
        """Some of the rows."""
        inside = (self.rows >= first) & (self.rows < end)
        return Block(self.windows[first:end], self.examples[inside], self.rows[inside] - first)


def blocks(examples: Examples, tokens: int, most_examples: int, rotations: Rotations) -> Iterator[Block]:
    """Every window that an example reads, longest first: the block that needs most memory is the first.

    A block has at most so many tokens, padding counted, and examples, or else one window. Windows that the model
    rotates differently are in blocks of their own.
    """
    lengths = np.array([len(window) for window in examples.windows])
    by_window = np.argsort(examples.window, kind="stable")
    ends = np.searchsorted(examples.window[by_window], np.arange(len(lengths)), side="right")
    counts = np.diff(ends, prepend=0)
    read = np.flatnonzero(counts)
    read = read[np.argsort(-lengths[read], kind="stable")]
    for group in rotations.alike(lengths[read].tolist()):
        waiting: list[int] = []
        for window in read[group].tolist():
            width = lengths[waiting[0]] if waiting else lengths[window]
            too_long = (len(waiting) + 1) * width > tokens
            if waiting and (too_long or counts[waiting].sum() + counts[window] > most_examples):
                yield _block(waiting, by_window, ends, counts)
                waiting = []
            waiting.append(window)
        yield _block(waiting, by_window, ends, counts)


def _block(windows: list[int], by_window: np.ndarray, ends: np.ndarray, counts: np.ndarray) -> Block:
    members = np.concatenate([by_window[ends[window] - counts[window] : ends[window]] for window in windows])
    rows = np.repeat(np.arange(len(windows)), counts[windows])
    order = np.argsort(members)  # neighbours in a map are written together
    return Block(np.array(windows), members[order], rows[order])
