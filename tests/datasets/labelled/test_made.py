"""Sets made from a corpus and a tokenizer, held against a plain reading of the same texts."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny import TEXT, tiny_tokenizer
from workbench.datasets.labelled.aligning import check_labels, examples_of
from workbench.datasets.labelled.features import (
    TEXT_FEATURES,
    before_rule,
    feature_rule,
    pattern_rule,
    position_rule,
    words_rule,
)
from workbench.datasets.labelled.labelled_set import Span
from workbench.datasets.labelled.made import WINDOW, compound_set, token_set
from workbench.datasets.labelled.sampling import Piece, cut, sampled
from workbench.datasets.labelled.sources import language_set, programming_set
from workbench.errors import UserError

TOKENIZER = tiny_tokenizer()
DOCUMENTS = [(at, f"{TEXT}\n\tNumber {at}: É {at}.\n") for at in range(12)]


def tokens_of(labelled, tokenizer=TOKENIZER) -> list[tuple[str, float, str]]:
    """Text of the token that each example reads, its label, and the text before it."""
    examples, _ = examples_of(labelled, tokenizer, 10_000, 0)
    rows = []
    for window, last, label in zip(examples.window, examples.last, examples.label, strict=True):
        ids = examples.windows[window]
        rows.append((tokenizer.decode([ids[last]]), float(label), tokenizer.decode(ids[:last])))
    return rows


@pytest.mark.parametrize(
    ("name", "token", "holds"),
    [
        ("contains-digit", " a1", True), ("contains-digit", " a", False),
        ("all-digits", " 12", True), ("all-digits", "1a", False), ("all-digits", " ", False),
        ("contains-capital", "iPhone", True), ("contains-capital", "phone", False),
        ("leading-capital", " Paris", True), ("leading-capital", "iP", False), ("leading-capital", " ", False),
        ("all-capitals", " NASA", True), ("all-capitals", "Nasa", False), ("all-capitals", "A1", False),
        ("contains-whitespace", "a\n", True), ("contains-whitespace", "a", False),
        ("leading-space", " a", True), ("leading-space", "\na", False),
        ("no-leading-space-and-lower-case", "ing", True), ("no-leading-space-and-lower-case", " ing", False),
        ("all-whitespace", "\n ", True), ("all-whitespace", " a", False),
        ("not-alphanumeric", " ,", True), ("not-alphanumeric", " a1", False),
        ("not-ascii", "é", True), ("not-ascii", "e", False),
    ],
)  # fmt: skip
def test_what_a_feature_is(name, token, holds):
    assert TEXT_FEATURES[name](token) is holds


def test_there_are_eleven_features():
    assert len(TEXT_FEATURES) == 11


@pytest.mark.parametrize("name", ["leading-capital", "leading-space", "all-digits", "not-alphanumeric"])
def test_a_feature_holds_for_the_decoded_token(name):
    labelled = token_set(name, DOCUMENTS, TOKENIZER, feature_rule(name), classes=("other tokens", name), limit=100)
    rows = tokens_of(labelled)
    assert {label for _, label, _ in rows} == {0.0, 1.0}
    for token, label, _ in rows:
        if "\ufffd" not in token:  # the last byte of É stands for É
            assert TEXT_FEATURES[name](token) == bool(label), token
    positive = sum(label for _, label, _ in rows)
    assert positive / len(rows) <= 0.5


def test_a_feature_of_bytes_of_one_character_is_read_once():
    labelled = token_set("not-ascii", DOCUMENTS, TOKENIZER, feature_rule("not-ascii"), limit=60)
    for text, span in labelled.spans():
        assert (not text.text[span.start : span.end].isascii()) == bool(span.label)
    examples, _ = examples_of(labelled, TOKENIZER, 10_000, 0)
    pairs = Counter(zip(examples.window.tolist(), examples.last.tolist(), strict=True))
    assert max(pairs.values()) == 1


def test_a_word_and_the_token_after_it():
    words = tokens_of(token_set("the", DOCUMENTS, TOKENIZER, words_rule(["the", "Mary"]), limit=200))
    for token, label, _ in words:
        assert (token.strip().lower() in ("the", "mary")) == bool(label), token
    after = tokens_of(token_set("after", DOCUMENTS, TOKENIZER, before_rule(words_rule(["the"])), limit=200))
    for _, label, before in after:
        assert bool(re.search(r"(?i)(?<!\w)the$", before)) == bool(label), before


def test_a_pattern_is_positive_where_it_ends():
    labelled = token_set("of", DOCUMENTS, TOKENIZER, pattern_rule("capital of France"), limit=200)
    ends = [before + token for token, label, before in tokens_of(labelled) if label]
    assert ends
    assert all(text.endswith("capital of France") for text in ends)
    negatives = [(token, before) for token, label, before in tokens_of(labelled) if not label]
    assert not any(token == " of" and before.endswith("capital") for token, before in negatives if "France" in token)


def test_positions_are_targets():
    labelled = token_set("position", DOCUMENTS, TOKENIZER, position_rule, numeric=True, limit=100)
    examples, _ = examples_of(labelled, TOKENIZER, 10_000, 0)
    assert len(examples) == 100
    assert (examples.label == examples.last).all()
    assert len(np.unique(examples.label)) > 20


def test_nothing_of_the_kind_is_a_sentence():
    with pytest.raises(UserError, match="no token of this corpus is 'x'"):
        token_set("x", DOCUMENTS, TOKENIZER, words_rule(["zyzzyva"]))
    with pytest.raises(UserError, match=r"'\(' is no regular expression"):
        pattern_rule("(")
    with pytest.raises(UserError, match="--words"):
        words_rule([" "])


# --- compound words --------------------------------------------------------------------------------------


def compound_documents(n: int) -> list[tuple[int, str]]:
    """`river is`, and each of the two with other neighbours, after unlike beginnings."""
    return [
        (
            at,
            f"{at} one {at + 1}, The river is wide. {at} a river and water {at} he is happy {at} The River is {at} red",
        )
        for at in range(n)
    ]


def test_compound_words_with_both_kinds_of_negatives():
    labelled = compound_set("river is", compound_documents(60), TOKENIZER, limit=100)
    kinds = Counter()
    for text, span in labelled.spans():
        ids = TOKENIZER(text.text)["input_ids"]
        assert len(ids) <= WINDOW
        last_two = [TOKENIZER.decode([index]).strip().lower() for index in ids[-2:]]
        kinds["both" if last_two == ["river", "is"] else last_two.index("is") if "is" in last_two else "first"] += 1
        assert span.label == (last_two == ["river", "is"])
        assert last_two[0] == "river" or last_two[1] == "is"
    assert kinds == {"both": 20, "first": 40, 1: 40}
    check_labels(labelled)
    assert len({text.text for text in labelled.texts}) == 100


def test_compound_words_that_are_not_there_are_sentences():
    with pytest.raises(UserError, match="a compound word is two words"):
        compound_set("river", DOCUMENTS, TOKENIZER)
    with pytest.raises(UserError, match="'social security' is nowhere in this corpus with a token for each word"):
        compound_set("social security", DOCUMENTS, TOKENIZER)
    with pytest.raises(UserError, match="'is' after another word is nowhere"):
        compound_set("river is", [(0, "The river is wide. The river and sea")], TOKENIZER)


# --- folders ---------------------------------------------------------------------------------------------


def test_programs_by_their_names(tmp_path):
    for at in range(6):
        (tmp_path / f"a{at}.py").write_text(f"def f{at}(x):\n    return x + {at}\n" * 30)
        (tmp_path / f"b{at}.go").write_text(f"func f{at}(x int) int {{ return x }}\n" * 30)
    (tmp_path / "picture.js").write_bytes(b"\0\1\2")
    labelled = programming_set(tmp_path, "python")
    assert labelled.read == "mean"
    assert labelled.classes[1] == "Python"
    for text, span in labelled.spans():
        assert bool(span.label) == text.text.lstrip().startswith(("def", "return"))
    documents = {text.document: span.label for text, span in labelled.spans()}
    assert all(documents[text.document] == span.label for text, span in labelled.spans())
    with pytest.raises(UserError, match="no 'Rust' in .*: the classes there are Python, Go|JavaScript"):
        programming_set(tmp_path, "Rust")


def test_languages_by_folder_or_file(tmp_path):
    (tmp_path / "fr").mkdir()
    (tmp_path / "fr" / "a.txt").write_text("Le chat dort sur la table.\n\n" * 400)
    (tmp_path / "en.txt").write_text("The cat sleeps on the table.\n\n" * 400)
    labelled = language_set(tmp_path, "fr", limit=40)
    assert {("Le" in text.text, span.label) for text, span in labelled.spans()} == {(True, 1.0), (False, 0.0)}
    assert len({text.document for text in labelled.texts}) > 2
    (tmp_path / "en.txt").unlink()
    with pytest.raises(UserError, match="all of .* is fr"):
        language_set(tmp_path, "fr")
    with pytest.raises(UserError, match="is not there"):
        language_set(tmp_path / "none", "fr")


# --- sampling --------------------------------------------------------------------------------------------


@given(st.text(max_size=3000))
def test_pieces_are_the_text(text):
    pieces = cut(text, 50)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(piece in text for piece in pieces)
    assert all(piece.strip() for piece in pieces)


@given(
    st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=12), min_size=1, max_size=40),
    st.integers(1, 30),
    st.integers(0, 3),
)
@settings(deadline=None)
def test_a_sample_is_of_what_there_is_and_no_more(pieces, limit, seed):
    given_pieces = [
        Piece("x" * len(labels), [Span(at, at + 1, float(label)) for at, label in enumerate(labels)], number)
        for number, labels in enumerate(pieces)
    ]
    drawn = sampled(given_pieces, limit, seed)
    available = {(piece.document, span) for piece in given_pieces for span in piece.spans}
    taken = [(text.document, span) for text in drawn for span in text.spans]
    assert len(taken) == len(set(taken)) <= limit
    assert set(taken) <= available
    assert [(text.document, span) for text in sampled(given_pieces, limit, seed) for span in text.spans] == taken


def test_the_share_stays_where_label_1_is_rare():
    pieces = [Piece("abcdef", [Span(0, 1, float(at % 10 == 0)), *(Span(n, n + 1, 0.0) for n in range(1, 6))], at)
              for at in range(100)]  # fmt: skip
    drawn = [span.label for text in sampled(pieces, 400, 0) for span in text.spans]
    assert sum(drawn) == 10
    assert len(drawn) == 50


def test_many_documents_before_many_of_one():
    pieces = [
        Piece("x" * 40, [Span(at, at + 1, float(at % 2)) for at in range(40)], number // 3) for number in range(300)
    ]
    drawn = sampled(pieces, 200, 0)
    of_document = Counter((text.document, span.label) for text in drawn for span in text.spans)
    assert max(of_document.values()) == 8
    assert max(n for (_, label), n in of_document.items() if label) == 2
    few = sampled(pieces[:3], 100, 0)
    assert sum(len(text.spans) for text in few) == 80, "20 of label 1, and all 60 of label 0"
    assert sum(span.label for text in few for span in text.spans) == 20
