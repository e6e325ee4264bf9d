"""What real data held against the readers: repeats, licences, headers, parallel texts, long texts, known traps."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tiny import tiny_tokenizer
from workbench.datasets.labelled.aligning import examples_of
from workbench.datasets.labelled.labelled_set import LabelledSet, LabelledText, Span
from workbench.datasets.labelled.reading import read_labelled, split_suffix
from workbench.datasets.labelled.sae_probes import TRAPS, read_sae_probes
from workbench.datasets.labelled.shown import SHOWN_TOKENS, text_view
from workbench.datasets.labelled.sources import language_set, programming_set
from workbench.datasets.labelled.tagged import read_tagged

TOKENIZER = tiny_tokenizer()
LICENCE = "Licensed to whom it may concern."


def whole(texts) -> LabelledSet:
    return LabelledSet(texts=[LabelledText(text, [Span(0, len(text), label)] * n) for text, label, n in texts])


# --- repeats ---------------------------------------------------------------------------------------------


def test_a_text_that_is_there_twice_is_counted_and_still_a_whole_text():
    labelled = whole([(f"{at} The capital is Paris", float(at % 2), 1 + (at < 5)) for at in range(40)])
    assert labelled.whole_texts
    _, problems = examples_of(labelled, TOKENIZER, 64, 0)
    assert problems.duplicates == 5
    assert problems.repeated == 0
    assert any(sentence.startswith("5 examples repeat another one, text and label") for sentence in problems.sentences)


def test_words_are_looked_at_though_a_text_is_there_twice():
    random = np.random.default_rng(0)
    hot, cold = ([f"{kind}{number}" for number in range(6)] for kind in ("hot", "cold"))
    texts = [(f"{at} " + " ".join(random.choice(hot if at % 2 else cold, 4)), float(at % 2), 1) for at in range(200)]
    texts[20] = (texts[20][0], 1.0, 1)
    texts[3] = (texts[3][0], 1.0, 2)
    assert len(examples_of(whole(texts), TOKENIZER, 256, 0)[1].suspects) == 1


# --- what is shown ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", ["last", "mean"])
def test_of_a_long_text_the_tokens_around_the_label_are_shown(read):
    texts = [(" ".join(f"the {at} capital" for _ in range(100 + at)), float(at % 2), 1) for at in range(24)]
    labelled = whole(texts)
    labelled = LabelledSet(texts=labelled.texts, read=read)
    examples, _ = examples_of(labelled, TOKENIZER, 4096, 0)
    n = len(examples.windows[0])
    assert n > SHOWN_TOKENS
    view = text_view(examples, 0, lambda index: TOKENIZER.decode([index]))
    assert len(view.tokens) == len(view.rows[0].values) == len(view.labels) == SHOWN_TOKENS
    marked = np.flatnonzero(np.isfinite(view.rows[0].values))
    start = n - SHOWN_TOKENS if read == "last" else 0
    assert f"the tokens shown are {start:,} to {start + SHOWN_TOKENS - 1:,} of a text of {n:,}" in view.note
    assert marked.tolist() == ([SHOWN_TOKENS - 1] if read == "last" else list(range(1, SHOWN_TOKENS)))


# --- sources ---------------------------------------------------------------------------------------------


def test_comments_at_a_files_beginning_are_left_out(tmp_path):
    heads = {
        "py": f"#!/usr/bin/env python\n# {LICENCE}\n\n",
        "c": f"/*\n * {LICENCE}\n */\n// {LICENCE}\n\n",
        "php": f"<?php\n/** {LICENCE} */\n",
        "html": f"<!-- {LICENCE} -->\n",
    }
    for at in range(4):
        for suffix, head in heads.items():
            (tmp_path / f"{at}.{suffix}").write_text(f"{head}body of {at}, # and /* a comment */ inside\n")
    labelled = programming_set(tmp_path, "PHP")
    assert len(labelled) == 16
    assert not any(LICENCE in text.text for text in labelled.texts)
    assert all("/* a comment */ inside" in text.text for text in labelled.texts)
    assert {text.text.lstrip()[:5] for text in labelled.texts} == {"<?php", "body "}


def test_headers_are_c_unless_there_is_cpp(tmp_path):
    for at in range(3):
        (tmp_path / f"{at}.h").write_text(f"int f{at}(void);\n")
        (tmp_path / f"{at}.py").write_text(f"def f{at}(): ...\n")
    assert programming_set(tmp_path, "C").classes == ("Python", "C")
    (tmp_path / "a.cpp").write_text("class A {};\n")
    assert {text.text[:3] for text in programming_set(tmp_path, "C++").texts} == {"cla", "def"}


def test_classes_of_label_0_are_drawn_evenly(tmp_path):
    for language, n in (("fr", 60), ("en", 200), ("de", 60)):
        (tmp_path / language).mkdir()
        for at in range(n):
            (tmp_path / language / f"{language}{at}.txt").write_text(f"{language} {at}\n")
    texts = [text.text[:2] for text in language_set(tmp_path, "fr", limit=100).texts]
    assert texts.count("fr") == 20
    assert texts.count("en") == texts.count("de") == 40


def test_files_of_the_same_name_are_one_document(tmp_path):
    for language in ("fr", "en", "de"):
        (tmp_path / language).mkdir()
        for at in range(12):
            (tmp_path / language / f"{at}.txt").write_text(f"{language} article {at} says this\n" * 2)
    labelled = language_set(tmp_path, "fr", piece=20)
    by_article: dict[str, set[int]] = {}
    for text in labelled.texts:
        by_article.setdefault(text.text.split()[2], set()).add(text.document)
    assert all(len(documents) == 1 for documents in by_article.values())
    assert len(by_article) == len({text.document for text in labelled.texts}) == 12


# --- word/TAG --------------------------------------------------------------------------------------------


def test_what_is_no_word_and_tag_in_a_folder_is_passed_over(tmp_path):
    for number in range(12):
        (tmp_path / f"c{number}").write_text("The/at dog/nn ran/vbd ./.\n")
    without = read_tagged(tmp_path, ["nn"], "nouns")
    (tmp_path / "README").write_text("The corpus and/or its manual")
    (tmp_path / "categories.pickle").write_bytes(b"\x80\x81")
    beside = read_tagged(tmp_path, ["nn"], "nouns")
    words = [sorted(text.text for text in labelled.texts) for labelled in (without, beside)]
    assert words[0] == words[1]


# --- files -----------------------------------------------------------------------------------------------


@given(
    st.sampled_from(["csv", "jsonl"]),
    st.lists(st.text("ab ,\"\n'é", min_size=1), min_size=2, max_size=6, unique=True),
)
def test_a_packed_file_holds_what_the_plain_one_does(tmp_path_factory, kind, texts):
    folder = tmp_path_factory.mktemp("packed")
    if kind == "csv":
        quoted = ['"' + text.replace('"', '""') + '"' for text in texts]
        content = "prompt,target\n" + "".join(f"{text},{at % 2}\n" for at, text in enumerate(quoted))
    else:
        content = "".join(json.dumps({"prompt": text, "target": at % 2}) + "\n" for at, text in enumerate(texts))
    (folder / f"a.{kind}").write_text(content, newline="")
    (folder / f"A.{kind}.GZ").write_bytes(gzip.compress(content.encode()))
    plain, packed = read_labelled(folder / f"a.{kind}"), read_labelled(folder / f"A.{kind}.GZ")
    assert packed.hash == read_labelled(folder / f"A.{kind}.GZ").hash
    assert packed.texts == plain.texts
    assert split_suffix(folder / f"A.{kind}.GZ") == ("A", f".{kind}.gz")


def test_traps_of_sae_probes_are_said(tmp_path):
    for number in (65, 139):
        (tmp_path / f"{number}_x.csv").write_text("prompt,target\na,1\nb,0\n")
    assert read_sae_probes("sae-probes:139", str(tmp_path)).note.endswith(TRAPS[139])
    assert read_sae_probes("sae-probes:65", str(tmp_path)).note == "65_x.csv"
