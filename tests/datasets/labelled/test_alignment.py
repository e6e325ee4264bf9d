"""Characters to tokens: byte-level, SentencePiece and trimmed offsets, against the pieces decoded one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny import tiny_tokenizer
from workbench.datasets.labelled.alignment import token_spans
from workbench.errors import UserError

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="<|>"), min_size=1, max_size=40)


def sentencepiece():
    """A tokenizer that writes spaces as ▁, puts one in front of the text and falls back to bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = [*(f"<0x{byte:02X}>" for byte in range(256)), "<unk>", "▁", "▁The", "▁cat", "s", "a", "c", "t", "▁s", "at"]
    vocabulary = [(piece, -float(len(pieces) - at) / 10) for at, piece in enumerate(pieces)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, 256, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.Metaspace(), decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def trimming():
    """Byte-level, and its offsets leave spaces out, as RoBERTa's do."""
    from tokenizers import processors

    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=True)
    return tokenizer


BYTE_LEVEL = tiny_tokenizer()
WITH_BOS = tiny_tokenizer(adds_bos=True)
TRIMMING = trimming()
SENTENCEPIECE = sentencepiece()


def independent(text: str) -> list[tuple[int, int]]:
    """Characters of each byte-level token, by adding up its bytes."""
    from workbench.lab.token_text import TokenText

    pieces = TokenText(BYTE_LEVEL)
    owner = [at for at, character in enumerate(text) for _ in character.encode()]
    spans, at = [], 0
    for token in BYTE_LEVEL.convert_ids_to_tokens(BYTE_LEVEL(text)["input_ids"]):
        n = len(pieces.piece(token))
        spans.append((owner[at], owner[at + n - 1] + 1))
        at += n
    return spans


@given(TEXT)
@settings(deadline=None, max_examples=150)
@pytest.mark.parametrize("tokenizer", [BYTE_LEVEL, TRIMMING], ids=["byte-level", "trimmed"])
def test_tokens_stand_for_the_characters_of_their_bytes(tokenizer, text):
    (spans,) = token_spans(tokenizer, [text])
    assert list(zip(spans.start.tolist(), spans.end.tolist(), strict=True)) == independent(text)
    assert list(spans.ids) == BYTE_LEVEL(text)["input_ids"]


@given(TEXT)
@settings(deadline=None, max_examples=100)
@pytest.mark.parametrize("tokenizer", [WITH_BOS, SENTENCEPIECE], ids=["BOS", "SentencePiece"])
def test_every_character_is_some_tokens(tokenizer, text):
    (spans,) = token_spans(tokenizer, [text])
    for at in range(len(text)):
        assert len(spans.covering(at, at + 1)), (text, at)
    assert (np.diff(spans.start) >= 0).all()
    assert spans.end.max() == len(text)


def test_bos_stands_for_nothing_and_shifts_by_one():
    (plain,), (shifted,) = (token_spans(each, ["The capital of France"]) for each in (BYTE_LEVEL, WITH_BOS))
    assert shifted.ids[1:] == plain.ids
    assert (shifted.start[0], shifted.end[0]) == (0, 0)
    assert (shifted.covering(15, 21) == plain.covering(15, 21) + 1).all()


def test_what_stands_after_the_text_is_no_part_of_it():
    from tokenizers import processors

    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <|im_end|>", special_tokens=[("<|im_end|>", 2)]
    )
    (spans,) = token_spans(tokenizer, ["The capital"])
    assert list(spans.ids) == BYTE_LEVEL("The capital")["input_ids"]


def test_a_word_is_found_with_its_space_and_with_multi_byte_neighbours():
    text = "日本 é France is"
    (spans,) = token_spans(BYTE_LEVEL, [text])
    start = text.index("France")
    covering = spans.covering(start, start + 6)
    assert BYTE_LEVEL.decode([spans.ids[at] for at in covering]) == " France"


def test_a_tokenizer_without_offsets_is_a_sentence():
    class Slow:
        is_fast = False

    with pytest.raises(UserError, match="doesn't say which characters"):
        token_spans(Slow(), ["a"])
