"""Which single neurons tell two classes of a labelled set apart: every neuron of the model as a classifier by itself.

Each neuron of every layer, or with an SAE each of its features, gets a logistic probe of its own. They are ranked by
|AUC − ½| on train (ties by validation), beside what the best of all of them reaches when labels are permuted; the best
ones' scores on test stand with their intervals over documents. The best one is kept as a probe, and compared with the
tokens alone, a random unit of its layer, the best in a rotated basis (of features: a basis of what they are encoded
from) and random labels of the token's type. (Gurnee et al. 2023, "Finding neurons in a haystack".)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from msgspec import Meta, field

from workbench.artifacts.probe import Probe, Reading
from workbench.datasets.labelled.labelled_set import LabelledSet
from workbench.experiment import Cost, Experiment
from workbench.experiments._chance import Chance
from workbench.experiments._neuron_views import (
    NeuronClassifier,
    auc_histogram,
    class_histogram,
    classifier,
    errors_view,
    layer_lines,
    neuron_table,
)
from workbench.experiments._probe_data import MostExamples, MostTokens, ProbeData, probe_data, probe_name
from workbench.experiments._probe_units import ProbedSae, ProbedUnits, probed_units, units_cost
from workbench.experiments._sparse_baselines import Baselines, Row
from workbench.experiments._sparse_views import curve_view, score_table
from workbench.params import DataSet
from workbench.params import Params as BaseParams
from workbench.report import NextStep, Report
from workbench.result_keys import NeuronProbe
from workbench.text import count, number, quoted

if TYPE_CHECKING:
    import torch

    from workbench.artifacts.activations import Store
    from workbench.lab import Lab
    from workbench.lab.probing.every_unit import LayerUnits
    from workbench.lab.probing.nulls import BestOfAll
    from workbench.lab.probing.sparse import Split
    from workbench.model_info import ModelInfo


class Params(BaseParams, kw_only=True, frozen=True):
    data: Annotated[
        DataSet,
        Meta(description="the labelled set: its name, or a CSV with prompt,target", extra={"example": "months"}),
    ] = field(default_factory=LabelledSet)
    layers: Annotated[
        list[Annotated[int, Meta(ge=0)]],
        Meta(description="which layers; empty: all", extra={"unit": "layers", "example": "9, 10"}),
    ] = []
    sae: ProbedSae = ""
    n: Annotated[int, Meta(ge=1, le=1000, description="how many are listed", extra={"unit": "units"})] = 20
    permutations: Annotated[
        int,
        Meta(ge=0, le=10_000, description="labels permuted, of all units", extra={"unit": "draws", "more": True}),
    ] = 200
    name: Annotated[
        str, Meta(description="what the probe is called; empty: after set and unit", extra={"more": True})
    ] = ""
    examples: MostExamples = 0
    text_tokens: MostTokens = 0


def cost(params: Params, info: ModelInfo) -> Cost | None:
    return units_cost(params, info)


def run(lab: Lab, params: Params, report: Report) -> None:
    name = probe_name(params.name, "") if params.name.strip() else ""
    units = probed_units(lab, params.layers, params.sae, report)
    data = probe_data(lab, params.data, report, examples=params.examples, tokens=params.text_tokens)
    with units.activations(lab, data, report) as store:
        _Run(lab, params, data, units, store, name, report).run()


class _Best:
    """The best unit as what baselines are compared with."""

    k = 1

    def __init__(self, layer: int, test: np.ndarray, split: Split) -> None:
        self.layer, self.test, self._split = layer, test, split

    def refit(self, x: torch.Tensor, label: np.ndarray, random: int | None = None) -> np.ndarray:
        from workbench.lab.probing.every_unit import refit_best

        return refit_best(x, label, self._split, random)


class _Run:
    """One run over a store."""

    def __init__(
        self,
        lab: Lab,
        params: Params,
        data: ProbeData,
        probed: ProbedUnits,
        store: Store,
        name: str,
        report: Report,
    ) -> None:
        from workbench.lab.probing.nulls import PermutationNull
        from workbench.lab.probing.sparse import Split

        self._lab, self._params, self._data, self._probed, self._store = lab, params, data, probed, store
        self._name, self._report = name, report
        self._split = Split(data.train, data.validation, data.test)
        label, document = data.label[data.train], data.document[data.train]
        self._null = PermutationNull(label, document, lab.seed, params.permutations)
        self._units: dict[int, LayerUnits] = {}

    def run(self) -> None:
        from workbench.lab.probing.every_unit import every_unit

        report = self._report
        for layer in report.track(list(self._probed.layers), "layers", stage=f"every {self._probed.noun}"):
            x = self._activations(layer)
            label = self._label.to(x.device)
            self._units[layer] = every_unit(x, label, self._split, self._null)
            self._add()
        best = self._ranked()
        logits, values = self._on_test(best)
        self._note_ties(best[0])
        self._add_best(best[0], values[0], logits[0])
        baselines = self._compare(best[0], logits[0])
        self._add_numbers(best[0], baselines)
        self._suggest(best[0])

    @property
    def _label(self) -> torch.Tensor:
        import torch

        return torch.from_numpy(self._data.label)

    def _activations(self, layer: int) -> torch.Tensor:
        """float32 [example, unit], on the model's device."""
        import torch

        return torch.from_numpy(np.array(self._store.layer(layer))).to(self._lab.model.hf.device)

    @property
    def _aucs(self) -> dict[int, np.ndarray]:
        return {layer: units.train_auc for layer, units in self._units.items()}

    @property
    def _n(self) -> int:
        """Units so far."""
        return sum(map(len, self._aucs.values()))

    def _beside(self) -> BestOfAll | None:
        return self._null.result() if self._params.permutations else None

    def _ranked(self) -> list[NeuronClassifier]:
        """The best ones so far: by |AUC − ½| on train, of equals by validation, then in the model's order."""
        layers = list(self._units)
        train = np.concatenate([units.train_auc for units in self._units.values()]) - 0.5
        validation = np.concatenate([units.validation_auc for units in self._units.values()]) - 0.5
        order = np.lexsort((-np.sign(train) * validation, -np.abs(train)))[: self._params.n]
        places = [divmod(int(at), self._probed.width) for at in order]
        unit = self._probed.unit
        return [classifier(self._units[layers[row]], index, unit(layers[row], index)) for row, index in places]

    def _on_test(self, best: list[NeuronClassifier]) -> tuple[np.ndarray, np.ndarray]:
        """Logits and activations of units on test, float64 [unit, example] each."""
        columns = [self._store.layer(each.unit.layer)[:, each.unit.index][self._data.test] for each in best]
        logits = [each.logits(values) for each, values in zip(best, columns, strict=True)]
        return np.stack(logits), np.stack(columns).astype(np.float64)

    def _add(self) -> None:
        """What there is so far: all that a run which is cancelled leaves. Test comes when all are done."""
        report, probed, done, n_layers = self._report, self._probed, len(self._units), len(self._probed.layers)
        null, best = self._beside(), self._ranked()
        logits = self._on_test(best)[0] if done == n_layers else None
        shown = neuron_table(best, logits, self._data, null, self._n, self._lab.seed, probed.nouns)
        report.add(NeuronProbe.NEURONS, shown)
        report.add(NeuronProbe.BY_LAYER, layer_lines(self._aucs, null, probed.noun))
        if null is not None:
            report.add(NeuronProbe.EVERY, auc_histogram(self._aucs, null, probed.noun))
        among = f"{done} of {n_layers} layers" if probed.sae is None else f"all {probed.of_layer(best[0].unit.layer)}"
        report.say(
            f"{self._data.name}: {best[0].unit} is the best of {among}, AUC "
            f"{number(best[0].train_auc)} on train; test comes when all are done"
        )

    def _note_ties(self, best: NeuronClassifier) -> None:
        away = np.abs(np.concatenate(list(self._aucs.values())) - 0.5)
        ties = int((away >= best.separation).sum())
        if ties > 1:
            self._report.note(
                f"{count(ties)} of {count(self._n)} {self._probed.nouns} are equally good on "
                f"{count(len(self._data.train))} train examples: the one that is best on validation was taken, and of "
                "equals the earliest"
            )

    def _add_best(self, best: NeuronClassifier, values: np.ndarray, logits: np.ndarray) -> None:
        report, data = self._report, self._data
        report.add(NeuronProbe.BY_CLASS, class_histogram(best, values, data.label[data.test], data))
        report.add(NeuronProbe.SCORES, score_table(logits, data, self._lab.seed))
        report.add(NeuronProbe.CURVE, curve_view(logits, data))
        report.add(NeuronProbe.ERRORS, errors_view(self._lab, best, logits, data))

    def _keep(self, best: NeuronClassifier, on_test: Row) -> None:
        """The best unit's probe as an artifact, with its scores on test."""
        data, info = self._data, self._lab.info
        reading = Reading(
            site=self._probed.site,
            sae=self._probed.sae_name,
            sae_hash=self._probed.sae_hash,
            layer=best.unit.layer,
            indices=(best.unit.index,),
            intercept=best.intercept,
            threshold=0.0,
            pooling=data.examples.pooling,
            classes=data.examples.classes,
            data_set=data.name,
            set_hash=data.set_hash,
            method=f"the best single {self._probed.noun} by AUC, logistic, C 1",
            model=info.name,
            fingerprint=info.fingerprint,
            seed=self._lab.seed,
            test=on_test.with_intervals,
        )
        weights, mean, sd = (np.array([value]) for value in (best.weight, best.mean, best.scale))
        probe = Probe(reading=reading, weights=weights, mean=mean, sd=sd)
        self._report.uses(probe.content, self._name or probe_name("", f"{data.name}-{best.unit}"), "made")

    def _compare(self, best: NeuronClassifier, logits: np.ndarray) -> Baselines:
        report, probed = self._report, self._probed
        compared = _Best(best.unit.layer, logits, self._split)
        baselines = Baselines(self._data, compared, self._lab.seed)

        def changed() -> None:
            report.add(NeuronProbe.BASELINES, baselines.table())
            report.say(_sentence(self._data, best, baselines, self._beside(), self._n, probed.noun))

        baselines.add_probe()
        self._keep(best, baselines.probe)
        changed()
        site = probed.encoded(self._lab, self._data, report)
        baselines.add_refits(self._activations(best.unit.layer), report, changed, site)
        changed()
        return baselines

    def _add_numbers(self, best: NeuronClassifier, baselines: Baselines) -> None:
        report, probe, null = self._report, baselines.probe, self._beside()
        report.scalar(NeuronProbe.LAYER, best.unit.layer)
        report.scalar("neuron", best.unit.index)
        report.scalar("train_auc", best.train_auc)
        report.scalar("validation_auc", best.validation_auc)
        for name in (NeuronProbe.MCC, NeuronProbe.AUC, NeuronProbe.F1):
            report.scalar(name, probe.value[name])
            for row in baselines.rows[1:]:
                report.scalar(f"{name}_{row.key}", row.value[name])
            report.scalar(f"{name}_selectivity", baselines.selectivity(name))
        report.scalar(NeuronProbe.LOW, probe.interval["mcc"][0])
        report.scalar(NeuronProbe.HIGH, probe.interval["mcc"][1])
        report.scalar("f1_always_positive", self._data.always_f1)
        token = baselines.token
        report.scalar(NeuronProbe.TOKENS_ALONE, None if token is None else token.value["mcc"])
        report.scalar(NeuronProbe.P, None if null is None else null.p(best.separation))
        if null is not None:
            limit = float(np.quantile(null.best, 0.95))
            away = np.abs(np.concatenate(list(self._aucs.values())) - 0.5)
            report.scalar("null_auc", 0.5 + limit)
            report.scalar("beyond_null", float((away > limit).sum()))

    def _suggest(self, best: NeuronClassifier) -> None:
        unit, shown_by = str(best.unit), self._probed.experiment
        self._report.suggest(NextStep(label=f"what does {unit} do", experiment=shown_by, params={"unit": unit}))
        if self._params.data.name:  # by which the session has it
            params = {"data": self._data.name, "units": unit}
            label = f"is {unit} only about {quoted(self._data.examples.classes[1])}"
            self._report.suggest(NextStep(label=label, experiment="probe-ablate", params=params, edits=[]))


def _sentence(
    data: ProbeData, best: NeuronClassifier, baselines: Baselines, null: BestOfAll | None, n: int, noun: str
) -> str:
    """What was found, on test, beside the strongest thing that needs no such unit, and chance."""
    probe, (negative, positive) = baselines.probe, data.examples.classes
    chance = Chance(best.separation, null.best if null is not None else ())
    tells, beyond = ("tells", "") if chance.beyond else ("does not tell", " beyond chance")
    low, high = probe.interval["mcc"]
    side = "higher" if best.higher else "lower"
    parts = [
        f"{best.unit} {tells} {quoted(positive)} ({side}) from {quoted(negative)}{beyond}: MCC "
        f"{number(probe.value['mcc'])} ({number(low)} to {number(high)}) on test",
        f"F1 {number(probe.value['f1'])} (always positive {number(data.always_f1)})",
    ]
    token = baselines.token
    if token is not None:
        reads = f", so the {noun} may only read tokens" if baselines.reads_token else ""
        parts.append(f"{token.name} alone: MCC {number(token.value['mcc'])}{reads}")
    random = baselines.row("random_neurons")
    if random is not None:
        parts.append(f"random {noun}s {number(random.value['mcc'])}")
    if null is not None:
        reached = number(0.5 + float(np.max(null.best)))
        parts.append(
            f"train AUC {number(0.5 + best.separation)}, best of {count(n)} in {len(null.best)} permutations of the "
            f"labels: at most {reached}, {chance.p_text}"
        )
    return " · ".join(parts)


EXPERIMENT = Experiment(
    name="neuron-probe", help=__doc__, params=Params, run=run, group="probes", order=72, long=True, cost=cost
)  # fmt: skip
