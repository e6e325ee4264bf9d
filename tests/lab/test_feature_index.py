"""An index of an SAE's features equals NumPy on activations of plain hooks and a plain encode, however it was made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.lab.plain import Plain
from tests.lab.sae.test_features import encode, random_sae
from tests.lab.test_indexing import assert_same, folder, open_model, ragged, small, state  # noqa: F401
from workbench.datasets.corpora import Corpus
from workbench.index import query
from workbench.index.features import FeatureIndex, open_any
from workbench.index.format import IndexedSae, in_sample
from workbench.index.reader import NeuronIndex
from workbench.index.store import best_index, indexes_dir, verify
from workbench.lab.indexing import build as indexing
from workbench.lab.indexing.accumulate import looks_at_rows_together
from workbench.lab.indexing.blocks import blocks
from workbench.lab.indexing.build import IndexBuild, bos_id, tokenise
from workbench.lab.indexing.feature_weights import weights
from workbench.lab.indexing.sources import Features
from workbench.lab.sae.placing import place
from workbench.lab.sae.sae import SAE
from workbench.units import Feature, Neuron

NAME = "made"


def building(model, sae: SAE, corpus: Corpus, name: str = "", **changes) -> IndexBuild:
    placed = place(model, sae)
    width = sae.config.d_sae
    indexed = IndexedSae(name=NAME, hash="e" * 64, layer=placed.site.layer, site=str(placed.site), width=width)
    source = Features(placed, indexed, weights(model, placed))
    target = indexes_dir() / name if name else None
    return IndexBuild(model, corpus, small(model, **changes), 1 << 60, target, source)


def finish(made: IndexBuild) -> NeuronIndex:
    with made:
        for block in made.blocks():
            made.add(block)
    return open_any(made.folder)


class Brute:
    """Every counted token's features `f` float64 [token, feature], its document, position and id."""

    def __init__(self, model, plain: Plain, sae: SAE, corpus: Corpus) -> None:
        settings, bos = small(model), bos_id(model)
        parts = []
        for _, block in blocks(tokenise(model, corpus), settings, bos):
            x = plain.read(torch.from_numpy(block.ids), 1, "resid_post")
            for row, length in enumerate(block.lengths.tolist()):
                position = np.arange(1, length)
                f = encode(sae, x[row, 1:length]).double().numpy()
                documents = np.full(length - 1, block.documents[row])
                parts.append((f, documents, position + block.starts[row], block.ids[row, 1:length]))
        self.f, self.document, self.position, self.id = (np.concatenate(each) for each in zip(*parts, strict=True))


@pytest.mark.parametrize("arch", ["llama", "gpt2"])
def test_statistics_equal_numpy(arch, folder: Path) -> None:  # noqa: F811
    model, corpus, sae = open_model(folder, arch), ragged(), random_sae()
    index = finish(building(model, sae, corpus))
    assert isinstance(index, FeatureIndex)
    assert verify(index.folder) == []
    brute = Brute(model, Plain(folder / arch), sae, corpus)
    f, on = brute.f, brute.f > 0
    n = len(f)
    assert index.n_tokens == n
    with np.errstate(invalid="ignore"):
        expected = {
            "frequency": on.mean(0), "active": f.sum(0) / on.sum(0), "max": f.max(0), "mean": f.mean(0), "sd": f.std(0),
            "decoder": sae.W_dec.double().norm(dim=1).numpy(),
        }  # fmt: skip
    for name, values in expected.items():
        np.testing.assert_allclose(index.columns[name].values, values, rtol=2e-4, atol=1e-5, err_msg=name)
    sampled = in_sample(brute.document, brute.position, index.settings.sample)
    histogram = index._data.arrays["histogram"]
    assert (histogram.sum(1) == sampled.sum()).all()
    np.testing.assert_array_equal(histogram[:, 129:].sum(1), (f[sampled] >= 2.0**-11).sum(0))
    for feature in range(0, index.units.n, 5):
        card = index.card_of(feature)
        documents = np.unique(brute.document)
        best = [(f[brute.document == document, feature].max(), document) for document in documents]
        best = sorted((pair for pair in best if pair[0] > 0), reverse=True)[: index.settings.top]
        np.testing.assert_allclose([e.value for e in card.high], [value for value, _ in best], rtol=1e-3)
        assert [e.document for e in card.high] == [document for _, document in best]
        assert not card.low
        for example in card.high:
            at = np.flatnonzero((brute.document == example.document) & (brute.position == example.position))[0]
            assert f[at, feature] == pytest.approx(example.value, rel=1e-3)
            assert example.tokens[example.peak] == index.token(int(brute.id[at]))
            assert example.values[example.peak] == pytest.approx(example.value, rel=1e-3)
        peak = int(index.columns["peak"].values[feature])
        assert peak == (brute.id[f[:, feature].argmax()] if best else -1)


def test_a_feature_that_never_fires_has_no_examples_and_no_peak(folder: Path) -> None:  # noqa: F811
    model, sae = open_model(folder, "llama"), random_sae()
    sae.tensors["b_enc"][3] = -1e6
    index = finish(building(model, sae, ragged(3)))
    card = index.card_of(3)
    assert card.high == []
    assert index.columns["frequency"].values[3] == 0
    assert np.isnan(index.columns["active"].values[3])
    assert index.columns["peak"].values[3] == -1


@pytest.mark.parametrize("arch", ["llama", "gpt2"])
def test_what_features_promote_equals_numpy(arch, folder: Path) -> None:  # noqa: F811
    model, sae = open_model(folder, arch), random_sae()
    index = finish(building(model, sae, ragged(4)))
    hf = Plain(folder / arch).model
    gain = hf.model.norm.weight if arch == "llama" else hf.transformer.ln_f.weight
    unembed = (hf.get_output_embeddings().weight * gain).detach().double().numpy()
    unembed -= unembed.mean(0)
    rows = sae.W_dec.double().numpy()
    if arch == "gpt2":  # LayerNorm takes the mean off
        rows = rows - rows.mean(1, keepdims=True)
    logits = rows @ unembed.T
    cosine = logits / np.linalg.norm(unembed, axis=1) / np.linalg.norm(rows, axis=1, keepdims=True)
    z = (cosine - cosine.mean(1, keepdims=True)) / cosine.std(1, keepdims=True)
    np.testing.assert_allclose(index.columns["vocab_var"].values, cosine.var(1), rtol=1e-3)
    np.testing.assert_allclose(index.columns["vocab_kurtosis"].values, (z**4).mean(1), rtol=1e-3)
    np.testing.assert_array_equal(index.columns["promotes"].values, logits.argmax(1))
    for feature in (0, 9):
        np.testing.assert_allclose(
            [value for _, value in index.suppressed(feature)], np.sort(logits[feature])[:10], rtol=1e-4
        )


def test_interrupted_it_is_the_same_to_the_bit(folder: Path, monkeypatch) -> None:  # noqa: F811
    model, sae, corpus = open_model(folder, "llama"), random_sae(), ragged(5)
    whole = state(finish(building(model, sae, corpus, "whole")).folder)
    for _ in range(100):
        made = building(model, sae, corpus, "parts")
        with made:
            for number, block in enumerate(made.blocks()):
                if number == 2:
                    break
                made.add(block)
        if made.file.progress.exhausted:
            break
    parts = state(made.folder)
    assert parts.keys() == whole.keys()
    assert_same(parts, whole)


def test_rows_together_give_the_same(folder: Path, monkeypatch) -> None:  # noqa: F811
    """As a GPU looks at them."""
    model, sae, corpus = open_model(folder, "llama"), random_sae(), ragged(6)
    by_row = finish(building(model, sae, corpus, "by-row"))
    monkeypatch.setattr("workbench.lab.indexing.accumulate.looks_at_rows_together", lambda device: True)
    together = finish(building(model, sae, corpus, "together"))
    for name in ("frequency", "active", "max", "mean", "peak"):
        np.testing.assert_allclose(
            together.columns[name].values, by_row.columns[name].values, rtol=1e-5, atol=1e-6, err_msg=name
        )
    assert [e.value for e in together.card_of(5).high] == [e.value for e in by_row.card_of(5).high]
    assert not looks_at_rows_together(torch.device("cpu"))


def test_memory_of_a_block_is_bounded(folder: Path) -> None:  # noqa: F811
    info = open_model(folder, "llama").info
    narrow, wide = (indexing.default_settings(info, 64, 20, False, width) for width in (64, 1 << 17))
    assert narrow.block_tokens == indexing.default_settings(info, 64, 20, False).block_tokens
    assert wide.block_tokens * (1 << 17) * 4 <= indexing.ENCODED["cpu"]


def test_filters_addresses_and_what_is_no_feature_here(folder: Path) -> None:  # noqa: F811
    model, sae = open_model(folder, "llama"), random_sae()
    index = finish(building(model, sae, ragged(7)))
    assert index.unit(5) == f"L1.F5/{NAME}"
    assert index.short(5) == "L1.F5"
    assert index.id_of(Feature(1, 5)) == index.id_of(Feature(1, 5, NAME)) == 5
    others = (Feature(1, 5, "other"), Feature(0, 5), Neuron(1, 5), Feature(1, index.units.n))
    assert [index.id_of(unit) for unit in others] == [None] * 4
    frequency = index.columns["frequency"].values
    for text, mask in (
        ("frequency>40%", frequency > np.float32(0.4)),
        ("frequency>p80", None),
        (f"L1.F5/{NAME}", None),
    ):
        ids = query.parse(text, index.columns).run(index)
        if mask is not None:
            np.testing.assert_array_equal(ids, np.flatnonzero(mask))
        assert len(ids)
    np.testing.assert_array_equal(query.parse("L1.F3-5", index.columns).run(index), [3, 4, 5])
    assert best_index(model.info) != index.folder
