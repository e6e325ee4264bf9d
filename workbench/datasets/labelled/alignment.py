"""Characters to tokens: which characters of a text each token stands for, by the tokenizer's own offsets.

Some tokenizers leave the space before a word, or a token that is all space, out of their offsets: such characters are
given to the token that follows, so that tokens cover the text without a gap. Tokens that are bytes of one character
all stand for that character.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from workbench.errors import UserError


class TokenSpans(NamedTuple):
    """A text as tokens, and the characters start…end (end not among them) of each; what is no text's has none."""

    ids: tuple[int, ...]
    """as the tokenizer's own call gives them, with BOS where it adds one; nothing after the text"""
    start: np.ndarray
    """int64 [position]"""
    end: np.ndarray
    """int64 [position]"""

    def covering(self, start: int, end: int) -> np.ndarray:
        """Positions of the tokens that have a character in start…end, in order, int64."""
        return np.flatnonzero((self.start < end) & (self.end > start))


def token_spans(tokenizer: Any, texts: Sequence[str]) -> list[TokenSpans]:
    """`tokenizer` is a fast one of transformers. Raises UserError for one without offsets, and for what is no text."""
    if not getattr(tokenizer, "is_fast", False):
        raise UserError("this model's tokenizer doesn't say which characters its tokens stand for: labels need that")
    if not texts:
        return []
    try:
        encoded = tokenizer(
            list(texts),
            add_special_tokens=True,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            verbose=False,  # texts longer than the context are cut and counted by those who read them
        )
    except (UnicodeError, TypeError):
        raise UserError("a text holds half a character (a lone surrogate): write the set again as UTF-8") from None
    columns = (encoded["input_ids"], encoded["offset_mapping"], encoded["special_tokens_mask"])
    return [_spans(*row) for row in zip(*columns, strict=True)]


def _spans(ids: Sequence[int], offsets: Sequence[tuple[int, int]], added: Sequence[int]) -> TokenSpans:
    n = len(ids)
    while n and added[n - 1]:
        n -= 1  # what stands after the text (SEP, EOS) is none of what the model goes on from
    start, end = np.zeros(n, np.int64), np.zeros(n, np.int64)
    covered = 0
    for at in range(n):
        if added[at]:
            continue
        first, after = offsets[at]
        start[at] = min(first, covered)  # before `covered`: another byte of the character before
        end[at] = covered = max(covered, after)
    return TokenSpans(tuple(ids[:n]), start, end)
