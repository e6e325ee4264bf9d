"""Text to tokens and back."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lab.labs import PROMPT, tiny_lab
from tests.tiny import tiny_tokenizer
from workbench.datasets.conversation import Turn
from workbench.errors import UserError
from workbench.lab.prompts import Tokenization


def tokens_of(tokenizer, n_ctx=256):
    return Tokenization(tokenizer, n_ctx, "tiny")


PLAIN = tokens_of(tiny_tokenizer())
BOS = tokens_of(tiny_tokenizer(adds_bos=True))


def sentencepiece():
    """A tokenizer that marks spaces with ▁, puts one in front, and falls back to bytes, as Llama 2's does."""
    from tokenizers import Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    words = ["<unk>", "<s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "P", "a", "r", "i", "s", "Pa", "ri"]
    words += ["Pari", "Paris", "▁Paris"]
    merges = [("P", "a"), ("r", "i"), ("Pa", "ri"), ("Pari", "s"), ("▁", "Paris")]
    inner = Tokenizer(
        models.BPE(
            {word: at for at, word in enumerate(words)}, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True
        )
    )
    inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    inner.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", bos_token="<s>")


def test_tokens_are_shown_as_a_reader_sees_them():
    prompt = PLAIN.prompt(PROMPT)
    assert prompt.tokens == ["The", " capital", " of", " France", " is"]
    assert prompt.ids.dtype == "int64"
    assert prompt.describe == "5 tokens (no BOS)"
    assert PLAIN.prompt("The").describe == "1 token (no BOS)"


def test_bos_is_what_the_tokenizers_own_call_adds():
    prompt = BOS.prompt(PROMPT)
    assert prompt.bos == prompt.tokens[0] == "<|im_start|>"
    assert list(prompt.ids[1:]) == list(PLAIN.prompt(PROMPT).ids)
    assert "the first is the BOS '<|im_start|>'" in prompt.describe
    assert (PLAIN.bos_token, BOS.bos_token) == (None, "<|im_start|>")


def test_a_chat_template_writes_its_own_special_tokens_and_no_bos_is_added():
    for tokens in (PLAIN, BOS):
        prompt = tokens.prompt("What is the capital of France?", chat=True)
        assert "".join(prompt.tokens) == (
            "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
        )
        assert prompt.bos is None
        assert prompt.template
        assert prompt.describe == (
            f"{len(prompt)} tokens; the chat template wrote '<|im_start|>user\\n' before the text "
            f"and '<|im_end|>\\n<|im_start|>assistant\\n' after it"
        )


def test_a_model_without_a_template_says_so():
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    with pytest.raises(UserError, match="tiny has no chat template"):
        tokens_of(tokenizer).prompt("hello", chat=True)


def test_a_template_that_refuses_is_a_sentence():
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{{ raise_exception('system role first') }}"
    with pytest.raises(UserError, match="does not take this prompt: system role first"):
        tokens_of(tokenizer).prompt("hello", chat=True)


def test_bad_prompts_are_sentences():
    with pytest.raises(UserError, match="the prompt is empty"):
        PLAIN.prompt("")
    with pytest.raises(UserError, match="has 300 tokens and tiny reads at most 256"):
        PLAIN.prompt(" the" * 300)
    with pytest.raises(UserError, match="half a character"):
        PLAIN.prompt("broken \ud800")
    assert len(PLAIN.prompt(" the" * 256)) == 256


@pytest.mark.parametrize("text", ["\x00", "a\x00b", "🙂", "שלום עולם", "\x1b[31mred", "e\u0301", "\u202e", " ", "\n\n"])
def test_any_text_is_read(text):
    prompt = PLAIN.prompt(text)
    assert b"".join(PLAIN.piece(index) for index in prompt.ids) == text.encode()


@settings(max_examples=50, deadline=None)
@given(st.text(min_size=1, max_size=30))
def test_pieces_join_to_the_text(text):
    if any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        return
    prompt = PLAIN.prompt(text)
    assert b"".join(PLAIN.piece(index) for index in prompt.ids) == text.encode()


def test_bytes_that_are_no_character_are_shown_as_bytes():
    assert PLAIN.prompt("€").tokens == ["\\xe2", "\\x82", "\\xac"]


def test_rows_beyond_the_tokenizer_have_a_name():
    assert PLAIN.token(511) == "<unused 511>"


def test_the_answer_is_its_first_token():
    answer = PLAIN.answer(" Paris")
    assert (answer.token, answer.note) == (" Paris", "")
    longer = PLAIN.answer(" Parisian")
    assert longer.id == answer.id
    assert longer.note == "' Parisian' is 3 tokens: its first, ' Paris', is measured"
    assert PLAIN.answer("Paris").token != " Paris"
    with pytest.raises(UserError, match="the answer is empty"):
        PLAIN.answer("")


def test_a_sentencepiece_answer_has_the_spaces_that_were_typed():
    tokens = tokens_of(sentencepiece())
    assert tokens.prompt("Paris").tokens == [" Paris"]  # the tokenizer's own call puts a space in front
    assert tokens.answer(" Paris").token == " Paris"
    assert tokens.answer("Paris").token == "Paris"
    assert tokens.token(tokens.tokenizer.convert_tokens_to_ids("<0xE2>")) == "\\xe2"


def test_the_tokenizer_is_not_changed_by_the_bridge():
    """TransformerLens would load it again with add_bos_token, and set tokens that it lacks."""
    for arch, bos in (("llama", None), ("gemma2", "<|im_start|>")):
        lab = tiny_lab(arch)
        assert lab.info.bos_token == bos
        assert lab.model.tokens.tokenizer.bos_token == "<|im_start|>"
        assert lab.model.tokens.tokenizer.pad_token == "<|im_end|>"


@pytest.mark.parametrize("text", ["user", "a", "assistant\n", "<|im_end|>", "The is", "é"])
def test_the_template_is_told_from_a_text_that_it_also_holds(text):
    prompt = PLAIN.prompt(text, chat=True)
    assert (prompt.before, prompt.after) == ("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n")
    own = [at for at, origin in enumerate(prompt.origins) if origin == "text"]
    assert own == list(range(own[0], own[-1] + 1))
    ids = [int(prompt.ids[at]) for at in own]
    assert b"".join(map(PLAIN.piece, ids)).decode() == text


def test_a_blank_text_in_a_chat_is_read_as_it_is():
    prompt = PLAIN.prompt(" ", chat=True)
    assert [token for token, origin in zip(prompt.tokens, prompt.origins, strict=True) if origin == "text"] == [" "]


def test_the_text_that_sentencepiece_puts_a_space_before_is_the_texts():
    assert tokens_of(sentencepiece()).prompt("Paris").origins == ["text"]
    assert BOS.prompt(PROMPT).origins == ["BOS", *["text"] * 5]


def test_a_template_that_puts_a_space_in_front_is_still_the_templates():
    tokenizer = sentencepiece()
    tokenizer.chat_template = "{% for message in messages %}{{ 'Pa ' + message['content'] + ' ri' }}{% endfor %}"
    prompt = tokens_of(tokenizer).prompt("is", chat=True)
    own = [token for token, origin in zip(prompt.tokens, prompt.origins, strict=True) if origin == "text"]
    assert "".join(own).strip() == "is"
    assert prompt.origins[0] == prompt.origins[-1] == "template"


# --- the system turn -----------------------------------------------------------------------------------

INSERTS = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe helpful.<|im_end|>\n' }}{% endif %}"
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA_LIKE = (
    "{{ bos_token }}{% if messages[0]['role'] != 'system' %}{{ '[SYS]date[/SYS]' }}{% endif %}"
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'system' %}{{ '[SYS]' + message['content'] + '[/SYS]' }}"
    "{% else %}{{ ' ' + message['content'] + ' [END]' }}{% endif %}{% endfor %}"
)


def with_template(template):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    return tokens_of(tokenizer)


USER = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
AROUND = {
    INSERTS: {
        "default": "<|im_start|>system\nBe helpful.<|im_end|>\n" + USER,
        "none": USER,
        "Be brief.": "<|im_start|>system\nBe brief.<|im_end|>\n" + USER,
    },
    LLAMA_LIKE: {
        "default": "<|im_start|>[SYS]date[/SYS][INST] {} [/INST]",
        "none": "<|im_start|>[INST] {} [/INST]",
        "Be brief.": "<|im_start|>[SYS]Be brief.[/SYS][INST] {} [/INST]",
    },
}


@pytest.mark.parametrize(("template", "around"), AROUND.items(), ids=["inserts", "llama-like"])
def test_the_system_turn_is_the_templates_own_none_or_a_text(template, around):
    tokens = with_template(template)
    for system, expected in around.items():
        prompt = tokens.prompt("What is it?", chat=True, system=system)
        assert "".join(prompt.tokens) == expected.format("What is it?")
        assert (prompt.before + "|" + prompt.after, prompt.verbatim) == (expected.format("|"), True)
        assert prompt.origins.count("template") < len(prompt)


def test_no_system_turn_is_no_change_where_the_template_writes_none():
    tokens = tokens_of(tiny_tokenizer())
    both = [tokens.prompt("hello", chat=True, system=system).ids.tolist() for system in ("default", "none")]
    assert both[0] == both[1]


def test_a_template_that_takes_no_system_turn_is_a_sentence():
    users = "{% if message['role'] != 'system' %}{{ message['content'] }}{% endif %}"
    drops = "{% for message in messages %}" + users + "{% endfor %}"
    with pytest.raises(UserError, match="drops the system turn"):
        with_template(drops).prompt("hello", chat=True, system="Be brief.")
    first = "{% for message in messages %}{{ loop.index ~ ': ' ~ message['content'] ~ '. ' }}{% endfor %}"
    with pytest.raises(UserError, match="is not known"):
        with_template(first).prompt("hello", chat=True, system="none")


def test_a_conversation_is_what_the_template_writes_of_all_its_turns():
    tokens = tokens_of(tiny_tokenizer())
    earlier = [Turn("system", "Be brief."), Turn("user", "hello"), Turn("assistant", "yes, hello")]
    prompt = tokens.prompt("hello", chat=True, earlier=earlier)
    messages = [*msgspec.to_builtins(earlier), {"role": "user", "content": "hello"}]
    rendered = tokens.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert prompt.ids.tolist() == tokens.tokenizer(rendered, add_special_tokens=False)["input_ids"]
    assert prompt.describe == f"{len(prompt)} tokens; in the chat template, 3 earlier turns before the text"
    own = [at for at, origin in enumerate(prompt.origins) if origin == "text"]
    assert "".join(prompt.tokens[at] for at in own) == "hello"
    assert own[0] > rendered[: len(rendered) // 2].count("<|im_start|>")  # the last of the two
    assert prompt.origins == ["earlier"] * own[0] + ["text"] * len(own) + ["template"] * (len(prompt) - own[-1] - 1)


def test_turns_that_the_template_does_not_take_are_a_sentence():
    tokens = tokens_of(tiny_tokenizer())
    system, user = Turn("system", "Be brief."), Turn("user", "hello")
    with pytest.raises(UserError, match="needs the chat template"):
        tokens.prompt("hello", earlier=[user, Turn("assistant", "yes")])
    with pytest.raises(UserError, match="a system turn of its own"):
        tokens.prompt("hello", True, "Be long.", [system])
    with pytest.raises(UserError, match="take `default`"):
        tokens.prompt("hello", True, "none", [system])
    users = "{% if message['role'] != 'system' %}{{ message['content'] }}{% endif %}"
    with pytest.raises(UserError, match="drops the system turn"):
        with_template("{% for message in messages %}" + users + "{% endfor %}").prompt("hello", True, earlier=[system])


def test_a_text_that_cannot_fit_is_refused_before_it_is_tokenized(monkeypatch):
    from workbench.lab import prompts

    tokens = tokens_of(tiny_tokenizer(), n_ctx=16)
    longest = max(map(len, tokens.tokenizer.get_vocab()))
    monkeypatch.setattr(prompts, "_ALWAYS_TOKENIZED", 8)
    tokens.continuation("\0" * (16 * longest))
    monkeypatch.setattr(tokens, "tokenizer", None)
    for ask in (tokens.prompt, tokens.answer):
        with pytest.raises(
            UserError, match=f"has {16 * longest + 1:,} characters, more than 16 tokens can hold, and tiny"
        ):
            ask("\0" * (16 * longest + 1))
