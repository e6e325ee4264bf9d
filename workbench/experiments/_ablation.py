"""What an ablation does class by class, and the rule for what is monosemantic (METHODS, "Monosemantic"). No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.experiments._common import number_or_none
from workbench.result_keys import ProbeAblate
from workbench.statistics import NORMAL_95, Mean, band, clustered_mean, kl_place_among
from workbench.text import count, number, quoted
from workbench.units import Feature, Neuron
from workbench.views import Bars, Column, Series, Table

if TYPE_CHECKING:
    from workbench.lab.probing.ablation import Ablation

TIMES = 10
"""how far the lower end on a unit's own class lies above the upper end on the next"""
RULE = (
    f"monosemantic: KL on its own class, lower end, ≥ {TIMES} × the next class's upper end, above every matched unit "
    "and above the upper end of random directions of the same norm"
)


@dataclass(frozen=True)
class Interval:
    """A mean with 95 % of a normal distribution around it, its error clustered by document."""

    mean: Mean

    @property
    def low(self) -> float:
        return self.mean.value - NORMAL_95 * self.mean.se

    @property
    def high(self) -> float:
        return self.mean.value + NORMAL_95 * self.mean.se

    @property
    def text(self) -> str:
        """`.012 (.008 to .016)`; without an interval where there is one document."""
        if np.isnan(self.mean.se):
            return number(self.mean.value)
        return f"{number(self.mean.value)} ({number(max(0.0, self.low))} to {number(self.high)})"


@dataclass(frozen=True)
class ClassEffect:
    """One unit's ablation at the examples of one class."""

    name: str
    examples: int
    kl: Interval
    """nats"""
    loss: Mean
    """change of the loss of later tokens, nats a token; nan where every text ends there"""
    controls: np.ndarray
    """mean KL of each matched unit, float64 [control]"""
    distance: Interval | None
    """KL of random directions of the same norm; None where there are none"""
    rounding: float
    """KL that rounding alone makes, the largest draw"""

    @property
    def place(self) -> str:
        """Where its KL lies among the matched units': `larger than all 16`."""
        n = len(self.controls)
        if not n:
            return ""
        smaller = kl_place_among(self.kl.mean.value, self.controls, self.rounding).smaller
        return f"larger than {'all ' if smaller == n else f'{smaller} of '}{n}"

    @property
    def matched_high(self) -> float:
        """KL of the matched unit that has most; nan without any."""
        return float(self.controls.max()) if len(self.controls) else float("nan")


def class_effects(
    ablation: Ablation, names: Sequence[str], label: np.ndarray, document: np.ndarray, later: np.ndarray
) -> list[ClassEffect]:
    """By class, the second (label 1) first, of the examples that are done; classes without any are left out.

    `label` (bool), `document` and `later` (how many tokens come behind) [example].
    """
    done = np.isfinite(ablation.effects.kl)
    effects = []
    for side in (True, False):
        members = done & (label == side)
        if not members.any():
            continue
        documents = document[members]

        def mean(values: np.ndarray, documents: np.ndarray = documents) -> Mean:
            return _by_document(values, np.ones(len(values)), documents)

        distance = np.array([draw.kl[members] for draw in ablation.distance])
        effects.append(
            ClassEffect(
                names[int(side)],
                int(members.sum()),
                Interval(mean(ablation.effects.kl[members])),
                _by_document(ablation.effects.loss[members], later[members], documents),
                np.array([control.kl[members].mean() for _, control in ablation.controls]),
                Interval(mean(distance.mean(axis=0))) if len(distance) else None,
                max((float(draw.kl[members].mean()) for draw in ablation.rounding), default=0.0),
            )
        )
    return effects


def _by_document(sums: np.ndarray, counts: np.ndarray, document: np.ndarray) -> Mean:
    """Of sums over so many values, [example] each, their errors clustered by document."""
    _, place = np.unique(document, return_inverse=True)
    return clustered_mean(np.bincount(place, sums), np.bincount(place, counts))


@dataclass(frozen=True)
class Verdict:
    """A unit by the rule of METHODS, "Monosemantic"."""

    own: ClassEffect
    """the class on which its ablation does most"""
    next_high: float
    """upper end on the other class"""
    reasons: tuple[str, ...]
    """what speaks against it, in words; empty where it is monosemantic"""

    @property
    def ratio(self) -> float:
        """Lower end on its own class over the next class's upper end; nan where one of them is unknown."""
        return max(0.0, self.own.kl.low) / self.next_high if self.next_high > 0 else float("nan")


def verdict(effects: Sequence[ClassEffect], plural: str = "neurons") -> Verdict:
    """Of a unit on two classes; `plural` is what its controls are."""
    own = max(effects, key=lambda effect: effect.kl.mean.value)
    others = [effect.kl.high for effect in effects if effect is not own]
    next_high = max(others, default=float("nan"))
    low, reasons = own.kl.low, []
    if np.isnan(low) or np.isnan(next_high):
        return Verdict(own, next_high, ("a class has a single document",))
    if low <= max(0.0, own.rounding):
        reasons.append("not above rounding" if own.kl.mean.value > 0 else "no effect")
    if low < TIMES * next_high:
        reasons.append(f"ratio under {TIMES}")
    if not len(own.controls):
        reasons.append(f"no matched {plural}")
    elif low <= own.controls.max():
        reasons.append(f"not above matched {plural}")
    if own.distance is None:
        reasons.append("no random directions")
    elif not low > own.distance.high:
        reasons.append("not above random directions")
    return Verdict(own, next_high, tuple(reasons))


# --- views -------------------------------------------------------------------------------------------


def class_table(measured: dict[Neuron | Feature, list[ClassEffect]], note: str) -> Table:
    """A row a unit and class."""
    rows: list[list[Any]] = []
    for unit, effects in measured.items():
        for effect in effects:
            controls = band(effect.controls) if len(effect.controls) else None
            rows.append(
                [
                    str(unit),
                    effect.name,
                    effect.kl.mean.value,
                    _ends(effect.kl),
                    controls and controls.median,
                    float(effect.controls.max()) if controls else None,
                    effect.place.removeprefix("larger than "),
                    effect.distance and effect.distance.mean.value,
                    "" if effect.distance is None else _ends(effect.distance),
                    number_or_none(effect.loss.value),
                    number_or_none(effect.loss.se),
                    effect.examples,
                ]
            )
    return Table(
        title="Set to 0, by class",
        note=note,
        columns=[
            Column(key=ProbeAblate.UNIT, name="unit", kind="unit"),
            Column(key=ProbeAblate.CLASS, name="class"),
            Column(key="kl", name="KL", kind="number", help="nats, where the unit is 0", gives_way="never"),
            Column(key="kl_interval", name="95 %", help="clustered by document", gives_way="never"),
            Column(
                key="controls",
                name="matched",
                kind="number",
                help="KL of matched random units, median",
                gives_way="late",
            ),
            Column(key="controls_high", name="highest", kind="number", help="KL of a matched unit", gives_way="never"),
            Column(key="place", name="larger than", help="so many matched units", gives_way="early"),
            Column(
                key="same_norm",
                name="same norm",
                kind="number",
                help="KL of random directions, as long a change",
                gives_way="never",
            ),
            Column(key="same_norm_interval", name="its 95 %", help="clustered by document", gives_way="early"),
            Column(
                key="loss",
                name="later loss",
                kind="signed",
                help="change of the loss of later tokens, nats",
                gives_way="late",
            ),
            Column(
                key="loss_se",
                name="±",
                kind="number",
                help="one standard error, clustered by document",
                gives_way="late",
            ),
            Column(key="examples", name="n", kind="int", help="examples", gives_way="early"),
        ],
        rows=rows,
        row_keys=[f"{unit} {effect.name}" for unit, effects in measured.items() for effect in effects],
    )


def _ends(interval: Interval) -> str:
    if np.isnan(interval.mean.se):
        return ""
    return f"{number(max(0.0, interval.low))} to {number(interval.high)}"


def verdict_table(verdicts: dict[Neuron | Feature, Verdict]) -> Table:
    rows = [
        [
            str(unit),
            one.own.name,
            number_or_none(max(0.0, one.own.kl.low)),
            number_or_none(one.next_high),
            number_or_none(one.ratio),
            number_or_none(one.own.matched_high),
            None if one.own.distance is None else number_or_none(one.own.distance.high),
            "no" if one.reasons else "yes",
            "; ".join(one.reasons),
        ]
        for unit, one in verdicts.items()
    ]
    return Table(
        title="Only about one class?",
        note=RULE,
        columns=[
            Column(key=ProbeAblate.UNIT, name="unit", kind="unit"),
            Column(key="own", name="most on", help="the class on which it does most"),
            Column(key="low", name="own ≥", kind="number", help="lower end of KL on that class", gives_way="never"),
            Column(key="next_high", name="next ≤", kind="number", help="upper end of KL on the other class",
                   gives_way="never"),
            Column(key="ratio", name="ratio", kind="number", help="of these two", gives_way="never"),
            Column(key="matched_high", name="matched", kind="number", help="KL of the highest matched unit",
                   gives_way="late"),
            Column(key="same_norm_high", name="same norm ≤", kind="number", help="upper end of KL of random directions",
                   gives_way="late"),
            Column(key=ProbeAblate.MONOSEMANTIC, name="monosemantic", gives_way="never"),
            Column(key="why", name="why not", gives_way="early"),
        ],
        rows=rows,
    )  # fmt: skip


def kl_bars(unit: Neuron | Feature, effects: Sequence[ClassEffect], kind: str) -> Bars:
    """One unit's KL by class, beside matched units and random directions."""
    series = [
        Series(
            name=str(unit),
            y=np.array([effect.kl.mean.value for effect in effects]),
            low=np.array([max(0.0, effect.kl.low) for effect in effects]),
            high=np.array([effect.kl.high for effect in effects]),
        )
    ]
    if all(len(effect.controls) for effect in effects):
        highest = np.array([effect.controls.max() for effect in effects])
        series.append(Series(name=f"{kind}, the highest of {count(len(effects[0].controls))}", y=highest))
    distance = [effect.distance for effect in effects if effect.distance is not None]
    if len(distance) == len(effects):
        series.append(
            Series(
                name="random directions, same norm",
                y=np.array([interval.mean.value for interval in distance]),
                low=np.array([max(0.0, interval.low) for interval in distance]),
                high=np.array([interval.high for interval in distance]),
            )
        )
    return Bars(
        title=f"KL with {unit} at 0, by class",
        note="95 % clustered by document",
        labels=[effect.name for effect in effects],
        series=series,
        y_label="KL, nats",
    )


def sentence(ablation: Ablation, effects: Sequence[ClassEffect], one: Verdict) -> str:
    """One unit's effect on its own class and the other, beside its controls, and what the rule says."""
    own = one.own
    parts = [f"{ablation.unit} set to 0 where the label is {quoted(own.name)}: KL {own.kl.text}"]
    parts += [f"where it is {quoted(effect.name)}: {effect.kl.text}" for effect in effects if effect is not own]
    if len(own.controls):
        middle = number(band(own.controls).median)
        parts.append(f"{len(own.controls)} {ablation.kind}: median {middle}; {own.place}")
    if own.distance is not None:
        parts.append(f"random directions, same norm: {own.distance.text}")
    if not one.reasons:
        parts.append(f"monosemantic: its lower end is {number(one.ratio)} × the next class's upper end")
    else:
        ratio = f" (its lower end is {number(one.ratio)} × the next class's upper end)" if one.ratio < TIMES else ""
        parts.append(f"not monosemantic: {', '.join(one.reasons)}{ratio}")
    return " · ".join(parts)
