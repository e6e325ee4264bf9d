"""What of a long text is left out where there is no room: never the strongest tokens."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from workbench.views import TokenRow, Tokens

MAX_TOKENS = 4096
"""Tokens drawn where no height is given, and the strongest ones; exports have all."""
_MAX_PROMPT = 64
"""tokens drawn of the prompt before what was generated"""
STRONGEST = 3
"""of each row: named with their values, never left out"""
_CONTEXT = 4
"""tokens kept on both sides of a strong one"""
_LEAST_GAP = 8
"""fewer tokens than these are not worth leaving out"""


def strongest(row: TokenRow, n_tokens: int, signed: bool) -> list[int]:
    """Positions by value, the farthest from zero first where signed, else the highest; nan has no place."""
    values = np.asarray(row.values[:n_tokens], dtype=float)
    key = np.abs(values) if signed else values
    usable = np.flatnonzero(~np.isnan(values))
    return [int(at) for at in usable[np.argsort(-key[usable], kind="stable")]]


def tokens_shown(view: Tokens, fits: Callable[[np.ndarray], bool] | None) -> np.ndarray:
    """Which tokens are drawn, bool [token]: as many of the strongest with their neighbours as `fits` says there is
    room for; all where there is room for all (None: room for MAX_TOKENS)."""
    n = len(view.tokens)
    ranked = [strongest(row, n, view.signed) for row in view.rows]
    first = list(dict.fromkeys(at for row in ranked for at in row[:STRONGEST]))
    everything = np.ones(n, dtype=bool)
    if view.generated_from is not None:
        everything[: max(0, view.generated_from - _MAX_PROMPT)] = False
        everything = _around(first, n, _CONTEXT) | everything
    if fits is None:
        everything[MAX_TOKENS:] = False
        return _without_small_gaps(everything | _around(first, n, _CONTEXT))
    if fits(everything):
        return everything
    order = np.array([*first, *_by_strength(view, first)], dtype=int)
    for context in (_CONTEXT, 2, 1, 0):
        low, high = len(first), n  # the most tokens that fit are in this range, if the first do
        kept = _without_small_gaps(_around(order[:low], n, context)) & everything
        if not fits(kept):
            continue
        while high - low > 1:
            middle = (low + high) // 2
            more = _without_small_gaps(_around(order[:middle], n, context)) & everything
            if fits(more):
                low, kept = middle, more
            else:
                high = middle
        return kept
    return _around(first, n, 0)


def _by_strength(view: Tokens, without: list[int]) -> list[int]:
    """All other positions, the strongest first; the ones at both ends where there are no values."""
    n = len(view.tokens)
    ends = np.minimum(np.arange(n), n - 1 - np.arange(n))
    strength = np.full(n, -np.inf)
    for row in view.rows:
        values = np.asarray(row.values[:n], dtype=float)
        values = np.where(np.isnan(values), -np.inf, np.abs(values) if view.signed else values)
        strength[: len(values)] = np.maximum(strength[: len(values)], values)
    left_out = set(without)
    return [int(at) for at in np.lexsort((ends, -strength)) if int(at) not in left_out]


def _around(positions: np.ndarray | list[int], n: int, context: int) -> np.ndarray:
    """bool [token]: these and `context` tokens on both sides."""
    steps = np.zeros(n + 1, dtype=int)
    at = np.asarray(positions, dtype=int)
    np.add.at(steps, np.maximum(0, at - context), 1)
    np.add.at(steps, np.minimum(n, at + context + 1), -1)
    return np.asarray(np.cumsum(steps[:-1]) > 0)


def _without_small_gaps(kept: np.ndarray) -> np.ndarray:
    edges = np.flatnonzero(np.diff(kept.astype(np.int8), prepend=1, append=1))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if stop - start < _LEAST_GAP:
            kept[start:stop] = True
    return kept
