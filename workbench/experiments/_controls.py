"""An effect beside the same edit done to matched random units: sentence, histogram, numbers. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from workbench.experiments._common import finer
from workbench.report import Report
from workbench.result_keys import Effect
from workbench.statistics import Place, band, kl_place_among
from workbench.text import number, spread
from workbench.views import Column, Histogram, Mark, Scalar, Series, Table

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.controls import Controls
    from workbench.lab.editing import Plan
    from workbench.lab.prompts import Prompt
    from workbench.lab.study import Study

LEAST_DRAWN = 1e-16
"""nats: smaller effects, 0 among them, are drawn here on the logarithmic axis"""


def run_controls(traced: Study, plan: Plan, comparison: Comparison, report: Report) -> Iterator[None]:
    """The edits, their controls and what rounding alone does, in batches of one shape; yields after each batch.

    The effect that the controls are compared with is then the one that was measured among them.
    """
    n_controls = len(comparison.controls.plans)
    rounding = [] if comparison.rounding else traced.rounding(plan)
    for results in traced.track([plan, *comparison.controls.plans, *rounding], report, "controls"):
        for at, kl in zip(results.indices, results.kl(), strict=True):
            if at == 0:
                comparison.effect = float(kl)
            elif at <= n_controls:
                comparison.values.append(float(kl))
            else:
                comparison.rounding.append(float(kl))
        yield


def kl_of_prompts(
    lab: Lab, prompts: Sequence[Prompt], plan: Plan, keep: Literal["all", "last"] = "all"
) -> Iterator[np.ndarray]:
    """KL(clean ‖ edited) of each prompt, nats: at every position [position], or of the next token alone [1].

    Clean and edited go through in batches of the same rows, so that both have one shape. Memory may run out.
    """
    from workbench.lab.batches import batches

    for batch in batches(prompts, len(prompts), lab.report, lab.model, progress_per_row=0):
        with batch:
            clean, edited = lab.forward(batch.rows, logits=keep), lab.forward(batch.rows, plan, logits=keep)
            kls = edited.kl_from(clean) if keep == "all" else list(edited.last_kl_from(clean)[:, None])
        if not batch.failed:
            yield from kls


@dataclass
class Comparison:
    """An effect beside its controls, as they come."""

    effect: float
    """nats"""
    controls: Controls
    dtype: str
    """the model's"""
    values: list[float] = field(default_factory=list)
    """KL of each control so far, nats"""
    rounding: list[float] = field(default_factory=list)
    """KL of each draw of what rounding alone does, nats"""

    @property
    def sentence(self) -> str:
        """`32 matched random neurons: median .004 (5–95 %: .001–.019); larger than all 32`; empty without controls."""
        n_run, n_controls = len(self.values), len(self.controls.plans)
        if not n_controls:
            return ""
        compared_with = (
            f"{n_run} {self.controls.kind}" if n_run == n_controls else f"{n_run} of {n_controls} {self.controls.kind}"
        )
        if not n_run:
            return compared_with
        quantiles = band(self.values)
        median = spread(number(quantiles.median), number(quantiles.low), number(quantiles.high))
        return f"{compared_with}: {median}; {self._place_text()}"

    @property
    def floor(self) -> float:
        """The largest KL that rounding alone made, nats; 0 before any was measured."""
        return max(self.rounding, default=0.0)

    @property
    def place(self) -> Place:
        """Where the effect lies among its controls."""
        return kl_place_among(self.effect, self.values, self.floor)

    @property
    def rounding_sentence(self) -> str:
        """Whether the effect is no larger than what rounding makes; empty where it is, or is exactly 0."""
        if not 0 < self.effect <= self.floor:
            return ""
        return f"no more than rounding in {self.dtype} makes here, up to {number(self.floor)}{finer(self.dtype)}"

    def _place_text(self) -> str:
        place, n = self.place, len(self.values)
        if place.smaller == n:
            return f"larger than all {n}"
        if place.larger == n:
            return f"smaller than all {n}"
        if place.ties == n:
            return f"equal to all {n} within rounding"
        equal = f", equal to {place.ties} within rounding" if place.ties else ""
        return f"larger than {place.smaller} of {n}{equal}"

    def scalars(self) -> list[Scalar]:
        """For a Scalars view; empty before any control has run."""
        floor = [
            Scalar(
                name="KL of rounding alone, the largest",
                value=self.floor,
                unit="nats",
                n=len(self.rounding),
                help=f"of draws that change nothing but rounding in {self.dtype}; a KL that is no larger is no effect",
            )
        ][: len(self.rounding)]
        if not self.values:
            return floor
        quantiles, n = band(self.values), len(self.values)
        kind = self.controls.kind
        return [
            *floor,
            Scalar(
                name="KL of the controls, median",
                value=quantiles.median,
                unit="nats",
                n=n,
                help=f"{kind}, edited alike",
            ),
            Scalar(name="KL of the controls, 5 %", value=quantiles.low, unit="nats", n=n),
            Scalar(name="KL of the controls, 95 %", value=quantiles.high, unit="nats", n=n),
            Scalar(
                name="percentile of the edits among them",
                value=100 * self.place.percentile,
                unit="%",
                n=n,
                help="(smaller + half of (ties + 1)) / (n + 1): a control itself has 50 on average",
            ),
        ]

    def add_to(self, report: Report) -> None:
        """Add the numbers and the histogram to a report."""
        if self.rounding:
            report.scalar(Effect.ROUNDING, self.floor)
        if not self.values:
            return
        quantiles = band(self.values)
        report.scalar(Effect.CONTROLS, len(self.values))
        report.scalar(Effect.LOW, quantiles.low)
        report.scalar(Effect.MEDIAN, quantiles.median)
        report.scalar(Effect.HIGH, quantiles.high)
        report.scalar(Effect.PERCENTILE, self.place.percentile)
        report.add("controls", self.histogram())

    def histogram(self) -> Histogram:
        """Controls by the logarithm of their KL, with the edits' own marked."""
        least = self.floor or LEAST_DRAWN
        drawn, effect = np.maximum(self.values, least), max(self.effect, least)
        ends = np.log10([min(drawn.min(), effect), max(drawn.max(), effect)])
        edges = np.logspace(ends[0] - 0.1, ends[1] + 0.1, 25)
        at_floor = f"; at the left end what is no more than rounding, {number(self.floor)}" if self.floor else ""
        quantiles = band(self.values)
        at_most = " at most" if self.effect < least else ""
        return Histogram(
            title="The edits among matched random controls",
            note=f"{self.controls.kind}, n = {len(self.values)}{at_floor}",
            edges=edges,
            series=[Series(name="controls", y=np.histogram(drawn, edges)[0].astype(np.float64))],
            x_label="KL of the next token, nats",
            log_x=True,
            marks=[Mark(x=effect, label=f"these edits: KL{at_most}")],
            band=(quantiles.low, quantiles.high),
            median=quantiles.median,
        )


def comparison_table(comparisons: Sequence[Comparison]) -> Table:
    """An effect beside every kind of control, one row a kind."""
    rows: list[list[Any]] = [["these edits", None, None, comparisons[0].effect, None, None]]
    for comparison in comparisons:
        if comparison.values:
            quantiles = band(comparison.values)
            percentile = 100 * comparison.place.percentile
            rows.append(
                [
                    comparison.controls.kind,
                    len(comparison.values),
                    quantiles.low,
                    quantiles.median,
                    quantiles.high,
                    percentile,
                ]
            )
    draws = comparisons[0].rounding
    if draws:
        quantiles = band(draws)
        rows.append(["rounding alone", len(draws), quantiles.low, quantiles.median, quantiles.high, None])
    return Table(
        title="Beside each kind of control",
        columns=[
            Column(key="what", name="what"),
            Column(key="n", name="n", kind="int"),
            Column(key="low", name="5 %", kind="number", gives_way="never"),
            Column(
                key="kl", name="KL", kind="number", help="nats; the median, where there are many", gives_way="never"
            ),
            Column(key="high", name="95 %", kind="number", gives_way="never"),
            Column(
                key="percentile",
                name="percentile",
                kind="number",
                help="of the edits among them; a control itself has 50 on average",
            ),
        ],
        rows=rows,
    )
