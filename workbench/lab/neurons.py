"""What experiments on the index ask of a lab: build its two parts, try a rule, read every neuron on a text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from workbench.datasets.corpora import Corpus, open_corpus
from workbench.errors import UserError
from workbench.index.format import IndexedSae, data_folder_name
from workbench.index.reader import NeuronIndex
from workbench.index.store import indexes_dir, weights_done
from workbench.lab.identify import identify
from workbench.lab.indexing import feature_weights, heldout, weights, weights_index
from workbench.lab.indexing.build import IndexBuild, default_settings
from workbench.lab.indexing.heldout import HeldOut, Rule
from workbench.lab.indexing.sources import Features
from workbench.lab.indexing.token_features import TokenFeatures
from workbench.lab.model import Lab
from workbench.lab.prompts import Prompt
from workbench.lab.sae.placing import PlacedSae
from workbench.report import Report
from workbench.units import Neuron, Site


def build_weights(lab: Lab, report: Report) -> bool:
    """Make the weights part where there is none; whether there was something to do."""
    identify(lab, report)
    if weights_done(lab.info):
        return False
    steps = weights_index.build_weights(lab.model)
    total = weights.n_steps(lab.model)
    for _ in report.track(steps, "steps", total=total, stage="what follows from the weights alone"):
        pass
    return True


def build(lab: Lab, corpus: Corpus, tokens: int, context: int, top: int, explain: bool) -> IndexBuild:
    """A data index to build, or to go on with, beside the weights part.

    Raises UserError, for example where the disk is too small.
    """
    settings = default_settings(lab.info, context, top, explain)
    return IndexBuild(lab.model, corpus, settings, tokens)


def build_features(
    lab: Lab,
    corpus: Corpus,
    tokens: int,
    context: int,
    top: int,
    explain: bool,
    placed: PlacedSae,
    sae: IndexedSae,
    report: Report,
) -> IndexBuild:
    """Likewise of an SAE's features, `placed` at its site. What follows from its weights comes first, once."""
    settings = default_settings(lab.info, context, top, explain, sae.width)
    folder = indexes_dir() / data_folder_name(lab.info, corpus.info, settings, sae)

    def track(starts: range) -> Iterator[int]:
        return iter(report.track(starts, "parts", total=len(starts), stage="what the features promote"))

    begun = (folder / "index.json").exists()
    weights_of_sae = {} if begun else feature_weights.weights(lab.model, placed, track)
    return IndexBuild(lab.model, corpus, settings, tokens, source=Features(placed, sae, weights_of_sae))


def read_all(lab: Lab, prompt: Prompt) -> Iterator[tuple[int, np.ndarray]]:
    """Every neuron over a prompt under the job's edits: layer and float32 [position, neuron], layer by layer."""
    sites = [Site(layer, "mlp_post") for layer in range(lab.info.n_layers)]
    forward = lab.forward(prompt, lab.edits, sites, logits=None)
    for site in sites:
        yield site.layer, forward.site(site)[0]


def read_rule(index: NeuronIndex, text: str) -> Rule:
    """A rule over the index' vocabulary. Raises UserError."""
    return heldout.parse_rule(text, index.tokens, TokenFeatures(index.tokens))


def try_rule(
    lab: Lab,
    index: NeuronIndex,
    rule: Rule,
    neurons: Sequence[tuple[Neuron, int]],
    corpus: str,
    tokens: int,
    n_random: int,
    report: Report,
) -> HeldOut:
    """The rule on documents that the index has not seen; `corpus` empty is the index' own."""
    if index.corpus is None or index.settings is None:
        raise UserError(
            "a rule is tried on documents that an index has not seen: build one with `workbench index build`"
        )
    opened = open_corpus(corpus or index.corpus.spec)
    same_corpus = opened.info.hash == index.corpus.hash
    if not corpus and not same_corpus:
        raise UserError(
            f"the corpus {index.corpus.spec} is not what it was when the index was built: name another with --corpus"
        )
    seen = index.document_numbers() if same_corpus else frozenset()
    return heldout.try_rule(
        lab.model,
        opened,
        seen,
        index.settings,
        rule,
        TokenFeatures(index.tokens),
        neurons,
        tokens=tokens,
        n_random=n_random,
        seed=lab.seed,
        report=report,
    )
