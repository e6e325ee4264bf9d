"""Build an index of what every neuron does.

First what follows from the weights alone (what each neuron promotes, norms, neighbours), then the model reads a corpus
and every neuron's statistics and most extreme examples are kept, so that they can be browsed without a model. It can
be browsed while it grows; cancelling keeps what is done, and the same command goes on, or adds more tokens.

With an SAE the same is kept of its features instead, in an index of its own: how often each fires, its highest
activations in their windows, what its decoder row promotes. It holds the SAE's hash: one that has changed since is
indexed anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec import Meta

from workbench.errors import UserError
from workbench.experiment import Cost, Experiment, Held
from workbench.params import CorpusText, SaeName
from workbench.params import Params as BaseParams
from workbench.report import NextStep, Report
from workbench.text import count, estimate, size
from workbench.views import Column, Heatmap, Scalar, Scalars, Table

if TYPE_CHECKING:
    from workbench.experiments._sae import OpenedSae
    from workbench.index.format import IndexedSae
    from workbench.index.reader import NeuronIndex
    from workbench.lab import Lab
    from workbench.lab.indexing.build import IndexBuild
    from workbench.model_info import ModelInfo

SHOWN = 20


class Params(BaseParams, kw_only=True, frozen=True):
    corpus: Annotated[
        CorpusText,
        Meta(
            description="the text: stdlib, a text or .jsonl file, a folder, or a data set of the hub",
            extra={"example": "stdlib"},
        ),
    ] = "stdlib"
    tokens: Annotated[
        int,
        Meta(
            ge=0,
            description="how many to count; 0 makes the weights part alone",
            extra={"unit": "tokens", "example": 300_000},
        ),
    ] = 20_000
    sae: Annotated[
        SaeName,
        Meta(
            description="index the features of this registered SAE instead of the neurons",
            extra={"example": "res-10"},
        ),
    ] = ""
    explain: Annotated[
        bool, Meta(description="find the token feature that explains each neuron best, on held-out documents")
    ] = False
    context: Annotated[int, Meta(ge=2, description="tokens the model reads at once", extra={"unit": "tokens"})] = 256
    top: Annotated[
        int, Meta(ge=1, le=1000, description="examples kept for each tail", extra={"unit": "examples", "more": True})
    ] = 20


def cost(params: Params, info: ModelInfo) -> Cost | None:
    context = min(params.context, info.n_ctx)
    return Cost(passes=params.tokens / context, tokens=context, typical=False) if params.tokens else None


def holds(params: Params, info: ModelInfo) -> list[Held]:
    """Of neurons; how many there are of an SAE is known when it is opened."""
    from workbench.index.format import IndexSettings, neurons_of
    from workbench.index.memory import block_bytes, state_bytes, weights_bytes
    from workbench.index.store import weights_done

    held = []
    if info.fingerprint and not weights_done(info):
        held.append(Held(what="what follows from the weights alone", bytes=weights_bytes(info), cure="a smaller model"))
    if params.tokens and not params.sae.strip():
        units, settings = neurons_of(info), IndexSettings(context=min(params.context, info.n_ctx), top=params.top)
        kept = state_bytes(units, settings, 0) + block_bytes(units, settings, info, 1, 0)
        what = f"the statistics of {count(units.n)} neurons"
        held.append(Held(what=what, bytes=kept, cure="a smaller --top or --context"))
    return held


def run(lab: Lab, params: Params, report: Report) -> None:
    from workbench.datasets.corpora import open_corpus
    from workbench.experiments._sae import open_sae
    from workbench.lab import neurons
    from workbench.lab.speed import probe_rate

    if params.sae.strip() and not params.tokens:
        raise UserError("what features do is read on text: give --tokens, for example 20000")
    # A corpus that is none is said before minutes are spent.
    corpus = open_corpus(params.corpus) if params.tokens else None
    neurons.build_weights(lab, report)
    if corpus is None:
        _add_weights_views(lab, report)
        return
    given = (lab, corpus, params.tokens, params.context, params.top, params.explain)
    if params.sae.strip():
        opened = open_sae(lab, params.sae, report)
        build = neurons.build_features(*given, opened.placed, _indexed(opened), report)
    else:
        build = neurons.build(*given)
    with build:
        if build.tokens < params.tokens:
            rate = probe_rate(build)
            report.note(
                f"{estimate((params.tokens - build.tokens) / rate, 'about ')} at {count(rate)} tokens/s, "
                f"{size(build.memory)} of memory and {size(build.disk)} of disk, in {build.folder}"
            )
        report.note(f"corpus {corpus.info.name}, hash {corpus.info.hash}")
        if build.tokens:
            report.note(f"goes on after {count(build.tokens)} tokens that were there")
        before = build.tokens
        for block in report.track(build.blocks(report), "tokens", total=params.tokens):
            build.add(block, report)
            report.headline = _sentence(build, "so far")
    _add_views(build, before, report)


def _indexed(opened: OpenedSae) -> IndexedSae:
    from workbench.index.format import IndexedSae

    site, width = opened.placed.site, opened.placed.sae.config.d_sae
    return IndexedSae(name=opened.name, hash=opened.hash, layer=site.layer, site=str(site), width=width)


def _sentence(build: IndexBuild, state: str) -> str:
    file = build.file
    units = f"{count(file.units.n)} " + (f"features of {file.sae.name}" if file.sae else "neurons")
    rate = f" · {count(build.tokens / file.seconds)} tokens/s" if file.seconds else ""
    return (
        f"{units} on {count(build.tokens)} tokens of "
        f"{count(file.progress.documents)} documents of {build.corpus.info.name} {state}{rate}"
    )


def _add_views(build: IndexBuild, before: int, report: Report) -> None:
    from workbench.experiments._index import record_index
    from workbench.experiments._index_features import add_features
    from workbench.index.features import open_any

    index = open_any(build.folder)
    record_index(index, report, "made" if build.tokens > before else "used")
    exhausted = "; the corpus has no more" if build.file.progress.exhausted else ""
    unchanged = "" if build.tokens > before else "; all of it was there already"
    report.say(f"{_sentence(build, 'indexed')}{exhausted}{unchanged}")
    report.scalar("tokens", index.n_tokens)
    report.scalar("documents", index.n_documents)
    report.scalar("tokens_per_second", index.rate)
    if index.features and index.sae is None:
        report.add("explained", _explained(index))
    if index.sae is None:
        report.add("families", _families(index))
    else:
        report.headline = f"{report.headline} · {add_features(index, report)}"
    items = [
        Scalar(name="tokens", value=index.n_tokens),
        Scalar(name="documents", value=index.n_documents),
        Scalar(
            name="in the sample", value=index.file.counts.sampled, help="histogram, gate and linear part, sign cases"
        ),
        Scalar(name="left out", value=index.file.counts.skipped, help="first positions of windows"),
        Scalar(name="time", value=index.file.seconds, unit="s"),
    ]
    report.add("built", Scalars(title="The index", note=str(build.folder), items=items))
    if index.sae is not None:
        report.suggest(
            NextStep(
                label="the feature that fires most often",
                experiment="feature",
                params={"unit": index.unit(int(np.argmax(index.columns["frequency"].values)))},
            )
        )
        report.suggest(NextStep(label="which fire on a text", experiment="features", params={"sae": index.sae.name}))
        return
    report.suggest(NextStep(label="what is unusual on a text", experiment="unusual", params={}))
    report.suggest(
        NextStep(label="is there a neuron for modal verbs", experiment="find-neuron", params={"rule": "is_modal"})
    )


def _explained(index: NeuronIndex) -> Table:
    """The neurons that a token feature explains best."""
    vr, best = index.columns["vr"].values, index.columns["best"].values
    order = np.argsort(-np.nan_to_num(vr, nan=-1.0), kind="stable")[:SHOWN]
    rows: list[list[Any]] = []
    for neuron in order.tolist():
        feature = int(best[neuron])
        promoted = index.promoted(neuron)
        rows.append(
            [
                index.unit(neuron),
                index.features[feature] if feature >= 0 else "",
                float(vr[neuron]) if np.isfinite(vr[neuron]) else None,
                index.token(promoted[0][0]) if promoted else "",
            ]
        )
    beyond = int((vr >= 0.5).sum())
    return Table(
        title="Best explained by a token feature",
        note=f"VR on documents that did not choose the feature; {count(beyond)} of {count(len(vr))} at .5 or more",
        columns=[
            Column(key="unit", name="unit", kind="unit"),
            Column(key="feature", name="best feature"),
            Column(key="vr", name="VR", kind="probability", help="share of variance explained, held out"),
            Column(key="promotes", name="promotes", kind="token", gives_way="early"),
        ],
        rows=rows,
    )


def _families(index: NeuronIndex) -> Heatmap:
    """How many neurons of each family are in each layer."""
    column = index.columns["family"]
    by_layer = column.values.reshape(index.info.n_layers, index.info.d_mlp)
    counts = np.stack([(by_layer == code).sum(axis=1) for code in range(len(column.labels))], axis=1)
    return Heatmap(
        title="Families by layer",
        note="neurons; the rules' thresholds come from GPT-2-sized models",
        values=counts.astype(np.float64),
        row_labels=[f"L{layer}" for layer in range(index.info.n_layers)],
        column_labels=list(column.labels),
        row_axis="layer",
        column_axis="family",
        low_label="none",
        high_label="many",
        value_label="neurons",
    )


def _add_weights_views(lab: Lab, report: Report) -> None:
    from workbench.experiments._index import open_index, record_index

    index = open_index(lab, report)
    record_index(index, report, "made")
    report.say(
        f"{count(lab.info.n_neurons)} neurons can be browsed by their weights; --tokens 20000 adds what they fire on"
    )
    report.add("families", _families(index))


EXPERIMENT = Experiment(
    name="index",
    help=__doc__,
    params=Params,
    run=run,
    group="neurons",
    order=40,
    takes_edits=False,
    long=True,
    cost=cost,
    works=lambda params, edited: ("index",) if params.sae.strip() else (),
    holds=holds,
)
