"""How good an SAE is on this model: what it explains, and what the model still predicts through it.

The SAE is checked against the model first: site, width and layer, and by its reconstruction of a few tokens whether
it was trained on this model, read as its kind, and scaled and centred as it should be. Then documents of a corpus go
through the model clean, with the SAE's reconstruction in place of the activation, and with zero and the sample's mean
in its place. Explained variance is over all tokens together; cross-entropy recovered is (CE_zero − CE_sae) / (CE_zero −
CE_clean), and the same with the mean; dead features never fire on the sample, dense ones on more than a tenth of it.
Position 0 is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from workbench.experiment import Cost, Experiment
from workbench.experiments._corpus import CorpusContext, CorpusTokens, corpus_prompts
from workbench.experiments._sae_quality import add_quality, describe
from workbench.params import CorpusText, SaeName
from workbench.params import Params as BaseParams
from workbench.report import NextStep, Report
from workbench.text import count
from workbench.views import Column, Table

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.model_info import ModelInfo


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
    sample = f"{count(quality.n)} tokens of {count(len(prompts))} documents of {params.corpus}"
    misfit = f"does not fit: {opened.fit.flags[0]} · " if opened.fit.flags else ""
    report.say(f"{opened.name} {misfit}{describe(quality, sample)}")
    add_quality(report, quality, str(opened.placed.site_out), sample)
    report.add("sae", _facts(opened.facts, opened.name))
    same_text = {"sae": opened.name, "corpus": params.corpus, "context": params.context}
    report.suggest(NextStep(label="does it hurt more than chance", experiment="sae-errors", params=same_text))


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
    works=lambda params, edited: ("forward",),
)
