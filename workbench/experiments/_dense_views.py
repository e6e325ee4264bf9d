"""The views of `dense-probe`: scores by layer, what is left without a direction, predictions. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.experiments._dense import SCORES, DenseTask
from workbench.experiments._dense_baselines import DenseBaselines
from workbench.experiments._probe_data import TokenBaseline
from workbench.result_keys import DenseProbe
from workbench.statistics import band
from workbench.text import count, number, quoted, spread
from workbench.views import Column, Heatmap, Level, Lines, Scatter, Series, Table


@dataclass(frozen=True)
class LayerScore:
    """A layer's probe on validation."""

    layer: int
    head: int | None
    """its best head, where heads have probes of their own"""
    predicted: np.ndarray
    """float64 [validation example]"""
    value: dict[str, float]
    interval: dict[str, tuple[float, float]]
    alpha: float | None
    """a ridge's penalty"""


def on_validation(task: DenseTask) -> str:
    rows = task.data.validation
    return f"validation: {count(len(rows))} examples of {count(len(np.unique(task.data.document[rows])))} documents"


def layer_lines(task: DenseTask, layers: list[LayerScore], site: str, tokens: list[TokenBaseline]) -> Lines:
    """The score that leads by layer, beside probes that read tokens alone."""
    lead = task.lead
    values = task.values[task.data.validation]
    levels = [Level(y=0.0, label="chance")]
    levels += [Level(y=task.scores(each.validation, values)[lead], label=each.name) for each in tokens]
    return Lines(
        title=f"{SCORES[lead]} by layer, {site}",
        note=f"{task.words} · {on_validation(task)} · band: 95 % over documents",
        x=np.array([each.layer for each in layers], np.float64),
        x_ticks=[f"L{each.layer}" for each in layers],
        series=[
            Series(
                name=SCORES[lead],
                y=np.array([each.value[lead] for each in layers]),
                low=np.array([each.interval[lead][0] for each in layers]),
                high=np.array([each.interval[lead][1] for each in layers]),
            )
        ],
        levels=levels,
        x_label="layer",
        y_label=SCORES[lead],
    )


def head_map(task: DenseTask, layers: list[int], by_head: list[list[float]]) -> Heatmap:
    """The score that leads of every head by itself."""
    lead = SCORES[task.lead]
    return Heatmap(
        title=f"{lead}, layer × head",
        note=on_validation(task),
        values=np.array(by_head),
        row_labels=[f"L{layer}" for layer in layers],
        column_labels=[f"H{head}" for head in range(len(by_head[0]))],
        row_axis="layer",
        column_axis="head",
        low_label="chance (0)",
        high_label="all right (1)",
        value_label=lead,
    )


def layer_table(task: DenseTask, layers: list[LayerScore]) -> Table:
    """Every layer on validation, in their order."""
    ridge, heads = layers[0].alpha is not None, layers[0].head is not None
    rows: list[list[Any]] = [
        [
            f"L{each.layer}",
            *([f"H{each.head}"] if heads else []),
            *(each.value[name] for name in task.names),
            " to ".join(map(number, each.interval[task.lead])),
            *([each.alpha] if ridge else []),
        ]
        for each in layers
    ]
    columns = [Column(key=DenseProbe.LAYER, name="layer")]
    if heads:
        columns.append(Column(key=DenseProbe.HEAD, name="head", help="the best of the layer"))
    columns += [Column(key=name, name=SCORES[name], kind="number") for name in task.names]
    columns.append(
        Column(key="interval", name=f"{SCORES[task.lead]}, 95 %", help="over resampled documents", gives_way="late")
    )
    if ridge:
        columns.append(Column(key="alpha", name="penalty", kind="number", help="by leave-one-out", gives_way="early"))
    return Table(title="By layer", note=on_validation(task), columns=columns, rows=rows)


def predicted_view(task: DenseTask, predicted: np.ndarray) -> Scatter:
    """Numbers on test against what was predicted."""
    test = task.data.test
    return Scatter(
        title="Predicted numbers, on test",
        note=f"test: {count(len(test))} examples",
        x=task.values[test],
        y=predicted,
        x_label="target",
        y_label="predicted",
    )


@dataclass(frozen=True)
class Refits:
    """The score that leads, refitted after a direction was projected out."""

    with_all: float
    """nothing projected out"""
    without: float
    shuffled: np.ndarray
    """without a mean difference of shuffled labels, float64 [draw]"""
    drawn: np.ndarray
    """without a direction of the activations' covariance, float64 [draw]"""

    @property
    def random(self) -> np.ndarray:
        return np.concatenate([self.shuffled, self.drawn])

    def table(self, task: DenseTask, label: str) -> Table:
        """A row each; `label` is what the probe's own direction is called."""
        lead = SCORES[task.lead]
        rows: list[list[Any]] = [
            ["nothing", self.with_all, "", 1],
            [label, self.without, "", 1],
        ]
        for what, values in (
            ("mean difference, shuffled labels", self.shuffled),
            ("random direction (Σ)", self.drawn),
        ):
            middle = band(values)
            rows.append([what, middle.median, f"{number(middle.low)} to {number(middle.high)}", len(values)])
        fitted = "ridge" if task.numeric else "logistic"
        # Of classes with one mean no linear probe learns anything (Belrose et al. 2023, "LEACE").
        equal_means = (
            f" · without {label} both classes have one mean on train, so that no linear probe can learn from it"
            if task.method == "means"
            else ""
        )
        return Table(
            title="What a probe still reads",
            note=f"a {fitted} probe fitted anew at this layer, one direction projected out, on test{equal_means}",
            columns=[
                Column(key=DenseProbe.WHAT, name="projected out"),
                Column(key=task.lead, name=lead, kind="number", gives_way="never", help="median of several"),
                Column(key="interval", name="5–95 %", gives_way="late"),
                Column(key="draws", name="draws", kind="int", gives_way="early"),
            ],
            rows=rows,
            row_keys=["nothing", "direction", "shuffled", "random"],
        )

    def sentence(self, label: str, lead: str) -> str:
        middle = band(self.random)
        chance = spread(number(middle.median), number(middle.low), number(middle.high))
        higher = int((self.random > self.without).sum())
        place = "lower than all" if higher == len(self.random) else f"lower than {higher} of"
        return (
            f"without {label} a probe fitted anew still has {lead} {number(self.without)} (with it "
            f"{number(self.with_all)}); without one of {len(self.random)} random directions: {chance}; "
            f"{place} {len(self.random)}"
        )


def sentence(task: DenseTask, name: str, place: str, baselines: DenseBaselines) -> str:
    """What was found, on test, beside the strongest thing that needs no activations."""
    probe, lead = baselines.rows[0], SCORES[task.lead]
    negative, positive = task.data.examples.classes
    beyond = baselines.chance.beyond
    if task.numeric:
        tells = f"{'predicts' if beyond else 'does not predict'} {quoted(task.data.name)}"
    else:
        tells = f"{'tells' if beyond else 'does not tell'} {quoted(positive)} from {quoted(negative)}"
    low, high = probe.interval[task.lead]
    parts = [
        f"{name} at {place} {tells}{'' if beyond else ' beyond chance'}: {lead} {number(probe.value[task.lead])} "
        f"({number(low)} to {number(high)}) on test"
    ]
    if not task.numeric:
        parts.append(f"F1 {number(probe.value['f1'])} (always positive {number(task.data.always_f1)})")
    best = baselines.tokens
    if best is not None:
        reads = ", so the probe may only read tokens" if baselines.reads_tokens else ""
        parts.append(f"{best.name} alone: {lead} {number(baselines.lead(best))}{reads}")
    control = baselines.row("control_task")
    if control is not None:
        parts.append(f"control task {number(baselines.lead(control))}")
    if baselines.null:
        parts.append(baselines.chance.text)
    return " · ".join(parts)
