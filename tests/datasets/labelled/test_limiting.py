"""Fewer examples of a set: within its limits, evenly by class and document, the same with a seed."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from workbench.datasets.labelled.labelled_set import LabelledSet, LabelledText, Span
from workbench.datasets.labelled.limiting import limited


def words(texts):
    return [len(text.text.split()) for text in texts]


def a_set(labels, documents):
    """A text of as many words as it has labels; −1 makes it a document by itself."""
    texts = [
        LabelledText(
            f"{at} " + "w " * max(0, len(row) - 1), [Span(n, n + 1, label) for n, label in enumerate(row)], document
        )
        for at, (row, document) in enumerate(zip(labels, documents, strict=True))
    ]
    return LabelledSet(name="made", texts=texts)


rows = st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=4), min_size=1, max_size=40)


@given(rows, st.data(), st.integers(1, 60), st.integers(0, 80), st.integers(0, 3))
def test_what_is_left_is_of_the_set_and_within_its_limits(labels, data, examples, tokens, seed):
    documents = data.draw(st.lists(st.integers(-1, 5), min_size=len(labels), max_size=len(labels)))
    whole = a_set(labels, documents)
    less = limited(whole, examples, tokens, words, seed)
    assert less == limited(whole, examples, tokens, words, seed)
    by_text = {text.text: text for text in whole.texts}
    order = [text.text for text in whole.texts]
    assert [text.text for text in less.texts] == sorted((text.text for text in less.texts), key=order.index)
    for text in less.texts:
        assert set(text.spans) <= set(by_text[text.text].spans)
        assert text.document == by_text[text.text].document
        assert text.spans
    classes = {span.label for _, span in whole.spans()}
    assert {span.label for _, span in less.spans()} == classes, "no class is lost"
    assert len(less) <= max(examples + 1, len(classes)), "rounding of two classes"
    if tokens:
        extra = sum(sorted(words(whole.texts))[-2:])
        assert sum(words(less.texts)) <= tokens + extra, "but for a first text of each class"


def test_a_set_that_fits_is_the_set_itself():
    whole = a_set([[0, 1]] * 10, range(10))
    assert limited(whole, 20, 20, words, 0) is whole
    assert limited(whole, 20, 0, words, 0) is whole


def test_classes_keep_their_share():
    whole = a_set([[1.0]] * 200 + [[0.0]] * 800, range(1000))
    for examples, tokens in ((100, 0), (1000, 100), (50, 100)):
        less = limited(whole, examples, tokens, words, 0)
        n = min(examples, tokens or examples)
        assert len(less) == n
        assert sum(span.label for _, span in less.spans()) == n / 5


def test_every_document_gives_one_before_any_gives_two():
    documents = [0] * 500 + list(range(1, 51))
    whole = a_set([[float(at % 2)] for at in range(550)], documents)
    for less in (limited(whole, 51, 0, words, 0), limited(whole, 1000, 51, words, 0)):
        counted = Counter(text.document for text in less.texts)
        assert len(counted) >= 49, "by class: document 0 has both"
        assert counted[0] <= 2


def test_the_order_is_by_chance():
    whole = a_set([[float(at % 2)] for at in range(400)], range(400))
    kept = [[whole.texts.index(text) for text in limited(whole, 40, 0, words, seed).texts] for seed in (0, 1)]
    assert kept[0] != kept[1]
    assert 100 < np.mean(kept[0]) < 300


def test_long_texts_are_not_passed_over_for_short_ones():
    whole = a_set([[0.0, 1.0, 0.0, 1.0] if at % 2 else [0.0] for at in range(400)], range(400))
    less = limited(whole, 10_000, 200, words, 0)
    long = sum(len(text.spans) == 4 for text in less.texts)
    assert 0.35 < long / len(less.texts) < 0.65
