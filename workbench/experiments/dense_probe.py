"""Where the stream, or a head, tells two classes apart or holds a number: a probe on all of its numbers, each layer.

Fitted on train (logistic, ridge with its penalty by leave-one-out, or the difference of means), the layer chosen on
validation, reported once on test with its interval over documents, beside what needs no such direction: the tokens
alone, a random direction, random labels of the token's type, permuted labels. The probe's weight becomes a direction,
`@name`: which neurons write and read it beside random directions, how much of the label is found at 1 % false positives
on ordinary text, and what a probe fitted anew still reads once the direction is projected out, beside random ones. With
site z every head has a probe of its own, and the best head is taken; what it reads is no direction of the stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta, field

from workbench.artifacts.activations import site_width
from workbench.datasets.labelled.labelled_set import LabelledSet
from workbench.experiment import Cost, Experiment
from workbench.experiments._dense import DenseTask, predictions
from workbench.experiments._dense_baselines import DenseBaselines
from workbench.experiments._dense_direction import add_along, add_ordinary, refitted
from workbench.experiments._dense_kept import keep_direction, keep_probe
from workbench.experiments._dense_together import targets_of, together
from workbench.experiments._dense_views import (
    LayerScore,
    Refits,
    head_map,
    layer_lines,
    layer_table,
    predicted_view,
    sentence,
)
from workbench.experiments._probe_data import probe_data, probe_name, store_cost, token_baselines
from workbench.experiments._sparse_views import curve_view
from workbench.params import DataSet, DataSets
from workbench.params import Params as BaseParams
from workbench.report import NextStep, Report
from workbench.result_keys import DenseProbe
from workbench.text import count, number
from workbench.units import Head, Site

if TYPE_CHECKING:
    import torch

    from workbench.artifacts.activations import Store
    from workbench.lab import Lab
    from workbench.lab.probing.dense import Dense
    from workbench.model_info import ModelInfo


HEADS = "z"


class Params(BaseParams, kw_only=True, frozen=True):
    data: Annotated[
        DataSet,
        Meta(description="the labelled set: its name, or a CSV with prompt,target", extra={"example": "months"}),
    ] = field(default_factory=LabelledSet)
    also: Annotated[
        DataSets,
        Meta(
            description="further numbers of the same texts, predicted together with them by ridge, such as longitude "
            "beside latitude",
            extra={"example": "longitude", "more": True},
        ),
    ] = field(default_factory=list)
    method: Annotated[
        Literal["logistic", "ridge", "means"],
        Meta(description="logistic, ridge (numbers too), or the difference of means"),
    ] = "logistic"
    site: Annotated[
        Literal["resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "z"],
        Meta(description="what is read of every layer; z: each head by itself"),
    ] = "resid_post"
    layers: Annotated[
        list[Annotated[int, Meta(ge=0)]],
        Meta(description="which layers; empty: all", extra={"unit": "layers", "example": "9, 10"}),
    ] = []
    name: Annotated[
        str, Meta(description="what the probe and its direction are called; empty: after set and method")
    ] = ""
    C: Annotated[
        float, Meta(gt=0, description="inverse strength of the logistic probe's penalty", extra={"more": True})
    ] = 1.0
    permutations: Annotated[
        int, Meta(ge=0, le=10_000, description="labels permuted, fitted anew", extra={"unit": "draws", "more": True})
    ] = 100
    directions: Annotated[
        int,
        Meta(
            ge=2,
            le=1000,
            description="random directions of each kind that are projected out beside the probe's",
            extra={"unit": "directions", "more": True},
        ),
    ] = 8
    tokens: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="of ordinary text, on which 1 % false positives are measured",
            extra={"unit": "tokens", "more": True},
        ),
    ] = 8192


def cost(params: Params, info: ModelInfo) -> Cost | None:
    store = store_cost(params.data, site_width(info, params.site), len(set(params.layers)) or info.n_layers)
    if store is None or params.data.numeric:
        return store
    return msgspec.structs.replace(store, passes=store.passes + params.tokens / store.tokens)  # ordinary text


def run(lab: Lab, params: Params, report: Report) -> None:
    from workbench.lab.probing.store import take

    data = probe_data(lab, params.data, report, numbers=params.method == "ridge")
    also = targets_of(lab, data, params.also)
    name = _name(params, data.name)
    task = DenseTask(data, params.method, params.C, lab.seed)
    layers = tuple(sorted(set(params.layers))) or tuple(range(lab.info.n_layers))
    if lab.edits:
        edits = " ".join(map(str, lab.edits))
        report.note(f"fitted under {edits}: the probe and @{name} are of the model with these edits on")
    with take(lab, data.examples, params.site, layers, report, data_set=data.name, set_hash=data.set_hash) as store:
        _Run(lab, params, task, also, store, name, report).run(layers)


def _name(params: Params, data_name: str) -> str:
    """Of the probe and of its direction. Raises UserError for a name that a direction can't have."""
    from workbench.artifacts.direction import check_direction_name

    name = probe_name(params.name, f"{data_name}-{params.method}")
    if not params.name.strip() and not name[0].isalpha():
        name = f"set-{name}"
    check_direction_name(name)
    return name


class _Run:
    """One run over a store."""

    def __init__(
        self, lab: Lab, params: Params, task: DenseTask, also: np.ndarray, store: Store, name: str, report: Report
    ) -> None:
        """`also` float64 [example, further target]."""
        self._lab, self._params, self._task, self._also, self._store = lab, params, task, also, store
        self._name, self._report = name, report
        self._n_heads = lab.info.n_heads if params.site == HEADS else 0
        self._label = name if self._n_heads else f"@{name}"

    def run(self, layers: tuple[int, ...]) -> None:
        report, task = self._report, self._task
        chosen, probe = self._choose(layers)
        layer, head = chosen.layer, chosen.head
        x = self._part(self._activations(layer), head)
        test = predictions(probe, task.part(x, task.data.test))
        self._add_test_view(test)
        baselines = DenseBaselines(task, x, test, report)
        place = self._place(chosen)

        def changed() -> None:
            report.add(DenseProbe.BASELINES, baselines.table())
            report.say(sentence(task, self._name, place, baselines))

        baselines.changed = changed
        baselines.add_tokens()
        site = Site(layer, self._params.site)
        indices = () if head is None else tuple(range(self._columns(head).start, self._columns(head).stop))
        keep_probe(self._lab, task, probe, x, site, indices, self._name, baselines.rows[0], report)
        if head is None:
            keep_direction(self._lab, task, probe, site, self._name, report)
        if self._params.permutations:
            baselines.add_null(self._params.permutations)
        baselines.add_draws()
        if self._params.also:
            self._add_together(x)
        refits = refitted(task, x, probe, self._params.directions, report)
        report.add(DenseProbe.REFIT, refits.table(task, self._label))
        if head is None:
            add_along(self._lab, probe, site, self._name, report)
        if not task.numeric and self._params.tokens:
            columns = slice(None) if head is None else self._columns(head)
            add_ordinary(self._lab, task, probe, site, columns, test, self._params.tokens, report)
        self._add_numbers(chosen, baselines, refits)
        if head is None:
            self._suggest(place)
        else:
            self._suggest_head(place)

    # --- the layers --------------------------------------------------------------------------------------

    def _activations(self, layer: int) -> torch.Tensor:
        """float32 [example, d], on the model's device."""
        import torch

        return torch.from_numpy(np.array(self._store.layer(layer))).to(self._lab.model.hf.device)

    def _place(self, score: LayerScore) -> str:
        return f"L{score.layer}.{self._params.site}" if score.head is None else str(Head(score.layer, score.head))

    def _columns(self, head: int) -> slice:
        """A head's numbers among those of its layer."""
        width = self._lab.info.d_head
        return slice(head * width, (head + 1) * width)

    def _part(self, x: torch.Tensor, head: int | None) -> torch.Tensor:
        return x if head is None else x[:, self._columns(head)]

    def _choose(self, layers: tuple[int, ...]) -> tuple[LayerScore, Dense]:
        """Every layer's probe on validation; the best layer with its probe. What is done is seen as it comes."""
        task, report, site = self._task, self._report, self._params.site
        tokens = [] if task.numeric else token_baselines(task.data)
        scored: list[LayerScore] = []
        probes: list[Dense] = []
        by_head: list[list[float]] = []
        best = 0
        for layer in report.track(list(layers), "layers", stage=f"{self._params.method} probes"):
            score, probe, of_heads = self._best_of_layer(layer)
            scored.append(score)
            probes.append(probe)
            by_head.append(of_heads)
            best = _best(task, [each.value for each in scored])
            report.add(DenseProbe.LAYERS, layer_lines(task, scored, site, tokens))
            if self._n_heads:
                report.add(DenseProbe.HEADS, head_map(task, [each.layer for each in scored], by_head))
            report.add(DenseProbe.BY_LAYER, layer_table(task, scored))
            of = f"of all {len(layers)}" if len(scored) == len(layers) else f"of {len(scored)} of {len(layers)}"
            report.say(
                f"{task.data.name}: the best {of} layers is {self._place(scored[best])}, "
                f"{number(scored[best].value[task.lead])} on validation; test comes when all are done"
            )
        ties = sum(each.value == scored[best].value for each in scored)
        if ties > 1:
            report.note(
                f"{count(ties)} of {count(len(scored))} layers are equally good on validation: the earliest is taken"
            )
        return scored[best], probes[best]

    def _best_of_layer(self, layer: int) -> tuple[LayerScore, Dense, list[float]]:
        """The layer's probe, or that of its best head, and the score that leads of every head."""
        task = self._task
        validation = task.data.validation
        values, document = task.values[validation], task.data.document[validation]
        x = self._activations(layer)
        heads: list[int | None] = [*range(self._n_heads)] or [None]
        fits: list[tuple[Dense, float | None, np.ndarray]] = []
        for head in heads:
            part = self._part(x, head)
            probe, alpha = task.fit(part, task.values)
            fits.append((probe, alpha, predictions(probe, task.part(part, validation))))
        scores = [task.scores(predicted, values) for _, _, predicted in fits]
        at = _best(task, scores)
        probe, alpha, predicted = fits[at]
        interval = task.intervals(predicted, values, document)
        score = LayerScore(layer, heads[at], predicted, scores[at], interval, alpha)
        return score, probe, [each[task.lead] for each in scores]

    def _add_test_view(self, predicted: np.ndarray) -> None:
        if self._task.numeric:
            self._report.add(DenseProbe.PREDICTED, predicted_view(self._task, predicted))
        else:
            self._report.add(DenseProbe.CURVE, curve_view(predicted, self._task.data))

    def _add_together(self, x: torch.Tensor) -> None:
        task, report, params = self._task, self._report, self._params
        names = [task.data.name, *(labelled.name for labelled in params.also)]
        fit = together(task, x, self._also, names, params.permutations, report)
        report.add(DenseProbe.TOGETHER, fit.table(len(task.data.test)))
        report.scalar(DenseProbe.PROXIMITY, fit.proximity)
        for name, value in zip(names, fit.r2, strict=True):
            report.scalar(f"r2_{name}", float(value))
        report.note(f"{', '.join(names)} together: {fit.sentence()}")

    # --- numbers ---------------------------------------------------------------------------------------------

    def _add_numbers(self, chosen: LayerScore, baselines: DenseBaselines, refits: Refits) -> None:
        report, task, own = self._report, self._task, baselines.rows[0]
        report.scalar(DenseProbe.LAYER, chosen.layer)
        if chosen.head is not None:
            report.scalar(DenseProbe.HEAD, chosen.head)
        for name in task.names:
            report.scalar(name, own.value[name])
        low, high = own.interval[task.lead]
        report.scalar(DenseProbe.LOW, low)
        report.scalar(DenseProbe.HIGH, high)
        for row in baselines.rows[1:]:
            report.scalar(f"{task.lead}_{row.key}", baselines.lead(row))
        best = baselines.tokens
        report.scalar(DenseProbe.TOKENS_ALONE, baselines.lead(best) if best else None)
        if not task.numeric:
            report.scalar("f1_always_positive", task.data.always_f1)
            report.scalar("mcc_selectivity", baselines.selectivity("mcc"))
            report.scalar("auc_selectivity", baselines.selectivity("auc"))
        report.scalar(DenseProbe.P, baselines.chance.p)
        report.scalar(DenseProbe.LEFT, refits.without)
        report.scalar(DenseProbe.LEFT_RANDOM, float(np.median(refits.random)))
        report.note(refits.sentence(self._label, "R²" if task.numeric else "MCC"))

    def _suggest(self, place: str) -> None:
        report, at = self._report, f"@{self._name}"
        text = self._params.data.texts[0].text
        report.suggest(
            NextStep(label=f"what {at} promotes and suppresses", experiment="project", params={"direction": at})
        )
        report.suggest(
            NextStep(
                label=f"the stream along {at} on a text",
                experiment="project",
                params={"direction": at, "prompt": text, "site": place},
            )
        )
        report.suggest(
            NextStep(
                label=f"what text loses without {at}",
                experiment="effect",
                params={"corpus": "stdlib"},
                edits=[f"{at}=0"],
            )
        )

    def _suggest_head(self, head: str) -> None:
        text = self._params.data.texts[0].text
        self._report.suggest(
            NextStep(label=f"where {head} looks", experiment="attention", params={"head": head, "prompt": text})
        )
        self._report.suggest(
            NextStep(
                label=f"what text loses without {head}",
                experiment="effect",
                params={"corpus": "stdlib"},
                edits=[f"{head}=0"],
            )
        )


def _best(task: DenseTask, scored: list[dict[str, float]]) -> int:
    """By MCC, then AUC; of numbers by R²; the earliest of equals."""
    names = task.names[:1] if task.numeric else task.names[:2]
    keys = [tuple(round(value[name], 9) for name in names) for value in scored]
    return keys.index(max(keys))


EXPERIMENT = Experiment(
    name="dense-probe",
    help=__doc__,
    params=Params,
    run=run,
    group="probes",
    order=74,
    long=True,
    cost=cost,
)
