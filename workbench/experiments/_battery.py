"""What `battery` knows of a set when it is done: read off the steps under it, kept as rows, taken from them again."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from workbench.datasets.labelled.labelled_set import LabelledSet
from workbench.experiments._common import number_or_none
from workbench.report import Earlier, Report
from workbench.result_keys import Battery, NeuronProbe, ProbeAblate, SparseProbe
from workbench.views import Heatmap, Lines, Table


class LayerRow(msgspec.Struct, kw_only=True):
    """One set at one layer; fields are the keys of columns."""

    set: str
    layer: str
    mcc_one: float | None
    """of the probe of one neuron, on validation"""
    mcc_k: float | None
    """of the best k, on validation"""
    k: int
    auc: float | None
    """of the best neuron, on train"""


class SetRow(msgspec.Struct, kw_only=True):
    """One set: its probes' scores on test and its best neuron's ablation, or why there is none of that.

    Fields are the keys of columns: a row is read back as it was written.
    """

    set: str
    problem: str = ""
    """why the set has no result; empty where it has one"""
    sae: str = ""
    """name and hash of the SAE whose features the units are; empty of neurons"""
    examples: int | None = None
    """in all"""
    positives: int | None = None
    test: int | None = None
    """examples"""
    documents: int | None = None
    """of the test examples"""
    layer: str = ""
    """of the chosen sparse probe"""
    k: int | None = None
    mcc_k: float | None = None
    """of the chosen sparse probe, on test"""
    mcc_k_low: float | None = None
    mcc_k_high: float | None = None
    auc_k: float | None = None
    f1_k: float | None = None
    tokens_alone: float | None = None
    selectivity: float | None = None
    """MCC above the control task's; None for sets that read several tokens"""
    random_neurons: float | None = None
    rotated: float | None = None
    p: float | None = None
    """of permuted labels, as often as they reach the chosen probe's MCC"""
    unit: str = ""
    """the best neuron of the model by itself"""
    mcc_one: float | None = None
    mcc_one_low: float | None = None
    mcc_one_high: float | None = None
    auc_one: float | None = None
    p_one: float | None = None
    """of the best of all neurons under permuted labels"""
    own: str = ""
    """the class on which setting it to 0 does most"""
    kl_own: float | None = None
    """nats, as all KL"""
    kl_own_low: float | None = None
    kl_own_high: float | None = None
    kl_next: float | None = None
    kl_next_high: float | None = None
    kl_matched: float | None = None
    """of the matched neuron that does most there"""
    kl_same_norm: float | None = None
    """of random directions, there"""
    ratio: float | None = None
    monosemantic: str = ""
    """yes or no; empty where the neuron was not tried"""
    why: str = ""
    """not"""

    @property
    def is_done(self) -> bool:
        return not self.problem


class Result(msgspec.Struct, kw_only=True):
    """Of a set."""

    row: SetRow
    layers: list[LayerRow] = []


# --- read off the steps under it -----------------------------------------------------------------------


def add_sparse(result: Result, part: Report) -> None:
    """What `sparse-probe` found."""
    row, numbers = result.row, part.scalars
    row.examples, row.positives = _count(numbers, SparseProbe.EXAMPLES), _count(numbers, SparseProbe.POSITIVES)
    row.test, row.documents = _count(numbers, SparseProbe.TEST), _count(numbers, SparseProbe.DOCUMENTS)
    row.layer, row.k = f"L{_count(numbers, SparseProbe.LAYER)}", _count(numbers, SparseProbe.K)
    mcc = SparseProbe.MCC
    row.mcc_k, row.auc_k, row.f1_k = numbers.get(mcc), numbers.get(SparseProbe.AUC), numbers.get(SparseProbe.F1)
    row.mcc_k_low, row.mcc_k_high = numbers.get(SparseProbe.low(mcc)), numbers.get(SparseProbe.high(mcc))
    row.tokens_alone, row.selectivity = numbers.get(SparseProbe.TOKENS_ALONE), numbers.get("mcc_selectivity")
    row.random_neurons, row.rotated = numbers.get("mcc_random_neurons"), numbers.get("mcc_rotated_basis")
    row.p = numbers.get(SparseProbe.P)
    grid = part.views[SparseProbe.MAP]
    assert isinstance(grid, Heatmap)
    ks = [int(label) for label in grid.column_labels]
    for label, values in zip(grid.row_labels, grid.values, strict=True):
        best = int(np.nanargmax(values))
        one = float(values[ks.index(1)]) if 1 in ks else float("nan")
        result.layers.append(
            LayerRow(
                set=row.set,
                layer=label,
                mcc_one=number_or_none(one),
                mcc_k=number_or_none(float(values[best])),
                k=ks[best],
                auc=None,
            )
        )


def add_neuron(result: Result, part: Report) -> None:
    """What `neuron-probe` found."""
    row, numbers = result.row, part.scalars
    best, by_layer = part.views[NeuronProbe.NEURONS], part.views[NeuronProbe.BY_LAYER]
    assert isinstance(best, Table)
    assert isinstance(by_layer, Lines)
    row.unit = str(best.cells(NeuronProbe.UNIT)[0])
    row.mcc_one, row.auc_one = numbers.get(NeuronProbe.MCC), numbers.get(NeuronProbe.AUC)
    row.mcc_one_low, row.mcc_one_high = numbers.get(NeuronProbe.LOW), numbers.get(NeuronProbe.HIGH)
    row.p_one = numbers.get(NeuronProbe.P)
    for layer, auc in zip(result.layers, by_layer.series[0].y.tolist(), strict=True):
        layer.auc = auc


def add_ablation(result: Result, labelled: LabelledSet, part: Report) -> None:
    """What `probe-ablate` found of that neuron."""
    row, numbers = result.row, part.scalars
    classes, verdict = part.views[ProbeAblate.CLASSES], part.views[ProbeAblate.VERDICT]
    assert isinstance(classes, Table)
    assert isinstance(verdict, Table)
    (ruled,) = verdict.records()
    row.own, row.ratio, row.monosemantic, row.why = (ruled[key] for key in ("own", "ratio", "monosemantic", "why"))
    row.kl_next_high = ruled["next_high"]
    for effect in classes.records():
        if effect[ProbeAblate.CLASS] == row.own:
            row.kl_own, row.kl_matched, row.kl_same_norm = effect["kl"], effect["controls_high"], effect["same_norm"]
        else:
            row.kl_next = effect["kl"]
    side = "positive" if row.own == labelled.classes[1] else "negative"
    row.kl_own_low, row.kl_own_high = numbers.get(f"kl_{side}_low"), numbers.get(f"kl_{side}_high")


def _count(numbers: dict[str, float | None], key: str) -> int:
    value = numbers[key]
    assert value is not None
    return int(value)


# --- taken from an earlier run -------------------------------------------------------------------------


def kept_results(earlier: Earlier, sae: str) -> dict[str, Result]:
    """The sets that an earlier run of the same parameters had done, by name; those that failed are tried again.

    `sae` is what rows say of the SAE now: features of another one under the same name are probed anew.
    """
    sets, layers = earlier.tables.get(Battery.SETS), earlier.tables.get(Battery.LAYERS)
    if sets is None or layers is None:
        return {}
    try:
        rows = msgspec.convert(sets.records(), list[SetRow])
        by_layer = msgspec.convert(layers.records(), list[LayerRow])
    except msgspec.ValidationError:  # of a version that kept other columns
        return {}
    return {
        row.set: Result(row=row, layers=[layer for layer in by_layer if layer.set == row.set])
        for row in rows
        if row.is_done and row.sae == sae
    }


def as_rows(structs: list[Any], keys: list[str]) -> list[list[Any]]:
    """A table's rows, by the keys of its columns."""
    return [[getattr(struct, key) for key in keys] for struct in structs]
