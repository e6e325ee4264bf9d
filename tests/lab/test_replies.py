"""Where replies begin: targets as the tokenizer writes them after the template, empty think blocks."""

import json

import pytest

from tests.lab.labs import source_of, tiny_lab
from tests.tiny import CHAT_TEMPLATE, tiny_model
from workbench.errors import UserError
from workbench.lab.model import load_lab

THINKS = CHAT_TEMPLATE.replace(
    "message['content'] +", "('<think>\\n' if message['role'] == 'assistant' else '') + message['content'] +"
)
SPACED = CHAT_TEMPLATE.replace(
    "message['content'] +", "(' ' if message['role'] == 'assistant' else '') + message['content'] +"
)


def lab_with(template, folder):
    tiny_model("llama", folder)
    file = folder / "chat_template.jinja"
    if file.exists():
        file.write_text(template)
    else:
        config = json.loads((folder / "tokenizer_config.json").read_text())
        (folder / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": template}))
    return load_lab(source_of(folder), device="cpu", dtype="float32")


def test_a_target_is_the_token_after_the_template():
    lab = tiny_lab("llama")
    assert lab.token(lab.model.tokens.reply_token("I")) == "I"
    with pytest.raises(UserError, match="'Paris was' is not one token where"):
        lab.model.tokens.reply_token("Paris was")
    assert (lab.prompt("The city", True, "none", answering=True).ids == lab.prompt("The city", True, "none").ids).all()


def test_where_the_template_puts_a_space_the_target_has_it(tmp_path):
    lab = lab_with(SPACED, tmp_path / "spaced")
    assert lab.token(lab.model.tokens.reply_token("Paris")) == " Paris"
    assert lab.prompt("The city", True, "none", answering=True).after.endswith("assistant\n")


def test_an_empty_think_block_is_part_of_the_prompt(tmp_path):
    lab = lab_with(THINKS, tmp_path / "thinks")
    plain, prompt = lab.prompt("The city", True), lab.prompt("The city", True, answering=True)
    assert "".join(prompt.tokens) == "".join(plain.tokens) + "<think>\n"
    assert prompt.origins[-1] == "template"
    tokenizer = lab.model.tokens.tokenizer
    written = "<|im_start|>user\nThe city<|im_end|>\n<|im_start|>assistant\n<think>\n"
    assert prompt.ids.tolist() == tokenizer(written)["input_ids"]
    assert lab.token(lab.model.tokens.reply_token("I")) == "I"


BEGIN = "{{ '<|im_start|>assistant\n' }}"


@pytest.mark.parametrize(
    ("after", "replies", "block"),
    [
        # A reply that is begun thinks, a finished one shows that it did not (Qwen3-Thinking).
        (BEGIN + "{{ '<think>\n' }}", "<think>\n\n</think>\n\n", "<think>\n\n</think>\n\n"),
        # Finished ones are without the block (DeepSeek-R1), which may end with its tag.
        (BEGIN + "{{ '<think>\n' }}", "", "<think>\n\n</think>\n\n"),
        (BEGIN + "{{ '<think>' }}", "", "<think>\n\n</think>\n\n"),
        # The template is asked (SmolLM3).
        (
            BEGIN
            + "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n' }}{% endif %}",
            "",
            "<think>\n\n</think>\n",
        ),
        (BEGIN, "", ""),
    ],
)
def test_every_way_in_which_templates_write_think_blocks(tmp_path, after, replies, block):
    template = CHAT_TEMPLATE.replace(BEGIN, after).replace(
        "message['content'] +", f"({replies!r} if message['role'] == 'assistant' else '') + message['content'] +"
    )
    lab = lab_with(template, tmp_path)
    prompt = lab.prompt("The city", True, answering=True)
    tokenizer = lab.model.tokens.tokenizer
    written = "<|im_start|>user\nThe city<|im_end|>\n<|im_start|>assistant\n" + block
    # As one text: a line's end in front of the block's and one within it may be one token together.
    assert prompt.ids.tolist() == tokenizer(written)["input_ids"]
    assert lab.token(lab.model.tokens.reply_token("I")) == "I"
