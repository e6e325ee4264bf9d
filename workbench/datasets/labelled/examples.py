"""A labelled set aligned to one tokenizer: which positions of which windows are read, and their labels and split."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np

TRAIN, VALIDATION, TEST = 0, 1, 2
SPLITS = ("train", "validation", "test")
Pooling = Literal["token", "mean", "max", "extreme"]
"""how positions first…last become one number a unit (extreme: the value of largest size)"""


class Examples(msgspec.Struct, frozen=True, kw_only=True):
    """A labelled set aligned to one tokenizer; n examples."""

    windows: tuple[tuple[int, ...], ...]
    """token ids of each text as the model gets them (BOS as the tokenizer's own call adds)"""
    window: np.ndarray
    """int64 [example], which window an example reads"""
    first: np.ndarray
    """int64 [example], position of the first token read in its window; never 0"""
    last: np.ndarray
    """int64 [example], of the last one, itself read; equal to first where one token is read"""
    label: np.ndarray
    """float64 [example], 0 or 1; or the number, of numeric targets"""
    document: np.ndarray
    """int64 [example], for splits, clustered errors and bootstraps"""
    split: np.ndarray
    """int8 [example], TRAIN, VALIDATION or TEST: by document, stratified by label, seeded"""
    pooling: Pooling
    classes: tuple[str, str]
    """names of label 0 and label 1"""
    numeric: bool
    content_hash: str
    """of windows, positions, labels and split: the identity of its activations beside the model's"""

    def __len__(self) -> int:
        """Examples."""
        return len(self.label)
