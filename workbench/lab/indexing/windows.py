"""Where the entries of top lists have their peaks, and the activations around these: what a block puts on disk."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from workbench.index.format import SIDE, WINDOW
from workbench.index.memory import WAITING

WindowLog = Callable[[str, np.ndarray, np.ndarray], None]
"""Takes the map's name, flat slots int64 [entry] and windows float16 [entry, WINDOW]."""


def at_peaks(values: torch.Tensor, peaks: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
    """The first allowed position of each row that has its peak's value, int64 [entry].

    `values` [entry, position], `peaks` [entry], `allowed` bool [entry, position].
    """
    return ((values == peaks[:, None]) & allowed).view(torch.uint8).argmax(dim=1)


def around(values: torch.Tensor, peak: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """Values around the peaks, float16 [entry, WINDOW]; nan outside of the row and at its position 0."""
    at = peak[:, None] + torch.arange(-SIDE, SIDE + 1, device=peak.device)
    inside = (at >= 0) & (at < values.shape[1])
    at = at.clamp(0, values.shape[1] - 1)
    inside &= counted.gather(1, at)
    limit = torch.finfo(torch.float16).max
    windows = values.gather(1, at).clamp(-limit, limit).masked_fill(~inside, torch.nan)
    assert windows.shape[1] == WINDOW
    return windows.half()


class WaitingWindows:
    """A block's windows, which stay on their device until they are taken to the log together."""

    def __init__(self, device: torch.device) -> None:
        self._limit = WAITING["cpu" if device.type == "cpu" else "other"]
        self._parts: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
        self._bytes = 0

    def add(self, name: str, slots: torch.Tensor, windows: torch.Tensor, log: WindowLog) -> None:
        """`slots` int64 [entry] and `windows` float16 [entry, WINDOW] of a map."""
        self._parts.setdefault(name, []).append((slots, windows))
        self._bytes += slots.nbytes + windows.nbytes
        if self._bytes > self._limit:
            self.take(log)

    def take(self, log: WindowLog) -> None:
        """All of them into the log, each map's in the order in which they came."""
        for name, parts in self._parts.items():
            slots, windows = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
            log(name, slots.cpu().numpy(), windows.cpu().numpy())
        self._parts, self._bytes = {}, 0
