"""Corpora: the same text has the same hash; what is no text is refused with a sentence."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import files
from workbench.datasets import corpora, standard_library
from workbench.datasets.corpora import Corpus, open_corpus
from workbench.datasets.pieces import LONG_TEXT, PIECE
from workbench.errors import UserError
from workbench.index.format import IndexSettings, half_of, in_sample
from workbench.lab.indexing.blocks import blocks, widths


def test_the_standard_library_is_a_corpus_and_always_the_same() -> None:
    one, two = open_corpus("stdlib"), open_corpus("stdlib")
    assert one.info == two.info
    assert one.info.documents > 300
    assert one.info.characters > 1_000_000
    assert len(set(one.texts)) == one.info.documents
    assert any("with" in text and "statement" in text for text in one.texts)


def test_the_standard_library_is_walked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_corpus("stdlib")
    monkeypatch.setattr(standard_library, "_texts", lambda: pytest.fail("the modules were read again"))
    assert list(open_corpus("stdlib").texts) == list(first.texts)


def test_a_broken_cache_of_the_standard_library_is_written_again() -> None:
    first = open_corpus("stdlib").info
    file = standard_library._cache_file()
    for broken in (b"", b"[1, 2]", b"[]", b"\xff{"):
        file.write_bytes(broken)
        assert open_corpus("stdlib").info == first


def test_a_folder_keeps_its_text_files_in_an_order_of_their_own(tmp_path: Path) -> None:
    for name, text in (("a.txt", "one two"), ("b.md", "three"), ("deep/c.py", "print(1)")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\0\0")
    (tmp_path / ".hidden").write_text("secret")
    found = open_corpus(str(tmp_path))
    assert sorted(found.texts) == ["one two", "print(1)", "three"]
    assert open_corpus(str(tmp_path)).info.hash == found.info.hash
    (tmp_path / "b.md").write_text("changed")
    assert open_corpus(str(tmp_path)).info.hash != found.info.hash


def test_jsonl_gives_its_texts(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "one"}\n\n{"text": "two", "meta": 3}\n')
    assert list(open_corpus(str(path)).texts) == ["one", "two"]
    path.write_text('{"text": "one"}\n{"body": "two"}\n')
    with pytest.raises(UserError, match=r'line 2: there is no "text"'):
        open_corpus(str(path))
    path.write_text('{"text": "one"}\nnot json\n')
    with pytest.raises(UserError, match="line 2: not JSON"):
        open_corpus(str(path))


def test_a_long_text_becomes_documents_cut_at_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    paragraphs = [f"paragraph {number} " + "word " * 60 for number in range(80)]
    path.write_text("\n\n".join(paragraphs))
    found = list(open_corpus(str(path)).texts)
    assert "".join(found) == "\n\n".join(paragraphs)
    assert all(len(text) >= PIECE for text in found[:-1])
    assert all(len(text) < LONG_TEXT for text in found)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"  \n\n ", "is empty"),
        (b"\x00\x01binary", "is a binary file"),
        (b"caf\xe9 au lait", "not text in UTF-8"),
        (b"a" * 50_000_000, "has a line of 48 MiB"),
    ],
)
def test_what_is_no_text_is_refused(content: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        open_corpus(str(path))


def test_folders_without_text_and_names_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is empty"):
        open_corpus(str(tmp_path))
    (tmp_path / "x.bin").write_bytes(b"\0\0")
    with pytest.raises(UserError, match=r"no text in the folder.*binary"):
        open_corpus(str(tmp_path))
    with pytest.raises(UserError, match="no corpus 'nowhere'"):
        open_corpus("nowhere")


def test_a_data_set_of_the_hub_that_cannot_be_reached_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="cannot be read from the hub"):
        open_corpus("nobody/nothing-of-the-kind")


def test_a_shard_is_every_nth_document() -> None:
    whole = open_corpus("stdlib")
    parts = [dict(Corpus(whole.info, whole.texts, (which, 3)).documents()) for which in range(3)]
    assert sum(map(len, parts)) == whole.info.documents
    assert {**parts[0], **parts[1], **parts[2]} == dict(whole.documents())


# --- blocks ----------------------------------------------------------------------------------------------


@given(
    lengths=st.lists(st.integers(0, 120), min_size=1, max_size=25),
    context=st.sampled_from([16, 32, 50]),
    tokens=st.sampled_from([50, 64, 200]),
    shelf=st.integers(1, 4),
    bos=st.sampled_from([None, 7]),
)
def test_blocks_hold_every_token_once(
    lengths: list[int], context: int, tokens: int, shelf: int, bos: int | None
) -> None:
    """Each token is in one row; position 0 never counts; a document closes once, in its last block."""
    rng = np.random.default_rng(0)
    documents = [(3 * number, rng.integers(10, 99, length)) for number, length in enumerate(lengths)]
    settings = IndexSettings(context=context, block_tokens=max(tokens, context), shelf_blocks=shelf)
    read: list[int] = []
    closed: list[int] = []
    seen: dict[int, dict[int, int]] = {}
    for fresh, block in blocks(documents, settings, bos):
        read += [number for number, _ in fresh]
        assert block.ids.shape[1] in widths(context)
        assert block.ids.size <= max(tokens, context)
        assert not block.counted[:, 0].any()
        assert block.tokens == block.counted.sum()
        assert (np.diff(half_of(block.documents)) >= 0).all()
        assert (half_of(block.documents) == 0).sum() == block.first_half
        for row, (document, start, length) in enumerate(zip(block.documents, block.starts, block.lengths, strict=True)):
            assert int(document) not in closed
            if bos is not None:
                assert block.ids[row, 0] == bos
            for position in range(int(bos is not None), int(length)):
                place = int(start) + position
                assert place not in seen.setdefault(int(document), {})
                seen[int(document)][place] = int(block.ids[row, position])
        closed += sorted(block.closes)
    step = context - (bos is not None)
    shortest = 1 if bos is not None else 2
    for number, ids in documents:
        # A last window with no token that counts is left out.
        kept = len(ids) - len(ids) % step if len(ids) % step < shortest else len(ids)
        assert seen.get(number, {}) == dict(enumerate(ids[:kept].tolist()))
    assert sorted(closed) == sorted(seen) == read


def test_the_sample_depends_on_document_and_position_alone() -> None:
    positions = np.arange(100_000)
    chosen = in_sample(5, positions, 16)
    assert abs(chosen.mean() - 1 / 16) < 0.004
    np.testing.assert_array_equal(chosen[500:900], in_sample(5, positions[500:900], 16))
    assert (chosen != in_sample(6, positions, 16)).any()
    np.testing.assert_array_equal(in_sample(np.array([[5], [6]]), positions[:50], 16)[0], chosen[:50])


def test_halves_are_about_even() -> None:
    assert abs(half_of(np.arange(20_000)).mean() - 0.5) < 0.02


def test_json_lines_of_strings(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(text) for text in ("a b", "c")))
    assert list(open_corpus(str(path)).texts) == ["a b", "c"]


def test_a_pipe_is_read_to_its_end_and_to_no_more_than_it_may_hold(tmp_path, monkeypatch):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    text = "The river is wide and the water is cold. " * 50
    writer = threading.Thread(target=lambda: pipe.write_text(text))
    writer.start()
    assert "".join(text for _, text in open_corpus(str(pipe)).documents()).strip() == text.strip()
    writer.join()
    monkeypatch.setattr(corpora, "MAX_PIPE", 1000)
    with pytest.raises(UserError, match="larger than 1.0 KiB"):
        open_corpus("/dev/zero")
    monkeypatch.setattr(files, "PIPE_SECONDS", 0.2)
    with pytest.raises(UserError, match="did not end within 0.2 s"):
        open_corpus(str(pipe))
