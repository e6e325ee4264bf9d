"""What a reader of a probe's result must know of its data: balance, labels left out, repeats, wrong labels."""

from __future__ import annotations

from collections import defaultdict

import msgspec
import numpy as np

from workbench.datasets.labelled.examples import SPLITS, TEST, Examples
from workbench.datasets.labelled.labelled_set import LabelledSet
from workbench.datasets.words import logistic, word_products
from workbench.statistics import FOLDS, auc, stratified_folds
from workbench.text import count, quoted

BALANCE = (0.05, 0.55)
"""the share of label 1: METHODS, "Sparse probes" asks for 5–50 %, and sets that are balanced lie a little above"""


MOST_TEXTS = 400
"""in which labels are looked for that their words speak against"""
WORDS_TELL = 0.8
"""AUC of the words alone, from which on they say something of one label"""
SURE = float(np.log(19))
"""log-odds of 95 %"""


class SplitCount(msgspec.Struct, frozen=True, kw_only=True):
    """One split, counted."""

    split: str
    examples: int
    negative: int
    """of label 0; 0 for numeric targets"""
    positive: int
    documents: int


class Problems(msgspec.Struct, frozen=True, kw_only=True):
    """Of one set aligned to one tokenizer."""

    splits: tuple[SplitCount, ...]
    left_out: dict[str, int]
    """how many labels are no examples, by the reason"""
    partial: tuple[str, ...]
    """labels that begin or end inside a token, in words"""
    repeated: int
    """test examples whose whole input is also in train or validation"""
    duplicates: int
    """examples that are there before, with the same text and label"""
    contradictory: tuple[str, ...]
    """texts with both labels"""
    suspects: tuple[str, ...]
    """of up to 400 texts those whose words say the other label, from a fit on the other texts"""
    positive_share: float
    """of label 1; nan for numeric targets"""

    @property
    def sentences(self) -> list[str]:
        """What is worth saying, the worst first; empty where nothing is."""
        said = []
        if self.contradictory:
            said.append(
                f"looks mislabelled: {count(len(self.contradictory))} texts have both labels, the first: "
                f"{self.contradictory[0]}"
            )
        if self.suspects:
            texts = f"{count(len(self.suspects))} text{'s' * (len(self.suspects) != 1)}"
            said.append(f"may be mislabelled: the words of {texts} say the other label, the first: {self.suspects[0]}")
        if self.repeated:
            said.append(
                f"{count(self.repeated)} test examples repeat an input of train or validation: scores are too good"
            )
        if self.duplicates:
            said.append(
                f"{count(self.duplicates)} examples repeat another one, text and label: they are on its side of the "
                "split, and say nothing new"
            )
        if self.partial:
            said.append(f"{count(len(self.partial))} labels begin or end inside a token, the first: {self.partial[0]}")
        said += [f"{count(n)} labels are left out: they {reason}" for reason, n in self.left_out.items()]
        low, high = BALANCE
        if not low <= self.positive_share <= high and np.isfinite(self.positive_share):
            said.append(
                f"label 1 has {self.positive_share:.1%} of the examples, and {low:.0%} to 50% are usual: compare "
                "scores by MCC or AUC"
            )
        return said


def problems_of(labelled: LabelledSet, examples: Examples, left_out: dict[str, int], partial: list[str]) -> Problems:
    """Counted from the set and its examples."""
    in_test = examples.split == TEST
    inputs = [
        (examples.windows[window][: last + 1], first)
        for window, first, last in zip(
            examples.window.tolist(), examples.first.tolist(), examples.last.tolist(), strict=True
        )
    ]
    fitted_inputs = {key for key, test in zip(inputs, in_test, strict=True) if not test}
    repeated = sum(key in fitted_inputs for key, test in zip(inputs, in_test, strict=True) if test)
    splits = []
    for at, name in enumerate(SPLITS):
        member = examples.split == at
        positive = 0 if examples.numeric else int(examples.label[member].sum())
        splits.append(
            SplitCount(
                split=name,
                examples=int(member.sum()),
                negative=0 if examples.numeric else int(member.sum()) - positive,
                positive=positive,
                documents=len(np.unique(examples.document[member])),
            )
        )
    return Problems(
        splits=tuple(splits),
        left_out=left_out,
        partial=tuple(partial),
        repeated=repeated,
        duplicates=_duplicates(labelled),
        contradictory=tuple(_contradictory(labelled)),
        suspects=tuple(_suspects(labelled)),
        positive_share=float("nan") if examples.numeric else float(examples.label.mean()),
    )


def _duplicates(labelled: LabelledSet) -> int:
    keys = [(text.document, text.text, span) for text, span in labelled.spans()]
    return len(keys) - len(set(keys))


def _contradictory(labelled: LabelledSet) -> list[str]:
    """Texts up to a label's end (what a causal model knows of it) that have more than one label."""
    if labelled.numeric:
        return []
    labels: dict[tuple[str, int], set[float]] = defaultdict(set)
    for text, span in labelled.spans():
        labels[text.text[: span.end], span.start].add(span.label)
    return [quoted(text) for (text, _), values in labels.items() if len(values) > 1]


def _suspects(labelled: LabelledSet) -> list[str]:
    """Texts whose words say the other label, by a logistic regression on the words of the other folds.

    Only of whole texts, a sample of MOST_TEXTS of them, and where words tell the classes apart at all.
    """
    if labelled.numeric or not labelled.whole_texts:
        return []
    random = np.random.default_rng(0)
    drawn = np.sort(random.permutation(len(labelled.texts))[:MOST_TEXTS])
    texts = [labelled.texts[at].text for at in drawn]
    label = np.array([labelled.texts[at].spans[0].label > 0 for at in drawn])
    if min(label.sum(), (~label).sum()) < FOLDS:
        return []
    gram, fold = word_products(texts), stratified_folds(label, random)
    score = np.zeros(len(texts))
    for at in range(FOLDS):
        fitted, held_out = fold != at, fold == at
        score[held_out] = gram[np.ix_(held_out, fitted)] @ logistic(gram[np.ix_(fitted, fitted)], label[fitted])
    if auc(score, label) < WORDS_TELL:
        return []
    wrong = np.where(label, -score, score) > SURE
    return [quoted(texts[at]) for at in np.flatnonzero(wrong)]
