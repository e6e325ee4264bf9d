"""What an index of an SAE's features shows when it is built: how often they fire, and those that fire most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.text import count, number
from workbench.views import Column, Histogram, Series, Table

if TYPE_CHECKING:
    from workbench.index.reader import NeuronIndex
    from workbench.report import Report

BINS = 30
SHOWN = 20


def add_features(index: NeuronIndex, report: Report) -> str:
    """Views and scalars of the whole SAE; returned is how many never fire, in words."""
    frequency = np.asarray(index.columns["frequency"].values)
    dead = int((frequency == 0).sum())
    report.scalar("dead", dead)
    report.add("features", _most_frequent(index, frequency))
    if dead < len(frequency):
        report.add("density", _density(index, frequency))
    return f"{count(dead)} never fire there ({number(100 * dead / len(frequency))} %)"


def _most_frequent(index: NeuronIndex, frequency: np.ndarray) -> Table:
    order = np.argsort(-frequency, kind="stable")[:SHOWN]
    columns = index.columns
    rows: list[list[Any]] = []
    for feature in order[frequency[order] > 0].tolist():
        promoted = index.promoted(feature)
        rows.append(
            [
                index.unit(feature),
                float(frequency[feature]),
                float(columns["active"].values[feature]),
                float(columns["max"].values[feature]),
                index.token(int(columns["peak"].values[feature])),
                index.token(promoted[0][0]) if promoted else "",
            ]
        )
    return Table(
        title="Features that fire most often",
        note=f"the first {len(rows)} of {count(len(frequency))}; all of them, in any order, on the Neurons screen",
        columns=[
            Column(key="unit", name="unit", kind="unit"),
            Column(key="frequency", name="fires on", kind="probability", help=columns["frequency"].help),
            Column(key="active", name="mean on", kind="number", help=columns["active"].help),
            Column(key="max", name="max", kind="number"),
            Column(key="peak", name="highest at", kind="token", help=columns["peak"].help, gives_way="early"),
            Column(key="promotes", name="promotes", kind="token", gives_way="early"),
        ],
        rows=rows,
    )


def _density(index: NeuronIndex, frequency: np.ndarray) -> Histogram:
    """Features by the logarithm of how often they fire."""
    logs = np.log10(frequency[frequency > 0].astype(np.float64))
    counts, edges = np.histogram(logs, bins=BINS)
    return Histogram(
        title="How often features fire",
        note=f"{count(len(logs))} features that fire at least once in {count(index.n_tokens)} tokens",
        edges=edges,
        series=[Series(name="features", y=counts.astype(np.float64))],
        x_label="log₁₀ of the share of tokens",
    )
