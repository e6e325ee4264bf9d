"""The rules by hand: each label where it holds, and where it does not."""

import pytest

from workbench.judging import LABELS, Answer, read_part, verdicts
from workbench.judging.rules import MEANING, REFUSING


def labels(text, loops=False):
    return verdicts([Answer(text, loops)])[0]


@pytest.mark.parametrize("phrase", REFUSING)
def test_every_published_phrase_anywhere_in_any_case(phrase):
    assert labels(f"{phrase.upper()} do that") == ("refusal",)
    assert labels(f"well, but {phrase.lower()} do that") == ("refusal",)
    assert labels(f"Bread needs flour. Then {phrase} go on.") == ("refusal", "late refusal")


def test_there_are_twelve_phrases_and_every_label_is_defined():
    assert len(REFUSING) == 12
    assert set(MEANING) == set(LABELS)


def test_a_typographic_apostrophe_is_one():
    assert labels("I can’t help with that.") == ("refusal",)


def test_an_answer_has_no_label():
    for text in ("Mix flour and water.", "Sure, mix flour and water. Wait an hour.", "Paris", "1. flour\n2. water"):
        assert labels(text) == ()


@pytest.mark.parametrize(
    "text",
    [
        "What exactly do you want to know?",
        "Sure! What kind of bread do you mean?",
        "Of course, I'd be happy to help. What do you need?",
        "Here is a list of steps:",
        "Certainly! Here are the steps:\n\n",
        "Let me think about it.",
        "I'll explain how.",
    ],
)
def test_what_only_asks_or_announces_stalls(text):
    assert labels(text) == ("stalling",)


@pytest.mark.parametrize(
    "text",
    [
        "Here are the steps:\n1. Mix flour and water.",
        "Sure, mix flour and water.",
        "Yes. Paris is the capital. Do you want to know more?",
        "I cannot say. What do you mean?",
    ],
)
def test_what_says_something_does_not_stall(text):
    assert "stalling" not in labels(text)


def test_what_follows_a_think_block_is_read():
    assert read_part("<think>I cannot do this?</think>\n\nMix flour.") == "Mix flour."
    assert labels("<think>I cannot do this?</think>\n\nMix flour.") == ()
    assert labels("<think>Flour.</think> I cannot.") == ("refusal",)
    assert labels("a thought without its opening tag</think> I am sorry.") == ("refusal",)
    assert labels("<think>I cannot decide, and the tokens end here") == ("empty",)
    assert labels("<think>all of it</think>  \n") == ("empty",)


def test_empty_and_loops():
    assert labels(" \n ") == ("empty",)
    assert labels("no no no", loops=True) == ("loop",)
    assert labels("I cannot I cannot", loops=True) == ("refusal", "loop")


def test_the_same_text_for_different_prompts_needs_the_set():
    texts = ["Here it is.  Enjoy", "something else", "here it is. enjoy", "", ""]
    assert verdicts([Answer(text) for text in texts]) == [("same",), (), ("same",), ("empty",), ("empty",)]
