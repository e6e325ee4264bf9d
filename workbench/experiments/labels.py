"""Where a labelled set's labels stand on the model's tokens: which token each one reads, text by text.

Labels are of characters, and probes read tokens: those that a label reads are marked, so that a wrong alignment is seen
before anything is fitted. No forward pass is run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta, field

from workbench.datasets.labelled.labelled_set import LabelledSet
from workbench.errors import UserError
from workbench.experiment import Experiment
from workbench.params import DataSet
from workbench.params import Params as BaseParams
from workbench.report import NextStep, Report
from workbench.result_keys import Labels
from workbench.text import count, quoted

if TYPE_CHECKING:
    from workbench.lab import Lab


class Params(BaseParams, kw_only=True, frozen=True):
    data: Annotated[
        DataSet,
        Meta(description="the labelled set: its name, or a CSV with prompt,target", extra={"example": "months"}),
    ] = field(default_factory=LabelledSet)
    texts: Annotated[
        int, Meta(ge=1, le=200, description="how many are shown, of both classes in turn", extra={"unit": "texts"})
    ] = 12  # fmt: skip


def run(lab: Lab, params: Params, report: Report) -> None:
    from workbench.datasets.labelled.aligning import check_labels
    from workbench.datasets.labelled.shown import texts_in_turn, token_views

    labelled, tokens = params.data, lab.model.tokens
    if not len(labelled):
        raise UserError(
            "no data set was named: give --data NAME-OR-FILE (the sets that there are: workbench data list)"
        )
    check_labels(labelled)
    texts = texts_in_turn(labelled)[: params.texts]
    views, unread = token_views(labelled, tokens.tokenizer, texts, tokens.token)
    numbers = {id(text): number for number, text in enumerate(labelled.texts, 1)}
    for at, (text, view) in enumerate(zip(texts, views, strict=True)):
        report.add(Labels.text(at), msgspec.structs.replace(view, title=f"text {numbers[id(text)]}"))
    n = sum(len(text.spans) for text in texts)
    none = f"; {count(unread)} read none, or only the first position" if unread else ""
    named = quoted(labelled.name) if labelled.name else "the set"
    report.say(
        f"{count(n - unread)} of {count(n)} labels of {count(len(texts))} of {named}'s {count(len(labelled.texts))} "
        f"texts read a token of {lab.info.name}{none}"
    )
    if labelled.name:
        label = "which neurons carry it"
        report.suggest(NextStep(label=label, experiment="neuron-probe", params={"data": labelled.name}))


EXPERIMENT = Experiment(
    name="labels",
    help=__doc__,
    params=Params,
    run=run,
    group="probes",
    order=68,
    takes_edits=False,
    works=lambda params, edited: (),
)
