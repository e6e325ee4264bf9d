"""Examples with their windows, read from the maps: tokens from the token store, values in float16."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from workbench.index.card import Example
from workbench.index.format import SIDE, IndexFile, map_shapes, open_array


def window_bounds(position: int, length: int, step: int) -> tuple[int, int]:
    """First and one past the last document position kept around a peak.

    `length` tokens in the document, cut into model windows of `step` tokens: what the model didn't see together
    is not shown together.
    """
    start = position // step * step
    return max(start, position - SIDE), min(start + step, length, position + SIDE + 1)


class ExampleReader:
    """Reads examples of a data folder at one revision."""

    def __init__(
        self, folder: Path, file: IndexFile, arrays: dict[str, np.ndarray], token: Callable[[int], str]
    ) -> None:
        """`token` gives the text of a token's id."""
        assert file.settings is not None
        self._arrays = arrays
        self._token = token
        maps = {name: open_array(folder, name, list(shape)) for name, shape in map_shapes(file).items()}
        self._windows, self._sign_windows = maps["windows"], maps.get("sign_windows")
        self._tokens = open_array(folder, "tokens")
        self._numbers = np.ascontiguousarray(arrays["documents"][:, 0])
        self._bos = int(file.facts.get("bos", 0))
        self._step = file.settings.context - self._bos

    def tail(self, tail: int, neuron: int) -> list[Example]:
        """The highest (0) or lowest (1) examples, most extreme first, at most one a document.

        Features have no lowest.
        """
        if tail >= len(self._windows):
            return []
        values = np.array(self._arrays["example_values"][tail, neuron])
        documents = np.array(self._arrays["example_documents"][tail, neuron])
        positions = np.array(self._arrays["example_positions"][tail, neuron])
        return self._examples(values, documents, positions, self._windows[tail, neuron], descending=tail == 0)

    def sign_case(self, case: int, neuron: int) -> list[Example]:
        """The sample's largest activations in one sign case, largest |a| first."""
        if self._sign_windows is None:
            return []
        values = np.array(self._arrays["sign_values"][case, neuron])
        documents = np.array(self._arrays["sign_documents"][case, neuron])
        positions = np.array(self._arrays["sign_positions"][case, neuron])
        return self._examples(values, documents, positions, self._sign_windows[case, neuron], case in (0, 3))

    def _examples(
        self, values: np.ndarray, documents: np.ndarray, positions: np.ndarray, windows: np.ndarray, descending: bool
    ) -> list[Example]:
        filled = np.flatnonzero(documents >= 0)
        order = filled[
            np.lexsort((positions[filled], documents[filled], -values[filled] if descending else values[filled]))
        ]
        return [
            self._example(float(values[slot]), int(documents[slot]), int(positions[slot]), windows[slot])
            for slot in order
        ]

    def _example(self, value: float, document: int, position: int, window: np.ndarray) -> Example:
        row = int(np.searchsorted(self._numbers, document))
        _, offset, length = self._arrays["documents"][row].tolist()
        first, end = window_bounds(position, length, self._step)
        ids = self._tokens[offset + first : offset + end].tolist()
        left = SIDE - (position - first)
        shown = np.array(window[left : left + end - first], dtype=np.float32)
        peak = position - first
        limit = np.finfo(np.float16).max
        if shown[peak] != np.float16(np.clip(value, -limit, limit)):
            # A growing index replaced this window after our revision: better no values than another's.
            shown[:] = np.nan
            shown[peak] = value
        return Example(
            tokens=[self._token(index) for index in ids],
            values=shown,
            peak=peak,
            value=value,
            document=document,
            position=position,
        )
