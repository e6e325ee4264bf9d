"""Labelled sets made up for tests: windows of different lengths, and what is read of them."""

from __future__ import annotations

import numpy as np

from tests.tiny import TEXT
from workbench.datasets.labelled.examples import Examples, Pooling
from workbench.lab.model import Lab


def made_examples(lab: Lab, pooling: Pooling = "token", n: int = 40, seed: int = 0, content_hash: str = "") -> Examples:
    """`n` examples in 24 windows of 4 to 30 tokens, some of which nobody reads."""
    random = np.random.default_rng(seed)
    ids = lab.prompt(TEXT[:600]).ids.tolist()
    lengths = random.integers(4, 31, 24)
    starts = random.integers(0, len(ids) - 30, 24)
    windows = tuple(
        tuple(ids[start : start + length]) for start, length in zip(starts.tolist(), lengths.tolist(), strict=True)
    )
    window = random.integers(0, 20, n)
    first = random.integers(1, lengths[window])
    last = first if pooling == "token" else random.integers(first, lengths[window])
    return Examples(
        windows=windows,
        window=window,
        first=first,
        last=last,
        label=(random.random(n) < 0.3).astype(np.float64),
        document=window,
        split=np.zeros(n, np.int8),
        pooling=pooling,
        classes=("no", "yes"),
        numeric=False,
        content_hash=content_hash or f"{pooling}-{n}-{seed}",
    )
