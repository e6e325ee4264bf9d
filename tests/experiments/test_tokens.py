"""tokens: the split as the model reads it, without a pass."""

from collections import Counter

import pytest

from tests.lab.labs import PROMPT, new_report, tiny_lab
from workbench.edits import parse_edits
from workbench.errors import UserError
from workbench.execute import execute
from workbench.lab import model
from workbench.result_keys import TokenIds
from workbench.views import Table, Tokens

OWN = ["The", " capital", " of", " France", " is"]


@pytest.fixture(autouse=True)
def no_pass(monkeypatch):
    """A forward pass is a failure."""

    def forward(*given, **named):
        raise AssertionError("tokens ran the model")

    monkeypatch.setattr(model, "run_forward", forward)


def ran(arch="llama", edits="", **params):
    report = new_report()
    lab = tiny_lab(arch)
    execute(lab, "tokens", params, parse_edits([edits] if edits else [], lab.info), 0, report)
    return report


def test_a_tokenizer_without_bos_adds_nothing():
    report = ran(prompt=PROMPT)
    assert report.headline == "5 tokens, no BOS: 'The' ' capital' ' of' ' France' ' is'"
    assert report.scalars == {"tokens": 5}
    strip, table = report.views.values()
    assert isinstance(strip, Tokens)
    assert isinstance(table, Table)
    assert strip.tokens == OWN
    assert strip.note == table.note == "5 tokens (no BOS)"
    assert [column.key for column in table.columns] == ["position", "token", "id", "origin"]
    ids = [int(index) for index in tiny_lab("llama").prompt(PROMPT).ids]
    assert table.rows == [[at, token, ids[at], "text"] for at, token in enumerate(OWN)]


def test_a_bos_is_said_and_is_not_the_texts():
    report = ran("gemma2", prompt=PROMPT)
    assert report.headline.startswith("6 tokens, the first is the BOS '<|im_start|>': 'The' ' capital'")
    assert [row[1:4:2] for row in report.views["ids"].rows][:2] == [["<|im_start|>", "BOS"], ["The", "text"]]
    assert report.scalars == {"tokens": 6}


@pytest.mark.parametrize("arch", ["llama", "gemma2"])
def test_what_the_chat_template_wrote_is_told_from_the_text(arch):
    report = ran(arch, prompt=PROMPT, chat=True)
    rows = report.views["ids"].rows
    text = [row[1] for row in rows if row[3] == "text"]
    assert "".join(text) == PROMPT
    written = len(rows) - len(text)
    assert {row[3] for row in rows} == {"text", "template"}
    assert report.headline.startswith(f"{len(rows)} tokens, {written} of them the chat template's: 'The' ")
    assert "the chat template wrote '<|im_start|>user\\n' before the text" in report.views["tokens"].note


def test_a_long_text_is_listed_in_part_and_kept_whole():
    report = ran(prompt=PROMPT * 20)
    assert report.headline.endswith("…")
    assert len(report.headline) < 100
    assert len(report.views["ids"].rows) == report.scalars["tokens"] > 80


def test_a_set_is_a_row_a_prompt():
    report = ran("gemma2", prompts=[{"prompt": PROMPT}, {"prompt": "The"}])
    assert report.headline == "2 prompts of 2 to 6 tokens, 8 in all, each begins with the BOS '<|im_start|>'"
    assert report.views["prompts"].rows == [[PROMPT, 6, " ".join(f"'{token}'" for token in OWN)], ["The", 2, "'The'"]]
    assert report.scalars == {"tokens": 8}
    assert "in the chat template" in ran(prompts=[{"prompt": "The"}], chat=True).headline


def test_the_next_step_reads_the_same_text():
    (step,) = ran(prompt=PROMPT, chat=True).next_steps
    assert (step.experiment, step.params) == ("predict", {"prompt": PROMPT, "chat": True})


@pytest.mark.parametrize("params", [{"prompt": ""}, {}, {"prompt": "", "chat": True}])
def test_an_empty_prompt_is_a_sentence(params):
    with pytest.raises(UserError, match="the prompt is empty"):
        ran(**params)


def test_a_set_names_the_prompt_that_is_wrong():
    with pytest.raises(UserError, match="prompt 2 of the set: the prompt is empty"):
        ran(prompts=[{"prompt": "The"}, {"prompt": ""}])


def test_edits_change_no_tokens_and_are_refused():
    with pytest.raises(UserError, match="takes no edits"):
        ran(prompt=PROMPT, edits="L1.N3=0")


def test_earlier_turns_of_a_chat_are_counted_by_themselves():
    turns = [{"role": "user", "content": "The capital"}, {"role": "assistant", "content": " of France"}]
    report = ran(prompt="is", messages=turns, chat=True)
    rows = report.views[TokenIds.VIEW].records()
    by_origin = Counter(row[TokenIds.ORIGIN] for row in rows)
    text = "<|im_start|>user\nThe capital<|im_end|>\n<|im_start|>assistant\n of France<|im_end|>\n<|im_start|>user\n"
    assert by_origin["earlier"] == len(tiny_lab("llama").prompt(text))
    n = by_origin["template"]
    assert report.headline.startswith(
        f"{len(rows)} tokens, {by_origin['earlier']} of earlier turns, {n} of them the chat"
    )
