"""The way in which a GPU indexes, here on the CPU: it gives what the CPU's own way gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.lab.brute import Brute
from tests.lab.test_indexing import build, open_model, ragged, small, state
from workbench.index.format import SIGN_TOP
from workbench.index.reader import NeuronIndex
from workbench.lab.indexing import accumulate, merging, moments, windows
from workbench.lab.indexing import build as indexing
from workbench.lab.indexing.blocks import Block
from workbench.lab.indexing.merging import row_groups
from workbench.lab.indexing.moments import RowByRow, moments_together, slabs
from workbench.lab.indexing.toplists import TopLists


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    for module in (accumulate, indexing):
        monkeypatch.setattr(module, "looks_at_rows_together", lambda device: True)
    for bytes_or_entries in (windows.WAITING, accumulate.PEAKS):
        monkeypatch.setitem(bytes_or_entries, "cpu", bytes_or_entries["other"])


SIGNS = {"example": (1, -1), "sign": (1, -1, -1, 1)}
MAPS = {"example": "windows", "sign": "sign_windows"}


def by_document(arrays: dict[str, np.ndarray], name: str) -> list[np.ndarray]:
    """Scores, documents, positions and windows of lists in one order: which slot an entry has is not asked, nor which
    of several equal scores a list ends with."""
    scores = arrays[f"{name}_values"] * np.array(SIGNS[name], np.float32)[:, None, None]
    tied = scores == scores.min(axis=-1, keepdims=True)
    places = [np.where(tied, -1, arrays[f"{name}_{kind}"]) for kind in ("documents", "positions")]
    order = np.lexsort((places[0], scores), axis=-1)
    lists = [np.take_along_axis(array, order, -1) for array in (scores, *places)]
    windows_kept = np.where(tied[..., None], 0, arrays[MAPS[name]])
    return [*lists, np.take_along_axis(windows_kept, order[..., None], -2)]


EXACT = (
    "positive_counts",
    "minimum",
    "maximum",
    "histogram",
    "sign_counts",
    "part_extremes",
    "feature_counts",
    "tokens",
)
ROUNDED = ("sums", "positive_squares", "clusters", "open_sums", "features", "sign_sums", "part_sums")


@pytest.mark.parametrize("arch", ["llama", "gemma2", "gpt2"])
def test_the_same_index(arch, folder, own_folders, request):
    model, corpus = open_model(folder, arch), ragged(8, n=40)
    chosen = small(model, block_tokens=192)
    alone = state(build(model, corpus, chosen, folder=own_folders / "cache" / "indexes" / "alone"))
    request.getfixturevalue("as_on_a_gpu")
    together = state(build(model, corpus, chosen, folder=own_folders / "cache" / "indexes" / "together"))
    assert alone.keys() == together.keys()
    for name in filter(alone.__contains__, EXACT):
        np.testing.assert_array_equal(together[name], alone[name], err_msg=name)
    for name in filter(alone.__contains__, ROUNDED):
        # A sum may cancel: what is off is held against the largest.
        atol = 1e-6 * np.abs(alone[name]).max(initial=0)
        np.testing.assert_allclose(together[name], alone[name], rtol=2e-5, atol=atol, err_msg=name)
    for name in ("example", *(["sign"] if model.info.gated_mlp else [])):
        for ours, theirs in zip(by_document(together, name), by_document(alone, name), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("shape", [{"block_tokens": 32}, {"block_tokens": 512, "shelf_blocks": 1}])
def test_it_equals_brute_force(shape, folder, as_on_a_gpu, monkeypatch):
    """In slabs and groups of few rows."""
    model, corpus = open_model(folder, "llama"), ragged(3)
    chosen = small(model, **shape)
    monkeypatch.setattr(moments, "SLAB", 3 * 32 * model.info.d_mlp)
    monkeypatch.setattr(merging, "ROWS", 5)
    index = NeuronIndex.open(build(model, corpus, chosen))
    brute = Brute(model, corpus, chosen)
    for name, expected in brute.columns().items():
        np.testing.assert_allclose(index.columns[name].values, expected, rtol=2e-5, atol=1e-6, err_msg=name)
    np.testing.assert_array_equal(index._data.arrays["histogram"], brute.histogram())
    counts, sums, _ = brute.signs()
    np.testing.assert_array_equal(index._data.arrays["sign_counts"], counts)
    np.testing.assert_allclose(index._data.arrays["sign_sums"], sums, rtol=1e-5, atol=1e-7)
    for neuron in range(0, model.info.n_neurons, 7):
        card = index.card(*divmod(neuron, model.info.d_mlp))
        for examples, sign in ((card.high, 1), (card.low, -1)):
            expected = brute.top(sign, chosen.top)[neuron]
            assert [example.value for example in examples] == [value for value, _, _ in expected]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_moments_of_rows_together_are_those_of_each(dtype, monkeypatch):
    rng = np.random.default_rng(0)
    lengths = np.array([9, 9, 9, 7, 7, 3, 2])
    block = Block(np.zeros((7, 9), np.int64), lengths, np.arange(7), np.zeros(7, np.int64), frozenset(), 3)
    activation = torch.from_numpy(rng.normal(size=(7, 9, 5))).to(dtype)
    activation[~torch.from_numpy(block.counted)] = 1e9
    before = activation.clone()
    alone = RowByRow().moments(activation, lengths)
    for size in (1 << 26, 2 * 9 * 5 + 1, 1):
        monkeypatch.setattr(moments, "SLAB", size)
        parts = slabs(block, 5, torch.device("cpu"))
        assert len(parts) == {1 << 26: 1, 91: 4, 1: 7}[size]
        together = moments_together(activation, parts)
        assert torch.equal(together.highs, alone.highs)
        assert torch.equal(together.lows, alone.lows)
        assert torch.equal(together.sums[4], alone.sums[4])
        torch.testing.assert_close(together.sums, alone.sums, rtol=1e-5, atol=1e-5)
    assert torch.equal(activation, before)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ties", [False, True])
def test_lists_hold_the_best_of_every_document(seed, ties, monkeypatch):
    """Beside NumPy: the k highest of the documents' best, over blocks in which documents come again."""
    rng = np.random.default_rng(seed)
    monkeypatch.setattr(merging, "ROWS", 4)
    width, k = 6, 4
    lists = TopLists(1, width, k, (1, -1), -torch.inf, torch.device("cpu"))
    best: dict[int, np.ndarray] = {}
    for _ in range(8):
        documents = rng.integers(0, 12, size=rng.integers(1, 11))
        scores = rng.normal(size=(len(documents), 2, width)).astype(np.float32)
        scores = np.round(scores) if ties else scores
        before = lists.scores.clone(), lists.documents.clone()
        entries = lists.offer_together(0, torch.from_numpy(scores), row_groups(documents, torch.device("cpu")))
        for document, score in zip(documents.tolist(), scores, strict=True):
            best[document] = np.maximum(best.get(document, -np.inf), score)
        for series in range(2):
            for neuron in range(width):
                held = lists.documents[0, series, neuron]
                real = held[held >= 0].tolist()
                assert len(set(real)) == len(real) == min(k, len(best))
                values = lists.scores[0, series, neuron][held >= 0].tolist()
                assert values == [best[document][series, neuron] for document in real]
                highest = sorted((row[series, neuron] for row in best.values()), reverse=True)[:k]
                assert sorted(values, reverse=True) == highest
        # What is said to be new is what changed, with the row that it came from; all else kept its slot.
        changed = torch.zeros_like(before[0], dtype=torch.bool)
        changed[0, entries.series, entries.neuron, entries.slot] = True
        assert torch.equal(lists.scores[~changed], before[0][~changed])
        assert torch.equal(lists.documents[~changed], before[1][~changed])
        for series, neuron, slot, row, score in zip(*(part.tolist() for part in entries), strict=True):
            assert lists.documents[0, series, neuron, slot] == documents[row]
            assert scores[row, series, neuron] == score == lists.scores[0, series, neuron, slot]


def test_a_list_without_a_higher_candidate_stays_as_it_is():
    lists = TopLists(1, 3, SIGN_TOP, (1,), 0.0, torch.device("cpu"))
    documents = np.array([3, 5])
    groups = row_groups(documents, torch.device("cpu"))
    assert len(lists.offer_together(0, torch.zeros(2, 1, 3), groups).row) == 0
    assert (lists.documents == -1).all()
    lists.offer_together(0, torch.ones(2, 1, 3), groups)
    assert len(lists.offer_together(0, torch.ones(2, 1, 3), groups).row) == 0


def test_what_fails_beside_the_device_stops_the_build(folder, as_on_a_gpu, monkeypatch):
    model, corpus = open_model(folder, "llama"), ragged(1)
    made = indexing.IndexBuild(model, corpus, small(model), 1 << 60)

    def full(*args):
        raise indexing.UserError("no space left")

    with pytest.raises(indexing.UserError, match="no space left"), made:
        monkeypatch.setattr(made._writer, "log", full)
        for block in made.blocks():
            made.add(block)
    assert made._aside._executor._shutdown
