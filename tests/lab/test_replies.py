"""Where replies begin: targets as the tokenizer writes them after the template, empty think blocks."""

import json

import pytest

from tests.lab.labs import source_of, tiny_lab
from tests.tiny import CHAT_TEMPLATE, tiny_model
from workbench.errors import UserError
from workbench.lab.model import load_lab
from workbench.lab.replies import reply_prompt

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
    assert (reply_prompt(lab, "The city", "none").ids == lab.prompt("The city", True, "none").ids).all()


def test_where_the_template_puts_a_space_the_target_has_it(tmp_path):
    lab = lab_with(SPACED, tmp_path / "spaced")
    assert lab.token(lab.model.tokens.reply_token("Paris")) == " Paris"
    assert reply_prompt(lab, "The city", "none").after.endswith("assistant\n")


def test_an_empty_think_block_is_part_of_the_prompt(tmp_path):
    lab = lab_with(THINKS, tmp_path / "thinks")
    plain, prompt = lab.prompt("The city", True), reply_prompt(lab, "The city", "default")
    assert "".join(prompt.tokens) == "".join(plain.tokens) + "<think>\n"
    assert prompt.origins[-1] == "template"
    assert lab.token(lab.model.tokens.reply_token("I")) == "I"
