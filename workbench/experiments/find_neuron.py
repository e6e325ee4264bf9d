"""Is there a neuron for a word, a list of words, a pattern, a kind of token?

Candidates come from the index: neurons whose top examples peak there, whose best token feature it is, or that promote
it. Then the rule is tried on documents that the index has not seen: AUC of each candidate, beside random neurons of
its layer. Being found in the index is no evidence; the AUC on other documents is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec import Meta

from workbench.errors import UserError
from workbench.experiment import Experiment
from workbench.experiments._index import example_text, index_summary, open_index, record_index
from workbench.params import CorpusText, IndexName, RuleText, UnitsText
from workbench.params import Params as BaseParams
from workbench.report import NextStep, Report
from workbench.text import count, number, quoted
from workbench.units import Neuron, parse_units
from workbench.views import Column, Table

if TYPE_CHECKING:
    from workbench.index.reader import NeuronIndex
    from workbench.lab import Lab
    from workbench.lab.indexing.heldout import HeldOut, Rule

PROMOTED = 20
"""tokens of a rule that are looked for among what neurons promote"""


class Params(BaseParams, kw_only=True, frozen=True):
    rule: Annotated[
        RuleText,
        Meta(
            description="words, a /pattern/ on the token, or a token feature",
            extra={"example": "May, June, July"},
        ),
    ] = ""
    units: Annotated[
        UnitsText, Meta(description="try these neurons; empty takes candidates from the index", extra={"more": True})
    ] = ""
    candidates: Annotated[int, Meta(ge=1, le=200, description="how many to try", extra={"unit": "neurons"})] = 10
    tokens: Annotated[
        int, Meta(ge=100, description="of documents that are not in the index", extra={"unit": "tokens"})
    ] = 5_000
    random: Annotated[
        int, Meta(ge=1, description="random neurons of each layer beside them", extra={"unit": "neurons", "more": True})
    ] = 64
    corpus: Annotated[
        CorpusText,
        Meta(description="where the other documents come from; empty is the index' own", extra={"more": True}),
    ] = ""
    index: Annotated[IndexName, Meta(description="which index; empty is the model's fullest", extra={"more": True})] = (
        ""
    )


def run(lab: Lab, params: Params, report: Report) -> None:
    from workbench.lab import neurons

    index = open_index(lab, report, params.index, data=True)
    record_index(index, report)
    rule = neurons.read_rule(index, params.rule)
    if params.units:
        named = [unit for unit in parse_units(params.units, lab.info) if isinstance(unit, Neuron)]
        if not named:
            raise UserError(f"{params.units} names no neuron: give units like L12.N345, or leave them out")
        chosen = [(unit, rule_direction(index, rule, unit)) for unit in named]
    else:
        chosen = candidates(index, rule, params.candidates)
    if not chosen:
        report.say(f"no neuron of the index peaks at {quoted(params.rule)}, is explained by it or promotes it")
        return
    held_out = neurons.try_rule(lab, index, rule, chosen, params.corpus, params.tokens, params.random, report)
    _add_views(index, params, held_out, bool(params.units), report)


def rule_direction(index: NeuronIndex, rule: Rule, unit: Neuron) -> int:
    """The way a neuron is expected to go where the rule holds, from the index alone: 1 high, −1 low.

    As its best feature says where that is the rule, else as its dominant tail.
    """
    card = index.card(unit.layer, unit.index)
    if rule.feature and card.best == rule.feature and card.best_sign:
        return card.best_sign
    return -1 if card.tail_share[0] < 0.5 else 1


def candidates(index: NeuronIndex, rule: Rule, n: int) -> list[tuple[Neuron, int]]:
    """Neurons to try, the likeliest first, each with the direction it is expected to go.

    By the share of top examples that peak there; by variance explained, where the rule is a feature.
    """
    scores = np.zeros(index.info.n_neurons)
    if rule.tokens is not None:
        scores += 0.5 * np.nan_to_num(index.fires(sorted(rule.tokens)))
        for token in sorted(rule.tokens)[:PROMOTED]:
            scores += 0.5 / PROMOTED * (index.promotes(token) > 0)
    if rule.feature and index.features and rule.feature in index.features:
        code = index.features.index(rule.feature)
        best, vr = index.columns["best"].values, index.columns["vr"].values
        scores += np.where(best == code, np.nan_to_num(vr), 0)
    # Among equals the rarely and strongly active ones come first: they do little else.
    kurtosis = np.nan_to_num(index.columns["kurtosis"].values)
    order = np.lexsort((-kurtosis, -np.round(scores, 2)))[:n]
    chosen = []
    for neuron in order[scores[order] > 0].tolist():
        unit = Neuron(*divmod(neuron, index.info.d_mlp))
        chosen.append((unit, rule_direction(index, rule, unit)))
    return chosen


def _add_views(index: NeuronIndex, params: Params, held_out: HeldOut, named: bool, report: Report) -> None:
    order = sorted(held_out.scores, key=lambda tried: -tried.auc)
    rows: list[list[Any]] = []
    for tried in order:
        card = index.card(tried.neuron.layer, tried.neuron.index)
        examples = card.high if tried.direction > 0 else card.low
        rows.append(
            [
                str(tried.neuron),
                tried.auc,
                f"{number(tried.low)}–{number(tried.high)}",
                tried.random_median,
                tried.random_best,
                "high" if tried.direction > 0 else "low",
                example_text(examples[0], 5, 3) if examples else "",
            ]
        )
    best = order[0]
    where = f"{count(held_out.tokens)} tokens of {count(held_out.documents)} documents that are not in the index"
    beyond = best.low > best.random_best
    verdict = (
        f"{best.neuron} is {'high' if best.direction > 0 else 'low'} there: AUC {number(best.auc)} "
        f"({number(best.low)}–{number(best.high)}); the best of {best.n_random} random neurons of its layer "
        f"{number(best.random_best)}"
    )
    start = (
        f"for {quoted(params.rule)} " if named else f"{'there is a neuron for' if beyond else 'no clear neuron for'} "
    )
    report.say(f"{start}{'' if named else quoted(params.rule) + ': '}{verdict}")
    report.add(
        "neurons",
        Table(
            title=f"Tried on {where}",
            note=f"the rule holds for {count(held_out.hits)}; interval over resampled documents; candidates from "
            f"{index_summary(index)}; random neurons are given their better direction",
            columns=[
                Column(key="unit", name="unit", kind="unit"),
                Column(key="auc", name="AUC", kind="number", gives_way="never"),
                Column(key="auc_interval", name="95 %", gives_way="never"),
                Column(key="random_median", name="random", kind="number", help="median of random neurons of its layer"),
                Column(key="random_best", name="best random", kind="number", help="the highest of them"),
                Column(key="direction", name="goes", gives_way="early"),
                Column(key="example", name="top example", gives_way="early"),
            ],
            rows=rows,
        ),
    )
    report.scalar("auc", best.auc)
    report.scalar("auc_low", best.low)
    report.scalar("random_best", best.random_best)
    report.suggest(
        NextStep(label=f"what does {best.neuron} do", experiment="neuron", params={"unit": str(best.neuron)})
    )


EXPERIMENT = Experiment(
    name="find-neuron", help=__doc__, params=Params, run=run, group="neurons", order=43, takes_edits=False
)
