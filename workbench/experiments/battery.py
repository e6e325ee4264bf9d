"""Many labelled sets in one run: which neurons carry each, whether one is enough, and whether it is about nothing else.

Of each set a bounded sample is read at every layer (at most so many examples and tokens, drawn evenly by class and
document). `sparse-probe` then finds the few neurons, or with an SAE its features, that tell its classes apart, beside
tokens alone, random units, a rotated basis, control task and permuted labels; `neuron-probe` the best one of all by
itself; `probe-ablate` sets that one to 0 class by class, beside matched units and random directions. These are steps
under this one. A set that fails is a row with its reason. A run that was cancelled keeps the sets that are done, and
the same run again goes on with the others. (The case studies of Gurnee et al. 2023, "Finding neurons in a haystack".)
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta, field

from workbench.datasets.labelled.labelled_set import LabelledSet
from workbench.errors import Cancelled, UserError
from workbench.experiment import Cost, Experiment
from workbench.experiments import neuron_probe, probe_ablate, sparse_probe
from workbench.experiments._battery import Result, SetRow, add_ablation, add_neuron, add_sparse, kept_results
from workbench.experiments._battery_views import battery_views, reach, sentence
from workbench.experiments._probe_units import ProbedSae, ProbedUnits, probed_units
from workbench.params import DataSets, params_builtins
from workbench.params import Params as BaseParams
from workbench.report import NextStep, Part, Report, failure
from workbench.result_keys import Battery
from workbench.text import count, quoted
from workbench.views import Heatmap

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.model_info import ModelInfo

log = logging.getLogger("workbench.battery")

FITTED = 1.0
"""times as long as taking a set's activations: its probes with their baselines"""


class Params(BaseParams, kw_only=True, frozen=True):
    data: Annotated[
        DataSets,
        Meta(description="labelled sets: names or files, with commas between", extra={"example": "months,plural,past"}),
    ] = []
    sae: ProbedSae = ""
    examples: Annotated[
        int, Meta(ge=50, description="of each set, at most", extra={"unit": "examples"})
    ] = 2000  # fmt: skip
    text_tokens: Annotated[
        int, Meta(ge=1000, description="of each set's texts, at most", extra={"unit": "tokens"})
    ] = 40_000  # fmt: skip
    ks: Annotated[
        list[Annotated[int, Meta(ge=1)]],
        Meta(description="how many units a probe reads", extra={"unit": "units", "more": True}),
    ] = field(default_factory=lambda: list(sparse_probe.KS))
    permutations: Annotated[
        int,
        Meta(ge=0, le=10_000, description="labels permuted, of each set", extra={"unit": "draws", "more": True}),
    ] = 100
    controls: Annotated[
        int,
        Meta(ge=0, le=1000, description="matched random units", extra={"unit": "controls", "more": True}),
    ] = 8
    ablated_tokens: Annotated[
        int,
        Meta(ge=16, description="of each class, at which the unit is 0", extra={"unit": "tokens", "more": True}),
    ] = 4000


def cost(params: Params, info: ModelInfo) -> Cost | None:
    """Activations and ablations are passes; what is fitted takes about as long as FITTED times the activations."""
    passes, tokens, disk = 0.0, 0.0, 0
    for labelled in params.data:
        store = neuron_probe.cost(_neuron_params(params, labelled), info)
        both = probe_ablate.cost(_ablation_params(params, labelled, ""), info)
        if store is None or both is None:
            continue
        passes += both.passes + FITTED * store.passes
        tokens += both.work + FITTED * store.work
        disk += store.disk
    return Cost(passes=passes, tokens=tokens / passes, typical=False, disk=disk) if passes else None


def _limits(params: Params) -> dict[str, Any]:
    return {"examples": params.examples, "text_tokens": params.text_tokens}


def _probed(params: Params) -> dict[str, Any]:
    return {"sae": params.sae, **_limits(params)}


def _sparse_params(params: Params, labelled: LabelledSet) -> sparse_probe.Params:
    """Adaptive thresholding, rotations, control task and permutations are of the best layer only."""
    return sparse_probe.Params(
        data=labelled, ks=params.ks, permutations=params.permutations, adaptive=False, **_probed(params)
    )


def _neuron_params(params: Params, labelled: LabelledSet) -> neuron_probe.Params:
    return neuron_probe.Params(data=labelled, **_probed(params))


def _ablation_params(params: Params, labelled: LabelledSet, unit: str) -> probe_ablate.Params:
    return probe_ablate.Params(
        data=labelled, units=unit, controls=params.controls, tokens=params.ablated_tokens, **_limits(params)
    )


def run(lab: Lab, params: Params, report: Report) -> None:
    from workbench.lab.identify import identify

    _check(params)
    identify(lab, report)  # what ran before counts for the same weights alone
    _Run(lab, params, probed_units(lab, [], params.sae, report), report).run()


def _check(params: Params) -> None:
    """Raises UserError for what no run could make sense of."""
    if not params.data:
        raise UserError(
            "no data sets were named: give --data A,B,C (names or files; the sets that there are: workbench data list)"
        )
    unnamed = sum(not labelled.name for labelled in params.data)
    if unnamed:
        raise UserError(f"{count(unnamed)} of the data sets have no name, by which their rows would be known")
    name, n = Counter(labelled.name for labelled in params.data).most_common(1)[0]
    if n > 1:
        raise UserError(
            f"{count(n)} of the data sets are called {quoted(name)}: leave one out, or give it another name"
        )


class _Run:
    """Sets as they come."""

    def __init__(self, lab: Lab, params: Params, probed: ProbedUnits, report: Report) -> None:
        self._lab, self._params, self._probed, self._report = lab, params, probed, report
        self._names = [labelled.name for labelled in params.data]
        self._layers = [f"L{layer}" for layer in probed.layers]
        self._sae = f"{probed.sae_name} {probed.sae_hash[:12]}".strip()
        self._results: dict[str, Result] = self._kept()

    def run(self) -> None:
        for at, labelled in enumerate(self._params.data, 1):
            if labelled.name not in self._results:
                self._results[labelled.name] = self._result(
                    labelled, f"set {at} of {len(self._names)}, {labelled.name}"
                )
            self._add()
        self._suggest()

    def _kept(self) -> dict[str, Result]:
        """Sets that runs of the same parameters had done."""
        kept: dict[str, Result] = {}
        for earlier in self._report.earlier_runs(self._params, self._lab.info):
            new = {name: result for name, result in kept_results(earlier, self._sae).items() if name not in kept}
            if new:
                self._report.note(f"{', '.join(new)}: as in step {earlier.step}")
            kept.update(new)
        return kept

    def _result(self, labelled: LabelledSet, stage: str) -> Result:
        """What the steps under this one find; a set that can't be probed is a row that says why."""
        result = Result(row=SetRow(set=labelled.name, sae=self._sae))
        try:
            self._probe(labelled, result, stage)
        except Cancelled:
            raise
        except Exception as error:
            if not isinstance(error, UserError):
                log.exception("the set %s", labelled.name)
            result.row.problem = failure(error)
        return result

    def _probe(self, labelled: LabelledSet, result: Result, stage: str) -> None:
        lab, params, report = self._lab, self._params, self._report
        sparse = _sparse_params(params, labelled)
        with report.part("sparse-probe", sparse, stage=stage) as part:
            sparse_probe.run(lab, sparse, part)
        add_sparse(result, part)
        neuron = _neuron_params(params, labelled)
        with report.part("neuron-probe", neuron, stage=stage) as part:
            neuron_probe.run(lab, neuron, part)
        add_neuron(result, part)
        ablation = _ablation_params(params, labelled, result.row.unit)
        with report.part("probe-ablate", ablation, stage=stage) as part:
            probe_ablate.run(lab, ablation, part)
        add_ablation(result, labelled, part)

    def _add(self) -> None:
        """What there is so far: all that a run which is cancelled leaves."""
        report = self._report
        results = [self._results[name] for name in self._names if name in self._results]
        for key, view in battery_views(results, self._names, self._layers, self._probed.noun).items():
            report.add(key, view)
        rows = [result.row for result in results]
        done = [row for row in rows if row.is_done]
        report.scalar(Battery.DONE, len(done))
        report.scalar(Battery.FAILED, len(rows) - len(done))
        report.scalar(Battery.ALONE, len(reach(done, "mcc_one")))
        report.scalar(Battery.TOGETHER, len(reach(done, "mcc_k")))
        report.scalar(Battery.MONOSEMANTIC, sum(row.monosemantic == "yes" for row in done))
        report.say(sentence(rows, len(self._names), self._probed.noun))

    def _suggest(self) -> None:
        """The unit that came nearest to being about one class alone."""
        rows = [result.row for result in self._results.values() if result.row.unit]
        if rows:
            unit = max(rows, key=lambda row: (row.monosemantic == "yes", row.ratio or 0.0)).unit
            self._report.suggest(
                NextStep(label=f"what does {unit} do", experiment=self._probed.experiment, params={"unit": unit})
            )


def cell(params: Params, key: str, view: Heatmap, row: int, column: int) -> NextStep | None:
    """Probes that set at that layer alone: one neuron, or the best k."""
    labelled = next((labelled for labelled in params.data if labelled.name == view.row_labels[row]), None)
    if key not in (Battery.ONE, Battery.BEST) or labelled is None:
        return None
    layer = int(view.column_labels[column][1:])
    ks = [1] if key == Battery.ONE else params.ks
    asked = msgspec.structs.replace(_sparse_params(params, labelled), layers=[layer], ks=ks)
    one = " with one feature" if params.sae else " with one neuron"
    label = f"probe {labelled.name} at L{layer}" + (one if key == Battery.ONE else "")
    return NextStep(label=label, experiment="sparse-probe", params=params_builtins(asked))


EXPERIMENT = Experiment(
    name="battery",
    help=__doc__,
    params=Params,
    run=run,
    group="probes",
    order=78,
    takes_edits=False,
    long=True,
    cost=cost,
    parts=lambda params, seed: [Part("battery", params)],
    cell=cell,
    works=lambda params, edited: ("forward",),
)
