"""Fewer examples of a labelled set, as many as a run has time for: drawn evenly by class and document, seeded."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence

import msgspec
import numpy as np

from workbench.datasets.labelled.labelled_set import LabelledSet, LabelledText, Span


def limited(
    labelled: LabelledSet,
    examples: int,
    tokens: int,
    sizes: Callable[[Sequence[LabelledText]], Sequence[int]],
    seed: int,
) -> LabelledSet:
    """At most so many `examples`, in texts of at most so many `tokens` together (0: any); the order stays.

    `sizes` counts the tokens of each text. Texts are drawn first, the share of those with label 1, with label 0 and
    with both as it was; then examples, the share of each label as it was. A document gives a second one when all have
    given a first. At least one text and example of each label remain.
    """
    random = np.random.default_rng(seed)
    texts = labelled.texts
    if tokens:
        kept = _texts(texts, tokens, sizes(texts), random)
        texts = [texts[at] for at in kept]
    if sum(len(text.spans) for text in texts) > examples:
        texts = _examples(texts, examples, random)
    return labelled if len(texts) == len(labelled.texts) and texts == labelled.texts else msgspec.structs.replace(
        labelled, texts=texts
    )  # fmt: skip


def _texts(texts: Sequence[LabelledText], tokens: int, sizes: Sequence[int], random: np.random.Generator) -> list[int]:
    strata: dict[Hashable, list[int]] = defaultdict(list)
    for at, text in enumerate(texts):
        strata[frozenset(span.label == 1 for span in text.spans)].append(at)
    places: list[tuple[float, int]] = []
    for members in strata.values():
        order = _by_document(members, [_document(texts[at]) for at in members], random)
        places += [((rank + 0.5) / len(order), at) for rank, at in enumerate(order)]
    kept: list[int] = []
    seen: set[bool] = set()
    left = tokens
    for _, at in sorted(places):
        labels = {span.label == 1 for span in texts[at].spans}
        left -= sizes[at]  # below 0 from the first one on that has no room: shorter ones are not preferred
        if left >= 0 or not labels <= seen:
            kept.append(at)
            seen |= labels
    return sorted(kept)


def _examples(texts: Sequence[LabelledText], examples: int, random: np.random.Generator) -> list[LabelledText]:
    classes: dict[bool, list[tuple[int, Span]]] = defaultdict(list)
    for at, text in enumerate(texts):
        for span in text.spans:
            classes[span.label == 1].append((at, span))
    total = sum(map(len, classes.values()))
    spans: dict[int, list[Span]] = defaultdict(list)
    for members in classes.values():
        n = max(1, round(examples * len(members) / total))
        order = _by_document(range(len(members)), [_document(texts[at]) for at, _ in members], random)
        for place in sorted(order[:n]):
            at, span = members[place]
            spans[at].append(span)
    return [
        msgspec.structs.replace(texts[at], spans=sorted(of_text, key=lambda span: (span.start, span.end)))
        for at, of_text in sorted(spans.items())
    ]


def _document(text: LabelledText) -> Hashable:
    """A text without a number is a document by itself, as where it is aligned."""
    return text.document if text.document >= 0 else text.text


def _by_document(members: Sequence[int], documents: Sequence[Hashable], random: np.random.Generator) -> list[int]:
    """All members at random, each document's first one before any second."""
    given: Counter[Hashable] = Counter()
    ranked: list[tuple[int, int, int]] = []
    for turn, place in enumerate(random.permutation(len(members)).tolist()):
        ranked.append((given[documents[place]], turn, members[place]))
        given[documents[place]] += 1
    return [member for _, _, member in sorted(ranked)]
