"""Which features of an SAE fire on a text, token by token, and which of them fire everywhere.

The text goes through the model once; every SAE that is named encodes what it reads there. A feature's contribution to a
token is its activation × the norm of its decoder row (METHODS, "SAE quality": comparable also where decoder norms are
not 1). Beside each feature stands how often it fires on a sample of a corpus: the ratio is its share of this text's
tokens over its share of the sample's, and one that fires on more than a tenth of the sample is said to fire everywhere.
At every token: how many features fire (L0), and the share of the squared norm that the reconstruction explains, 1 − ‖x
− s‖² / ‖x‖², so that an SAE of another model or site is seen; it flatters where a few dimensions are large, `sae-check`
does not. Position 0 is left out. Under edits clean stands beside edited; the sample is read without edits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from workbench.artifacts.sae import EVERY
from workbench.errors import UserError
from workbench.experiment import Cost, Experiment
from workbench.experiments import _features as views
from workbench.experiments._corpus import CorpusContext, CorpusTokens, corpus_prompts
from workbench.experiments._sae import open_saes
from workbench.params import ChatSwitch, CorpusText, PromptText, SaeName
from workbench.params import Params as BaseParams
from workbench.report import NextStep, Report
from workbench.result_keys import Features
from workbench.text import count

if TYPE_CHECKING:
    from workbench.experiments._sae import OpenedSae
    from workbench.lab import Lab
    from workbench.model_info import ModelInfo


class Params(BaseParams, kw_only=True, frozen=True):
    prompt: Annotated[
        PromptText, Meta(description="the text the model reads", extra={"example": "We met in June and parted in May."})
    ] = ""
    chat: Annotated[ChatSwitch, Meta(description="put the text into the model's chat template")] = False
    sae: Annotated[
        SaeName,
        Meta(description="which SAE; all is every registered one that fits this model", extra={"example": "res-10"}),
    ] = EVERY
    by: Annotated[
        Literal["sum", "max"],
        Meta(description="the text's features are ordered by contribution: its sum over tokens, or the largest"),
    ] = "sum"
    top: Annotated[
        int, Meta(ge=1, le=100, description="features listed for each token", extra={"unit": "features", "more": True})
    ] = 5
    rows: Annotated[
        int, Meta(ge=1, le=1000, description="features listed for the text", extra={"unit": "features", "more": True})
    ] = 40
    corpus: Annotated[
        CorpusText,
        Meta(
            description="the sample that tells how often a feature fires: stdlib, a text or .jsonl file, a folder, or "
            "a data set of the hub; without any what the SAE was trained on where that is recorded, else stdlib",
            extra={"example": "stdlib:code", "more": True},
        ),
    ] = ""
    tokens: CorpusTokens = 4_096
    context: CorpusContext = 128


def cost(params: Params, info: ModelInfo) -> Cost | None:
    context = min(params.context, info.n_ctx)
    return Cost(passes=params.tokens / context, tokens=context)


def run(lab: Lab, params: Params, report: Report) -> None:
    from workbench.lab.sae.on_text import firing, read_text

    prompt = lab.prompt(params.prompt, params.chat)
    if len(prompt) < 2:
        raise UserError("the text is a single token, and position 0 is left out: give a longer one")
    opened = sorted(open_saes(lab, params.sae, report), key=lambda each: (each.placed.site, each.name))
    placed = [each.placed for each in opened]
    clean = read_text(lab, placed, prompt)
    edited = read_text(lab, placed, prompt, lab.edits) if lab.edits else clean
    read = [views.Read(*each) for each in zip(opened, clean, edited, strict=True)]
    for each in read:
        if each.placed.sae.config.normalisation != "none":
            report.note(f"{each.name} normalises its input: contributions are lengths in its own scale")

    def show(sample: str) -> None:
        shown = views.Shown(prompt, read, params.by, params.rows, bool(lab.edits), sample)
        report.add(Features.TOKENS, shown.tokens())
        report.add(Features.FEATURES, shown.features())
        report.add(Features.EXPLAINED, shown.explained())
        report.add(Features.L0, shown.l0())
        report.add(Features.BY_TOKEN, shown.by_token(params.top))
        report.say(shown.sentence())

    show("")
    for each in read:
        prefix = "" if len(read) == 1 else f"{each.name}_"
        report.scalar(f"{prefix}explained", each.share(each.shown))
        report.scalar(f"{prefix}l0", each.mean_l0(each.shown))
        if lab.edits:
            report.scalar(f"{prefix}explained_clean", each.share(each.clean))
            report.scalar(f"{prefix}l0_clean", each.mean_l0(each.clean))
    corpus = params.corpus.strip() or _trained_on(opened, report)
    documents = corpus_prompts(lab, corpus, params.tokens, params.context, report)
    n = sum(len(document) - 1 for document in documents)
    for each, fired in zip(read, firing(lab, placed, documents, report), strict=True):
        each.frequency = fired / n
    report.scalar("sample_tokens", n)
    show(f"{count(n)} tokens of {count(len(documents))} documents of {corpus}")
    if len(opened) == 1:
        report.suggest(NextStep(label="how good this SAE is", experiment="sae-check", params={"sae": opened[0].name}))


def _trained_on(opened: Sequence[OpenedSae], report: Report) -> str:
    """The corpus that all of them were trained on, where that is recorded and still there; else stdlib."""
    from workbench.datasets.corpora import open_corpus

    recorded = {each.corpus for each in opened}
    corpus = recorded.pop() if len(recorded) == 1 else ""
    if not corpus:
        return "stdlib"
    try:
        open_corpus(corpus)
    except UserError as error:
        report.note(f"the sample is stdlib, since what the SAE was trained on can't be read: {error}")
        return "stdlib"
    report.note(f"the sample is of {corpus}, on which the SAE was trained; --corpus takes another")
    return corpus


EXPERIMENT = Experiment(name="features", help=__doc__, params=Params, run=run, group="saes", order=79, cost=cost)
