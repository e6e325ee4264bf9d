"""Questions are data: each fills in to an experiment that there is, with parameters that it takes."""

import subprocess
import sys

import pytest

from workbench.artifacts.direction import check_direction_name
from workbench.edits import parse_edits
from workbench.errors import UserError
from workbench.experiments import experiment, experiments
from workbench.params import read_params
from workbench.questions import QUESTIONS
from workbench.questions.question import BLANK
from workbench.session.typed_sets import read_sets


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_fresh_question_is_a_valid_experiment(name):
    question = QUESTIONS[name]
    step = question.ask({})
    params = experiment(step.experiment).params
    read_params(params, read_sets(params, step.params, "")[0])
    assert not any("⟨" in str(value) for value in step.params.values())
    parse_edits(step.edits or [])


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_blanks_of_the_sentence_are_the_blanks_there_are(name):
    question = QUESTIONS[name]
    assert BLANK.findall(question.sentence) == [blank.name for blank in question.blanks]
    assert 1 <= len(question.blanks) <= 2


def test_blanks_are_filled_where_they_are_named():
    step = QUESTIONS["switch-off"].ask({"unit": "L5.H3", "prompt": "Once"})
    assert (step.experiment, step.params, step.edits) == ("predict", {"prompt": "Once"}, ["L5.H3=0"])
    assert "⟨L5.H3⟩" in step.label


def test_a_question_without_edits_keeps_those_that_are_on():
    assert QUESTIONS["next-token"].ask({}).edits is None


def test_text_that_looks_like_a_blank_is_only_text():
    assert QUESTIONS["next-token"].ask({"prompt": "a ⟨prompt⟩ b"}).params["prompt"] == "a ⟨prompt⟩ b"


def test_an_emptied_blank_is_a_sentence_with_an_example():
    with pytest.raises(UserError, match="The capital of France is"):
        QUESTIONS["next-token"].ask({"prompt": ""})


def test_words_filter_by_how_words_begin():
    question = QUESTIONS["switch-off"]
    assert question.matches("")
    assert question.matches("switch OFF")
    assert question.matches("edit clean")
    assert not question.matches("witch")


def test_listing_them_needs_neither_numpy_nor_torch():
    code = "import sys, workbench.questions; print({'numpy', 'torch'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("typed", "name"),
    [("@harmful", "harmful"), ("sets/two words.txt", "two_words"), ("~/2024.jsonl", "d2024"), ("é.txt", "d")],
)
def test_a_direction_is_called_as_the_set_it_points_to(typed, name):
    params = QUESTIONS["direction"].ask({"this": typed}).params
    assert params == {"name": name, "positive": typed, "negative": "@harmless"}
    check_direction_name(params["name"])


def test_a_prompt_that_was_filled_in_elsewhere_is_steered_on():
    assert QUESTIONS["more"].ask({}).params["prompt"] == "The capital of France is"
    assert QUESTIONS["more"].ask({"prompt": "Once", "direction": "@a"}).params == {
        "direction": "@a", "target": " Paris", "prompt": "Once",
    }  # fmt: skip


def test_a_question_is_asked_where_its_experiment_is_there():
    assert {question.experiment for question in QUESTIONS.values()} <= set(experiments())
    assert ("stop-refusing" in QUESTIONS) is ("refusal" in experiments())
