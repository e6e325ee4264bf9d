"""How well two sets of texts are told apart by their words alone: what a model's own states have to beat."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from workbench.statistics import FOLDS, auc, stratified_folds

_WORD = re.compile(r"\w+(?:['’]\w+)*")
PENALTY = 1.0
"""of the squared weights: features are 0 and 1"""


def words_auc(first: Sequence[str], second: Sequence[str], seed: int) -> float:
    """Mean AUC within folds of a logistic regression on which words a text has, fitted on the other folds."""
    texts = [*first, *second]
    label = np.arange(len(texts)) < len(first)
    fold = stratified_folds(label, np.random.default_rng(seed), min(FOLDS, len(first), len(second)))
    gram = word_products(texts)
    aucs = []
    for at in np.unique(fold):
        fitted, held_out = fold != at, fold == at
        weights = logistic(gram[np.ix_(fitted, fitted)], label[fitted])
        aucs.append(auc(gram[np.ix_(held_out, fitted)] @ weights, label[held_out]))
    return float(np.mean(aucs))


def word_products(texts: Sequence[str]) -> np.ndarray:
    """How many words two texts share, any case, each counted once, and one more for the intercept: [text, text]."""
    words = [{word.lower() for word in _WORD.findall(text)} for text in texts]
    numbers = {word: number for number, word in enumerate(dict.fromkeys(word for each in words for word in each))}
    has = np.zeros((len(texts), len(numbers) + 1))
    has[:, -1] = 1
    for row, each in zip(has, words, strict=True):
        row[[numbers[word] for word in each]] = 1
    return np.asarray(has @ has.T)


def logistic(gram: np.ndarray, label: np.ndarray, penalty: float = PENALTY) -> np.ndarray:
    """L2-penalised logistic regression by Newton's method, from products of its examples alone.

    `gram` [example, example] and `label` (bool) [example]; the weights are the examples' features times what comes
    out, float64 [example], so that scores are products with these examples times it. It minimises
    Σ log(1 + exp(∓ score)) + ½ · penalty · ‖weights‖².
    """
    alpha: np.ndarray = np.zeros(len(gram))
    for _ in range(100):
        scores = gram @ alpha
        p = 1 / (1 + np.exp(-scores))
        spread = np.maximum(p * (1 - p), 1e-12)
        target = scores + (label - p) / spread
        new = np.asarray(np.linalg.solve(gram + penalty * np.diag(1 / spread), target))
        if np.abs(new - alpha).max() < 1e-10:
            return new
        alpha = new
    return alpha
