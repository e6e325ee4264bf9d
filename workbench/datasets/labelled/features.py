"""What a token's own characters say of it: the text features of METHODS, "Sparse probes", words, patterns, the token
before, position.

A rule takes a text and its tokens, and gives each position its label: 1, 0, or nan where it is no example.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from workbench.datasets.labelled.alignment import TokenSpans
from workbench.errors import UserError
from workbench.text import quoted

Rule = Callable[[str, TokenSpans], np.ndarray]
"""float64 [position]"""

TEXT_FEATURES: dict[str, Callable[[str], bool]] = {
    "contains-digit": lambda token: any(character.isdigit() for character in token),
    "all-digits": lambda token: token.strip().isdigit(),
    "contains-capital": lambda token: any(character.isupper() for character in token),
    "leading-capital": lambda token: token.strip()[:1].isupper(),
    "all-capitals": lambda token: token.strip().isalpha() and token.strip().isupper(),
    "contains-whitespace": lambda token: any(character.isspace() for character in token),
    "leading-space": lambda token: token.startswith(" "),
    "no-leading-space-and-lower-case": lambda token: token.isalpha() and token.islower(),
    "all-whitespace": str.isspace,
    "not-alphanumeric": lambda token: not token.strip().isalnum(),
    "not-ascii": lambda token: not token.isascii(),
}
"""of a token's characters, with the space before a word (Gurnee et al. 2023, appendix)"""


def feature_rule(name: str) -> Rule:
    """One of TEXT_FEATURES."""
    holds = TEXT_FEATURES[name]

    def label(text: str, spans: TokenSpans) -> np.ndarray:
        pairs = zip(spans.start.tolist(), spans.end.tolist(), strict=True)
        return np.array([float(holds(text[start:end])) if end > start else np.nan for start, end in pairs])

    return label


def pattern_rule(pattern: str) -> Rule:
    """1 at the token in which a match of the regular expression ends, nan at others of a match. Raises UserError."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(f"{quoted(pattern)} is no regular expression: {error}") from None

    def label(text: str, spans: TokenSpans) -> np.ndarray:
        labels = np.where(spans.end > spans.start, 0.0, np.nan)
        for match in compiled.finditer(text):
            covering = spans.covering(*match.span())
            labels[covering[:-1]] = np.nan
            labels[covering[-1:]] = 1
        return labels

    return label


def words_rule(words: Sequence[str]) -> Rule:
    """1 at the last token of each of the words, in any case. Raises UserError where there is none."""
    written = [word.strip() for word in words if word.strip()]
    if not written:
        raise UserError("which words are label 1? Name them with --words, for example --words 'January,February'")
    alternatives = "|".join(map(re.escape, sorted(written, key=len, reverse=True)))
    return pattern_rule(rf"(?i)(?<!\w)(?:{alternatives})(?!\w)")


def before_rule(rule: Rule) -> Rule:
    """The label that `rule` gives the token before."""

    def label(text: str, spans: TokenSpans) -> np.ndarray:
        return np.concatenate([[np.nan], rule(text, spans)[:-1]])

    return label


def position_rule(text: str, spans: TokenSpans) -> np.ndarray:
    """The position itself: a numeric target."""
    return np.where(spans.end > spans.start, np.arange(len(spans.ids), dtype=np.float64), np.nan)
