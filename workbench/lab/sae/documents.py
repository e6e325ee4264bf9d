"""What an SAE is trained on and what it is judged on: two sets of documents of one corpus, none in both.

Documents come in the order that the job's seed draws, as `sae-check` draws its own. The first are held out, so that a
check of the same corpus and seed, of no more tokens, reads documents that training has not seen.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from workbench.datasets.corpora import Corpus
from workbench.datasets.labelled.examples import TRAIN, Examples
from workbench.errors import UserError
from workbench.lab.indexing.blocks import windows
from workbench.lab.indexing.build import bos_id, tokenise
from workbench.lab.model import Lab
from workbench.lab.prompts import Prompt
from workbench.text import count

MOST_HELD_OUT = 0.2
"""of the documents"""
CHARACTERS = 12
"""a token of a streamed corpus has at most so many, about: how much of it is read"""


@dataclass(frozen=True)
class Documents:
    examples: Examples
    """one for each token at position 1 or later of the windows to train on"""
    held_out: list[Prompt]
    """the first window of each document that is held out, shortest first"""
    n_documents: int
    """that are trained on, the last of them perhaps in part"""


def split_documents(lab: Lab, corpus: Corpus, tokens: int, held_out: int, context: int) -> Documents:
    """`tokens` to train on at most and about `held_out` others, in windows of `context`; position 0 is in neither.

    Raises UserError where the corpus has too few documents or tokens for both.
    """
    texts = list(_texts(corpus, CHARACTERS * (tokens + held_out)))
    order = np.random.default_rng(lab.seed).permutation(len(texts))
    context = min(context, lab.info.n_ctx)
    prompts: list[Prompt] = []
    n_held_out = 0
    for at in order[: int(MOST_HELD_OUT * len(texts))]:
        if sum(len(prompt) - 1 for prompt in prompts) >= held_out:
            break
        prompt = lab.prompt(texts[at][: min(8 * context, lab.info.n_ctx)])
        if len(prompt) > 1:
            prompts.append(_cut(prompt, context))
        n_held_out += 1
    if not prompts:
        raise UserError(
            f"the corpus {corpus.info.spec} has {count(len(texts))} documents, too few to hold any out: an SAE is "
            "judged on documents that it was not trained on; take a longer text, or a folder"
        )
    train = Corpus(corpus.info, [texts[at] for at in order[n_held_out:]])
    examples, n_documents = _examples(lab, train, tokens, context)
    return Documents(examples, sorted(prompts, key=len), n_documents)


def _texts(corpus: Corpus, characters: int) -> Iterator[str]:
    """All of a corpus whose length is known; of a streamed one its beginning."""
    total = 0
    for _, text in corpus.documents():
        yield text
        total += len(text)
        if not corpus.info.documents and total >= characters:
            return


def _cut(prompt: Prompt, context: int) -> Prompt:
    return dataclasses.replace(prompt, ids=prompt.ids[:context], tokens=prompt.tokens[:context])


def _examples(lab: Lab, corpus: Corpus, tokens: int, context: int) -> tuple[Examples, int]:
    bos = bos_id(lab.model)
    front = () if bos is None else (bos,)
    rows: list[tuple[int, ...]] = []
    documents: list[int] = []
    digest = hashlib.sha256(f"every token, {context}".encode())
    total = 0
    for number, ids in tokenise(lab.model, corpus):
        for window in windows(number, ids, context - len(front), shortest=2 - len(front)):
            row = np.array([*front, *window.ids[: tokens - total + 1 - len(front)]], dtype=np.int64)
            rows.append(tuple(row.tolist()))
            documents.append(number)
            digest.update(row.astype("<i8").tobytes() + b"|")
            total += len(row) - 1
            if total >= tokens:
                break
        if total >= tokens:
            break
    if not total:
        raise UserError(f"the corpus {corpus.info.spec} has no token to train on: its documents are one token each")
    counts = np.array([len(row) - 1 for row in rows])
    window_of = np.repeat(np.arange(len(rows)), counts)
    position = np.arange(total) - np.repeat(counts.cumsum() - counts, counts) + 1
    examples = Examples(
        windows=tuple(rows),
        window=window_of,
        first=position,
        last=position,
        label=np.zeros(total),
        document=np.repeat(np.array(documents), counts),
        split=np.full(total, TRAIN, np.int8),
        pooling="token",
        classes=("", ""),
        numeric=False,
        content_hash=digest.hexdigest(),
    )
    return examples, len(set(documents))
