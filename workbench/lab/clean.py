"""A cache of clean passes: most experiments compare with the same one. Least recently used goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Protocol

LIMIT = 256 * 1024 * 1024
"""bytes of logits and activations kept"""


class HasBytes(Protocol):
    """What the cache has to know of a pass."""

    @property
    def bytes(self) -> int:
        """Of memory that keeping it takes."""


class CleanCache:
    """Passes without edits, by tokens and by what was kept of them."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable) -> Any:
        """The pass that was put under `key`; None where there is none."""
        clean_pass = self._kept.get(key)
        if clean_pass is not None:
            self._kept.move_to_end(key)
        return clean_pass

    def put(self, key: Hashable, clean_pass: HasBytes) -> None:
        """Keep a pass, unless it alone is more than half of what may be kept."""
        if key in self._kept or clean_pass.bytes > self._limit // 2:
            return
        self._kept[key] = clean_pass
        self._bytes += clean_pass.bytes
        while self._bytes > self._limit:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.bytes

    def clear(self) -> None:
        self._kept.clear()
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """Of what is kept now; never more than LIMIT."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._kept)
