"""One prompt, an answer, perhaps a foil: what the experiments of one answer have in common. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec import Meta

from workbench.experiments._common import TokenizedRow, check_foil, finer
from workbench.lab.metric import Metric
from workbench.params import ChatSwitch, Params, PromptText, TokenText
from workbench.report import Report
from workbench.text import number, probability, show_token

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.prompts import Prompt
    from workbench.lab.study import Study


class TargetParams(Params, kw_only=True, frozen=True):
    """A prompt and the token that is asked about."""

    prompt: Annotated[
        PromptText, Meta(description="the text the model reads", extra={"example": "The capital of France is"})
    ] = ""
    answer: Annotated[
        TokenText,
        Meta(
            description="the token to explain, with its leading space; empty is the top prediction",
            extra={"example": " Paris"},
        ),
    ] = ""
    foil: Annotated[
        TokenText,
        Meta(
            description="explain the answer's logit above this token's, not its probability", extra={"example": " Lyon"}
        ),
    ] = ""
    chat: Annotated[ChatSwitch, Meta(description="put the prompt into the model's chat template")] = False

    def target(self) -> dict[str, Any]:
        """Prompt, answer, foil and template, for a part or a next step."""
        values = {"prompt": self.prompt, "answer": self.answer, "foil": self.foil, "chat": self.chat}
        return {name: value for name, value in values.items() if value}


@dataclass(frozen=True)
class Rounding:
    """The largest changes that rounding alone makes: effects that are no larger are none."""

    value: float
    """of the metric"""
    unsaturated: float
    """of the metric that does not saturate"""
    n: int
    """draws"""
    dtype: str

    @property
    def advice(self) -> str:
        return finer(self.dtype)


@dataclass(frozen=True)
class Target:
    """What is asked, on one traced prompt."""

    study: Study
    prompt: Prompt
    answer: int
    foil: int | None
    metric: Metric
    name: str
    """the answer as it is shown"""
    foil_name: str
    clean: float
    """the metric's value"""
    dtype: str
    """the model's"""

    @cached_property
    def rounding(self) -> Rounding:
        """How far rounding alone moves the metric on this prompt."""
        plans = self.study.rounding()
        changes = {kind: np.zeros(len(plans)) for kind in (self.metric, self.metric.unsaturated)}
        for results in self.study.run(plans):
            for metric, values in changes.items():
                values[results.indices] = results.value(metric) - self.study.value(metric)
        largest = {metric: float(np.abs(values).max()) for metric, values in changes.items()}
        return Rounding(largest[self.metric], largest[self.metric.unsaturated], len(plans), self.dtype)

    def shown(self, value: float) -> str:
        """The metric's value as a reader wants it: a probability, or a logit difference."""
        return probability(float(np.exp(value))) if self.metric.kind == "log-prob" else number(value)

    def readable(self, values: np.ndarray) -> np.ndarray:
        """The same of many: probabilities, or logit differences."""
        return np.exp(values) if self.metric.kind == "log-prob" else values

    @property
    def kind(self) -> str:
        """The kind of a table's column that holds the metric's values as a reader wants them."""
        return "probability" if self.metric.kind == "log-prob" else "number"

    @property
    def quantity(self) -> str:
        return f"p({self.name})" if self.metric.kind == "log-prob" else f"logit {self.name} − {self.foil_name}"

    @property
    def change(self) -> str:
        """What effects are changes of, with the unit."""
        return f"log p({self.name}), nats" if self.metric.kind == "log-prob" else f"{self.quantity}, logits"


def find_target(lab: Lab, params: TargetParams, report: Report) -> Target:
    """Trace the prompt and read answer and foil. Raises UserError for a foil that is the answer."""
    from workbench.lab.study import study

    prompt = lab.prompt(params.prompt, params.chat)
    answer = lab.answer_token(params.answer) if params.answer else None
    foil = lab.answer_token(params.foil) if params.foil else None
    for watched in (answer, foil):
        if watched and watched.note:
            report.note(watched.note)
    traced = study(lab, prompt, lab.edits)
    if traced.first == 0:
        report.note("the prompt is one token: position 0, which is left out elsewhere, is all there is")
    answer_id = answer.id if answer else int(traced.ranking[0])
    check_foil(lab, TokenizedRow(prompt, answer, foil), answer_id)
    metric = Metric("difference", answer_id, foil.id) if foil else Metric("log-prob", answer_id)
    return Target(
        traced,
        prompt,
        answer_id,
        foil.id if foil else None,
        metric,
        show_token(lab.token(answer_id)),
        show_token(foil.token) if foil else "",
        traced.value(metric),
        lab.info.dtype,
    )
