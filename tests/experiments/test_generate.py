"""generate: the continuation as it comes, clean beside edited."""

from itertools import islice, pairwise

import numpy as np
import pytest
import torch

from tests.lab.labs import PROMPT, new_report, plain, tiny_lab
from workbench.edits import parse_edits
from workbench.errors import UserError
from workbench.execute import execute
from workbench.lab.generate import generate
from workbench.views import Text

SET = [{"prompt": PROMPT}, {"prompt": "The river is"}]


def ran(edits="", seed=0, report=None, **params):
    report = report or new_report()
    lab = tiny_lab("llama")
    execute(lab, "generate", params, parse_edits([edits], lab.info), seed, report)
    return report


def test_the_text_is_the_prompt_and_what_follows():
    lab = tiny_lab("llama")
    report = ran(prompt=PROMPT, tokens=8)
    found = list(islice(generate(lab, lab.prompt(PROMPT)), 8))
    view = report.views["clean"]
    assert isinstance(view, Text)
    assert view.text == PROMPT + found[-1].text
    assert "8 tokens, greedy" in view.note
    assert "5 tokens (no BOS)" in view.note
    strip = report.views["tokens"]
    prompt = lab.prompt(PROMPT)
    assert strip.generated_from == len(prompt)
    assert strip.tokens == [*prompt.tokens, *(one.token for one in found)]
    assert np.isnan(strip.rows[0].values[: len(prompt)]).all()
    assert strip.rows[0].values[len(prompt) :] == pytest.approx([-one.log_prob for one in found])
    assert report.scalars["tokens"] == 8
    assert report.scalars["surprise"] == pytest.approx(-sum(one.log_prob for one in found) / 8)


def test_it_streams_after_every_token():
    report = new_report()
    texts = []
    report._sink.streamed = lambda report: texts.append(report.views["clean"].text)
    ran(prompt=PROMPT, tokens=8, report=report)
    assert len(texts) == 8
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts))
    assert report.progress.done == report.progress.total == 8


def test_clean_beside_edited_and_where_they_part():
    lab = tiny_lab("llama")
    edits = "L1.N3-20=3"
    report = ran(prompt=PROMPT, tokens=12, edits=edits)
    clean = [one.id for one in islice(generate(lab, lab.prompt(PROMPT)), 12)]
    edited = [one.id for one in islice(generate(lab, lab.prompt(PROMPT), parse_edits([edits])), 12)]
    first = next(at for at, (one, other) in enumerate(zip(clean, edited, strict=False)) if one != other)
    assert report.scalars["first_difference"] == first
    assert {report.views[key].differs_at for key in ("tokens", "tokens_edited")} == {5 + first}
    assert list(report.views)[:2] == ["clean", "edited"]
    assert " → " in report.headline


def test_both_texts_are_read_by_the_unedited_model():
    """The perplexities against Hugging Face's own forward over prompt and continuation."""
    lab = tiny_lab("llama")
    report = ran("L1.resid_pre+=40*@L1.N3.out", prompt=PROMPT, tokens=8)
    start = len(lab.prompt(PROMPT))
    ids_of = {lab.token(index): index for index in range(lab.info.d_vocab)}
    for suffix in ("", "_edited"):
        tokens = report.views[f"tokens{suffix}"].tokens
        ids = torch.tensor([[ids_of[token] for token in tokens]])
        log_probs = plain("llama").logits(ids)[0].log_softmax(-1)
        losses = [-float(log_probs[at - 1, ids[0, at]]) for at in range(start, len(tokens))]
        assert report.scalars[f"perplexity{suffix}"] == pytest.approx(np.exp(np.mean(losses)), rel=1e-4)
    assert report.scalars["perplexity"] == pytest.approx(np.exp(report.scalars["surprise"]))
    assert report.scalars["perplexity_edited"] > 1.5 * report.scalars["perplexity"]
    assert "perplexity" not in ran(prompt=PROMPT, tokens=2).scalars


def test_edits_that_change_nothing_say_so():
    report = ran(prompt=PROMPT, tokens=5, edits="L1.N3*=1")
    assert report.scalars["first_difference"] is None
    assert "the same with and without the edits" in report.headline


def test_the_seed_decides_what_is_drawn():
    texts = [ran(prompt=PROMPT, tokens=10, temperature=1.0, seed=seed).views["clean"].text for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_a_set_is_a_row_a_prompt():
    report = ran(prompts=SET, tokens=6, edits="L1.N3-20=3")
    table = report.views["continuations"]
    assert [column.key for column in table.columns] == ["prompt", "continuation", "continuation_edited", "differ_at"]
    assert [row[0] for row in table.rows] == [row["prompt"] for row in SET]
    assert "of 2 continuations differ" in report.headline
    assert "2 continuations" in ran(prompts=SET, tokens=3).headline


def test_a_chat_prompt_shows_the_answer_alone():
    report = ran(prompt="What is the capital of France?", chat=True, tokens=4)
    assert "<|im_start|>" not in report.views["clean"].text.partition("assistant")[0]
    assert "the chat template wrote" in report.views["clean"].note


TALK = [
    {"role": "user", "content": "The capital of France is"},
    {"role": "assistant", "content": " Paris."},
    {"role": "user", "content": "The river is"},
]


def test_the_next_answer_of_a_conversation_under_edits_equals_plain_hooks():
    lab = tiny_lab("llama")
    edits = "L1.N3-20=3"
    report = ran(messages=TALK, chat=True, tokens=6, edits=edits)
    tokenizer = lab.model.tokens.tokenizer
    text = tokenizer.apply_chat_template(TALK, tokenize=False, add_generation_prompt=True)
    prompt = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])

    def three(activations):
        activations = activations.clone()
        activations[..., 3:21] = 3
        return activations

    for key, changes in (("clean", []), ("edited", [(1, "mlp_post", three)])):
        ids = prompt
        for _ in range(6):
            ids = torch.cat([ids, plain("llama").logits(ids, changes)[:, -1].argmax(-1)[:, None]], 1)
            if int(ids[0, -1]) == tokenizer.eos_token_id:
                break
        answer = ids[0, prompt.shape[1] :].tolist()
        assert report.scalars["tokens" + "_edited" * (key == "edited")] == len(answer)
        strip = report.views["tokens" + "_edited" * (key == "edited")]
        assert strip.tokens[strip.generated_from :] == [lab.token(index) for index in answer]
    talk = report.views["conversation"].text.split("\n\n")
    assert talk[:3] == ["user: The capital of France is", "assistant:  Paris.", "user: The river is"]
    assert "\n\n".join(talk[3:]) == f"assistant: {report.views['edited'].text}"
    assert "edited" in report.views["conversation"].note


def test_next_steps_of_an_answer_are_about_the_same_conversation():
    report = ran(messages=TALK, chat=True, tokens=2)
    assert report.next_steps
    for step in report.next_steps:
        assert (step.params["prompt"], step.params["messages"]) == ("The river is", TALK[:2])


def test_the_same_conversation_with_the_last_turn_as_prompt():
    whole, split = (
        ran(messages=TALK, chat=True, tokens=3),
        ran(messages=TALK[:2], prompt="The river is", chat=True, tokens=3),
    )
    assert whole.views["tokens"].tokens == split.views["tokens"].tokens
    assert whole.views["conversation"] == split.views["conversation"]


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"messages": TALK}, "read in the chat template: --chat"),
        ({"messages": TALK, "prompt": "a", "chat": True}, "a prompt was given too"),
        ({"messages": TALK[1:2], "prompt": "a", "chat": True}, "messages: turn 1 is of the assistant"),
        ({"messages": TALK[:1] * 2 + TALK[:1], "chat": True}, "messages: turn 2 is of the user"),
    ],
)
def test_a_conversation_that_can_not_go_on_is_a_sentence(params, says):
    with pytest.raises(UserError, match=says):
        ran(**params)
