"""What a direction is: what it promotes, which neurons write and read it, how much of the stream lies along it.

The direction is scaled to length 1 and held against the vocabulary (effective unembedding, and embedding), against the
effective weights of every neuron, against the other directions of the session and the data folder, and against the
stream of a fixed text, layer by layer. With a prompt, token by token; with a corpus, by kind of token. Beside every
number stand random directions: drawn from the stream's covariance where the direction lives, and isotropic. The largest
of many is compared with the largest of as many for each random direction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from msgspec import Meta

from workbench.directions.names import model_direction
from workbench.errors import UserError
from workbench.experiment import Cost, Experiment
from workbench.experiments._corpus import CorpusContext, CorpusTokens, corpus_prompts
from workbench.experiments._project import (
    add_directions,
    add_embedding,
    add_moments,
    add_neurons,
    add_stream,
    add_vocabulary,
)
from workbench.experiments._project_text import add_classes, add_text
from workbench.params import ChatSwitch, CorpusText, DirectionsText, DirectionText, UnitText
from workbench.params import Params as BaseParams
from workbench.report import NextStep, Report
from workbench.units import STREAM, Site, direction_name, parse_unit

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.model_info import ModelInfo

OF_MATRICES = {"W_E": "the embedding", "W_U": "the unembedding"}
"""where a direction may come from that is no site"""


class Params(BaseParams, kw_only=True, frozen=True):
    direction: Annotated[
        DirectionText,
        Meta(
            description="a direction of the session or the data folder, or a neuron's own weights",
            extra={"example": "@L12.N345.out"},
        ),
    ] = ""
    prompt: Annotated[str, Meta(description="a text to project token by token")] = ""
    chat: Annotated[ChatSwitch, Meta(description="put the prompt into the model's chat template")] = False
    site: Annotated[
        UnitText,
        Meta(
            description="where prompt, corpus and the random directions' covariance are read, as in L14.resid_post; "
            "empty is where the direction was made, or the middle layer",
            extra={"more": True},
        ),
    ] = ""
    corpus: Annotated[
        CorpusText,
        Meta(description="text to project by kind of token: stdlib, a file, a folder, org/name on the hub"),
    ] = ""
    tokens: CorpusTokens = 4096
    context: CorpusContext = 128
    top: Annotated[
        int, Meta(ge=1, le=100, description="tokens of each end, neurons of each kind", extra={"unit": "rows"})
    ] = 10
    draws: Annotated[
        int,
        Meta(ge=32, le=256, description="random directions of each kind", extra={"unit": "directions", "more": True}),
    ] = 32
    beside: Annotated[
        DirectionsText,
        Meta(description="directions to take cosines with; all is every one that is known", extra={"more": True}),
    ] = "all"


def cost(params: Params, info: ModelInfo) -> Cost | None:
    if not params.corpus:
        return None
    context = min(params.context, info.n_ctx)
    return Cost(passes=params.tokens / context, tokens=context)


def run(lab: Lab, params: Params, report: Report) -> None:
    from workbench.lab.directions.projections import along_neurons, along_rows, along_stream, bundle, embedding
    from workbench.lab.effective import unembedding

    if not params.direction.strip():
        raise UserError("no direction named: give --direction, for example @L12.N345.out")
    name = direction_name(params.direction)
    vector = lab.weights.direction(name)
    norm = float(np.linalg.norm(vector))
    if not norm or not np.isfinite(norm):
        raise UserError(f"@{name} points nowhere: its numbers are all zero, or not all finite")
    site, whence = _site(lab, params, name)
    prompt = lab.prompt(params.prompt, params.chat) if params.prompt else None
    documents = corpus_prompts(lab, params.corpus, params.tokens, params.context, report) if params.corpus else []
    report.scalar("norm", norm)
    directions = bundle(lab, vector, site, params.draws, report)
    report.note(
        f"@{name} is taken at {site} ({whence}), at length 1, beside {params.draws} random directions of each kind"
    )
    along = along_rows(unembedding(lab.model), directions, report, "vocabulary", cosines=False)
    sentences = [f"@{name} {add_vocabulary(lab, along, params.top, report)}"]
    report.say(sentences[0])
    if prompt is not None:
        add_text(lab, prompt, site, directions, name, norm, report)
    if documents:
        add_classes(lab, documents, site, directions, name, report)
    try:
        sentences.append(add_neurons(along_neurons(lab, directions, report), name, params.top, report, site))
    except UserError as error:
        report.note(f"without the neurons that write and read it: {error}")
    report.say(" · ".join(sentences))
    add_stream(along_stream(lab, directions, report), norm, lab.info.d_model, report)
    add_directions(lab, params.beside, name, directions, report)
    rows = embedding(lab)
    if rows is None:
        report.note("the embedding's rows are of another width than the stream: the direction has no cosines with them")
    else:
        of_embedding = along_rows(rows, directions, report, "embedding", cosines=True)
        add_embedding(lab, of_embedding, params.top, report)
    add_moments(along, report)
    text = params.prompt or "The capital of France is"
    report.suggest(
        NextStep(
            label="the stream along it, layer by layer",
            experiment="activations",
            params={"prompt": text, "units": f"@{name}"},
        )
    )
    report.suggest(
        NextStep(
            label="what projecting it out does", experiment="effect", params={"prompt": text}, edits=[f"@{name}=0"]
        )
    )


def _site(lab: Lab, params: Params, name: str) -> tuple[Site, str]:
    """Where the stream is read, and why there. Raises UserError for a site that is not of the stream."""
    if params.site.strip():
        site = parse_unit(params.site, lab.info)
        if not isinstance(site, Site) or site.name not in STREAM:
            raise UserError(f"{site} holds no stream: give a site such as L14.resid_post")
        return site, "as asked"
    origin = lab.weights.origin(name)
    last = lab.info.n_layers - 1
    if origin.site in OF_MATRICES:
        site = Site(0, "resid_pre") if origin.site == "W_E" else Site(last, "resid_post")
        return site, f"next to {OF_MATRICES[origin.site]}, which it is of"
    of_model = model_direction(name)
    if origin.layer is not None and origin.layer <= last:
        if of_model is not None and of_model.side in ("in", "gate"):
            return Site(origin.layer, "resid_pre" if lab.info.parallel_blocks else "resid_mid"), "which it reads"
        return Site(origin.layer, origin.site if origin.site in STREAM else "resid_post"), "where it was made"
    return Site(lab.info.n_layers // 2, "resid_post"), "the middle layer: where it was made is not known"


EXPERIMENT = Experiment(
    name="project",
    help=__doc__,
    params=Params,
    run=run,
    group="directions",
    order=61,
    takes_edits=False,
    cost=cost,
)
