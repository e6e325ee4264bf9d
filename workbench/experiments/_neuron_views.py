"""The views of `neuron-probe`, and what `probe-ablate` shows of a unit: by class, its errors in text. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.experiments._probe_data import ProbeData
from workbench.result_keys import NeuronProbe
from workbench.text import count, number
from workbench.units import Feature, Neuron
from workbench.views import Column, Histogram, Level, Lines, Mark, Series, Table, TokenRow, Tokens

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.probing.every_unit import LayerUnits
    from workbench.lab.probing.nulls import BestOfAll

BINS = 30
AUC_BINS = 40
TEXTS = 6
"""whose errors are shown, each of a document of its own"""
BEFORE, AFTER = 16, 4
"""tokens around an error"""
BREAK = "\n"
"""between two texts"""


@dataclass(frozen=True)
class NeuronClassifier:
    """The probe of one neuron, or one feature: logit = weight · (activation − mean) / scale + intercept."""

    unit: Neuron | Feature
    weight: float
    mean: float
    scale: float
    intercept: float
    train_auc: float
    validation_auc: float

    @property
    def separation(self) -> float:
        """|AUC − ½| on train, by which neurons rank."""
        return abs(self.train_auc - 0.5)

    @property
    def higher(self) -> bool:
        """It is higher where the label holds."""
        return self.train_auc >= 0.5

    @property
    def threshold(self) -> float | None:
        """The activation at which it changes sides; None where it never does."""
        return self.mean - self.intercept * self.scale / self.weight if self.weight else None

    def logits(self, activations: np.ndarray) -> np.ndarray:
        """float64, of the shape of its activations."""
        return np.asarray(self.weight * (activations.astype(np.float64) - self.mean) / self.scale + self.intercept)


def classifier(units: LayerUnits, at: int, unit: Neuron | Feature) -> NeuronClassifier:
    """A unit's, which is number `at` of the units."""
    values = (
        float(array[at])
        for array in (units.weight, units.mean, units.scale, units.intercept, units.train_auc, units.validation_auc)
    )
    return NeuronClassifier(unit, *values)


# --- all units ---------------------------------------------------------------------------------------


def neuron_table(
    best: list[NeuronClassifier],
    logits: np.ndarray | None,
    data: ProbeData,
    null: BestOfAll | None,
    n: int,
    seed: int,
    nouns: str,
) -> Table:
    """The best of `n` units, which are `nouns` (neurons, features).

    `logits` float64 [unit, test example], None as long as others may be better.
    """
    label, document = data.label[data.test], data.document[data.test]
    on_test = [[None, "", None, "", None]] * len(best) if logits is None else _on_test(logits, label, document, seed)
    rows: list[list[Any]] = [
        [
            str(each.unit),
            each.train_auc,
            null.expected(each.separation) if null is not None else None,
            *cells,
        ]
        for each, cells in zip(best, on_test, strict=True)
    ]
    negative, positive = data.examples.classes
    documents = count(len(np.unique(document)))
    return Table(
        title=f"The best {nouns}, each alone",
        note=f"the first {count(len(best))} of {count(n)} by |AUC − .5| on train, ties by validation; scores on test, "
        f"{count(len(label))} examples of {documents} documents; always positive: F1 {number(data.always_f1)}",
        columns=[
            Column(key=NeuronProbe.UNIT, name="unit", kind="unit"),
            Column(
                key="train_auc",
                name="AUC train",
                kind="number",
                help=f"below .5: lower where the label is {positive} than where it is {negative}",
            ),
            Column(
                key="by_chance",
                name="by chance",
                kind="number",
                help=f"how many of all {nouns} permuted labels put as far from .5",
                gives_way="late",
            ),
            Column(key=NeuronProbe.AUC, name="AUC", kind="number", help="of its probe, on test", gives_way="late"),
            Column(key="auc_interval", name="AUC 95 %", help="over resampled documents", gives_way="early"),
            Column(key=NeuronProbe.MCC, name="MCC", kind="number", help="on test", gives_way="never"),
            Column(key="mcc_interval", name="MCC 95 %", help="over resampled documents", gives_way="never"),
            Column(key=NeuronProbe.F1, name="F1", kind="number", help="on test"),
        ],
        rows=rows,
    )


def _on_test(logits: np.ndarray, label: np.ndarray, document: np.ndarray, seed: int) -> list[list[Any]]:
    """AUC and MCC with their intervals, and F1, of probes [probe, example]: a list of cells each."""
    from workbench.lab.probing.scores import bands, scores

    table, interval = scores(logits, label, document), bands(logits, label, document, seed)
    return [
        [
            float(table.auc[at]),
            _ends(*interval["auc"][at]),
            float(table.mcc[at]),
            _ends(*interval["mcc"][at]),
            float(table.f1[at]),
        ]
        for at in range(len(logits))
    ]


def _ends(low: float, high: float) -> str:
    return f"{number(low)} to {number(high)}"


def layer_lines(layers: dict[int, np.ndarray], null: BestOfAll | None, noun: str) -> Lines:
    """Train AUCs (float64 [unit], each a `noun`) of the layers that are done, the better side of each."""
    away = {layer: 0.5 + np.abs(auc - 0.5) for layer, auc in layers.items()}
    levels = [Level(y=0.5, label=f"chance of one {noun}")]
    if null is not None:
        levels.append(Level(y=0.5 + float(np.quantile(null.best, 0.95)), label="best of all, labels permuted (95 %)"))
    series = [
        (f"best {noun}", [values.max() for values in away.values()]),
        ("99th percentile", [np.quantile(values, 0.99) for values in away.values()]),
        ("median", [np.median(values) for values in away.values()]),
    ]
    return Lines(
        title="AUC by layer, on train",
        note=f"of each {noun} AUC or 1 − AUC, whichever is larger",
        x=np.array(list(layers), np.float64),
        x_ticks=[f"L{layer}" for layer in layers],
        series=[Series(name=name, y=np.array(values)) for name, values in series],
        levels=levels,
        x_label="layer",
        y_label="AUC",
    )


def auc_histogram(layers: dict[int, np.ndarray], null: BestOfAll, noun: str) -> Histogram:
    """Every unit, which is a `noun`, by its train AUC, beside how many permuted labels put there."""
    away = np.abs(np.concatenate(list(layers.values())) - 0.5)
    edges = np.linspace(0, 0.5, AUC_BINS + 1)
    beyond = np.array([null.expected(edge) for edge in edges])
    beyond[-1] = 0.0  # the last bin holds its own end
    return Histogram(
        title=f"Every {noun}'s AUC, on train",
        note=f"{count(len(away))} {noun}s, AUC or 1 − AUC; labels permuted: mean of {count(len(null.best))} draws",
        edges=0.5 + edges,
        series=[
            Series(name=f"{noun}s", y=np.histogram(away, edges)[0].astype(np.float64)),
            Series(name="labels permuted", y=beyond[:-1] - beyond[1:]),
        ],
        x_label="AUC",
        log_counts=True,
        marks=[
            Mark(x=0.5 + float(np.quantile(null.best, 0.95)), label="best of all, labels permuted (95 %)"),
            Mark(x=0.5 + float(away.max()), label=f"the best {noun}"),
        ],
    )


# --- one unit ----------------------------------------------------------------------------------------


def class_histogram(one: NeuronClassifier, activations: np.ndarray, label: np.ndarray, data: ProbeData) -> Histogram:
    """Its activations by class; `activations` and `label` (bool) [test example]."""
    negative, positive = data.examples.classes
    low, high = float(activations.min()), float(activations.max())
    edges = np.linspace(low, high, BINS + 1) if low < high else np.linspace(low - 0.5, high + 0.5, BINS + 1)
    marks = [] if one.threshold is None or not low <= one.threshold <= high else [
        Mark(x=one.threshold, label="threshold")
    ]  # fmt: skip
    pooling = data.examples.pooling
    read = "at the token" if pooling == "token" else f"{pooling} over each example's tokens"
    return Histogram(
        title=f"{one.unit} by class, on test",
        note=f"activations {read}; AUC on train {number(one.train_auc)}",
        edges=edges,
        series=[
            Series(name=name, y=np.histogram(activations[label == side], edges)[0].astype(np.float64))
            for side, name in ((True, positive), (False, negative))
        ],
        x_label=f"activation of {one.unit}",
        marks=marks,
    )


def errors_view(lab: Lab, one: NeuronClassifier, logits: np.ndarray, data: ProbeData) -> Tokens:
    """The test examples that it gets wrong by most, a few words around each; without any, those nearest to wrong.

    `logits` float64 [test example].
    """
    label = data.label[data.test]
    margin = np.where(label, logits, -logits)  # above 0 where it is right
    wrong = margin <= 0
    examples, chosen = data.examples, _worst(margin, data)
    tokens: list[str] = []
    values: list[float] = []
    labels: list[str] = []
    negative, positive = examples.classes
    for at in chosen:
        example = int(data.test[at])
        first, last = max(int(examples.first[example]), 1), int(examples.last[example])
        ids = examples.windows[int(examples.window[example])]
        activations = _activations(lab, ids[: last + 1 + AFTER], one.unit)
        start, end = max(0, last - BEFORE), min(len(ids), last + 1 + AFTER)
        truth = int(label[at])
        word = f"{truth}→{1 - truth}" if wrong[at] else f"{truth}"
        if tokens:
            tokens.append(BREAK)
            values.append(np.nan)
            labels.append("")
        tokens += [lab.token(index) for index in ids[start:end]]
        values += activations[start:end].tolist()
        labels += [word if first <= place <= last else "" for place in range(start, end)]
    n_wrong = int(wrong.sum())
    shown = f"the {count(len(chosen))} worst" if n_wrong else f"none is wrong: the {count(len(chosen))} nearest to it"
    return Tokens(
        title=f"Errors of {one.unit} in text",
        note=f"{count(n_wrong)} of {count(len(label))} test examples wrong; {shown}, one a document; 0: {negative}, "
        f"1: {positive}, 0→1: {negative} read as {positive}; threshold {number(one.threshold)}",
        tokens=tokens,
        rows=[TokenRow(name=str(one.unit), values=np.array(values))],
        value_label=f"activation of {one.unit}",
        low_label="negative",
        high_label="positive",
        signed=True,
        labels=labels,
    )


def _worst(margin: np.ndarray, data: ProbeData) -> list[int]:
    """Test examples by margin, lowest first, of documents that differ: only wrong ones where there are any."""
    document = data.document[data.test]
    chosen: dict[int, int] = {}
    for at in np.argsort(margin, kind="stable").tolist():
        if len(chosen) == TEXTS or (chosen and margin[at] > 0 and margin.min() <= 0):
            break
        chosen.setdefault(int(document[at]), at)
    return list(chosen.values())


def _activations(lab: Lab, ids: tuple[int, ...], unit: Neuron | Feature) -> np.ndarray:
    """Of one window under the lab's edits, float64 [position]; nan at position 0, which never counts."""
    from workbench.lab.prompts import Prompt
    from workbench.lab.reading import read

    prompt = Prompt("", np.array(ids, np.int64), [], None, False)
    values = next(reading.values for reading in read(lab, [unit], prompt, lab.edits) if reading.main).astype(np.float64)
    values[0] = np.nan
    return values
