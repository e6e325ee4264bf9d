"""Ordinary text as examples: what a probe that watches text is set off by (METHODS, "Sparse probes")."""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np

from workbench.datasets.labelled.examples import TEST, Examples
from workbench.lab.loaded import Model
from workbench.lab.strength import sample_windows

RATE = 0.01
"""of false positives"""


def ordinary_examples(model: Model, like: Examples, tokens: int) -> tuple[Examples, str]:
    """At least `tokens` tokens of a fixed text, read as `like` is read; and which text that is.

    Each token by itself; or, where examples are pooled, spans of as many tokens as the median of them reads. Position 0
    of every window is left out. Labels are 0.
    """
    prompts, name = sample_windows(model, tokens)
    windows = tuple(tuple(prompt.ids.tolist()) for prompt in prompts)
    length = 1 if like.pooling == "token" else int(np.median(like.last - like.first)) + 1
    length = min(length, max(1, max(map(len, windows)) - 1))
    places = [
        (at, first)
        for at, window in enumerate(windows)
        for first in range(1, len(window) - length + 1, length)
    ]  # fmt: skip
    window, first = np.array(places, np.int64).T
    n = len(places)
    key = msgspec.json.encode([windows, length, like.pooling])
    examples = Examples(
        windows=windows,
        window=window,
        first=first,
        last=first + length - 1,
        label=np.zeros(n),
        document=window,
        split=np.full(n, TEST, np.int8),
        pooling=like.pooling,
        classes=like.classes,
        numeric=False,
        content_hash=hashlib.sha256(key).hexdigest(),
    )
    return examples, name
