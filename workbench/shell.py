"""Lines for copying: what a shell reads as these words, and what no screen changes on the way to it.

Text that a terminal would hide or that steers it (newlines, tabs, joiners, bidirectional marks) is written in the
`$'…'` of bash, zsh and ksh, byte by byte, so that it means the same in every locale.
"""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Sequence

from workbench.text import safe

LONGEST = 1 << 17
"""bytes that Linux takes as one word of a command, with the 0 at its end"""
NO_LINE = "no shell line: a text in it is longer than a command may be, or holds a NUL"
_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", "'": "\\'"}


def shell_line(words: Sequence[str], ascii_only: bool = False) -> str:
    """One line that a shell reads as `words`; with `ascii_only` for screens that show nothing else.

    Empty where there is no such line: a word holds a NUL or a lone surrogate, or is longer than a command may be.
    """
    try:
        if any("\0" in word or len(word.encode()) >= LONGEST for word in words):
            return ""
    except UnicodeEncodeError:
        return ""
    return " ".join(_quoted(word, ascii_only) for word in words)


def _quoted(word: str, ascii_only: bool) -> str:
    if _is_plain(word) and not (ascii_only and not word.isascii()):
        return shlex.quote(word)
    escaped = "".join(_escaped(character, ascii_only, marks=False) for character in word)
    if not _is_plain(escaped):  # combining marks, more than are drawn on one character
        escaped = "".join(_escaped(character, ascii_only, marks=True) for character in word)
    return f"$'{escaped}'"


def _is_plain(text: str) -> bool:
    """Whether a screen shows and a terminal copies exactly this."""
    return (text.isascii() and text.isprintable()) or (safe(text) == text and not any(map(_is_hidden, text)))


def _is_hidden(character: str) -> bool:
    """What is drawn as nothing, or as a space that copies as another one."""
    return character != " " and unicodedata.category(character)[0] in "ZC"


def _escaped(character: str, ascii_only: bool, marks: bool) -> str:
    if character in _SHORT:
        return _SHORT[character]
    is_mark = unicodedata.category(character)[0] == "M"
    if is_mark and not marks and not ascii_only:
        return character
    if character.isascii() if ascii_only else _is_plain(character):
        return character if character.isprintable() else f"\\x{ord(character):02x}"
    # Bash reads at most two digits after \x, whatever follows.
    return "".join(f"\\x{byte:02x}" for byte in character.encode())
