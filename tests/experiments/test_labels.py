"""labels: which tokens a labelled set's labels read, against the tokenizer's own offsets."""

import pytest

from tests.experiments.test_sparse_probe import labelled
from tests.lab.labs import new_report, tiny_lab
from workbench.datasets.labelled.aligning import examples_of
from workbench.datasets.labelled.labelled_set import LabelledSet, LabelledText, Span
from workbench.errors import UserError
from workbench.execute import execute
from workbench.result_keys import Labels


def ran(data, **params):
    report = new_report()
    execute(tiny_lab("llama"), "labels", {"data": data, **params}, [], 0, report)
    return report


def one(text, *spans, read="last", **more):
    other = LabelledText("Mary has been in France", [Span(0, 4, 1 - spans[0].label)])
    return LabelledSet(name="few", texts=[LabelledText(text, list(spans)), other], read=read, **more)


def test_the_marked_tokens_are_those_that_probes_read():
    data = labelled(n=120)
    report = ran(data, texts=200)
    lab = tiny_lab("llama")
    examples, _ = examples_of(data, lab.model.tokens.tokenizer, lab.info.n_ctx, 0)
    views = {view.title: view for view in report.views.values()}
    assert len(views) == len(data.texts) == len(examples)
    for at in range(len(examples)):
        window = int(examples.window[at])
        view = views[f"text {window + 1}"]
        assert view.tokens == [lab.model.tokens.token(index) for index in examples.windows[window]]
        marked = [place for place, label in enumerate(view.labels) if label]
        assert marked == list(range(int(examples.first[at]), int(examples.last[at]) + 1))
        assert view.labels[marked[0]] == f"{examples.label[at]:g}"
        assert view.rows[0].values[marked[0]] == 2 * examples.label[at] - 1


@pytest.mark.parametrize("read", ["first", "last", "mean"])
def test_tokens_that_share_a_character_with_a_label_are_read_and_position_0_is_not(read):
    text = "The capital of France is Paris"
    start = text.index("France is")
    view = ran(one(text, Span(start, start + len("France is"), 1.0), read=read)).views[Labels.text(0)]
    tokenizer = tiny_lab("llama").model.tokens.tokenizer
    offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    inside = [at for at, (first, end) in enumerate(offsets) if first < start + len("France is") and end > start]
    expected = {"first": inside[:1], "last": inside[-1:], "mean": inside}[read]
    assert [at for at, label in enumerate(view.labels) if label] == expected
    first_only = ran(one(text, Span(0, 3, 1.0))).headline
    assert "1 of 2 labels" in first_only and "1 read none, or only the first position" in first_only


@pytest.mark.parametrize(("data", "says"), [
    (LabelledSet(), "no data set was named"),
    (LabelledSet(name="a", texts=[LabelledText("a b", [Span(0, 9, 1.0)])]), "does not lie in its text"),
    (LabelledSet(name="a", texts=[LabelledText("a b", [Span(0, 1, 1.0)])]), "two classes are needed"),
])  # fmt: skip
def test_bad_input_is_a_sentence(data, says):
    with pytest.raises(UserError, match=says):
        ran(data)
