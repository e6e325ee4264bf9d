"""Clean passes, kept: most questions compare with the same one. Least recently used goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from workbench.lab.forward import Forward

LIMIT = 256 * 1024 * 1024
"""bytes of logits and activations kept"""


class CleanCache:
    """Forward passes without edits, by tokens and by what was kept of them."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._kept: OrderedDict[Hashable, Forward] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable) -> Forward | None:
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: Hashable, forward: Forward) -> None:
        """Keep a pass, unless it alone is more than half of what may be kept."""
        if key in self._kept or forward.bytes > self._limit // 2:
            return
        self._kept[key] = forward
        self._bytes += forward.bytes
        while self._bytes > self._limit:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.bytes

    def clear(self) -> None:
        self._kept.clear()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)
