"""What is compared, one function a comparison, and how far apart two numbers may be.

Each says what it found for the table, or raises DifferenceError.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import msgspec
import numpy as np
import torch
from transformers.activations import ACT2FN

from tests.architectures.pair import OTHER, PROMPT, Pair
from tests.architectures.reference import Change
from tests.lab.test_every_edit import at, head, neuron
from workbench.datasets.corpora import Corpus, CorpusInfo
from workbench.edits import parse_edits
from workbench.errors import UserError
from workbench.index.reader import NeuronIndex
from workbench.lab.continuation import Continuation, Row
from workbench.lab.generate import continue_all, generate
from workbench.lab.indexing.build import IndexBuild, default_settings
from workbench.lab.indexing.weights_index import build_weights
from workbench.lab.lens import lens
from workbench.lab.metric import Metric
from workbench.lab.study import study
from workbench.units import Head, Neuron, Site

PROMPTS = (PROMPT, "The capital of France is", "The river is wide and the water is")
TEXTS = ("The capital of France is Paris. The river is wide.", "She said that he was happy", PROMPT)
TOKENS = 16
EDITED_TOKENS = 6
TOLERANCE = 5e-5
"""of differences in standard deviations of the logits. Float32 has 6e-8; four layers, whose sums run in another order
in another batch shape or from another layer on, make some 1e-6 of it, norms of small numbers 1e-5. A head that is
swapped, a scale or a mask that is lost is off by .01 or more."""
SMALLEST_EDIT = 1e-3
"""an edit that changes less compares nothing"""
MOST_EDITS = 10
"""of 26: a model whose stream is normed after every block takes no notice of it being scaled"""
SUMS = 1e-4
"""of parts of the logit difference, in the largest of them: they pass through products and norms in float32"""


class DifferenceError(Exception):
    """Two numbers that should be equal are not."""


def _difference(ours: torch.Tensor, expected: torch.Tensor, what: str) -> float:
    """The largest, in standard deviations of `expected` [position, vocabulary]."""
    finite = torch.isfinite(expected)
    if ours.shape != expected.shape or not torch.equal(finite, torch.isfinite(ours)):
        raise DifferenceError(f"{what} {tuple(ours.shape)} against {tuple(expected.shape)}, or not finite")
    difference = float((ours - expected)[finite].abs().max() / expected[finite].std())
    if not difference <= TOLERANCE:
        raise DifferenceError(f"{what} off by {difference:.2g} standard deviations of the logits")
    return difference


def _largest(differences: list[float]) -> str:
    return f"{max(differences):.0e}" if max(differences) else "0"


def predict(pair: Pair) -> str:
    """Logits at every position, of one prompt and of several of mixed lengths."""
    alone = pair.lab.forward(pair.lab.prompt(PROMPT)).logits
    assert alone is not None
    differences = [_difference(alone[0], pair.reference.logits(pair.ids(PROMPT))[0], "one prompt")]
    together = pair.lab.forward([pair.lab.prompt(text) for text in PROMPTS]).logits
    assert together is not None
    for text, row in zip(PROMPTS, together, strict=True):
        expected = pair.reference.logits(pair.ids(text))[0]
        differences.append(_difference(row[: len(expected)], expected, "a row of a mixed batch"))
    return _largest(differences)


def edits(pair: Pair) -> str:
    """Every kind of edit, logits at every position."""
    ids, prompt = pair.ids(PROMPT), pair.lab.prompt(PROMPT)
    clean = pair.reference.logits(ids)[0]
    differences, wrong, changed = [], [], 0
    for text, changes in pair.edits():
        try:
            ours = pair.lab.forward(prompt, parse_edits([text], pair.lab.info)).logits
            assert ours is not None
            expected = pair.reference.logits(ids, changes)[0]
            changed += float((expected - clean).abs().max()) > SMALLEST_EDIT
            differences.append(_difference(ours[0], expected, text))
        except (DifferenceError, UserError) as difference:
            wrong.append(str(difference))
    for text in pair.refused():
        try:
            pair.lab.forward(prompt, parse_edits([text], pair.lab.info))
        except UserError:
            continue
        wrong.append(f"{text} is not refused")
    if changed < MOST_EDITS:
        wrong.append(f"only {changed} edits change anything")
    if wrong:
        raise DifferenceError("; ".join(wrong))
    return _largest(differences)


def sweep(pair: Pair) -> str:
    """The same edits from their own layer on, in batches, as `sweep`, `why` and `patch` run them."""
    ids = pair.ids(PROMPT)
    pairs = pair.edits()
    traced = study(pair.lab, pair.lab.prompt(PROMPT))
    plans = [pair.lab.plan(parse_edits([text], pair.lab.info)) for text, _ in pairs]
    names = [(Site(2, "resid_pre"), None, 3), (Site(1, "z"), 2, None), (Site(1, "resid_post"), None, None)]
    plans += traced.patches(study(pair.lab, pair.lab.prompt(OTHER)), names)
    other = {
        name: pair.reference.read(pair.ids(OTHER), *name) for name in [(2, "resid_pre"), (1, "z"), (1, "resid_post")]
    }
    heads = other[1, "z"].unflatten(-1, (pair.reference.n_heads, -1))
    pairs += [
        ("patch L2.resid_pre[3]", [(2, "resid_pre", at(3, 4, lambda x: other[2, "resid_pre"]))]),
        ("patch L1.H2", [(1, "z", head(2, pair.reference.n_heads, lambda z: heads[:, :, 2]))]),
        ("patch L1.resid_post", [(1, "resid_post", lambda x: other[1, "resid_post"])]),
    ]
    plans += [traced.off([Neuron(3, 3)]), traced.off([Head(3, 1)])]
    n = ids.shape[1]
    pairs += [
        ("L3.N3 off", [(3, "mlp_post", at(1, n, neuron(3, lambda a: a * 0)))]),
        ("L3.H1 off", [(3, "z", at(1, n, head(1, pair.reference.n_heads, lambda z: z * 0)))]),
    ]
    differences = []
    for results in traced.run(plans):
        for index, logits in zip(results.indices, results.logits, strict=True):
            text, changes = pairs[index]
            differences.append(_difference(logits, pair.reference.logits(ids, changes)[0, -1], text))
    assert len(differences) == len(pairs)
    return _largest(differences)


def generation(pair: Pair) -> str:
    """Greedy, with the cache and without, alone, in a batch of mixed lengths, and under an edit."""
    lab, stop, wrong = pair.lab, sorted(pair.lab.model.stop_ids), []
    expected: dict[bool, list[list[int]]] = {}
    for use_cache in (True, False):
        expected[use_cache] = [pair.reference.generated(pair.ids(text), stop, TOKENS, use_cache) for text in PROMPTS]
        ours = [token.id for token in islice(generate(lab, lab.prompt(PROMPT), use_cache=use_cache), TOKENS)]
        if ours != expected[use_cache][0]:
            wrong.append(f"{'with' if use_cache else 'without'} cache {ours} instead of {expected[use_cache][0]}")
    rows = [Row(lab.prompt(text), lab.plan(()), number) for number, text in enumerate(PROMPTS)]
    continuations = [Continuation() for _ in rows]
    for _ in continue_all(lab, rows, continuations, TOKENS):
        pass
    for text, continuation, tokens in zip(PROMPTS, continuations, expected[lab.model.caches], strict=True):
        if continuation.ids != tokens:
            wrong.append(f"in a mixed batch, after {text!r}: {continuation.ids} instead of {tokens}")
    edited = [
        token.id
        for token in islice(generate(lab, lab.prompt(PROMPT), parse_edits(["L1.H2=0;L1.N2-9=2"])), EDITED_TOKENS)
    ]
    changes: list[Change] = [
        (1, "z", head(2, pair.reference.n_heads, lambda z: z * 0)),
        (1, "mlp_post", neuron(slice(2, 10), lambda a: a * 0 + 2)),
    ]
    tokens = pair.reference.generated_under(pair.ids(PROMPT), stop, EDITED_TOKENS, changes)
    if edited != tokens:
        wrong.append(f"edited {edited} instead of {tokens}")
    if wrong:
        raise DifferenceError("; ".join(wrong))
    return "="


def logit_lens(pair: Pair) -> str:
    """The last row is the model's logits; the middle ones are what the model makes of the stream there."""
    rows = lens(pair.lab, pair.lab.prompt(PROMPT))
    return _largest(
        [
            # The lens' row 0 is the embedding.
            _difference(rows.logits(layer + 1)[0], pair.reference.lens(pair.ids(PROMPT), layer)[0], f"layer {layer}")
            for layer in (1, 2, 3)
        ]
    )


def contributions(pair: Pair) -> str:
    """The parts of `dla` sum to the logit difference; a head, a neuron and attention's whole are what plain hooks say.

    What a head or a neuron adds is what goes when it is switched off: true where no norm stands behind it.
    """
    if any("dla" in remark or "resid_post" in remark for remark in pair.lab.remarks):
        return "remark"  # it is said at load that they don't
    reference, ids = pair.reference, pair.ids(PROMPT)
    logits = reference.logits(ids)[0, -1].double()
    answer, foil = logits.topk(2).indices.tolist()
    parts = study(pair.lab, pair.lab.prompt(PROMPT)).direct(Metric("difference", answer, foil))
    cap = getattr(reference.config, "final_logit_softcapping", None)
    uncapped = cap * torch.atanh(logits / cap) if cap else logits
    differences = {
        "the whole": parts.whole - float(uncapped[answer] - uncapped[foil]),
        "the sum of the parts": parts.total - parts.whole,
    }
    added = {site: reference.read(ids, 1, site)[0, -1] for site in ("attn_out", "mlp_out")}
    if not pair.lab.info.post_norm:
        off = [
            ("L1.H2", "attn_out", (1, "z", head(2, reference.n_heads, lambda z: z * 0)), parts.heads[1, 2]),
            ("L1.N3", "mlp_out", (1, "mlp_post", neuron(3, lambda a: a * 0)), parts.neurons[1, 3]),
        ]
        for unit, site, change, ours in off:
            without = reference.read(ids, 1, site, [change])[0, -1]
            differences[unit] = ours - reference.direct(ids, added[site] - without, answer, foil)
    differences["L1.attn_out"] = parts.attention[1] - reference.direct(ids, added["attn_out"], answer, foil)
    differences["L1.mlp_out"] = parts.mlps[1] - reference.direct(ids, added["mlp_out"], answer, foil)
    largest = max(1.0, *map(abs, [parts.embedding, *parts.attention, *parts.mlps]))
    wrong = [f"{what} off by {by:.2g} logits" for what, by in differences.items() if not abs(by) <= SUMS * largest]
    if wrong:
        raise DifferenceError("; ".join(wrong))
    return f"{max(map(abs, differences.values())) / largest:.0e}"


def gates(pair: Pair) -> str:
    """`mlp_pre` is the activation function's input; where gated, `mlp_pre_linear` is what its output is times."""
    name, sites = pair.reference.activation, [Site(1, "mlp_pre"), Site(1, "mlp_pre_linear")]
    ours = pair.lab.forward(pair.lab.prompt(PROMPT), sites=sites[: 1 + pair.lab.info.gated_mlp]).captured
    expected = pair.reference.read(pair.ids(PROMPT), 1, "mlp_post")[0]
    if ours[sites[0]].shape[-1] != expected.shape[-1] or not name:
        return "–"
    with torch.no_grad():
        post = ACT2FN[name](ours[sites[0]][0])
    if pair.lab.info.gated_mlp:
        post = post * ours[sites[1]][0]
    difference = float((post - expected).abs().max() / expected.std())
    if not difference <= TOLERANCE:
        raise DifferenceError(f"off by {difference:.2g} standard deviations of the activations")
    return f"{difference:.0e}"


def gradients(pair: Pair) -> str:
    """`sweep`'s estimate of switching a neuron off, against autograd through the reference."""
    ids = pair.ids(PROMPT)
    answer, foil = pair.reference.logits(ids)[0, -1].topk(2).indices.tolist()
    ours = study(pair.lab, pair.lab.prompt(PROMPT)).attribute([Metric("difference", answer, foil)]).neurons[0, 1]
    kept = []

    def leaf(activation: torch.Tensor) -> torch.Tensor:
        kept.append(activation.detach().requires_grad_())
        return kept[0]

    logits = pair.reference.logits(ids, [(1, "mlp_post", leaf)], gradients=True)[0, -1]
    (gradient,) = torch.autograd.grad(logits[answer] - logits[foil], kept)
    expected = -(kept[0] * gradient)[0, 1:].sum(0).detach().numpy()
    difference = float(np.abs(ours - expected).max() / expected.std())
    if not difference <= TOLERANCE:
        raise DifferenceError(f"off by {difference:.2g} standard deviations of the estimates")
    return f"{difference:.0e}"


def index(pair: Pair) -> str:
    """The weights part and a small data part are built; every neuron's largest activation is that of plain hooks."""
    lab = pair.lab
    lab.set_fingerprint(lab.info.name.encode().hex().ljust(64, "0")[:64])
    for _ in build_weights(lab.model):
        pass
    corpus = Corpus(CorpusInfo(name="few", spec="few", hash=f"{1:064d}", documents=len(TEXTS)), TEXTS)
    settings = msgspec.structs.replace(default_settings(lab.info, context=32, top=3, explain=True), block_tokens=64)
    build = IndexBuild(lab.model, corpus, settings, 1 << 60)
    with build:
        for block in build.blocks():
            build.add(block)
    ours = NeuronIndex.open(build.folder).columns["max"].values
    expected = torch.stack(
        [
            torch.cat([pair.reference.read(pair.ids(text), layer, "mlp_post")[0, 1:] for text in TEXTS]).amax(0)
            for layer in range(lab.info.n_layers)
        ]
    ).flatten()
    difference = float((torch.from_numpy(np.array(ours)) - expected).abs().max() / expected.std())
    if not difference <= TOLERANCE:
        raise DifferenceError(f"the largest activations off by {difference:.2g} of their standard deviation")
    return "ok"


CHECKS: dict[str, Callable[[Pair], str]] = {
    "predict": predict,
    "edits": edits,
    "generate": generation,
    "lens": logit_lens,
    "dla": contributions,
    "gates": gates,
    "sweep": sweep,
    "gradients": gradients,
    "index": index,
}
