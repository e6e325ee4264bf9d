"""A labelled set as it is kept: texts, and a label on spans of their characters. Nothing of a tokenizer in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Literal

import msgspec

Read = Literal["last", "first", "mean", "max", "extreme"]
"""which tokens of a span are read: one of them, or all, as their mean, maximum, or value of largest size"""


class Span(msgspec.Struct, frozen=True, array_like=True):
    """Characters start…end (end not among them) of a text, and their label."""

    start: int
    end: int
    label: float


class LabelledText(msgspec.Struct, frozen=True, omit_defaults=True):
    """A text that the model reads from its beginning, and what is labelled in it."""

    text: str
    spans: list[Span]
    document: int = -1
    """texts of one document fall on one side of a split; −1: this text is a document by itself"""


class LabelledSet(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Labelled tokens (spans of words) or sequences (one span, the whole text), or numbers instead of labels."""

    name: str = ""
    texts: list[LabelledText] = []
    read: Read = "last"
    classes: tuple[str, str] = ("0", "1")
    """names of label 0 and label 1"""
    numeric: bool = False
    """labels are numbers to be predicted"""
    note: str = ""
    """where it comes from, in words"""

    def __len__(self) -> int:
        """Examples."""
        return sum(len(text.spans) for text in self.texts)

    def spans(self) -> Iterator[tuple[LabelledText, Span]]:
        """Every example with its text."""
        return ((text, span) for text in self.texts for span in text.spans)

    @property
    def whole_texts(self) -> bool:
        """Each label is a whole text's (a text that is there twice has two)."""
        return all(span.start == 0 and span.end == len(text.text) for text, span in self.spans())

    @property
    def hash(self) -> str:
        """SHA-256 of what is labelled and how, hex; name and note are not in it."""
        content = [self.texts, self.read, self.classes, self.numeric]
        return hashlib.sha256(msgspec.json.encode(content)).hexdigest()
