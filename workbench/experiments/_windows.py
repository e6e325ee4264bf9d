"""A corpus as windows of one length: whole ones, the remainder of each document dropped (METHODS, "SAE errors")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import UserError
from workbench.report import Report
from workbench.text import count

if TYPE_CHECKING:
    from workbench.lab import Lab

PER_TOKEN = 12
"""characters of a document that are read for each token that is wanted of it: prose has four or five"""


@dataclass(frozen=True)
class Windows:
    ids: np.ndarray
    """int64 [window, position]"""
    documents: np.ndarray
    """which document each is of, int64 [window], from 0 on without gaps"""
    text: str
    """how many of which corpus"""

    def __len__(self) -> int:
        return len(self.ids)


def corpus_windows(
    lab: Lab, corpus: str, tokens: int, context: int, report: Report, *, counted: int, bos: bool = False
) -> Windows:
    """As many windows as hold `tokens` tokens, of each of which `counted` count; documents drawn by the job's seed.

    The first window of every document comes before the second of any: documents are what is drawn independently. Every
    window begins as the tokenizer's own call does; with `bos` always with the tokenizer's BOS. Raises UserError where
    no document fills a window.
    """
    from workbench.datasets.corpora import open_corpus

    tokenizer = lab.model.tokens.tokenizer
    front = list(lab.prompt("a").ids[:-1]) if lab.info.bos_token else []
    if bos and not front:
        if tokenizer.bos_token_id is None:
            raise UserError(f"the published settings begin windows with BOS, and {lab.info.name} has no such token")
        front = [tokenizer.bos_token_id]
    needed = -(-tokens // counted)
    length = context - len(front)
    random = np.random.default_rng(lab.seed)
    texts = [text for _, text in open_corpus(corpus).documents()]
    order = random.permutation(len(texts))
    rows: list[list[int]] = []
    owners: list[int] = []
    depth = 0
    while len(rows) < needed and len(order):
        deep_enough = []
        for at in order:
            text = texts[at][: PER_TOKEN * (depth + 1) * length]
            ids = list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
            window = ids[depth * length : (depth + 1) * length]
            if len(window) < length:
                continue
            deep_enough.append(at)
            rows.append(front + window)
            owners.append(at)
            if len(rows) == needed:
                break
        order, depth = np.asarray(deep_enough), depth + 1
    if not rows:
        raise UserError(f"the corpus {corpus} has no document of {context} tokens: take a smaller --context")
    windows = np.asarray(rows, np.int64)
    lab.model.tokens.check_embedded(windows.ravel())
    documents = np.unique(np.asarray(owners), return_inverse=True)[1]
    n = len(rows) * counted
    described = f"{count(n)} tokens of {count(documents.max() + 1)} documents of {corpus}"
    if len(rows) < needed:
        report.note(f"{corpus} has {count(n)} tokens in whole windows of {context}, fewer than {count(tokens)}")
    report.note(f"{described}: {count(len(rows))} windows of {context} tokens, drawn with seed {lab.seed}")
    return Windows(windows, documents, described)
