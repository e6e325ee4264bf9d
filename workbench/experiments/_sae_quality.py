"""An SAE's quality as views: what `sae-check` shows, and a training at its end."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.report import Report
from workbench.text import count, number
from workbench.views import Column, Histogram, Scalar, Scalars, Series, Table

if TYPE_CHECKING:
    from workbench.lab.sae.quality import Quality

ARMS = {"clean": "clean", "sae": "the SAE's", "mean": "the sample's mean", "zero": "zero"}
"""what stands in the activation's place"""


def add_quality(report: Report, quality: Quality, site: str, sample: str) -> None:
    """Scalars and views; `site` is where the SAE's reconstruction stands, `sample` what it was measured on."""
    _add_scalars(report, quality)
    report.add("quality", _figures(quality, sample))
    report.add("losses", _losses(quality, site, sample))
    report.add("firing", _firing(quality, sample))


def describe(quality: Quality, sample: str) -> str:
    """What the name of an SAE is followed by: the figures, and whether it is undertrained."""
    recovered = quality.recovered("zero")
    kept = f"recovers {number(recovered.value)} of the cross-entropy (against zero)"
    if math.isnan(recovered.value):
        kept = "recovers no share of the cross-entropy that can be named, since zero in its place costs nothing here"
    state = f" · undertrained: {', '.join(quality.lacks)}" if quality.lacks else ""
    return (
        f"explains {number(quality.explained.value)} of the variance, {kept} · {number(quality.l0)} features a token · "
        f"{number(100 * quality.dead)} % dead, {number(100 * quality.dense)} % dense of "
        f"{count(len(quality.firing))} · {sample}{state}"
    )


def _add_scalars(report: Report, quality: Quality) -> None:
    report.scalar("explained_variance", quality.explained.value)
    for against in ("zero", "mean"):
        report.scalar(f"recovered_{against}", quality.recovered(against).value)
        report.scalar(f"recovered_{against}_se", quality.recovered(against).se)
    report.scalar("l0", quality.l0)
    report.scalar("dead", quality.dead)
    report.scalar("dense", quality.dense)
    report.scalar("norm_ratio", quality.norm_ratio)
    report.scalar("kl", quality.kl.value)
    report.scalar("kl_se", quality.kl.se)
    for arm in ARMS:
        report.scalar(f"loss_{arm}", quality.loss(arm).value)
    report.scalar("tokens", quality.n)


def _figures(quality: Quality, sample: str) -> Scalars:
    zero, mean, kl = quality.recovered("zero"), quality.recovered("mean"), quality.kl
    silent = f"share that never fires on this sample; {count((quality.firing == 1).sum())} features fire once"
    return Scalars(
        title="Quality",
        note=f"{sample}, position 0 left out; errors cluster by document",
        items=[
            Scalar(
                name="explained variance",
                value=quality.explained.value,
                help="1 − Σ‖x − s‖² / Σ‖x − x̄‖² over all tokens together, x̄ their mean",
            ),
            Scalar(
                name="cross-entropy recovered, against zero",
                value=zero.value,
                se=zero.se,
                n=zero.n,
                help="(CE_zero − CE_sae) / (CE_zero − CE_clean)",
            ),
            Scalar(
                name="cross-entropy recovered, against the mean",
                value=mean.value,
                se=mean.se,
                n=mean.n,
                help="(CE_mean − CE_sae) / (CE_mean − CE_clean), the mean of this sample",
            ),
            Scalar(name="KL through the SAE", value=kl.value, unit="nats", se=kl.se, n=kl.n, help="KL(clean ‖ SAE)"),
            Scalar(name="features that fire on a token (L0)", value=quality.l0, help="mean over tokens"),
            Scalar(name="dead features", value=quality.dead, help=silent),
            Scalar(name="dense features", value=quality.dense, help="share that fires on more than 10 % of tokens"),
            Scalar(name="‖s‖ / ‖x‖", value=quality.norm_ratio, help="mean over tokens: below 1 the SAE shrinks"),
        ],
    )


def _losses(quality: Quality, site: str, sample: str) -> Table:
    rows: list[list[Any]] = []
    for arm, name in ARMS.items():
        loss, increase = quality.loss(arm), quality.increase(arm)
        rows.append([name, loss.value, None if arm == "clean" else increase.value, increase.se or None])
    return Table(
        title=f"Cross-entropy with something else at {site}",
        note=f"nats a token, predicted from position 1 on; {sample}",
        columns=[
            Column(key="put", name=f"in place of {site}"),
            Column(key="loss", name="cross-entropy", kind="number"),
            Column(key="increase", name="more than clean", kind="signed"),
            Column(key="se", name="SE", kind="number", help="of the increase, clustered by document"),
        ],
        rows=rows,
        row_keys=list(ARMS),
    )


def _firing(quality: Quality, sample: str) -> Histogram:
    rates = quality.firing[quality.firing > 0] / max(quality.n, 1)
    edges = np.logspace(np.log10(1 / max(quality.n, 2)), 0, 31)
    counts, _ = np.histogram(rates, edges)
    return Histogram(
        title="How often features fire",
        note=f"{count((quality.firing == 0).sum())} of {count(len(quality.firing))} never do (dead); {sample}",
        edges=edges,
        series=[Series(name="features", y=counts.astype(np.float64))],
        x_label="share of tokens",
        log_x=True,
    )
