"""A long text as documents."""

from __future__ import annotations

import re
from collections.abc import Iterator

LONG_TEXT = 8_000
"""characters; a longer text becomes several documents"""
PIECE = 4_000
"""characters at least, in each of them"""


def pieces(text: str) -> Iterator[str]:
    """A long text as documents of about PIECE characters, cut at blank lines, or at lines where there are none."""
    if len(text) <= LONG_TEXT:
        yield text
        return
    parts = re.split(r"(\n[ \t]*\n)", text) if "\n\n" in text else re.split(r"(\n)", text)
    piece = ""
    for part in parts:
        piece += part
        if len(piece) >= PIECE:
            yield piece
            piece = ""
    if piece.strip():
        yield piece
