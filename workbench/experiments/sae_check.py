"""How good an SAE is on this model: what it explains, and what the model still predicts through it.

The SAE is checked against the model first: site, width and layer, and by its reconstruction of a few tokens whether
it was trained on this model, read as its kind, and scaled and centred as it should be. Then documents of a corpus go
through the model clean, with the SAE's reconstruction in place of the activation, and with zero and the sample's mean
in its place. Explained variance is over all tokens together; cross-entropy recovered is (CE_zero − CE_sae) / (CE_zero −
CE_clean), and the same with the mean; dead features never fire on the sample, dense ones on more than a tenth of it.
Position 0 is left out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec import Meta

from workbench.experiment import Cost, Experiment
from workbench.experiments._corpus import CorpusContext, CorpusTokens, corpus_prompts
from workbench.params import CorpusText, SaeName
from workbench.params import Params as BaseParams
from workbench.report import Report
from workbench.text import count, number
from workbench.views import Column, Histogram, Scalar, Scalars, Series, Table

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.sae.fitting import Fit
    from workbench.lab.sae.quality import Quality
    from workbench.model_info import ModelInfo

ARMS = {"clean": "clean", "sae": "the SAE's", "mean": "the sample's mean", "zero": "zero"}
"""what stands in the activation's place"""


class Params(BaseParams, kw_only=True, frozen=True):
    sae: Annotated[
        SaeName,
        Meta(description="which SAE; with a single one none has to be named", extra={"example": "gpt2-small-L8"}),
    ] = ""
    corpus: Annotated[
        CorpusText,
        Meta(
            description="the text: stdlib, a text or .jsonl file, a folder, or a data set of the hub",
            extra={"example": "stdlib"},
        ),
    ] = "stdlib"
    tokens: CorpusTokens = 4_096
    context: CorpusContext = 128


def cost(params: Params, info: ModelInfo) -> Cost | None:
    context = min(params.context, info.n_ctx)
    return Cost(passes=4 * params.tokens / context, tokens=context)


def run(lab: Lab, params: Params, report: Report) -> None:
    from workbench.experiments._sae import open_sae
    from workbench.lab.sae.quality import measure

    opened = open_sae(lab, params.sae, report)
    prompts = corpus_prompts(lab, params.corpus, params.tokens, params.context, report)
    quality = measure(lab.model, opened.placed, prompts, report)
    _scalars(report, quality)
    sample = f"{count(quality.n)} tokens of {count(len(prompts))} documents of {params.corpus}"
    report.say(_sentence(opened.name, opened.fit, quality, sample))
    report.add("quality", _figures(quality, sample))
    report.add("losses", _losses(quality, str(opened.placed.site_out), sample))
    report.add("firing", _firing(quality, sample))
    report.add("sae", _facts(opened.facts, opened.name))


def _sentence(name: str, fit: Fit, quality: Quality, sample: str) -> str:
    features = count(len(quality.firing))
    recovered = quality.recovered("zero")
    state = " · undertrained: below .8 recovered, or above 10 % dead" if quality.is_undertrained else ""
    kept = f"recovers {number(recovered.value)} of the cross-entropy (against zero)"
    if math.isnan(recovered.value):
        kept = "recovers no share of the cross-entropy that can be named, since zero in its place costs nothing here"
    return (
        f"{name} {'does not fit: ' + fit.flags[0] + ' · ' if fit.flags else ''}explains "
        f"{number(quality.explained.value)} of the variance, {kept} · "
        f"{number(quality.l0)} features a token · {number(100 * quality.dead)} % dead, "
        f"{number(100 * quality.dense)} % dense of {features} · {sample}{state}"
    )


def _scalars(report: Report, quality: Quality) -> None:
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
            Scalar(name="dead features", value=quality.dead, help="share that never fires on this sample"),
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


def _facts(facts: list[tuple[str, str]], name: str) -> Table:
    columns = [Column(key="what", name="what"), Column(key="value", name="value")]
    return Table(title=name, columns=columns, rows=[list(fact) for fact in facts])


EXPERIMENT = Experiment(
    name="sae-check",
    help=__doc__,
    params=Params,
    run=run,
    group="saes",
    order=80,
    takes_edits=False,
    long=True,
    cost=cost,
)
