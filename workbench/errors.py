"""What a user did, or met, that stops the work: always one clear sentence."""

from __future__ import annotations

from tokenize import TokenError

import msgspec

JSON_ERRORS = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
"""what msgspec raises for bytes that are no message or JSON of ours: deep nesting and other encodings, too"""

NPY_ERRORS = (
    OSError, EOFError, ValueError, TypeError, KeyError, OverflowError, MemoryError, SyntaxError, TokenError,
    RecursionError,
)  # fmt: skip
"""what NumPy raises for a file that is no array: it reads the header as Python"""


class UserError(Exception):
    """A sentence for the user: what was wrong and what would be right.

    Every front (command line, TUI, Python) shows `str(error)` and no traceback.
    """


class GrammarError(UserError):
    """Typed text that does not parse; points at the character.

    Attributes: `text` as typed, `position` (0-based index into it), `problem` (the sentence).
    """

    def __init__(self, text: str, position: int, problem: str) -> None:
        self.text = text
        self.position = max(0, min(position, len(text)))
        self.problem = problem
        super().__init__(problem)

    def __str__(self) -> str:
        # Control characters would move the caret: show each as one column.
        shown = "".join(c if c.isprintable() else "·" for c in self.text)
        return f"{self.problem}\n  {shown}\n  {' ' * self.position}^"


class Cancelled(Exception):  # noqa: N818 - it is a signal, not an error
    """Raised inside an experiment where its cancel is noticed; what it had published is kept."""
