"""Documents of a corpus as prompts, for experiments that measure something over text."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import numpy as np
from msgspec import Meta

from workbench.errors import UserError
from workbench.report import Report

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.prompts import Prompt

MOST_TOKENS = 4_000_000
CorpusTokens = Annotated[
    int, Meta(ge=64, le=MOST_TOKENS, description="of a corpus: how many", extra={"unit": "tokens", "more": True})
]
CorpusContext = Annotated[
    int, Meta(ge=8, le=4096, description="of a corpus: tokens of each document", extra={"unit": "tokens", "more": True})
]


def corpus_prompts(lab: Lab, corpus: str, tokens: int, context: int, report: Report) -> list[Prompt]:
    """Documents drawn with the job's seed, cut to `context` tokens, until there are `tokens`; shortest first.

    Position 0 is not counted. Raises UserError for a corpus without text.
    """
    from workbench.datasets.corpora import open_corpus

    opened = open_corpus(corpus)
    random = np.random.default_rng(lab.seed)
    texts = [text for _, text in opened.documents()]
    prompts: list[Prompt] = []
    total = 0
    characters = min(8 * context, lab.info.n_ctx)
    for at in random.permutation(len(texts)):
        prompt = lab.prompt(texts[at][:characters])
        cut = dataclasses.replace(prompt, ids=prompt.ids[:context], tokens=prompt.tokens[:context])
        if len(cut) > 1:
            prompts.append(cut)
            total += len(cut) - 1
        if total >= tokens:
            break
    if not prompts:
        raise UserError(f"the corpus {corpus} has no document of two tokens or more: nothing to measure")
    report.note(f"{corpus}: {total:,} tokens of {len(prompts):,} documents, drawn with seed {lab.seed}")
    return sorted(prompts, key=len)
