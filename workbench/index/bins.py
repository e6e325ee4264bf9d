"""The histogram's bins: signed, logarithmic, the same for every neuron of every model, so that counts just add.

256 bins, six to an octave from 2⁻¹¹ to 2¹⁰ on either side. Bins 0 and 255 are the overflow; 127 and 128 hold what is
nearer to zero than 2⁻¹¹ (exact zeros are in 128, those with a minus sign in 127). Edges have eight bits of mantissa:
a value's bin is one table look-up by the upper half of its float32 bits, and the same on every machine.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from workbench.index.format import BINS

LOWEST = -11
PER_OCTAVE = 6
HALF = BINS // 2


@cache
def magnitude_edges() -> np.ndarray:
    """Lower edges of the bins on the positive side above the zero bin. float32 [127], ascending."""
    steps = np.arange(HALF - 1)
    octave, within = np.divmod(steps, PER_OCTAVE)
    mantissa = 1 + np.round(256 * (2.0 ** (within / PER_OCTAVE) - 1)) / 256
    edges: np.ndarray = (mantissa * 2.0 ** (LOWEST + octave)).astype(np.float32)
    return edges


@cache
def edges() -> np.ndarray:
    """Edges for drawing, float32 [257]: finite ends stand for the overflow bins' open ones."""
    positive = magnitude_edges()
    top = np.float32(positive[-1] * 2)
    whole = np.concatenate([[-top], -positive[::-1], [0.0], positive, [top]])
    result: np.ndarray = whole.astype(np.float32)
    return result


@cache
def table() -> np.ndarray:
    """Bin of a float32 by `(bits >> 15) & 0x1FFFF` (sign, exponent, eight bits of mantissa). uint8 [131072]."""
    bits = np.arange(1 << 16, dtype=np.uint32) << 15
    magnitude = bits.view(np.float32)
    with np.errstate(invalid="ignore"):
        side = np.searchsorted(magnitude_edges(), np.nan_to_num(magnitude, nan=np.inf, posinf=np.inf), side="right")
    positive = (HALF + side).astype(np.uint8)
    negative = (HALF - 1 - side).astype(np.uint8)
    return np.concatenate([positive, negative])


def bin_of(values: np.ndarray) -> np.ndarray:
    """Bins of float32 values, uint8 of the same shape: the definition that the fast path has to equal."""
    values = np.asarray(values, dtype=np.float32)
    side = np.searchsorted(magnitude_edges(), np.abs(values), side="right")
    result: np.ndarray = np.where(np.signbit(values), HALF - 1 - side, HALF + side).astype(np.uint8)
    return result
