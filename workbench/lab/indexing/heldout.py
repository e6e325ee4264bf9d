"""Does a rule say when a neuron fires? Tried on documents that an index has not seen.

A rule picks tokens: words, a pattern, or a token feature. A neuron's activation, in the direction of the tail it was
chosen by, should be higher on them: AUC over all counted tokens, with an interval from resampled documents, beside
random neurons of the same layer (each given its better direction, which favours them).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
import numpy as np
import torch

from workbench.datasets.corpora import Corpus
from workbench.errors import GrammarError, UserError
from workbench.index.format import IndexSettings
from workbench.lab.applying import Hook
from workbench.lab.batches import batches
from workbench.lab.indexing.blocks import Block, blocks
from workbench.lab.indexing.build import bos_id, not_finite_row, tokenise
from workbench.lab.indexing.token_features import TokenFeatures
from workbench.lab.loaded import Model
from workbench.lab.passes import run_pass
from workbench.report import Report
from workbench.statistics import auc, bootstrap
from workbench.units import Neuron, Site

_WORD = re.compile(r"\s*(\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|[^\s,]+)\s*(?:,|$)")


@dataclass(frozen=True)
class Rule:
    """Which tokens. `tokens` are the vocabulary's ids it holds for; None for a feature of more than the token."""

    text: str
    feature: str = ""
    tokens: frozenset[int] | None = None


def parse_rule(text: str, vocabulary: list[str], features: TokenFeatures) -> Rule:
    """`is_month` (a token feature), `/^ ?[A-Z]/` (a pattern on the token), or words: `May, ' June', "the"`.

    A word without quotes is that token with and without a space in front, any case. Raises GrammarError.
    """
    text = text.strip()
    if not text:
        raise UserError("say what to look for: words (May, June), a pattern (/^ ?[A-Z]/) or a token feature (is_month)")
    if text in features.names:
        return Rule(text, feature=text, tokens=features.tokens_with(text))
    if len(text) > 1 and text[0] == text[-1] == "/":
        try:
            pattern = re.compile(text[1:-1])
        except re.error as error:
            raise GrammarError(text, 1 + (error.pos or 0), f"the pattern is not one: {error.msg}") from None
        tokens = {token for token, shown in enumerate(vocabulary) if shown and pattern.search(shown)}
    else:
        tokens = set()
        at = 0
        while at < len(text):
            match = _WORD.match(text, at)
            if not match:
                raise GrammarError(text, at, "words are separated by commas: May, June, ' July'")
            tokens |= _word_tokens(match[1], vocabulary, text, match.start(1))
            at = match.end()
    if not tokens:
        raise UserError(f"no token of this model's vocabulary is meant by {text!r}")
    return Rule(text, tokens=frozenset(tokens))


def _word_tokens(word: str, vocabulary: list[str], text: str, at: int) -> set[int]:
    if word[0] in "\"'" and len(word) > 1 and word[-1] == word[0]:
        inner = word[1:-1].replace("\\n", "\n").replace("\\t", "\t").replace("\\\\", "\\")
        tokens = {token for token, shown in enumerate(vocabulary) if shown == inner}
    else:
        tokens = {token for token, shown in enumerate(vocabulary) if shown.strip().lower() == word.lower()}
    if not tokens:
        raise GrammarError(text, at, f"{word} is not one token of this model: take its first piece, or a /pattern/")
    return tokens


@dataclass(frozen=True)
class NeuronScore:
    """One neuron against the rule."""

    neuron: Neuron
    direction: int
    """+1 where it should be high on the rule's tokens, −1 where low"""
    auc: float
    low: float
    """2.5 % of resampled documents"""
    high: float
    random_median: float
    """AUC of random neurons of its layer"""
    random_best: float
    n_random: int


@dataclass(frozen=True)
class HeldOut:
    """All of it, with what it was measured on."""

    scores: list[NeuronScore]
    tokens: int
    hits: int
    """tokens the rule picks"""
    documents: int


def try_rule(
    model: Model,
    corpus: Corpus,
    seen: frozenset[int],
    settings: IndexSettings,
    rule: Rule,
    features: TokenFeatures,
    neurons: Sequence[tuple[Neuron, int]],
    *,
    tokens: int,
    n_random: int,
    seed: int,
    report: Report,
) -> HeldOut:
    """Run documents that are not in `seen` through the model and compare (neuron, direction) pairs with the rule.

    Raises UserError where the corpus has no other documents, or the rule picks nothing in them.
    """
    chosen = [neuron for neuron, _ in neurons]
    layers = sorted({neuron.layer for neuron in chosen})
    generator = np.random.default_rng(seed)
    columns = {}
    for layer in layers:
        indices = [neuron.index for neuron in chosen if neuron.layer == layer]
        other_neurons = np.setdiff1d(np.arange(model.info.d_mlp), indices)
        drawn = generator.choice(other_neurons, min(n_random, len(other_neurons)), replace=False)
        columns[layer] = np.concatenate([indices, drawn]).astype(np.int64)
    parts: dict[int, list[np.ndarray]] = {layer: [] for layer in layers}
    labels: list[np.ndarray] = []
    documents: list[np.ndarray] = []
    total = 0
    stream = _unseen(model, corpus, seen, settings, lambda: total >= tokens)
    for block in report.track(stream, "blocks", stage="documents that are not in the index"):
        activations = _columns(model, block, columns, report)
        counted = block.counted
        wrong = [np.flatnonzero((~np.isfinite(activations[layer]).all(2) & counted).any(1)) for layer in layers]
        rows = np.concatenate(wrong)
        if len(rows):
            raise UserError(not_finite_row(model, block, int(rows[0])))
        for layer in layers:
            parts[layer].append(activations[layer][counted])
        labels.append(_rule_holds(rule, block, features)[counted])
        documents.append(np.broadcast_to(block.documents[:, None], counted.shape)[counted])
        total += block.tokens
    if not total:
        raise UserError(f"every document of {corpus.info.name} is in the index: name another corpus to try the rule on")
    label, document = np.concatenate(labels), np.concatenate(documents)
    if not label.any() or label.all():
        raise UserError(f"{rule.text!r} holds for {int(label.sum()):,} of {total:,} other tokens: nothing to compare")
    scores = []
    for neuron, direction in neurons:
        values = np.concatenate(parts[neuron.layer])
        column = int(np.flatnonzero(columns[neuron.layer] == neuron.index)[0])
        n_own = sum(other.layer == neuron.layer for other in chosen)
        random = [auc(values[:, random_column], label) for random_column in range(n_own, values.shape[1])]
        better = np.maximum(random, 1 - np.asarray(random))
        own_values = direction * values[:, column]
        low, high = bootstrap(partial(auc, own_values, label), document, generator)
        scores.append(
            NeuronScore(
                neuron,
                direction,
                auc(own_values, label),
                low,
                high,
                float(np.median(better)),
                float(better.max()),
                len(better),
            )
        )
    return HeldOut(scores, total, int(label.sum()), len(np.unique(document)))


def _unseen(
    model: Model, corpus: Corpus, seen: frozenset[int], settings: IndexSettings, enough: Callable[[], bool]
) -> Iterator[Block]:
    smaller = msgspec.structs.replace(settings, shelf_blocks=4)
    switches = model.rotations.switches(1, settings.context)
    for _, block in blocks(tokenise(model, corpus, seen), smaller, bos_id(model), switches):
        if enough():
            return
        yield block


def _columns(model: Model, block: Block, columns: dict[int, np.ndarray], report: Report) -> dict[int, np.ndarray]:
    """Activations of some neurons by layer, float32 [row, position, neuron]; in parts where memory runs out."""
    n_rows = len(block.lengths)
    parts: dict[int, list[np.ndarray]] = {layer: [] for layer in columns}
    for batch in batches(range(n_rows), n_rows, report, model, progress_per_row=0):
        with batch:
            activations: dict[int, np.ndarray] = {}
            hooks = {Site(layer, "mlp_post"): _capture_columns(activations, layer, columns[layer]) for layer in columns}
            ids = torch.from_numpy(block.ids[batch.start : batch.start + len(batch.rows)]).to(model.info.device)
            run_pass(model, ids, head=None, watch=hooks)
            for layer in columns:
                parts[layer].append(activations[layer])
    return {layer: np.concatenate(of_layer) for layer, of_layer in parts.items()}


def _capture_columns(activations: dict[int, np.ndarray], layer: int, columns: np.ndarray) -> Hook:
    index = torch.from_numpy(columns)

    def hook(activation: torch.Tensor, hook: object = None) -> None:
        activations[layer] = activation.index_select(2, index.to(activation.device)).float().cpu().numpy()

    return hook


def _rule_holds(rule: Rule, block: Block, features: TokenFeatures) -> np.ndarray:
    """bool [row, position]."""
    if not rule.feature:
        assert rule.tokens is not None
        return np.isin(block.ids, np.fromiter(rule.tokens, dtype=np.int64))
    holds: np.ndarray = features.of(block.ids)[features.names.index(rule.feature)] > 0
    return holds
