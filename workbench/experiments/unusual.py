"""Which neurons do something unusual on a text, each against its own distribution.

For every neuron: the token where its activation lies farthest in a tail of what the index has seen of it. Position 0
is left out. Beside the ranking stands how many neurons would be as far out if this text were like the corpus.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec import Meta

from workbench.errors import UserError
from workbench.experiment import Experiment
from workbench.experiments._index import index_summary, open_index, record_index
from workbench.params import ChatSwitch, IndexName, PromptText
from workbench.params import Params as BaseParams
from workbench.report import NextStep, Report
from workbench.result_keys import Ranking
from workbench.text import count, number, quoted, show_token
from workbench.views import Column, Lines, Scalar, Scalars, Series, Table

if TYPE_CHECKING:
    from workbench.index.reader import NeuronIndex
    from workbench.lab import Lab
    from workbench.lab.prompts import Prompt

SHOWN = 500
SCORE = "−log10 of the share of corpus tokens as far out, plus sd beyond its range"


class Params(BaseParams, kw_only=True, frozen=True):
    prompt: Annotated[
        PromptText, Meta(description="the text", extra={"example": "The meeting in May was moved to June"})
    ] = ""
    chat: Annotated[ChatSwitch, Meta(description="put it into the model's chat template")] = False
    index: Annotated[IndexName, Meta(description="which index; empty is the model's fullest", extra={"more": True})] = (
        ""
    )


def run(lab: Lab, params: Params, report: Report) -> None:
    prompt = lab.prompt(params.prompt, params.chat)
    if len(prompt) < 2:
        raise UserError("the text is a single token, and position 0 is left out: give a longer one")
    index = open_index(lab, report, params.index, data=True)
    record_index(index, report)
    unusual = rank(lab, index, prompt)
    order = np.lexsort((-unusual.distance, unusual.log_share))
    expected, n_beyond = chance(unusual, index, len(prompt) - 1)
    report.say(_sentence(unusual, index, prompt, order, expected, n_beyond))
    report.add("ranking", _table(unusual, index, prompt, order, expected, n_beyond))
    report.add("chance", _against_chance(unusual, len(prompt) - 1))
    report.add(Ranking.VIEW, _every_neuron(unusual, index))
    report.add(
        "counts",
        Scalars(
            title="Outside their range in the corpus",
            note=index_summary(index),
            items=[
                Scalar(name="neurons", value=n_beyond, help="an activation outside the corpus' range"),
                Scalar(name="expected of text like the corpus", value=expected, help="tokens taken as independent"),
                Scalar(name="of", value=len(order)),
            ],
        ),
    )
    report.scalar("beyond", n_beyond)
    report.scalar("beyond_by_chance", expected)
    best = index.unit(int(order[0]))
    report.suggest(NextStep(label=f"what does {best} do", experiment="neuron", params={"unit": best}))
    report.suggest(
        NextStep(
            label=f"what if {best} is off", experiment="predict", params={"prompt": params.prompt}, edits=[f"{best}=0"]
        )
    )


class Unusualness:
    """How far out every neuron is: arrays [neuron]."""

    def __init__(self, n: int) -> None:
        self.log_share = np.zeros(n)
        """log10 of the share of the corpus' tokens that lie as far in that tail"""
        self.distance = np.zeros(n)
        """beyond the corpus' extreme, in standard deviations; 0 inside its range"""
        self.position = np.zeros(n, dtype=np.int64)
        self.value = np.zeros(n)


def rank(lab: Lab, index: NeuronIndex, prompt: Prompt) -> Unusualness:
    """Every neuron's most unusual token on a text."""
    from workbench.index.bins import bin_of
    from workbench.lab import neurons

    d_mlp = index.info.d_mlp
    unusual = Unusualness(index.info.n_neurons)
    sampled = max(1, index.file.counts.sampled)
    floor = -math.log10(index.n_tokens + 1)
    for layer, values in neurons.read_all(lab, prompt):
        part = slice(layer * d_mlp, (layer + 1) * d_mlp)
        activations = values[1:]  # [position, neuron]; the first token is the attention sink
        above, below = index.tail_counts(layer)
        bins = bin_of(activations)
        row = np.arange(d_mlp)
        tails = np.minimum(above[row, bins], below[row, bins])
        # Between the sample's last token and the corpus' extreme there is no count: half a token stands for it.
        share = np.log10(np.maximum(tails, 0.5) / sampled)
        low, high, sd = (
            np.asarray(index.columns[name].values[part], dtype=np.float64) for name in ("min", "max", "sd")
        )
        out = np.maximum(activations - high, low - activations)
        beyond = out > 0
        share = np.where(beyond, floor, np.maximum(share, floor))
        far = np.where(beyond, out / np.maximum(sd, np.finfo(np.float32).tiny), 0)
        at = np.lexsort((-far, share), axis=0)[0]
        unusual.log_share[part] = share[at, row]
        unusual.distance[part] = far[at, row]
        unusual.position[part] = at + 1
        unusual.value[part] = activations[at, row]
    return unusual


def chance(unusual: Unusualness, index: NeuronIndex, positions: int) -> tuple[float, int]:
    """Neurons that chance would put beyond the corpus' range on this many tokens, and how many are there.

    A further token of the same kind lies outside the range of n earlier ones with probability 2/(n + 1).
    """
    p = 2 / (index.n_tokens + 1)
    expected = len(unusual.value) * -math.expm1(positions * math.log1p(-p))
    return expected, int((unusual.distance > 0).sum())


def _score(unusual: Unusualness) -> np.ndarray:
    """One number to sort by: tails as −log10, and beyond the range the distance added."""
    return -unusual.log_share + unusual.distance


def _sentence(
    unusual: Unusualness, index: NeuronIndex, prompt: Prompt, order: np.ndarray, expected: float, n_beyond: int
) -> str:
    first = int(order[0])
    at = show_token(prompt.tokens[int(unusual.position[first])])
    # Neurons of one text are not independent: twice what is expected is nothing unusual.
    usual = ", no more than usual" if n_beyond <= 2 * expected + 2 else ""
    return (
        f"{count(n_beyond)} of {count(len(order))} neurons leave their range in the corpus "
        f"(text like the corpus: {number(expected)}{usual}) on "
        f"{quoted(prompt.text)} · first {index.unit(first)}, {number(float(unusual.value[first]))} at {at}"
    )


def _table(
    unusual: Unusualness, index: NeuronIndex, prompt: Prompt, order: np.ndarray, expected: float, n_beyond: int
) -> Table:
    score = _score(unusual)
    best = index.columns.get("best")
    rows: list[list[Any]] = []
    for neuron in order[:SHOWN].tolist():
        feature = int(best.values[neuron]) if best is not None else -1
        rows.append(
            [
                index.unit(neuron),
                float(score[neuron]),
                prompt.tokens[int(unusual.position[neuron])],
                float(unusual.value[neuron]),
                index.value("min", neuron),
                index.value("max", neuron),
                float(unusual.distance[neuron]),
                best.labels[feature] if best is not None and feature >= 0 else "",
            ]
        )
    return Table(
        title="Most unusual on this text",
        note=f"the first {count(len(rows))} of {count(len(order))}; outside their range in the corpus: "
        f"{count(n_beyond)}, expected of text like it {number(expected)}; {index_summary(index)}",
        columns=[
            Column(key="unit", name="unit", kind="unit"),
            Column(
                key="unusual",
                name="unusual",
                kind="number",
                help=SCORE,
                gives_way="never",
            ),
            Column(key="token", name="at", kind="token"),
            Column(key="value", name="value", kind="signed"),
            Column(key="corpus_min", name="corpus min", kind="signed", gives_way="late"),
            Column(key="corpus_max", name="corpus max", kind="signed", gives_way="late"),
            Column(key="sd_beyond", name="sd beyond", kind="number", gives_way="early"),
            Column(key="feature", name="best feature", gives_way="early"),
        ],
        rows=rows,
    )


def _every_neuron(unusual: Unusualness, index: NeuronIndex) -> Lines:
    """Every neuron's score in the model's order: the browser's column, and where in the model they are."""
    return Lines(
        title="Every neuron, from the first layer to the last",
        note=f"neurons of a layer in their order; {index_summary(index)}",
        x=np.arange(len(unusual.value)) / index.info.d_mlp,
        series=[Series(name="this text", y=_score(unusual).astype(np.float32))],
        x_label="layer",
        y_label=SCORE,
    )


def _against_chance(unusual: Unusualness, positions: int) -> Lines:
    """How many neurons are as far out as each level, beside how many of text like the corpus would be."""
    levels = np.arange(1, math.floor(-unusual.log_share.min()) + 1, dtype=np.float64)
    on_text = np.array([(unusual.log_share <= -level).sum() for level in levels], dtype=np.float64)
    p = np.minimum(1.0, 2 * 10**-levels)
    by_chance = len(unusual.value) * (1 - (1 - p) ** positions)
    return Lines(
        title="How many are how far out",
        note=f"each neuron's farthest of {positions} tokens, either tail; expected: of independent tokens",
        x=levels,
        series=[Series(name="this text", y=on_text), Series(name="expected of text like the corpus", y=by_chance)],
        x_label="−log10 of the share of corpus tokens as far out",
        y_label="neurons",
    )


EXPERIMENT = Experiment(name="unusual", help=__doc__, params=Params, run=run, group="neurons", order=42)
