"""A class of tokens against the rest of the vocabulary, in the rows of W_E or W_U (METHODS, "Token classes")."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.errors import UserError
from workbench.lab.indexing.heldout import parse_rule
from workbench.lab.indexing.token_features import TokenFeatures
from workbench.lab.loaded import Model
from workbench.lab.metrics import as_float64
from workbench.lab.norms import norm_map
from workbench.report import Report
from workbench.statistics import (
    balanced_shuffles,
    class_counts,
    class_sums,
    held_out_directions,
    held_out_projections,
    mean_differences,
    separations,
    stratified_folds,
)

MATRICES = ("W_E", "W_U")
CHUNK = 4096
"""rows at once, in float64"""
SCRIPTS = ("latin", "cyrillic", "greek", "arabic", "hebrew", "devanagari", "hangul", "hiragana", "katakana", "cjk")


def _first(text: str) -> str:
    """The first character after the tokenizer's space mark."""
    return text.removeprefix(" ")[:1]


CLASSES: dict[str, Callable[[str], bool]] = {
    "uppercase": lambda text: _first(text).isupper(),
    "lowercase": lambda text: _first(text).islower(),
    "digit": lambda text: text.removeprefix(" ").isdecimal(),
    "leading-space": lambda text: text.startswith(" ") and len(text) > 1,
}


def _in_script(script: str) -> Callable[[str], bool]:
    """Whether a token's letters, of which it has some, are all of a script."""

    def test(text: str) -> bool:
        letters = [character for character in text if character.isalpha()]
        return bool(letters) and all(
            unicodedata.name(letter, "").partition(" ")[0] == script.upper() for letter in letters
        )

    return test


def class_members(text: str, vocabulary: Sequence[str]) -> np.ndarray:
    """Which tokens are in a class, bool [token]: one of CLASSES or SCRIPTS, or what a rule of `find-neuron` says.

    `vocabulary` is every token as the tokenizer decodes it. Raises UserError for a text that is neither.
    """
    name = text.strip().lower()
    test = _in_script(name) if name in SCRIPTS else CLASSES.get(name)
    if test is not None:
        return np.asarray([test(token) for token in vocabulary], bool)
    rule = parse_rule(text, list(vocabulary), TokenFeatures(list(vocabulary)))
    if rule.tokens is None:
        raise UserError(f"{text} is about a token's place or the one before it: a class is of tokens by themselves")
    members = np.zeros(len(vocabulary), bool)
    members[sorted(rule.tokens)] = True
    return members


@dataclass(frozen=True)
class ClassDirection:
    """mean(W[class]) − mean(W[rest]), and how it separates tokens that it was not made from."""

    direction: np.ndarray
    """from all tokens, not normalised, float64 [d_model]"""
    projections: np.ndarray
    """of each token on the unit direction of the folds it is not in, float64 [token]"""
    auc: float
    d_prime: float
    shuffled_auc: np.ndarray
    """[shuffle]"""


def class_direction(
    model: Model, matrix: str, tokens: np.ndarray, members: np.ndarray, n_shuffles: int, seed: int, report: Report
) -> ClassDirection:
    """Of the rows `tokens` (int [token]) of W_E as stored, or of W_U as the stream is read by it, with the final norm.

    `members` is bool [token]. Cross-fitted over five folds of tokens, beside `n_shuffles` shuffled labels.
    """
    random = np.random.default_rng(seed)
    fold = stratified_folds(members, random)
    labels = np.concatenate([members[None], balanced_shuffles(members, fold, n_shuffles, random)])
    chunks = [slice(start, start + CHUNK) for start in range(0, len(tokens), CHUNK)]
    reference = next(_rows(model, matrix, tokens[:1], [slice(0, 1)]))  # what is common has no part in differences
    sums = np.zeros(0)
    tracked = report.track(chunks, "parts of the vocabulary", stage="class means")
    for chunk, rows in zip(tracked, _rows(model, matrix, tokens, chunks), strict=True):
        part = class_sums(rows - reference, labels[:, chunk], fold[chunk])
        sums = sums + part if sums.size else part
    counts = class_counts(labels, fold)
    directions = held_out_directions(sums, counts)
    projections = np.empty(labels.shape)
    tracked = report.track(chunks, "parts of the vocabulary", stage="separation")
    for chunk, rows in zip(tracked, _rows(model, matrix, tokens, chunks), strict=True):
        projections[:, chunk] = held_out_projections(rows, directions, fold[chunk])
    auc, d_prime = separations(projections, labels, fold)
    return ClassDirection(mean_differences(sums, counts)[0], projections[0], auc[0], d_prime[0], auc[1:])


def _rows(model: Model, matrix: str, tokens: np.ndarray, chunks: Sequence[slice]) -> Iterator[np.ndarray]:
    """Rows of the matrix, chunk by chunk, float64 [token, d_model]."""
    if matrix not in MATRICES:
        raise UserError(f"there is no matrix {matrix!r} of tokens: there are {', '.join(MATRICES)}")
    embedding = matrix == "W_E"
    module = model.hf.get_input_embeddings() if embedding else model.hf.get_output_embeddings()
    final = norm_map(model.bridge.ln_final.original_component, model.info.d_model, model.hf.device)
    weight = module.weight.detach()
    for chunk in chunks:
        rows = weight[tokens[chunk]]
        yield (as_float64(rows) if embedding else final.pull_back(rows)).cpu().numpy()
