"""Is a unit only about one class: a neuron or an SAE's feature set to 0 at the tokens that a labelled set reads.

The effect is the KL of what is predicted where the unit is 0, and the change of the loss of the tokens behind, class by
class; means over test examples, with intervals clustered by document. Beside it the same done to matched random units
(of features: those that fire there as strongly), and random directions that move the stream as far. Of a feature's SAE
the error stays. A unit is monosemantic where the lower end of its KL on one class is ten times the upper end on the
other, above every matched unit and above the random directions; none is a result. Also the first unit's activation by
class and its errors in text. (Gurnee et al. 2023, "Finding neurons in a haystack".)
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
from workbench.units import Feature, Neuron, parse_units

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
        Meta(description="neurons or SAE features, each by itself", extra={"example": "L9.N1230, L8.N969"}),
    ] = ""
    controls: Annotated[
        int, Meta(ge=0, le=1000, description="matched random units", extra={"unit": "controls"})
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
    store = store_cost(params.data, info.d_mlp, info.n_layers, params.examples, params.text_tokens)
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
    units = _units(lab, params)
    data = probe_data(lab, params.data, report, examples=params.examples, tokens=params.text_tokens)
    rows = _rows(data, params.tokens, lab.seed, report)
    _add_readings(lab, data, units[0], report)
    _Run(lab, params, data, rows, report).run(units)


def _units(lab: Lab, params: Params) -> list[Neuron | Feature]:
    """Raises UserError where there is none, or another kind of unit."""
    from workbench.lab.sae.features import feature_sae

    units = parse_units(params.units, lab.info)
    if not units:
        raise UserError("no neuron was named: give --units, for example --units L9.N1230 (neuron-probe finds some)")
    others = [str(unit) for unit in units if not isinstance(unit, Neuron | Feature)]
    if others:
        raise UserError(
            f"{others[0]} is no neuron and no feature: these are set to 0 by class, for example L9.N1230 or L9.F77"
        )
    chosen = [unit for unit in units if isinstance(unit, Neuron | Feature)]
    for unit in chosen:
        if isinstance(unit, Feature):
            if unit.reconstructed:
                raise UserError(
                    f"{unit} leaves out the SAE's error, which would count as the feature's effect: "
                    f"name {unit.overwritten}"
                )
            feature_sae(lab.model, unit)
    return chosen


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


def _add_readings(lab: Lab, data: ProbeData, unit: Neuron | Feature, report: Report) -> None:
    """The first unit's activation by class and its errors in text: the probe that `neuron-probe` fits to a neuron."""
    values = _activations(lab, data, unit, report)
    one = _fitted(data, unit, values)
    test = values[data.test]
    report.add(ProbeAblate.BY_CLASS, class_histogram(one, test, data.label[data.test], data))
    report.add(ProbeAblate.ERRORS, errors_view(lab, one, one.logits(test), data))


def _activations(lab: Lab, data: ProbeData, unit: Neuron | Feature, report: Report) -> np.ndarray:
    """At every example, float32 [example]."""
    from workbench.lab.probing.store import take, take_features
    from workbench.lab.sae.features import feature_sae

    # The store is the one that `neuron-probe` takes.
    named = {"data_set": data.name, "set_hash": data.set_hash}
    if isinstance(unit, Feature):
        sae = feature_sae(lab.model, unit)
        taken = take_features(lab, data.examples, sae.placed, sae.artifact.hash, report, **named)
    else:
        taken = take(lab, data.examples, SITE, range(lab.info.n_layers), report, **named)
    with taken as store:
        return np.array(store.layer(unit.layer)[:, unit.index])


def _fitted(data: ProbeData, unit: Neuron | Feature, values: np.ndarray) -> NeuronClassifier:
    """Its probe, from its activations [example]."""
    import torch

    from workbench.lab.probing.every_unit import every_unit
    from workbench.lab.probing.sparse import Split

    split = Split(data.train, data.validation, data.test)
    units = every_unit(torch.from_numpy(values[:, None]), torch.from_numpy(data.label), split)
    return classifier(units, 0, unit)


class _Run:
    """Ablations as they come."""

    def __init__(self, lab: Lab, params: Params, data: ProbeData, rows: np.ndarray, report: Report) -> None:
        self._lab, self._params, self._data, self._report = lab, params, data, report
        self._places = _places(data, rows)
        self._label, self._document = data.label[rows], data.document[rows]
        self._later = np.array([len(place.ids) - 1 - place.first for place in self._places])

    def run(self, units: list[Neuron | Feature]) -> None:
        from workbench.lab.probing.ablation import measure, prepare

        lab, params, report = self._lab, self._params, self._report
        ablations = prepare(lab, units, self._places, params.controls, params.directions)
        for problem in (problem for ablation in ablations for problem in ablation.problems):
            report.note(problem)
        if self._later.any():
            report.note(f"later loss: of up to {LATER} tokens behind the last one that is read")
        measuring = measure(lab, self._places, ablations, report)
        for _ in report.track(measuring, "examples", len(self._places), "set to 0, beside controls"):
            self._add(ablations)
        experiment = "neuron" if isinstance(units[0], Neuron) else "feature"
        report.suggest(
            NextStep(label=f"what does {units[0]} do", experiment=experiment, params={"unit": str(units[0])})
        )

    def _add(self, ablations: list[Ablation]) -> None:
        report, names = self._report, self._data.examples.classes
        measured = {
            ablation.unit: class_effects(ablation, names, self._label, self._document, self._later)
            for ablation in ablations
        }
        verdicts = {unit: verdict(effects, _plural([unit])) for unit, effects in measured.items()}
        done = int(np.isfinite(ablations[0].effects.kl).sum())
        documents = count(len(np.unique(self._document[np.isfinite(ablations[0].effects.kl)])))
        read = "the token" if not self._data.is_pooled else "every token that is read"
        note = f"at {read}; {count(done)} test examples of {documents} documents; {ablations[0].kind}"
        report.add(ProbeAblate.CLASSES, class_table(measured, note))
        report.add(ProbeAblate.VERDICT, verdict_table(verdicts))
        first = ablations[0]
        report.add(ProbeAblate.KL, kl_bars(first.unit, measured[first.unit], first.kind))
        self._add_numbers(measured, verdicts)
        report.say(self._sentence(ablations, measured, verdicts))

    def _add_numbers(
        self, measured: dict[Neuron | Feature, list[ClassEffect]], verdicts: dict[Neuron | Feature, Verdict]
    ) -> None:
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
        measured: dict[Neuron | Feature, list[ClassEffect]],
        verdicts: dict[Neuron | Feature, Verdict],
    ) -> str:
        first = ablations[0]
        words = sentence(first, measured[first.unit], verdicts[first.unit])
        if len(ablations) == 1:
            return words
        chosen = [str(unit) for unit, one in verdicts.items() if not one.reasons]
        verb = "is" if len(chosen) < 2 else "are"
        named = f" ({', '.join(chosen[:4])}{' …' if len(chosen) > 4 else ''})" if chosen else ""
        units = f"{len(ablations)} {_plural(list(measured))}"
        return f"{len(chosen) or 'none'} of {units} {verb} monosemantic{named} · {words}"


def _plural(units: list[Neuron | Feature]) -> str:
    kinds = {type(unit) for unit in units}
    return "units" if len(kinds) > 1 else "neurons" if kinds == {Neuron} else "features"


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
    works=lambda params, edited: ("forward",),
)
