"""The views of `sparse-probe`: scores against k, layer × k, the chosen units, precision and recall, methods."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.experiments._probe_data import ProbeData
from workbench.experiments._probe_units import ProbedUnits
from workbench.experiments._sparse_choice import Choice, Chosen, Scored, shared_units
from workbench.result_keys import SparseProbe
from workbench.text import count, number
from workbench.views import AnyView, Column, Heatmap, Level, Lines, Series, Table

CURVES = 3
"""layers whose scores are drawn against k, the best ones"""
SCORES = {SparseProbe.MCC: "MCC", SparseProbe.F1: "F1", SparseProbe.AUC: "AUC"}
POINTS = 400
"""of a precision-recall curve"""
METHODS = {
    "mean difference": "mean difference (F ranks the same)",
    "f": "F",
    "mutual information": "mutual information",
    "l1": "L1 logistic",
    "random": "random",
    "adaptive": "adaptive thresholding",
}


def sweep_views(choice: Choice, data: ProbeData, probed: ProbedUnits) -> dict[str, AnyView]:
    """What the layers that are done give, by key; all on validation."""
    best = choice.best_layers()
    views: dict[str, AnyView] = {SparseProbe.MAP: _map(choice, data, probed.nouns)}
    for name in SCORES:
        views[name] = _curves(name, choice, best, data, probed.nouns)
    views[SparseProbe.LAYERS] = _layers(choice, best, data, probed)
    return views


def _on(data: ProbeData) -> str:
    documents = len(np.unique(data.document[data.validation]))
    return f"validation: {count(len(data.validation))} examples of {count(documents)} documents"


def _map(choice: Choice, data: ProbeData, nouns: str) -> Heatmap:
    values = np.full((len(choice.layers), len(choice.ks)), np.nan)
    for scored in choice.scored:
        row = choice.layers.index(scored.layer)
        values[row] = np.fmax(values[row], scored.scores.mcc)
    several = f" · best of {', '.join(choice.methods)}" if len(choice.methods) > 1 else ""
    return Heatmap(
        title="Layer × k",
        note=f"k: the number of {nouns} · {_on(data)}{several}",
        values=values,
        row_labels=[f"L{layer}" for layer in choice.layers],
        column_labels=[str(k) for k in choice.ks],
        row_axis="layer",
        column_axis="k",
        low_label="chance (0)",
        high_label="all right (1)",
        value_label="MCC on validation",
    )


def _curves(name: str, choice: Choice, best: list[Scored], data: ProbeData, nouns: str) -> Lines:
    shown = best[:CURVES]
    series = [
        Series(
            name=f"L{scored.layer}" + (f", {scored.method}" if len(choice.methods) > 1 else ""),
            y=scored.of(name),
            low=scored.bands[name][:, 0],
            high=scored.bands[name][:, 1],
        )
        for scored in shown
    ]
    if len(best) > CURVES:
        series.append(
            Series(name=f"median of {len(best)} layers", y=np.median([scored.of(name) for scored in best], axis=0))
        )
    share = float(data.label[data.validation].mean())
    level = {
        SparseProbe.F1: Level(y=2 * share / (1 + share), label="always positive"),
        SparseProbe.MCC: Level(y=0, label="chance"),
        SparseProbe.AUC: Level(y=0.5, label="chance"),
    }[name]
    which = f"the best {len(shown)} of {len(best)} layers" if len(best) > 1 else f"L{shown[0].layer}"
    return Lines(
        title=f"{SCORES[name]} by k",
        note=f"{which}; band: 95 % over resampled documents · {_on(data)}",
        x=np.arange(len(choice.ks), dtype=np.float64),
        x_ticks=[str(k) for k in choice.ks],
        series=series,
        levels=[level],
        x_label=f"k, number of {nouns}",
        y_label=SCORES[name],
    )


def _layers(choice: Choice, best: list[Scored], data: ProbeData, probed: ProbedUnits) -> Table:
    rows: list[list[Any]] = []
    for scored in best:
        at = scored.best
        low, high = scored.bands["mcc"][at]
        scores = scored.scores
        rows.append(
            [
                f"L{scored.layer}",
                choice.ks[at],
                scored.method,
                float(scores.mcc[at]),
                f"{number(low)} to {number(high)}",
                float(scores.auc[at]),
                float(scores.f1[at]),
                str(probed.unit(scored.layer, int(scored.sweep.probes[0].units[0]))),
            ]
        )
    return Table(
        title="The best of each layer",
        note=f"the best k by MCC, then AUC · {_on(data)}, on which these were chosen: test is reported once, above",
        columns=[
            Column(key="layer", name="layer"),
            Column(key="k", name="k", kind="int"),
            Column(key="method", name="chosen by", gives_way="early"),
            Column(key="mcc", name="MCC", kind="number", gives_way="never"),
            Column(key="mcc_interval", name="95 %", gives_way="late"),
            Column(key="auc", name="AUC", kind="number"),
            Column(key="f1", name="F1", kind="number"),
            Column(key="unit", name=f"first {probed.noun}", kind="unit"),
        ],
        rows=rows,
    )


def unit_table(
    chosen: Chosen, values: np.ndarray, data: ProbeData, train_auc: np.ndarray, probed: ProbedUnits
) -> Table:
    """`values` are their raw activations, float32 [example, k]; `train_auc` float64 [k] of each by itself."""
    probe = chosen.probe
    train, label = data.train, data.label[data.train]
    rows: list[list[Any]] = []
    for at in np.argsort(-np.abs(probe.weight), kind="stable").tolist():
        column = values[train, at].astype(np.float64)
        rows.append(
            [
                str(probed.unit(chosen.layer, int(probe.units[at]))),
                float(probe.weight[at]),
                float(train_auc[at]),
                float(column[label].mean()),
                float(column[~label].mean()),
                at + 1,
            ]
        )
    negative, positive = data.examples.classes
    return Table(
        title=f"The chosen {probed.nouns}",
        note=f"largest weight first; activations are means over {count(len(train))} train examples; "
        "AUC below .5: lower where the label holds",
        columns=[
            Column(key=SparseProbe.UNIT, name="unit", kind="unit"),
            Column(
                key=SparseProbe.WEIGHT,
                name="weight",
                kind="signed",
                gives_way="never",
                help="of the scaled activation",
                quantity="log-odds a unit of scale",
            ),
            Column(
                key=SparseProbe.TRAIN_AUC,
                name="AUC alone",
                kind="number",
                help=f"of this {probed.noun} alone, on train",
            ),
            Column(key="mean_positive", name=positive, kind="signed", help="mean activation", gives_way="late"),
            Column(key="mean_negative", name=negative, kind="signed", help="mean activation", gives_way="late"),
            Column(key="rank", name="rank", kind="int", help="by the ranker, or when it was kept", gives_way="early"),
        ],
        rows=rows,
    )


def score_table(logits: np.ndarray, data: ProbeData, seed: int) -> Table:
    """Every score of the chosen probe on test, with its interval; `logits` float64 [test example]."""
    from workbench.lab.probing.scores import bands, scores

    label, document = data.label[data.test], data.document[data.test]
    table, band = scores(logits[None], label, document), bands(logits[None], label, document, seed)
    share = float(label.mean())
    compared = {"f1": data.always_f1, "precision": share, "recall": 1.0, "mcc": 0.0, "auc": 0.5}
    names = {**SCORES, "average_precision": "PR-AUC", "precision": "precision", "recall": "recall"}
    order = ("mcc", "auc", "f1", "precision", "recall", "average_precision")
    rows = [
        [
            names[name],
            float(getattr(table, name)[0]),
            " to ".join(number(end) for end in band[name][0]),
            compared.get(name, share),
        ]
        for name in order
    ]
    return Table(
        title="The chosen probe on test",
        note=f"test: {count(table.n)} examples of {count(table.documents)} documents, reported once; "
        "95 % over resampled documents",
        columns=[
            Column(key="score", name="score"),
            Column(key="value", name="value", kind="number", gives_way="never"),
            Column(key="interval", name="95 %", gives_way="never"),
            Column(
                key="baseline",
                name="no probe",
                kind="number",
                help="always positive: F1, precision, recall; by chance: MCC, AUC, PR-AUC",
            ),
        ],
        rows=rows,
        row_keys=list(order),
    )


def curve_view(logits: np.ndarray, data: ProbeData) -> Lines:
    """Precision against recall on test at every threshold; `logits` float64 [test example]."""
    from workbench.lab.probing.scores import precision_recall

    label = data.label[data.test]
    curve = precision_recall(logits, label)
    some = np.unique(np.linspace(0, len(curve.recall) - 1, POINTS).astype(int))[::-1]
    return Lines(
        title="Precision and recall, on test",
        note=f"{count(label.sum())} of {count(len(label))} test examples are {data.examples.classes[1]}",
        x=curve.recall[some],
        series=[Series(name="this probe", y=curve.precision[some])],
        levels=[Level(y=float(label.mean()), label="always positive")],
        x_label="recall",
        y_label="precision",
    )


def method_views(
    choice: Choice, chosen: Chosen, methods: list[Scored], data: ProbeData, probed: ProbedUnits
) -> dict[str, AnyView]:
    """Rankers and adaptive thresholding at the chosen layer, on validation; the best first."""
    ordered = sorted(methods, key=lambda scored: scored.key(scored.best), reverse=True)
    rows: list[list[Any]] = []
    for scored in ordered:
        best, same = scored.best, scored.sweep.probes[chosen.at]
        rows.append(
            [
                METHODS[scored.method] + (" (chosen)" if scored.method == chosen.method else ""),
                float(scored.scores.mcc[chosen.at]),
                float(scored.scores.auc[chosen.at]),
                choice.ks[best],
                float(scored.scores.mcc[best]),
                shared_units(chosen.probe.units, same.units),
            ]
        )
    others = [METHODS[scored.method] for scored in ordered if scored.method not in choice.methods]
    beside = f" · not among what was chosen from: {', '.join(others)}" if others else ""
    table = Table(
        title=f"Rankers at L{chosen.layer}",
        note=f"{_on(data)}{beside}",
        columns=[
            Column(key="method", name="ranker"),
            Column(key="mcc", name=f"MCC, k = {chosen.k}", kind="number", gives_way="never"),
            Column(key="auc", name="AUC", kind="number", help=f"at k = {chosen.k}"),
            Column(key="best_k", name="best k", kind="int"),
            Column(key="best_mcc", name="its MCC", kind="number"),
            Column(
                key="shared", name="shared", kind="int", help=f"how many it has of the {chosen.k} chosen {probed.nouns}"
            ),
        ],
        rows=rows,
        row_keys=[scored.method for scored in ordered],
    )
    lines = Lines(
        title=f"Rankers by k at L{chosen.layer}",
        note=_on(data),
        x=np.arange(len(choice.ks), dtype=np.float64),
        x_ticks=[str(k) for k in choice.ks],
        series=[Series(name=scored.method, y=scored.scores.mcc) for scored in ordered],
        levels=[Level(y=0, label="chance")],
        x_label=f"k, number of {probed.nouns}",
        y_label="MCC",
    )
    return {SparseProbe.METHODS: table, f"{SparseProbe.METHODS}_by_k": lines}
