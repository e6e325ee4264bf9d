"""Which few neurons tell two classes of a labelled set apart: k-sparse probes of every layer.

At each layer the neurons, or with an SAE its features, are ranked on train, and a logistic regression is fitted on the
first k of them, for every k of a list; adaptive thresholding keeps the k of largest weight of an elastic net. Layer, k
and method are chosen on validation (MCC, then AUC), and the chosen probe's score on test is reported once, with its
interval over documents, beside what needs no such units: the tokens alone, random units, the best in a rotated basis
(of features: a basis of what they are encoded from), random labels of the token's type, and permuted labels. (Gurnee et
al. 2023, "Finding neurons in a haystack".)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from msgspec import Meta, field

from workbench.artifacts.probe import Probe, Reading
from workbench.datasets.labelled.labelled_set import LabelledSet
from workbench.errors import UserError
from workbench.experiment import Cost, Experiment
from workbench.experiments._probe_data import MostExamples, MostTokens, ProbeData, probe_data, probe_name
from workbench.experiments._probe_units import ProbedSae, ProbedUnits, probed_units, units_cost
from workbench.experiments._sparse_baselines import Baselines, Row
from workbench.experiments._sparse_choice import Choice, Chosen, Refitted, score_sweeps
from workbench.experiments._sparse_views import curve_view, method_views, score_table, sweep_views, unit_table
from workbench.params import DataSet, params_builtins
from workbench.params import Params as BaseParams
from workbench.report import NextStep, Report
from workbench.result_keys import SparseProbe
from workbench.text import count, number, quoted
from workbench.units import format_units
from workbench.views import Heatmap

if TYPE_CHECKING:
    import torch

    from workbench.artifacts.activations import Store
    from workbench.lab import Lab
    from workbench.lab.probing.scaling import Scaling
    from workbench.lab.probing.sweep import LayerSweep
    from workbench.model_info import ModelInfo

KS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 32, 64, 128, 256)
ADAPTIVE = "adaptive"
BESIDE = ("mean difference", "mutual information", "l1", "random")
"""rankers that are shown side by side; F ranks two classes as the mean difference does"""
SHOWN_UNITS = 4
"""units that the sentence names"""


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
    ks: Annotated[
        list[Annotated[int, Meta(ge=1)]],
        Meta(description="how many units a probe reads", extra={"unit": "units", "example": "1, 2, 4, 8"}),
    ] = field(default_factory=lambda: list(KS))
    ranker: Annotated[
        Literal["mean difference", "f", "mutual information", "l1", "random", "all"],
        Meta(description="what units are ranked by; all: the best on validation"),
    ] = "mean difference"
    adaptive: Annotated[bool, Meta(description="adaptive thresholding at every layer, not at the chosen one alone")] = (
        True
    )
    scaling: Annotated[
        Literal["sd", "paper"],
        Meta(description="activations are divided by their sd, or as the paper's scripts do", extra={"more": True}),
    ] = "sd"
    permutations: Annotated[
        int,
        Meta(ge=0, le=10_000, description="labels permuted, fitted anew", extra={"unit": "draws", "more": True}),
    ] = 100
    name: Annotated[
        str, Meta(description="what the probe is called; empty: after set, layer and k", extra={"more": True})
    ] = ""
    examples: MostExamples = 0
    text_tokens: MostTokens = 0


def cost(params: Params, info: ModelInfo) -> Cost | None:
    return units_cost(params, info)


def run(lab: Lab, params: Params, report: Report) -> None:
    name = probe_name(params.name, "") if params.name.strip() else ""
    units = probed_units(lab, params.layers, params.sae, report)
    if not params.ks:
        raise UserError(f"there is no k: give how many {units.nouns} a probe reads, for example --ks 1,2,4,8")
    data = probe_data(lab, params.data, report, examples=params.examples, tokens=params.text_tokens)
    with units.activations(lab, data, report) as store:
        _Run(lab, params, data, units, store, name, report).run()


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
        from workbench.lab.probing.sparse import Split, usable_ks

        self._lab, self._params, self._data, self._probed, self._store = lab, params, data, probed, store
        self._name, self._report = name, report
        self._split = Split(data.train, data.validation, data.test)
        self._scaling: Scaling = "haystack" if params.scaling == "paper" else "sd"
        asked = sorted(set(params.ks))
        self._ks = usable_ks(len(data.train), probed.width, asked)
        left_out = [str(k) for k in asked if k not in self._ks]
        if left_out:
            report.note(
                f"k = {', '.join(left_out)} left out: more than the {count(len(data.train))} train examples, or the "
                f"{count(probed.width)} {probed.of_layer(probed.layers[0])}"
            )

    def run(self) -> None:
        params, report, layers = self._params, self._report, self._probed.layers
        rankers = BESIDE[:3] if params.ranker == "all" else (params.ranker,)
        methods = (*rankers, ADAPTIVE) if params.adaptive else rankers
        choice = Choice(self._ks, layers, methods)
        for layer in report.track(list(layers), "layers", stage="sparse probes, all k"):
            sweeps = self._sweep(layer, self._activations(layer), methods)
            choice.scored += score_sweeps(self._data, layer, sweeps, self._lab.seed)
            self._add_sweep(choice)
        chosen = choice.chosen
        if choice.ties > 1:
            report.note(
                f"{count(choice.ties)} of {count(len(layers) * len(self._ks))} layers × k are equally good on "
                f"{count(len(self._data.validation))} validation examples: the fewest {self._probed.nouns} were taken, "
                "and of these the earliest layer"
            )
        x = self._activations(chosen.layer)
        self._add_probe(chosen, x)
        self._add_beside(choice, chosen, x)
        baselines = self._compare(chosen, x)
        self._add_numbers(chosen, baselines)
        self._suggest(chosen)

    def _activations(self, layer: int) -> torch.Tensor:
        """float32 [example, unit], on the model's device."""
        import torch

        return torch.from_numpy(np.array(self._store.layer(layer))).to(self._lab.model.hf.device)

    def _sweep(self, layer: int, x: torch.Tensor, methods: tuple[str, ...]) -> dict[str, LayerSweep]:
        """By method. Raises UserError where one can't be fitted."""
        import torch

        from workbench.lab.probing.sweep import sweep_layer

        label = torch.from_numpy(self._data.label).to(x.device)
        sweeps: dict[str, LayerSweep] = {}
        for method in methods:
            try:
                sweeps |= sweep_layer(x, label, self._split, self._ks, [method], self._lab.seed, self._scaling)
            except ArithmeticError as error:
                raise UserError(_unfitted(method, layer, error)) from None
        return sweeps

    def _add_sweep(self, choice: Choice) -> None:
        """What there is so far: all that a run which is cancelled leaves."""
        for key, view in sweep_views(choice, self._data, self._probed).items():
            self._report.add(key, view)
        best, done = choice.chosen, len({scored.layer for scored in choice.scored})
        low, high = best.scored.bands["mcc"][best.at]
        of = f"of all {done} layers" if done == len(choice.layers) else f"of {done} of {len(choice.layers)} layers"
        self._report.say(
            f"{self._data.name}: the best {of} is L{best.layer}, k = {best.k}: MCC {number(best.validation_mcc)} "
            f"({number(low)} to {number(high)}) on validation; test comes when all are done"
        )

    def _add_probe(self, chosen: Chosen, x: torch.Tensor) -> None:
        """The chosen probe's units, and its scores and curve on test."""
        import torch

        from workbench.lab.probing.single import aucs, rank_rows

        data, fitted = self._data, chosen.probe
        units = torch.from_numpy(fitted.units).to(x.device)
        values = x[:, units]
        train = torch.from_numpy(data.train).to(x.device)
        alone = aucs(rank_rows(values[train]), torch.from_numpy(data.label[data.train])[None])[:, 0].cpu().numpy()
        self._report.add(SparseProbe.NEURONS, unit_table(chosen, values.cpu().numpy(), data, alone, self._probed))
        self._report.add(SparseProbe.SCORES, score_table(chosen.test, data, self._lab.seed))
        self._report.add(SparseProbe.CURVE, curve_view(chosen.test, data))

    def _keep(self, chosen: Chosen, on_test: Row) -> None:
        """The probe as an artifact, with its scores on test."""
        data, info, fitted = self._data, self._lab.info, chosen.probe
        reading = Reading(
            site=self._probed.site,
            sae=self._probed.sae_name,
            sae_hash=self._probed.sae_hash,
            layer=chosen.layer,
            indices=tuple(fitted.units.tolist()),
            intercept=fitted.intercept,
            threshold=0.0,
            pooling=data.examples.pooling,
            classes=data.examples.classes,
            data_set=data.name,
            set_hash=data.set_hash,
            method=f"sparse, k = {chosen.k}, {chosen.method}, scaling {self._params.scaling}",
            model=info.name,
            fingerprint=info.fingerprint,
            seed=self._lab.seed,
            test=on_test.with_intervals,
        )
        probe = Probe(reading=reading, weights=fitted.weight, mean=fitted.mean, sd=fitted.scale)
        name = self._name or probe_name("", f"{data.name}-L{chosen.layer}-k{chosen.k}")
        self._report.uses(probe.content, name, "made")

    def _compare(self, chosen: Chosen, x: torch.Tensor) -> Baselines:
        report, probed = self._report, self._probed
        refitted = Refitted(chosen, self._data, self._lab.seed, self._scaling)
        baselines = Baselines(self._data, refitted, self._lab.seed)

        def changed() -> None:
            report.add(SparseProbe.BASELINES, baselines.table())
            report.say(_sentence(self._data, chosen, baselines, probed))

        baselines.add_probe()
        self._keep(chosen, baselines.probe)
        changed()
        baselines.add_refits(x, report, changed, probed.encoded(self._lab, self._data, report))
        if self._params.permutations:
            baselines.add_null(x, self._params.permutations, report, changed)
        changed()
        return baselines

    def _add_beside(self, choice: Choice, chosen: Chosen, x: torch.Tensor) -> None:
        """Every ranker and adaptive thresholding at the chosen layer."""
        scored = [each for each in choice.scored if each.layer == chosen.layer]
        others = [each for each in (*BESIDE, ADAPTIVE) if each not in choice.methods]
        for method in self._report.track(others, "rankers", stage=f"rankers at L{chosen.layer}"):
            try:
                sweeps = self._sweep(chosen.layer, x, (method,))
            except UserError as error:  # it is shown beside what was chosen, no more
                self._report.note(str(error))
                continue
            scored += score_sweeps(self._data, chosen.layer, sweeps, self._lab.seed)
        for key, view in method_views(choice, chosen, scored, self._data, self._probed).items():
            self._report.add(key, view)

    def _add_numbers(self, chosen: Chosen, baselines: Baselines) -> None:
        report, probe = self._report, baselines.probe
        report.scalar(SparseProbe.LAYER, chosen.layer)
        report.scalar(SparseProbe.K, chosen.k)
        data = self._data
        report.scalar(SparseProbe.EXAMPLES, len(data.label))
        report.scalar(SparseProbe.POSITIVES, float(data.label.sum()))
        report.scalar(SparseProbe.TEST, len(data.test))
        report.scalar(SparseProbe.DOCUMENTS, len(np.unique(data.document[data.test])))
        for name in (SparseProbe.F1, SparseProbe.MCC, SparseProbe.AUC):
            report.scalar(name, probe.value[name])
            report.scalar(SparseProbe.low(name), probe.interval[name][0])
            report.scalar(SparseProbe.high(name), probe.interval[name][1])
            for row in baselines.rows[1:]:
                report.scalar(f"{name}_{row.key}", row.value[name])
            report.scalar(f"{name}_selectivity", baselines.selectivity(name))
        token = baselines.token
        report.scalar(SparseProbe.TOKENS_ALONE, token.value["mcc"] if token is not None else None)
        report.scalar("f1_always_positive", self._data.always_f1)
        report.scalar("validation_mcc", chosen.validation_mcc)
        report.scalar(SparseProbe.P, baselines.chance.p)

    def _suggest(self, chosen: Chosen) -> None:
        heaviest = int(chosen.probe.units[int(np.abs(chosen.probe.weight).argmax())])
        unit, shown_by = str(self._probed.unit(chosen.layer, heaviest)), self._probed.experiment
        self._report.suggest(NextStep(label=f"what does {unit} do", experiment=shown_by, params={"unit": unit}))
        if self._params.data.name:  # by which the session has it
            label = f"is {unit} only about {quoted(self._data.examples.classes[1])}"
            params = {"data": self._data.name, "units": unit}
            self._report.suggest(NextStep(label=label, experiment="probe-ablate", params=params, edits=[]))
        units = format_units([self._probed.unit(chosen.layer, int(each)) for each in chosen.probe.units[:SHOWN_UNITS]])
        edits = [f"{units}=0"]
        label = "what text loses with them off" if chosen.k > 1 else f"what text loses with {unit} off"
        self._report.suggest(NextStep(label=label, experiment="effect", params={"corpus": "stdlib"}, edits=edits))


def _unfitted(method: str, layer: int, error: ArithmeticError) -> str:
    how = "without adaptive thresholding (--no-adaptive)" if method == ADAPTIVE else "by another --ranker"
    return f"{method} at L{layer}: {error}; run it {how}, or leave the layer out with --layers"


def _sentence(data: ProbeData, chosen: Chosen, baselines: Baselines, probed: ProbedUnits) -> str:
    """What was found, on test, beside the strongest thing that needs no such units."""
    probe = baselines.probe
    units = [str(probed.unit(chosen.layer, int(unit))) for unit in chosen.probe.units[:SHOWN_UNITS]]
    named = units[0] if chosen.k == 1 else f"{count(chosen.k)} {probed.of_layer(chosen.layer)}"
    listed = f" ({', '.join(units)})" if 1 < chosen.k <= SHOWN_UNITS else ""
    negative, positive = data.examples.classes
    single = chosen.k == 1
    tells = f"{'tells' if single else 'tell'} {quoted(positive)} from {quoted(negative)}"
    if not baselines.chance.beyond:
        tells = f"{'does' if single else 'do'} not tell {quoted(positive)} from {quoted(negative)} beyond chance"
    low, high = probe.interval["mcc"]
    parts = [f"{named}{listed} {tells}: MCC {number(probe.value['mcc'])} ({number(low)} to {number(high)}) on test"]
    parts.append(f"F1 {number(probe.value['f1'])} (always positive {number(data.always_f1)})")
    token = baselines.token
    if token is not None:
        reads = ", so the probe may only read tokens" if baselines.reads_token else ""
        parts.append(f"{token.name} alone: MCC {number(token.value['mcc'])}{reads}")
    random = baselines.row("random_neurons")
    if random is not None:
        parts.append(f"random {probed.nouns} {number(random.value['mcc'])}")
    if baselines.null:
        parts.append(baselines.chance.text)
    return " · ".join(parts)


def cell(params: Params, key: str, view: Heatmap, row: int, column: int) -> NextStep | None:
    """Probes that layer with that k alone: its neurons, its test score, its baselines."""
    if key != SparseProbe.MAP:
        return None
    layer, k = view.row_labels[row], view.column_labels[column]
    asked: dict[str, Any] = {**params_builtins(params), "layers": [int(layer[1:])], "ks": [int(k)], "name": ""}
    return NextStep(label=f"probe {layer} with k = {k}", experiment="sparse-probe", params=asked)


EXPERIMENT = Experiment(
    name="sparse-probe",
    help=__doc__,
    params=Params,
    run=run,
    group="probes",
    order=70,
    long=True,
    cost=cost,
    cell=cell,
)
