"""The views of `battery`: a row a set, set × layer, scores beside baselines, the best units set to 0. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from workbench.experiments._ablation import RULE
from workbench.experiments._battery import LayerRow, Result, SetRow, as_rows
from workbench.result_keys import Battery
from workbench.text import count, number
from workbench.views import AnyView, Bars, Column, Heatmap, Series, Table

ENOUGH = 0.9
"""MCC on test that the sentence counts from"""


def battery_views(
    results: Sequence[Result], names: Sequence[str], layers: Sequence[str], noun: str
) -> dict[str, AnyView]:
    """By key, of the sets that are done or failed; `names` are all sets, in their order; a unit is a `noun`."""
    rows = [result.row for result in results]
    done = [row for row in rows if row.is_done]
    by_layer = [layer for result in results for layer in result.layers]
    views: dict[str, AnyView] = {Battery.SETS: _sets(rows, len(names), noun)}
    if by_layer:
        views[Battery.ONE] = _map(f"One {noun}, set × layer", "mcc_one", by_layer, names, layers, noun)
        views[Battery.BEST] = _map("Best k, set × layer", "mcc_k", by_layer, names, layers, noun)
    if done:
        views[Battery.COMPARED] = _compared(done, noun)
    tried = [row for row in done if row.monosemantic]
    if tried:
        views[Battery.NEURONS] = _neurons(tried, noun)
    views[Battery.LAYERS] = _layers(by_layer, noun)
    return views


def _sets(rows: list[SetRow], n: int, noun: str) -> Table:
    columns = [
        Column(key=Battery.SET, name="set", gives_way="never"),
        Column(key="unit", name=f"best {noun}", kind="unit", help="of all, by AUC on train", gives_way="late"),
        Column(key="mcc_one", name=f"{noun} MCC", kind="number", help="by itself, on test", gives_way="never"),
        Column(key="mcc_k", name="MCC of k", kind="number", help="of the chosen probe, on test", gives_way="never"),
        Column(
            key="tokens_alone",
            name="tokens alone",
            kind="number",
            help="MCC of a probe that reads tokens and no activations (of several tokens: their bag)",
            gives_way="never",
        ),
        Column(key="monosemantic", name="monosemantic", help=f"the best {noun}, by its ablation", gives_way="never"),
        Column(key="problem", name="failed", help="why the set has no result", gives_way="late"),
        Column(key="layer", name="layer", help="of the chosen probe", gives_way="late"),
        Column(key="k", name="k", kind="int", help=f"{noun}s that the chosen probe reads", gives_way="late"),
        Column(key="selectivity", name="selectivity", kind="signed", help="MCC above the control task's"),
        Column(key="random_neurons", name="random", kind="number", help=f"MCC of k random {noun}s of the layer"),
        Column(key="p", name="p", kind="number", help="of permuted labels, of the chosen probe's MCC"),
        Column(key="examples", name="examples", kind="int"),
        Column(key="positives", name="positives", kind="int"),
        Column(key="test", name="test", kind="int", help="test examples", gives_way="early"),
        Column(key="documents", name="documents", kind="int", help="of the test examples", gives_way="early"),
        Column(key="mcc_one_low", name=f"{noun} ≥", kind="number", help="95 % over documents", gives_way="early"),
        Column(key="mcc_one_high", name=f"{noun} ≤", kind="number", help="95 % over documents", gives_way="early"),
        Column(key="auc_one", name=f"{noun} AUC", kind="number", help="on test", gives_way="early"),
        Column(
            key="p_one",
            name=f"{noun} p",
            kind="number",
            help=f"how often the best of all {noun}s does as well under permuted labels",
            gives_way="early",
        ),
        Column(key="mcc_k_low", name="MCC of k ≥", kind="number", help="95 % over documents", gives_way="early"),
        Column(key="mcc_k_high", name="MCC of k ≤", kind="number", help="95 % over documents", gives_way="early"),
        Column(key="auc_k", name="AUC of k", kind="number", gives_way="early"),
        Column(key="f1_k", name="F1 of k", kind="number", gives_way="early"),
        Column(key="rotated", name="rotated", kind="number", help="MCC in a rotated basis", gives_way="early"),
        *_ablation_columns("early", noun),
        *([Column(key="sae", name="SAE", help="its name and hash", gives_way="early")] if rows[0].sae else []),
    ]
    failed = sum(not row.is_done for row in rows)
    broken = f", {count(failed)} failed" if failed else ""
    return Table(
        title="Sets",
        note=f"{count(len(rows))} of {count(n)} sets{broken}; scores on test, reported once; layer and k are chosen on "
        f"validation, the best {noun} on train",
        columns=columns,
        rows=as_rows(rows, [column.key for column in columns]),
    )


def _ablation_columns(gives_way: Literal["late", "early"], noun: str) -> list[Column]:
    """All but unit and verdict; KL in nats."""
    on, ends = "nats, on that class", "95 %, clustered by document"
    return [
        Column(key="own", name="most on", help="the class on which setting it to 0 does most", gives_way=gives_way),
        Column(key="kl_own", name="KL own", kind="number", help=on, gives_way=gives_way),
        Column(key="kl_own_low", name="own ≥", kind="number", help=ends, gives_way="early"),
        Column(key="kl_own_high", name="own ≤", kind="number", help=ends, gives_way="early"),
        Column(key="kl_next", name="KL next", kind="number", help="nats, on the other class", gives_way=gives_way),
        Column(key="kl_next_high", name="next ≤", kind="number", help=ends, gives_way="early"),
        Column(
            key="kl_matched",
            name="matched",
            kind="number",
            help=f"KL of the matched {noun} that does most there",
            gives_way=gives_way,
        ),
        Column(
            key="kl_same_norm",
            name="same norm",
            kind="number",
            help="KL of random directions, as long a change",
            gives_way=gives_way,
        ),
        Column(key="ratio", name="ratio", kind="number", help="own ≥ over next ≤", gives_way=gives_way),
        Column(key="why", name="why not", gives_way=gives_way),
    ]


def _neurons(rows: list[SetRow], noun: str) -> Table:
    """The unit that came nearest first."""
    columns = [
        Column(key=Battery.SET, name="set", gives_way="never"),
        Column(key=Battery.UNIT, name="unit", kind="unit"),
        Column(key="monosemantic", name="monosemantic", gives_way="never"),
        *_ablation_columns("late", noun),
    ]
    ordered = sorted(rows, key=lambda row: (row.monosemantic != "yes", -(row.ratio or 0.0)))
    return Table(
        title=f"The best {noun}s set to 0, by class",
        note=RULE,
        columns=columns,
        rows=as_rows(ordered, [column.key for column in columns]),
    )


def _map(
    title: str, key: str, rows: Sequence[LayerRow], names: Sequence[str], layers: Sequence[str], noun: str
) -> Heatmap:
    values = np.full((len(names), len(layers)), np.nan)
    for row in rows:
        value = getattr(row, key)
        values[names.index(row.set), layers.index(row.layer)] = np.nan if value is None else value
    chosen = f"the {noun} of largest mean difference on train" if key == "mcc_one" else "the best of all k"
    return Heatmap(
        title=title,
        note=f"{chosen}; on validation, on which layer and k are chosen: test is in the table of sets",
        values=values,
        row_labels=list(names),
        column_labels=list(layers),
        row_axis="set",
        column_axis="layer",
        low_label="chance (0)",
        high_label="all right (1)",
        value_label="MCC on validation",
        first_row_low=False,
    )


def _compared(rows: list[SetRow], noun: str) -> Bars:
    named = {
        f"one {noun}": "mcc_one",
        f"k {noun}s": "mcc_k",
        "tokens alone": "tokens_alone",
        f"random {noun}s": "random_neurons",
    }
    series = []
    for name, key in named.items():
        values = [getattr(row, key) for row in rows]
        low, high = ([getattr(row, f"{key}_{end}", None) for row in rows] for end in ("low", "high"))
        bounded = all(value is not None for value in (*low, *high))
        series.append(
            Series(
                name=name,
                y=_floats(values),
                low=_floats(low) if bounded else None,
                high=_floats(high) if bounded else None,
            )
        )
    return Bars(
        title="MCC on test, beside tokens alone",
        note="95 % over resampled documents",
        labels=[row.set for row in rows],
        series=series,
        y_label="MCC",
    )


def _floats(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _layers(rows: Sequence[LayerRow], noun: str) -> Table:
    columns = [
        Column(key=Battery.SET, name="set", gives_way="never"),
        Column(key="layer", name="layer", gives_way="never"),
        Column(key="mcc_one", name=f"MCC, one {noun}", kind="number", help="of largest mean difference"),
        Column(key="mcc_k", name="MCC, best k", kind="number"),
        Column(key="k", name="k", kind="int", help="the best one"),
        Column(key="auc", name=f"AUC, best {noun}", kind="number", help="on train, or 1 − AUC"),
    ]
    return Table(
        title="Every set and layer",
        note="MCC on validation",
        columns=columns,
        rows=as_rows(list(rows), [column.key for column in columns]),
    )


def sentence(rows: Sequence[SetRow], n: int, noun: str) -> str:
    """How many sets have their unit, which is a `noun`, beside tokens alone; how many of these are monosemantic."""
    done = [row for row in rows if row.is_done]
    if not done:
        return f"none of {count(n)} sets has a result: the table says why"
    of = f"{count(n)} set{'s' * (n != 1)}" if len(done) == n else f"{count(len(done))} of {count(n)} sets done"
    parts = [
        f"{of}: one {noun} has MCC ≥ {number(ENOUGH)} on test in {_reached(done, 'mcc_one')}",
        f"k {noun}s in {_reached(done, 'mcc_k')}",
    ]
    yes = [row for row in done if row.monosemantic == "yes"]
    named = f": {', '.join(f'{row.unit} ({row.set})' for row in yes[:4])}{' …' if len(yes) > 4 else ''}" if yes else ""
    verb = "is" if len(yes) < 2 else "are"
    parts.append(f"{count(len(yes)) if yes else 'none'} of the best {noun}s, one a set, {verb} monosemantic{named}")
    ratios = [(row.ratio, row) for row in done if row.ratio is not None and row.monosemantic == "no"]
    if not yes and ratios:
        ratio, row = max(ratios, key=lambda pair: pair[0])
        parts.append(f"highest ratio of classes: {number(ratio)}, {row.unit} ({row.set})")
    failed = sum(not row.is_done for row in rows)
    if failed:
        parts.append(f"{count(failed)} failed")
    return " · ".join(parts)


def reach(rows: Sequence[SetRow], key: str) -> list[SetRow]:
    """Those whose MCC on test is ENOUGH."""
    return [row for row in rows if (getattr(row, key) or 0.0) >= ENOUGH]


def _reached(rows: Sequence[SetRow], key: str) -> str:
    """How many, and how many of them have the lower end of their interval above the probe on tokens alone."""
    reached = reach(rows, key)
    if not reached:
        return "none"
    above = sum((getattr(row, f"{key}_low") or 0.0) > (row.tokens_alone or 0.0) for row in reached)
    return f"{count(len(reached))} ({count(above) if above else 'none'} above tokens alone)"
