"""What a token stands for is read from the tokenizer's own decoder, not guessed from letters of its vocabulary."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tests.tiny import TEXT, tiny_tokenizer
from workbench.errors import UserError
from workbench.lab.prompts import Tokenization
from workbench.lab.token_text import TokenText


@cache
def gemma_like() -> PreTrainedTokenizerFast:
    """A SentencePiece vocabulary that also has the letters Ġ and Ċ (Maltese has them), as Gemma 3's does."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(
        vocab_size=508, special_tokens=special, initial_alphabet=["Ġ", "Ċ", "é", "ü"], show_progress=False
    )
    tokenizer.train_from_iterator([line.replace(" ", "▁") for line in TEXT.split("\n")] * 50, trainer)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def tokenization(tokenizer: PreTrainedTokenizerFast) -> Tokenization:
    return Tokenization(tokenizer, 256, "tiny")


def test_a_sentencepiece_vocabulary_with_maltese_letters_is_no_byte_level_one() -> None:
    tokens = tokenization(gemma_like())
    assert "".join(tokens.prompt("The capital of").tokens) == "The capital of"
    assert any(" " in token for token in tokens.prompt("The capital of").tokens)
    assert tokens.prompt("é").tokens == ["é"]
    assert tokens.answer(" the").token.startswith(" t")


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1, max_size=30).filter(lambda text: "▁" not in text))
def test_pieces_join_to_what_the_tokenizer_decodes(text: str) -> None:
    if any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        return
    for tokenizer in (gemma_like(), tiny_tokenizer()):
        tokens = tokenization(tokenizer)
        ids = tokens.prompt(text).ids
        joined = b"".join(map(tokens.piece, ids)).decode(errors="replace")
        assert joined == tokenizer.decode(ids, clean_up_tokenization_spaces=False)


@pytest.mark.parametrize(
    ("decoder", "token", "piece"),
    [
        (decoders.ByteLevel(), "ĠParis", b" Paris"),
        (decoders.ByteLevel(), "<|end|> of", b"<|end|> of"),
        (decoders.Metaspace(), "▁Paris", b" Paris"),
        (decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()]), "<0xE2>", b"\xe2"),
        (decoders.Sequence([decoders.Fuse()]), "<0xE2>", b"<0xE2>"),
        (decoders.WordPiece(), "##is", b"is"),
        (decoders.WordPiece(), "Paris", b" Paris"),
        (decoders.BPEDecoder(), "Paris</w>", b"Paris "),
    ],
)
def test_each_decoder_reads_a_token_its_own_way(decoder: object, token: str, piece: bytes) -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.decoder = decoder
    assert TokenText(PreTrainedTokenizerFast(tokenizer_object=tokenizer)).piece(token) == piece


def test_without_a_decoder_the_pre_tokenizer_says_it() -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.ByteLevel(add_prefix_space=False)])
    assert TokenText(PreTrainedTokenizerFast(tokenizer_object=tokenizer)).byte_level


# --- chat templates -------------------------------------------------------------------------------

PARTS = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for part in m['content'] %}{% if part['type'] == 'text' %}"
    "{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
STRIPS = "{% for m in messages %}<|im_start|>{{ m['content'] | trim }}<|im_end|>{% endfor %}"
DROPS = "{% for m in messages %}<|im_start|>user\n<|im_end|>{% endfor %}"
QUESTION = "What is the capital of France?"


def in_template(template: str, text: str) -> object:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    return tokenization(tokenizer).prompt(text, chat=True)


def test_a_template_that_reads_parts_gets_parts() -> None:
    prompt = in_template(PARTS, QUESTION)
    assert QUESTION in "".join(prompt.tokens)
    assert (prompt.before, prompt.after) == ("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant")


def test_a_template_that_strips_the_text_claims_no_token_for_anybody() -> None:
    assert set(in_template(STRIPS, QUESTION).origins) == {"template", "text"}
    prompt = in_template(STRIPS, f"  {QUESTION} ")
    assert set(prompt.origins) == {"chat"}
    assert prompt.describe.endswith("the chat template changed the text")


def test_a_template_that_drops_the_text_is_refused() -> None:
    with pytest.raises(UserError, match="the chat template of tiny drops the text: leave the chat option off"):
        in_template(DROPS, QUESTION)


def test_whatever_a_template_raises_is_a_sentence() -> None:
    with pytest.raises(UserError, match="template does not take this prompt"):
        in_template("{{ 1 / 0 }}", QUESTION)
    with pytest.raises(UserError, match="template does not take this prompt"):
        in_template("{{ nothing.at.all() }}", QUESTION)
