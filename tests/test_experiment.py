from typing import Annotated, Literal

import pytest
from msgspec import Meta

from workbench.datasets.prompts import PromptRow
from workbench.edits import SetTo
from workbench.errors import Cancelled, UserError
from workbench.experiment import command_line
from workbench.experiments import experiment, experiments
from workbench.params import (
    DIRECTION,
    DIRECTIONS,
    NUMBER,
    PROMPT,
    PROMPT_SET,
    TEMPLATE,
    UNITS,
    WHOLE_NUMBER,
    ChatSwitch,
    DirectionsText,
    DirectionText,
    Params,
    PromptParams,
    PromptText,
    UnitsText,
    fields,
    label_of,
    make_params,
    read_params,
)
from workbench.report import NextStep, Report
from workbench.views import Text


class Example(PromptParams, kw_only=True, frozen=True):
    top: Annotated[int, Meta(description="how many tokens to show", ge=1, le=100, extra={"unit": "tokens"})] = 10
    way: Annotated[Literal["greedy", "sampled"], Meta(description="how to choose")] = "greedy"


class Recorder:
    def __init__(self, cancel_at=None):
        self.calls = []
        self.cancel_at = cancel_at

    def changed(self, report):
        self.calls.append("changed")

    def streamed(self, report):
        self.calls.append("streamed")

    def between_batches(self, report):
        self.calls.append("between")
        if self.cancel_at is not None and report.progress.done >= self.cancel_at:
            raise Cancelled


def test_fields_follow_from_the_annotations():
    by_name = {field.name: field for field in fields(Example)}
    top = by_name["top"]
    assert (top.kind, top.unit, top.minimum, top.maximum) == (WHOLE_NUMBER, "tokens", 1, 100)
    assert by_name["way"].choices == ("greedy", "sampled")
    assert (by_name["prompts"].kind, by_name["prompt"].kind, by_name["chat"].kind) == (PROMPT_SET, PROMPT, TEMPLATE)
    assert by_name["top"].flag == "--top"


class Oddly(Params, kw_only=True, frozen=True):
    """Parameters whose names say nothing: what they are is their kind."""

    alpha: Annotated[UnitsText, Meta(description="units")] = ""
    beta: Annotated[PromptText, Meta(description="a text")] = ""
    gamma: Annotated[ChatSwitch, Meta(description="chat")] = False
    prompt: Annotated[float, Meta(description="a number that is called as texts are elsewhere")] = 0.5


def test_what_a_parameter_is_does_not_follow_from_its_name():
    by_name = {field.name: field for field in fields(Oddly)}
    assert [by_name[name].kind for name in ("alpha", "beta", "gamma", "prompt")] == [UNITS, PROMPT, TEMPLATE, NUMBER]
    assert read_params(Oddly, {"gamma": "on", "prompt": ".25"}) == Oddly(gamma=True, prompt=0.25)


@pytest.mark.parametrize(
    ("values", "label"),
    [
        ({"beta": "The capital"}, "The capital"),
        ({"alpha": "L1.N2", "prompt": 3.0}, "L1.N2"),
        ({"prompt": 3.0}, ""),
        ({"beta": "x" * 500}, "x" * 200),
    ],
)
def test_a_step_is_called_by_its_prompt_or_its_units(values, label):
    assert label_of(Oddly, values) == label


class AboutDirections(Params, kw_only=True, frozen=True):
    which: Annotated[DirectionText, Meta(description="a direction")] = ""
    beside: Annotated[DirectionsText, Meta(description="others")] = "all"


def test_a_direction_is_one_name_however_it_is_typed():
    assert [field.kind for field in fields(AboutDirections)] == [DIRECTION, DIRECTIONS]
    assert read_params(AboutDirections, {"which": " @L1.N2.out "}).which == "@L1.N2.out"
    assert label_of(AboutDirections, {"which": "@refusal", "beside": "@a"}) == "@refusal"
    for text in ("refusal", "L1.N2", "@a, @b", "@"):
        with pytest.raises(UserError):
            read_params(AboutDirections, {"which": text})


def test_a_set_of_prompts_makes_a_run_long():
    predict = experiment("predict")
    assert not predict.is_long(make_params(predict.params, {"prompt": "a"}))
    assert predict.is_long(make_params(predict.params, {"prompts": [{"prompt": "a"}]}))
    assert experiment("sweep").is_long(make_params(experiment("sweep").params, {"prompt": "a"}))
    assert not experiment("feature").is_long(make_params(experiment("feature").params, {"unit": "L1.F2"}))


def test_strings_are_read_as_the_fields_type():
    assert make_params(Example, {"top": "7", "chat": "true", "prompt": "x"}) == Example(top=7, chat=True, prompt="x")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"top": 0}, "top: expected `int` >= 1.*how many tokens"),
        ({"top": "many"}, "top: expected `int`"),
        ({"way": "other"}, "way: invalid enum value"),
        ({"nonsense": 1}, "no parameter 'nonsense' here: there are prompt,"),
    ],
)
def test_a_bad_value_is_a_sentence_that_names_the_field(values, says):
    with pytest.raises(UserError, match=says):
        make_params(Example, values)


def test_one_prompt_or_a_set_but_not_both():
    assert Example(prompt="a").rows() == [PromptRow("a")]
    assert Example(prompts=[PromptRow("b", " c")]).rows() == [PromptRow("b", " c")]
    with pytest.raises(UserError, match="leave one out"):
        Example(prompt="a", prompts=[PromptRow("b")]).rows()


def test_the_command_line_says_only_what_differs_from_the_default():
    line = command_line("predict", Example(prompt="it's", top=3, chat=True), [SetTo("L1.N2", 0)], seed=4)
    assert line == """workbench run predict --prompt 'it'"'"'s' --chat --top 3 --edit L1.N2=0 --seed 4"""


def test_track_gives_progress_and_cancel_between_batches():
    sink = Recorder(cancel_at=2)
    report = Report(sink)
    seen = []
    with pytest.raises(Cancelled):
        for item in report.track([10, 20, 30], "prompts"):
            seen.append(item)
    assert seen == [10, 20]
    assert (report.progress.done, report.progress.total, report.progress.unit) == (2, 3, "prompts")


def test_streaming_never_gives_others_a_turn():
    sink = Recorder()
    report = Report(sink)
    report.stream("text", Text(title="t", text="a"))
    assert sink.calls == ["streamed"]
    assert report.dirty == {"text"}


def test_a_report_keeps_three_next_steps_and_each_note_once():
    report = Report(Recorder())
    for number in range(5):
        report.suggest(NextStep(label=str(number), experiment="predict"))
        report.note("said once")
    assert [step.label for step in report.next_steps] == ["0", "1", "2"]
    assert report.notes == ["said once"]


def test_every_experiment_documents_each_parameter():
    for found in experiments().values():
        assert found.summary, found.name
        for field in fields(found.params):
            assert field.help, f"{found.name}.{field.name}"
    with pytest.raises(UserError, match="there is no experiment 'nope'"):
        experiment("nope")
