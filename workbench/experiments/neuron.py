"""One neuron: what it fires on, what it promotes, how it compares.

The card of the index, without running the model: highest and lowest examples, histogram, statistics with their
percentiles in the layer, logit effects, neighbours, sign cases of a gated neuron.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec import Meta

from workbench.errors import UserError
from workbench.experiment import Experiment
from workbench.experiments._index import example_text, index_summary, open_index, record_index
from workbench.params import IndexName, UnitText
from workbench.params import Params as BaseParams
from workbench.report import NextStep, Report
from workbench.text import number, show_token
from workbench.units import Neuron, parse_unit
from workbench.views import Column, Histogram, Series, Table, TokenRow, Tokens

if TYPE_CHECKING:
    from workbench.index.card import Card, Example
    from workbench.index.reader import NeuronIndex
    from workbench.lab import Lab


class Params(BaseParams, kw_only=True, frozen=True):
    unit: Annotated[UnitText, Meta(description="a neuron", extra={"example": "L12.N345"})] = ""
    examples: Annotated[int, Meta(ge=1, description="examples of each tail", extra={"unit": "examples"})] = 10
    index: Annotated[IndexName, Meta(description="which index; empty is the model's fullest", extra={"more": True})] = (
        ""
    )


def run(lab: Lab, params: Params, report: Report) -> None:
    from workbench.lab import neurons

    if not params.unit.strip():
        raise UserError("no neuron named: give --unit, for example L12.N345")
    unit = parse_unit(params.unit, lab.info)
    if not isinstance(unit, Neuron):
        raise UserError(f"{unit} is no neuron: give one like L12.N345")
    if not params.index:
        neurons.build_weights(lab, report)
    index = open_index(lab, report, params.index)
    record_index(index, report)
    show(index, unit, params.examples, report)
    report.suggest(NextStep(label=f"what if {unit} is off", experiment="predict", params={}, edits=[f"{unit}=0"]))
    if not report.views.get("examples"):
        report.suggest(NextStep(label="what it fires on", experiment="index", params={"tokens": 20_000}))


def show(index: NeuronIndex, unit: Neuron, examples: int, report: Report) -> None:
    """A card as views."""
    card = index.card(unit.layer, unit.index)
    report.say(sentence(card))
    if card.high:
        report.add("examples", _examples(card, examples, index_summary(index)))
        report.add("best", _strip(card.high[0]))
        report.add("histogram", _histogram(card))
    report.add("promotes", _effects(card))
    report.add("statistics", _statistics(card, index))
    report.add("neighbours", _neighbours(card))
    if card.signs:
        report.add("signs", _signs(card))
    for name, value in card.stats.items():
        report.scalar(name, value)


def sentence(card: Card) -> str:
    """The neuron in one line."""
    parts = [card.unit, *([card.family] if card.family else [])]
    if card.best and card.vr > 0.05:
        parts.append(f"{'low on' if card.best_sign < 0 else 'fires on'} {card.best} (VR {number(card.vr)} held out)")
    elif card.high:
        parts.append(f"peaks at {show_token(card.high[0].tokens[card.high[0].peak])} ({number(card.high[0].value)})")
    if card.promoted:
        shown = ", ".join(show_token(token) for token, _ in card.promoted[:3])
        parts.append(f"promotes {shown}")
    if card.tail_share[0] < 0.5 and card.suppressed:
        shown = ", ".join(show_token(token) for token, _ in card.suppressed[:3])
        parts.append(f"mostly negative, which promotes {shown}")
    return " · ".join(parts)


def _examples(card: Card, n: int, note: str) -> Table:
    rows: list[list[Any]] = []
    for tail, examples in (("highest", card.high), ("lowest", card.low)):
        rows += [
            [
                tail,
                example.value,
                example_text(example),
                example.tokens[example.peak],
                example.document,
                example.position,
            ]
            for example in examples[:n]
        ]
    return Table(
        title="Most extreme examples",
        note=f"at most one of a document; {note}",
        columns=[
            Column(key="tail", name="tail", gives_way="early"),
            Column(key="value", name="value", kind="signed"),
            Column(key="text", name="text"),
            Column(key="token", name="peak", kind="token"),
            Column(key="document", name="document", kind="int"),
            Column(key="position", name="token", kind="int", help="place in the document"),
        ],
        rows=rows,
    )


def _strip(example: Example) -> Tokens:
    return Tokens(
        title="The highest example",
        note=f"document {example.document}, token {example.position}",
        tokens=example.tokens,
        rows=[TokenRow(name="activation", values=example.values.astype(np.float64))],
        value_label="activation",
        low_label="negative",
        high_label="positive",
        signed=True,
    )


def _histogram(card: Card) -> Histogram:
    used = np.flatnonzero(card.histogram)
    first, last = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
    return Histogram(
        title="Activation",
        note=f"{card.n_sampled:,} sampled tokens; bins are logarithmic, counts too",
        edges=card.edges[first : last + 1].astype(np.float64),
        series=[Series(name=card.unit, y=card.histogram[first:last].astype(np.float64))],
        x_label="activation",
        log_counts=True,
    )


def _effects(card: Card) -> Table:
    rows: list[list[Any]] = [
        [up, effect, down, lower] for (up, effect), (down, lower) in zip(card.promoted, card.suppressed, strict=True)
    ]
    share = card.tail_share[0]
    tails = (
        "" if math.isnan(share) else f"; {number(100 * share)} % of Σa² is positive, the rest promotes the right side"
    )
    return Table(
        title="What it promotes",
        note=f"logits for each unit of activation{tails}",
        columns=[
            Column(key="promotes", name="when positive", kind="token"),
            Column(key="promotes_logits", name="logits", kind="signed"),
            Column(key="suppresses", name="when negative", kind="token"),
            Column(
                key="suppresses_logits",
                name="logits ",
                kind="signed",
                help="what falls when it is positive rises when it is negative",
            ),
        ],
        rows=rows,
    )


def _statistics(card: Card, index: NeuronIndex) -> Table:
    rows: list[list[Any]] = []
    for name, value in card.stats.items():
        if math.isnan(value):
            continue
        percentile = card.percentiles[name]
        shown = None if math.isnan(percentile) else percentile
        rows.append([index.columns[name].title, value, shown, index.columns[name].help])
    return Table(
        title="Statistics",
        note="percentile within the layer",
        columns=[
            Column(key="statistic", name="what"),
            Column(key="value", name="value", kind="number"),
            Column(key="percentile", name="percentile", kind="number", gives_way="late"),
            Column(key="meaning", name="meaning", gives_way="early"),
        ],
        rows=rows,
    )


def _neighbours(card: Card) -> Table:
    rows: list[list[Any]] = [["reads like", unit, cosine] for unit, cosine in card.neighbours_in]
    rows += [["writes like", unit, cosine] for unit, cosine in card.neighbours_out]
    return Table(
        title="Nearest neurons",
        note="cosine of effective input and output weights",
        columns=[
            Column(key="relation", name="how"),
            Column(key="unit", name="unit", kind="unit"),
            Column(key="cosine", name="cosine", kind="signed"),
        ],
        rows=rows,
    )


def _signs(card: Card) -> Table:
    rows: list[list[Any]] = []
    for case in card.signs:
        example = example_text(case.examples[0]) if case.examples else ""
        mean = None if math.isnan(case.mean) else case.mean
        share = None if math.isnan(case.share) else case.share
        rows.append([case.gate, case.linear, case.fraction, mean, share, example])
    return Table(
        title="Sign cases",
        note=f"activation = act(gate) · linear; {card.n_sampled:,} sampled tokens",
        columns=[
            Column(key="gate", name="gate"),
            Column(key="linear", name="linear"),
            Column(key="share_of_tokens", name="of tokens", kind="probability"),
            Column(key="mean", name="mean", kind="signed"),
            Column(key="share_of_squares", name="of Σa²", kind="probability"),
            Column(key="example", name="largest"),
        ],
        rows=rows,
    )


EXPERIMENT = Experiment(
    name="neuron", help=__doc__, params=Params, run=run, group="neurons", order=41, takes_edits=False
)
