"""Is a neuron only about one class: set it to 0 at the tokens that a labelled set reads, class by class.

The effect is the KL of what is predicted where the neuron is 0, and the change of the loss of the tokens behind; means
over test examples, with intervals clustered by document. Beside it the same done to matched random neurons, and random
directions that move the stream as far. A neuron is monosemantic where the lower end of its KL on one class is ten times
the upper end on the other, above every matched neuron and above the random directions; none is a result. Also the
first neuron's activation by class and its errors in text. (Gurnee et al. 2023, "Finding neurons in a haystack".)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import numpy as np
from msgspec import Meta, field

from workbench.datasets.labelled.labelled_set import LabelledSet
from workbench.errors import UserError
from workbench.experiment import Cost, Experiment
from workbench.experiments._ablation import (
    ClassEffect,
    Verdict,
    class_effects,
    class_table,
    kl_bars,
    sentence,
    verdict,
    verdict_table,
)
from workbench.experiments._neuron_views import NeuronClassifier, class_histogram, classifier, errors_view
from workbench.experiments._probe_data import MostExamples, MostTokens, ProbeData, probe_data, store_cost
from workbench.experiments._sweep import ABLATION_PASSES
from workbench.params import DataSet, UnitsText
from workbench.params import Params as BaseParams
from workbench.report import NextStep, Report
from workbench.result_keys import ProbeAblate
from workbench.text import count
from workbench.units import Neuron, parse_units

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.probing.ablation import Ablation, Place
    from workbench.model_info import ModelInfo

SITE = "mlp_post"
ARMS = 4
"""rows of a text beside its controls: clean, the ablation, two that change rounding alone"""
LATER = 32
"""tokens behind the last one that is read, whose loss is measured"""
TEST_SHARE = 0.3
"""of a set's texts"""


class Params(BaseParams, kw_only=True, frozen=True):
    data: Annotated[
        DataSet,
        Meta(description="the labelled set: its name, or a CSV with prompt,target", extra={"example": "months"}),
    ] = field(default_factory=LabelledSet)
    units: Annotated[
        UnitsText,
        Meta(description="neurons, each by itself", extra={"example": "L9.N1230, L8.N969"}),
    ] = ""
    controls: Annotated[
        int, Meta(ge=0, le=1000, description="matched random neurons", extra={"unit": "controls"})
    ] = 16  # fmt: skip
    directions: Annotated[
        int,
        Meta(ge=0, le=100, description="random directions of the same norm", extra={"unit": "draws", "more": True}),
    ] = 4
    tokens: Annotated[
        int, Meta(ge=16, description="of each class, at most", extra={"unit": "tokens", "more": True})
    ] = 4096  # fmt: skip
    examples: MostExamples = 0
    text_tokens: MostTokens = 0


def cost(params: Params, info: ModelInfo) -> Cost | None:
    store = store_cost(params.data, info, SITE, info.n_layers, params.examples, params.text_tokens)
    if store is None:
        return None
    examples = min(TEST_SHARE * store.passes, 2 * params.tokens / store.tokens)
    neurons = max(1, len(params.units.split(",")))
    # two whole passes of a text; then what is done to it, from the first position that is set on
    behind = min(1.0, (LATER + 1) / store.tokens) if params.data.read in ("last", "first") else 1.0
    arms = ARMS + params.controls + params.directions
    passes = examples * (2 + ABLATION_PASSES * neurons * arms * behind)
    return msgspec.structs.replace(store, passes=store.passes + passes)


def run(lab: Lab, params: Params, report: Report) -> None:
    neurons = _neurons(lab, params)
    data = probe_data(lab, params.data, report, examples=params.examples, tokens=params.text_tokens)
    rows = _rows(data, params.tokens, lab.seed, report)
    _add_readings(lab, data, neurons[0], report)
    _Run(lab, params, data, rows, report).run(neurons)


def _neurons(lab: Lab, params: Params) -> list[Neuron]:
    units = parse_units(params.units, lab.info)
    if not units:
        raise UserError("no neuron was named: give --units, for example --units L9.N1230 (neuron-probe finds some)")
    others = [str(unit) for unit in units if not isinstance(unit, Neuron)]
    if others:
        raise UserError(f"{others[0]} is no neuron: neurons alone are set to 0 by class, for example L9.N1230")
    return [unit for unit in units if isinstance(unit, Neuron)]


def _rows(data: ProbeData, tokens: int, seed: int, report: Report) -> np.ndarray:
    """Test examples of each class, drawn with a seed until they have so many tokens: int64 [example]."""
    random = np.random.default_rng(seed)
    chosen: list[int] = []
    for side in (True, False):
        members = random.permutation(data.test[data.label[data.test] == side])
        sizes = np.array([len(place.ids) for place in _places(data, members)])
        kept = members[np.cumsum(sizes) - sizes < tokens]
        if len(kept) < len(members):
            name = data.examples.classes[int(side)]
            report.note(
                f"{count(len(kept))} of {count(len(members))} test examples of {name}, drawn with seed {seed}: "
                f"--tokens {count(tokens)} of each class"
            )
        chosen += kept.tolist()
    return np.sort(np.array(chosen, np.int64))


def _places(data: ProbeData, rows: np.ndarray) -> list[Place]:
    from workbench.lab.probing.ablation import Place

    examples = data.examples
    places = []
    for at in rows.tolist():
        last = int(examples.last[at])
        ids = examples.windows[int(examples.window[at])][: last + 1 + LATER]
        places.append(Place(ids, max(int(examples.first[at]), 1), last))
    return places


def _add_readings(lab: Lab, data: ProbeData, neuron: Neuron, report: Report) -> None:
    """The first neuron's activation by class and its errors in text: the probe that `neuron-probe` fits to it."""
    from workbench.lab.probing.store import take

    layers = range(lab.info.n_layers)  # those that `neuron-probe` takes: the store is the same
    with take(lab, data.examples, SITE, layers, report, data_set=data.name, set_hash=data.set_hash) as store:
        values = np.array(store.layer(neuron.layer)[:, neuron.index])
    one = _fitted(data, neuron, values)
    test = values[data.test]
    report.add(ProbeAblate.BY_CLASS, class_histogram(one, test, data.label[data.test], data))
    report.add(ProbeAblate.ERRORS, errors_view(lab, one, one.logits(test), data))


def _fitted(data: ProbeData, neuron: Neuron, values: np.ndarray) -> NeuronClassifier:
    """Its probe, from its activations [example]."""
    import torch

    from workbench.lab.probing.every_unit import every_unit
    from workbench.lab.probing.sparse import Split

    split = Split(data.train, data.validation, data.test)
    units = every_unit(torch.from_numpy(values[:, None]), torch.from_numpy(data.label), split)
    return classifier(units, 0, neuron)


class _Run:
    """Ablations as they come."""

    def __init__(self, lab: Lab, params: Params, data: ProbeData, rows: np.ndarray, report: Report) -> None:
        self._lab, self._params, self._data, self._report = lab, params, data, report
        self._places = _places(data, rows)
        self._label, self._document = data.label[rows], data.document[rows]
        self._later = np.array([len(place.ids) - 1 - place.first for place in self._places])

    def run(self, neurons: list[Neuron]) -> None:
        from workbench.lab.probing.ablation import measure, prepare

        lab, params, report = self._lab, self._params, self._report
        ablations = prepare(lab, neurons, len(self._places), params.controls, params.directions)
        for problem in (problem for ablation in ablations for problem in ablation.problems):
            report.note(problem)
        if self._later.any():
            report.note(f"later loss: of up to {LATER} tokens behind the last one that is read")
        measuring = measure(lab, self._places, ablations, report)
        for _ in report.track(measuring, "examples", len(self._places), "set to 0, beside controls"):
            self._add(ablations)
        report.suggest(
            NextStep(label=f"what does {neurons[0]} do", experiment="neuron", params={"unit": str(neurons[0])})
        )

    def _add(self, ablations: list[Ablation]) -> None:
        report, names = self._report, self._data.examples.classes
        measured = {
            ablation.neuron: class_effects(ablation, names, self._label, self._document, self._later)
            for ablation in ablations
        }
        verdicts = {neuron: verdict(effects) for neuron, effects in measured.items()}
        done = int(np.isfinite(ablations[0].effects.kl).sum())
        documents = count(len(np.unique(self._document[np.isfinite(ablations[0].effects.kl)])))
        read = "the token" if not self._data.is_pooled else "every token that is read"
        note = f"at {read}; {count(done)} test examples of {documents} documents; {ablations[0].kind}"
        report.add(ProbeAblate.CLASSES, class_table(measured, note))
        report.add(ProbeAblate.VERDICT, verdict_table(verdicts))
        first = ablations[0]
        report.add(ProbeAblate.KL, kl_bars(first.neuron, measured[first.neuron], first.kind))
        self._add_numbers(measured, verdicts)
        report.say(self._sentence(ablations, measured, verdicts))

    def _add_numbers(self, measured: dict[Neuron, list[ClassEffect]], verdicts: dict[Neuron, Verdict]) -> None:
        report = self._report
        report.scalar(ProbeAblate.MONOSEMANTIC, sum(not one.reasons for one in verdicts.values()))
        first, effects = next(iter(measured.items()))
        report.scalar("ratio", verdicts[first].ratio)
        for effect in effects:
            side = "positive" if effect.name == self._data.examples.classes[1] else "negative"
            report.scalar(f"kl_{side}", effect.kl.mean.value)
            report.scalar(f"kl_{side}_low", effect.kl.low)
            report.scalar(f"kl_{side}_high", effect.kl.high)
            report.scalar(f"loss_{side}", effect.loss.value)
            report.scalar(f"loss_{side}_se", effect.loss.se)
            report.scalar(f"kl_{side}_rounding", effect.rounding)

    def _sentence(
        self,
        ablations: list[Ablation],
        measured: dict[Neuron, list[ClassEffect]],
        verdicts: dict[Neuron, Verdict],
    ) -> str:
        first = ablations[0]
        words = sentence(first, measured[first.neuron], verdicts[first.neuron])
        if len(ablations) == 1:
            return words
        chosen = [str(neuron) for neuron, one in verdicts.items() if not one.reasons]
        verb = "is" if len(chosen) < 2 else "are"
        named = f" ({', '.join(chosen[:4])}{' …' if len(chosen) > 4 else ''})" if chosen else ""
        return f"{len(chosen) or 'none'} of {len(ablations)} neurons {verb} monosemantic{named} · {words}"


EXPERIMENT = Experiment(
    name="probe-ablate",
    help=__doc__,
    params=Params,
    run=run,
    group="probes",
    order=76,
    takes_edits=False,
    long=True,
    cost=cost,
)
