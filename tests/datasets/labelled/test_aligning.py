"""From a labelled set to examples: what is read, what is left out, what is reported."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tiny import tiny_tokenizer
from workbench.datasets.labelled.aligning import examples_of
from workbench.datasets.labelled.labelled_set import LabelledSet, LabelledText, Span
from workbench.datasets.labelled.shipped import SHIPPED, shipped_set
from workbench.datasets.labelled.shown import shown_windows, split_table, text_view
from workbench.errors import UserError

TOKENIZER = tiny_tokenizer()
CITIES = ("Paris", "Berlin", "Rome", "Madrid", "Tokyo", "London")


def whole(texts, read="last", **fields) -> LabelledSet:
    """Texts with a label each."""
    return LabelledSet(
        name="made",
        texts=[LabelledText(text, [Span(0, len(text), label)]) for text, label in texts],
        read=read,
        **fields,
    )


def cities(n: int = 20, read="last") -> LabelledSet:
    """Even: a city is the label; each text is its own document."""
    texts = [(f"{at} The capital is {CITIES[at % 2]}.", float(at % 2)) for at in range(2 * n)]
    return whole(texts, read)


def test_the_last_token_of_the_text_is_read():
    examples, problems = examples_of(cities(), TOKENIZER, 256, 0)
    assert len(examples) == 40
    assert examples.pooling == "token"
    for at in range(40):
        ids = TOKENIZER(f"{at} The capital is {CITIES[at % 2]}.")["input_ids"]
        assert list(examples.windows[examples.window[at]]) == ids
        assert examples.first[at] == examples.last[at] == len(ids) - 1
        assert examples.label[at] == at % 2
    assert not problems.sentences


@pytest.mark.parametrize(("read", "pooling"), [("mean", "mean"), ("max", "max"), ("extreme", "extreme")])
def test_pooled_texts_are_read_from_position_1_on(read, pooling):
    examples, _ = examples_of(cities(read=read), TOKENIZER, 256, 0)
    assert examples.pooling == pooling
    assert (examples.first == 1).all()
    assert [len(window) for window in examples.windows] == (examples.last + 1).tolist()


def test_a_bos_of_the_tokenizer_is_in_the_window_and_never_read():
    examples, _ = examples_of(cities(read="mean"), tiny_tokenizer(adds_bos=True), 256, 0)
    plain, _ = examples_of(cities(read="mean"), TOKENIZER, 256, 0)
    assert {window[0] for window in examples.windows} == {1}
    assert (examples.first == 1).all()
    assert (examples.last == plain.last + 1).all()


def test_labelled_words_are_found_inside_the_text():
    texts = []
    for at in range(30):
        text = f"{at} Mary and John went to the store"
        spans = [
            Span(text.index(word), text.index(word) + len(word), float(word == "Mary")) for word in ("Mary", "John")
        ]
        texts.append(LabelledText(text, spans))
    examples, problems = examples_of(
        LabelledSet(name="people", texts=texts, classes=("John", "Mary")), TOKENIZER, 64, 0
    )
    for at in range(len(examples)):
        token = examples.windows[examples.window[at]][examples.last[at]]
        assert TOKENIZER.decode([token]) == (" Mary" if examples.label[at] else " John")
    assert not problems.partial
    view = text_view(examples, 3, lambda index: TOKENIZER.decode([index]))
    assert [view.tokens[at] for at in np.flatnonzero(view.rows[0].values == 1)] == [" Mary"]
    assert [view.tokens[at] for at in np.flatnonzero(view.rows[0].values == -1)] == [" John"]
    assert [label for label in view.labels if label] == ["1", "0"]


def test_space_behind_a_word_is_not_the_next_words():
    texts = [
        LabelledText(f"{at} The capital is", [Span(len(str(at)) + 1, len(str(at)) + 5, at % 2)]) for at in range(40)
    ]
    examples, _ = examples_of(LabelledSet(name="x", texts=texts), TOKENIZER, 256, 0)
    read = {TOKENIZER.decode([examples.windows[at][examples.last[at]]]) for at in range(40)}
    assert read == {" The"}


def test_the_first_and_the_last_token_of_a_word_of_several():
    texts = [LabelledText(f"{at} sesquipedal", [Span(len(str(at)) + 1, len(str(at)) + 12, at % 2)]) for at in range(40)]
    first, last = (
        examples_of(LabelledSet(name="x", texts=texts, read=read), TOKENIZER, 256, 0)[0] for read in ("first", "last")
    )
    for at in range(40):
        word = TOKENIZER(f"{at} sesquipedal")["input_ids"]
        assert first.last[at] == first.first[at] == len(TOKENIZER(f"{at}")["input_ids"])
        assert last.last[at] == len(word) - 1 > first.last[at]


def test_texts_that_are_read_at_their_beginning_only_are_refused():
    made = whole([(f"{CITIES[at % 2]} {at}", float(at % 2)) for at in range(40)], "first")
    with pytest.raises(
        UserError, match="'0' has 0 examples.*40 are left out because they read only the first position"
    ):
        examples_of(made, TOKENIZER, 256, 0)


def test_what_lies_beyond_the_context_is_left_out_and_said():
    made = cities(30)
    long = "The capital " * 100 + "is Paris"
    texts = [*made.texts, LabelledText(long, [Span(0, 3, 1.0), Span(4, 11, 1.0), Span(len(long) - 5, len(long), 1.0)])]
    examples, problems = examples_of(LabelledSet(name="long", texts=texts), TOKENIZER, 32, 0)
    assert len(examples) == 61
    assert max(map(len, examples.windows)) == 32
    assert problems.left_out == {
        "read only the first position, where attention rests": 1,
        "lie beyond the context of 32 tokens": 1,
    }
    assert any("beyond the context of 32 tokens" in sentence for sentence in problems.sentences)


def test_too_long_for_all_is_a_sentence():
    texts = [("The capital " * 40 + CITIES[at % 2], float(at % 2)) for at in range(40)]
    with pytest.raises(
        UserError, match=r"'0' has 0 examples.*40 are left out because they lie beyond the context of 16"
    ):
        examples_of(whole(texts), TOKENIZER, 16, 0)


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (LabelledSet(name="x"), "'x' is empty"),
        (whole([("a b", 1.0)] * 30, classes=("cold", "hot")), "every example is hot: two classes"),
        (whole([("a b", 1.0), ("c d", 0.0), ("e f", 2.0)]), "the labels are 0, 1, 2: 0 and 1 are needed"),
        (whole([("a b", float("nan")), ("c d", 0.0)]), "label of 'a b' is not a number"),
        (
            whole([("a b", 1.0), *[(f"c {at}", 0.0) for at in range(30)]]),
            "'1' has 1 example: each class needs at least 10",
        ),
        (whole([(f"a {at}", 3.0) for at in range(30)], numeric=True), "every target is 3"),
        (
            whole([(f"a {at}", float(at)) for at in range(5)], numeric=True),
            "there are 5 examples: numeric targets need",
        ),
        (LabelledSet(name="x", texts=[LabelledText("ab", [Span(1, 5, 1.0)])]), "does not lie in its text, 'ab'"),
    ],
)
def test_bad_sets_are_sentences(made, sentence):
    with pytest.raises(UserError, match=sentence):
        examples_of(made, TOKENIZER, 64, 0)


def test_labels_inside_tokens_are_said_and_refused_where_most_are():
    def made(n_wrong: int) -> LabelledSet:
        texts = []
        for at in range(40):
            start = 3 + (at >= 10) + 4 + (at < n_wrong)
            text = f"{at}: The capital is"
            texts.append(LabelledText(text, [Span(start, start + 7, float(at % 2))]))
        return LabelledSet(name="x", texts=texts)

    _, problems = examples_of(made(4), TOKENIZER, 64, 0)
    assert len(problems.partial) == 4
    assert "4 labels begin or end inside a token, the first: 'apital ' in ' capital'" in problems.sentences
    with pytest.raises(UserError, match="30 of 40 labels begin or end inside a token.*not bytes or tokens"):
        examples_of(made(30), TOKENIZER, 64, 0)


def test_repeats_and_contradictions_are_reported():
    texts = [(f"{at} The capital is {CITIES[at % 2]}.", float(at % 2)) for at in range(40)]
    same = whole([*texts, *texts])
    _, problems = examples_of(same, TOKENIZER, 64, 0)
    assert problems.repeated == 0, "texts that are the same are one document"
    numbered = LabelledSet(
        name="numbered",
        texts=[
            LabelledText(text, [Span(0, len(text), label)], at) for at, (text, label) in enumerate([*texts, *texts])
        ],
    )
    examples, problems = examples_of(numbered, TOKENIZER, 64, 0)
    inputs = [examples.windows[window] for window in examples.window]
    outside = {key for key, split in zip(inputs, examples.split, strict=True) if split != 2}
    expected = sum(key in outside for key, split in zip(inputs, examples.split, strict=True) if split == 2)
    assert problems.repeated == expected > 0
    flipped = whole([*texts, (texts[0][0], 1.0), (texts[1][0], 0.0)])
    _, problems = examples_of(flipped, TOKENIZER, 64, 0)
    assert len(problems.contradictory) == 2
    assert problems.sentences[0].startswith("looks mislabelled: 2 texts have both labels, the first: '0 The capital")


def test_labels_that_the_words_speak_against_are_named():
    random = np.random.default_rng(0)
    hot, cold = ([f"{kind}{number}" for number in range(6)] for kind in ("hot", "cold"))
    filler = [f"word{number}" for number in range(30)]
    texts = []
    for at in range(200):
        words = [*random.choice(hot if at % 2 else cold, 4), *random.choice(filler, 4)]
        texts.append((f"{at} " + " ".join(words), float(at % 2)))
    _, problems = examples_of(whole(texts), TOKENIZER, 256, 0)
    assert problems.suspects == ()
    for at in (20, 41, 100):
        texts[at] = (texts[at][0], 1 - texts[at][1])
    _, problems = examples_of(whole(texts), TOKENIZER, 256, 0)
    assert [int(text[1:].split()[0]) for text in problems.suspects] == [20, 41, 100]
    assert problems.sentences[0].startswith(
        "may be mislabelled: the words of 3 texts say the other label, the first: '20 "
    )
    noise = [(text, float(random.integers(2))) for text, _ in texts]
    assert examples_of(whole(noise), TOKENIZER, 256, 0)[1].suspects == ()


def test_the_hash_is_of_what_activations_and_splits_depend_on():
    made = cities()
    first = examples_of(made, TOKENIZER, 256, 0)[0].content_hash
    assert examples_of(made, TOKENIZER, 256, 0)[0].content_hash == first
    changed = {
        "seed": examples_of(made, TOKENIZER, 256, 1),
        "tokenizer": examples_of(made, tiny_tokenizer(adds_bos=True), 256, 0),
        "read": examples_of(cities(read="mean"), TOKENIZER, 256, 0),
        "texts": examples_of(cities(21), TOKENIZER, 256, 0),
    }
    hashes = {first, *(examples.content_hash for examples, _ in changed.values())}
    assert len(hashes) == 1 + len(changed)


def test_rare_labels_are_said():
    texts = [(f"{at} The capital", float(at % 40 == 0)) for at in range(800)]
    _, problems = examples_of(whole(texts), TOKENIZER, 64, 0)
    assert problems.sentences == [
        "label 1 has 2.5% of the examples, and 5% to 50% are usual: compare scores by MCC or AUC"
    ]


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_is_clean(name):
    labelled = shipped_set(name)
    examples, problems = examples_of(labelled, TOKENIZER, 256, 0)
    assert labelled.name == name
    assert len(examples) >= 100
    assert not problems.contradictory
    assert not problems.partial
    counted = split_table(examples, problems)
    assert sum(counted.cells("examples")) == len(examples)
    shown = shown_windows(examples, 2)
    assert len(set(shown)) == 2
