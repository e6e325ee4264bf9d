"""About 150 binary features of a token in its place, for explaining neurons by variance reduction.

Names begin with what they are about: `is_`, `token_` (the token itself), `prev_` (the one before), `letter_` (its
first letter), `pos_` (its place in the window). The features of a token and of the one before come from a table over
the vocabulary, so that a block costs a few look-ups.
"""

from __future__ import annotations

import keyword
import re
import string
import unicodedata
from collections.abc import Callable
from functools import cached_property

import numpy as np

from workbench.lab.indexing.blocks import Block

VERSION = "1"
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_GROUPS = {
    "article": _words("a an the"),
    "preposition": _words(
        "of in to for with on at from by about as into like through after over between out against during without "
        "before under around among"
    ),
    "pronoun": _words("i you he she it we they me him her us them my your his its our their this that these those"),
    "auxiliary": _words("is are was were be been being am have has had do does did"),
    "modal": _words("can could may might must shall should will would"),
    "conjunction": _words("and or but nor so yet if because although while unless since whether than"),
    "negation": _words("not no never none neither nor nothing cannot n't without"),
    "question_word": _words("who what which where when why how whose whom"),
    "month": _words("january february march april may june july august september october november december"),
    "day": _words("monday tuesday wednesday thursday friday saturday sunday"),
    "number_word": _words(
        "zero one two three four five six seven eight nine ten eleven twelve twenty thirty hundred thousand million "
        "first second third fourth fifth half"
    ),
    "colour": _words("red green blue yellow black white brown orange purple grey gray pink"),
    "python_keyword": frozenset(word.lower() for word in keyword.kwlist),
    "python_type": _words("int str float bool list dict set tuple bytes object type none true false string integer"),
    "error_word": _words("error exception raise raises raised errors exceptions warning fail failed failure invalid"),
}
_COMMON = (
    "the", "of", "and", "to", "a", "in", "is", "that", "for", "it", "as", "be", "or", "not", "this", "with", "by",
    "if", "return", "self", "none",
)  # fmt: skip
_PUNCTUATION = {
    "comma": ",", "period": ".", "colon": ":", "semicolon": ";", "open_bracket": "([{<", "close_bracket": ")]}>",
    "quote": "'\"`“”‘’", "dash": "-–—", "underscore": "_", "slash": "/\\", "equals": "=", "star": "*", "question": "?",
    "exclamation": "!", "at_sign": "@", "hash": "#", "percent": "%", "pipe": "|", "tilde": "~", "plus": "+",
}  # fmt: skip
_SUFFIXES = ("s", "ed", "ing", "ly", "er", "est", "tion", "ness", "able", "ment", "al", "ive")


def _bare(token: str) -> str:
    return token.strip().lower()


def _token_tests() -> dict[str, Callable[[str], bool]]:
    """Features of one token's text."""
    tests: dict[str, Callable[[str], bool]] = {
        "is_word": lambda t: bool(_WORD.fullmatch(t.strip())),
        "is_capitalised": lambda t: t.strip()[:1].isupper() and t.strip()[1:].islower(),
        "is_all_caps": lambda t: len(t.strip()) > 1 and t.strip().isalpha() and t.strip().isupper(),
        "is_lower": lambda t: t.strip().isalpha() and t.strip().islower(),
        "is_single_letter": lambda t: len(t.strip()) == 1 and t.strip().isalpha(),
        "is_mixed_case": lambda t: t.strip()[1:].isalpha() and not t.strip()[1:].islower() and not t.strip().isupper(),
        "is_digit": lambda t: t.strip().isdigit(),
        "is_year": lambda t: bool(re.fullmatch(r"(1[6-9]|20)\d\d", t.strip())),
        "is_punctuation": lambda t: bool(t.strip()) and all(unicodedata.category(c)[0] in "PS" for c in t.strip()),
        "is_space": lambda t: bool(t) and not t.strip(),
        "is_newline": lambda t: "\n" in t,
        "is_blank_line": lambda t: t.count("\n") > 1,
        "is_indent": lambda t: bool(re.fullmatch(r"\n?[ \t]{2,}", t)),
        "is_leading_space": lambda t: t[:1] == " " and bool(t.strip()),
        "is_word_part": lambda t: t[:1].isalpha(),
        "is_non_ascii": lambda t: not t.isascii(),
        "is_latin_accented": lambda t: any(c.isalpha() and not c.isascii() for c in t),
        "is_long": lambda t: len(t.strip()) >= 8,
        "is_short": lambda t: 1 <= len(t.strip()) <= 2,
    }
    for name, words in _GROUPS.items():
        tests[f"is_{name}"] = _is_word_among(words)
    for name, characters in _PUNCTUATION.items():
        tests[f"is_{name}"] = _made_of(frozenset(characters))
    for suffix in _SUFFIXES:
        tests[f"is_ending_{suffix}"] = _ends_with(suffix)
    for word in _COMMON:
        tests[f"token_{word}"] = _is_word_among(frozenset([word]))
    for letter in string.ascii_lowercase:
        tests[f"letter_{letter}"] = _starts_with(letter)
    return tests


def _is_word_among(words: frozenset[str]) -> Callable[[str], bool]:
    return lambda token: _bare(token) in words


def _made_of(characters: frozenset[str]) -> Callable[[str], bool]:
    return lambda token: bool(token.strip()) and characters.issuperset(token.strip())


def _ends_with(suffix: str) -> Callable[[str], bool]:
    return lambda token: (
        len(_bare(token)) > len(suffix) + 1 and _bare(token).isalpha() and _bare(token).endswith(suffix)
    )


def _starts_with(letter: str) -> Callable[[str], bool]:
    return lambda token: _bare(token)[:1] == letter


_BEFORE = (
    "is_capitalised", "is_digit", "is_punctuation", "is_newline", "is_indent", "is_comma", "is_period", "is_colon",
    "is_open_bracket", "is_close_bracket", "is_quote", "is_underscore", "is_dash", "is_article", "is_preposition",
    "is_auxiliary", "is_modal", "is_pronoun", "is_conjunction", "is_negation", "is_number_word", "is_python_keyword",
    "is_leading_space", "is_word", "is_all_caps", "token_the", "token_of", "token_to", "token_a", "token_and",
    "token_is", "token_self",
)  # fmt: skip
_PLACES = {
    "pos_1": (1, 2),
    "pos_2": (2, 3),
    "pos_1_3": (1, 4),
    "pos_1_7": (1, 8),
    "pos_8_31": (8, 32),
    "pos_32_127": (32, 128),
    "pos_128_on": (128, 1 << 30),
}


class TokenFeatures:
    """The features of a vocabulary, ready for blocks."""

    def __init__(self, vocabulary: list[str]) -> None:
        """`vocabulary`: every token as the tokenizer decodes it."""
        self._vocabulary = vocabulary
        self._tests = _token_tests()
        token_names = list(self._tests)
        self._before = [token_names.index(name) for name in _BEFORE]
        previous_names = [f"prev_{name.removeprefix('is_')}" for name in _BEFORE]
        self.names = [*token_names, *previous_names, "prev_same", *_PLACES]

    @cached_property
    def _table(self) -> np.ndarray:
        """Of every token's own features, float32 [feature, token]."""
        rows = [[test(token) for token in self._vocabulary] for test in self._tests.values()]
        return np.array(rows, dtype=np.float32)

    def tokens_with(self, name: str) -> frozenset[int] | None:
        """Tokens of the vocabulary that have a feature; None where it depends on the token before or the place."""
        test = self._tests.get(name)
        if test is None:
            return None
        return frozenset(token for token, text in enumerate(self._vocabulary) if test(text))

    def of(self, ids: np.ndarray) -> np.ndarray:
        """Features of every token of rows `ids` [row, position], float32 [feature, row, position].

        Position 0 has nothing before it.
        """
        features = np.zeros((len(self.names), *ids.shape), dtype=np.float32)
        n_own, n_before = len(self._table), len(self._before)
        features[:n_own] = self._table[:, ids]
        features[n_own : n_own + n_before, :, 1:] = self._table[self._before][:, ids[:, :-1]]
        features[n_own + n_before, :, 1:] = ids[:, 1:] == ids[:, :-1]
        for at, (first, end) in enumerate(_PLACES.values(), start=n_own + n_before + 1):
            features[at, :, first:end] = 1
        return features

    def by_half(self, block: Block) -> list[np.ndarray]:
        """For each half's rows: float32 [feature, token], zero at what does not count."""
        features = self.of(block.ids) * block.counted
        halves = (features[:, : block.first_half], features[:, block.first_half :])
        return [np.ascontiguousarray(half.reshape(len(self.names), -1)) for half in halves]
