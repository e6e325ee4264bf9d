"""An index equals brute force, whatever the architecture, the block shape, and however often it was interrupted."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.lab.brute import Brute
from tests.lab.labs import new_report
from tests.tiny import ARCHITECTURES, OTHER_NORMS, tiny_model
from workbench.datasets.corpora import Corpus, CorpusInfo
from workbench.errors import Cancelled, UserError
from workbench.index.features import open_any
from workbench.index.merge import merge
from workbench.index.reader import NeuronIndex
from workbench.index.store import indexes_dir, verify
from workbench.lab.finding.source import resolve
from workbench.lab.indexing import build as indexing
from workbench.lab.indexing.build import IndexBuild, default_settings, tokenise
from workbench.lab.indexing.token_features import TokenFeatures
from workbench.lab.indexing.weights_index import build_weights
from workbench.lab.model import load_lab

SENTENCE = "The capital of France is Paris . May June a list ( one , two ) 3 1999 self return When Mary and John"
WORDS = [*SENTENCE.split(), "\n\n", "went to the store", "London", "<|im_start|>", "café", ""]


def ragged(seed: int = 0, n: int = 14) -> Corpus:
    """Documents of 1 to 150 words, one empty, one that spells a special token."""
    rng = random.Random(seed)
    lengths = [1, 2, 150, 0, 90] + [rng.randrange(1, 60) for _ in range(n - 5)]
    texts = [" ".join(rng.choice(WORDS) for _ in range(length)) for length in lengths]
    return Corpus(CorpusInfo(name="ragged", spec="ragged", hash=f"{seed:064d}", documents=n), texts)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def open_model(folder: Path, arch: str):
    """A tiny model with its weights part written."""
    path = folder / arch
    if not path.exists():
        tiny_model(arch, path)
    lab = load_lab(resolve(str(path)))
    lab.set_fingerprint(arch.encode().hex().ljust(64, "0"))
    model = lab.model
    for _ in build_weights(model):
        pass
    return model


def small(model, **changes):
    """Settings that make a ragged corpus exercise everything."""
    found = default_settings(model.info, context=32, top=3, explain=True)
    return msgspec.structs.replace(found, **{"block_tokens": 128, "shelf_blocks": 4, "sample": 3, **changes})


def build(model, corpus, chosen, wanted: int = 1 << 60, folder: Path | None = None) -> Path:
    made = IndexBuild(model, corpus, chosen, wanted, folder)
    with made:
        for block in made.blocks():
            made.add(block)
    return made.folder


def state(folder: Path) -> dict[str, np.ndarray]:
    """Everything an index says, in one dict."""
    index = open_any(folder)
    found = {name: np.array(array) for name, array in index._data.arrays.items()}
    for name in ("windows", "sign_windows"):
        if (folder / f"{name}.npy").exists():
            found[name] = np.load(folder / f"{name}.npy")
    stored = int(found["documents"][:, 2].sum())
    found["tokens"] = np.load(folder / "tokens.npy")[:stored]
    return found


def assert_same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize("arch", [*ARCHITECTURES, *OTHER_NORMS])
def test_equals_brute_force(arch, folder):
    model, corpus = open_model(folder, arch), ragged()
    chosen = small(model)
    index = NeuronIndex.open(build(model, corpus, chosen))
    brute = Brute(model, corpus, chosen)
    assert index.n_tokens == len(brute.a)
    assert (brute.position - (brute.bos is None) >= 0).all()
    for name, wanted in brute.columns().items():
        np.testing.assert_allclose(index.columns[name].values, wanted, rtol=2e-5, atol=1e-6, err_msg=name)
    arrays = index._data.arrays
    np.testing.assert_array_equal(arrays["histogram"], brute.histogram())
    assert index.file.counts.sampled == brute.sampled.sum()
    for neuron in range(0, model.info.n_neurons, 7):
        layer, number = divmod(neuron, model.info.d_mlp)
        card = index.card(layer, number)
        for examples, sign in ((card.high, 1), (card.low, -1)):
            wanted = brute.top(sign, chosen.top)[neuron] if neuron < 21 else None
            found = [(e.value, e.document, e.position) for e in examples]
            if wanted is not None:
                assert_same_examples(found, wanted)
            for example in examples:
                _check_window(example, brute, neuron, model)


@pytest.mark.parametrize("arch", ["llama", "gpt2"])
@pytest.mark.parametrize("layer", [0, 1])
def test_a_block_that_does_not_fit_goes_in_halves_and_is_counted_once(arch, layer, folder):
    """Memory ends in a layer's own work, after the layers before it were added."""
    model, corpus = open_model(folder, arch), ragged(seed=3)
    chosen = small(model, block_tokens=192)
    report = new_report()

    def limited(block, args):
        if args[0].shape[0] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    handle = model.bridge.blocks[layer].register_forward_pre_hook(limited)
    try:
        made = IndexBuild(model, corpus, chosen, 1 << 60)
        with made:
            for block in made.blocks():
                made.add(block, report)
    finally:
        handle.remove()
    assert any("memory ran out" in note for note in report.notes)
    index, brute = NeuronIndex.open(made.folder), Brute(model, corpus, chosen)
    assert index.n_tokens == len(brute.a)
    for name, wanted in brute.columns().items():
        np.testing.assert_allclose(index.columns[name].values, wanted, rtol=2e-5, atol=1e-6, err_msg=name)
    np.testing.assert_array_equal(index._data.arrays["histogram"], brute.histogram())


def assert_same_examples(found, wanted):
    """Equal values; equal places too, except among equal values (an activation function's minimum repeats)."""
    assert [value for value, _, _ in found] == [value for value, _, _ in wanted]
    last = min((abs(value) for value, _, _ in wanted), default=0)
    values = [value for value, _, _ in wanted]
    for one, other in zip(found, wanted, strict=True):
        if values.count(one[0]) == 1 and abs(one[0]) != last:
            assert one == other


def _check_window(example, brute, neuron, model):
    """Values and tokens around a peak are those of the corpus; unknown only at a window's position 0."""
    for at, (token, value) in enumerate(zip(example.tokens, example.values, strict=True)):
        position = example.position - example.peak + at
        here = np.flatnonzero((brute.document == example.document) & (brute.position == position))
        if len(here) == 0:
            assert brute.bos is None
            assert position % 32 == 0
            assert np.isnan(value)
        else:
            assert token == model.tokens.token(int(brute.id[here[0]]))
            assert np.float16(brute.a[here[0], neuron]) == np.float16(value)


@pytest.mark.parametrize("arch", ["llama", "gemma2"])
def test_sign_cases_equal_brute_force(arch, folder):
    model, corpus = open_model(folder, arch), ragged(1)
    chosen = small(model)
    index = NeuronIndex.open(build(model, corpus, chosen))
    brute = Brute(model, corpus, chosen)
    counts, sums, examples = brute.signs()
    arrays = index._data.arrays
    np.testing.assert_array_equal(arrays["sign_counts"], counts)
    np.testing.assert_allclose(arrays["sign_sums"], sums, rtol=1e-5, atol=1e-7)
    for neuron in range(0, model.info.n_neurons, 11):
        card = index.card(*divmod(neuron, model.info.d_mlp))
        for case, found in enumerate(card.signs):
            assert_same_examples([(e.value, e.document, e.position) for e in found.examples], examples[case][neuron])
        gate = brute.gate[brute.sampled][:, neuron].astype(np.float64)
        assert card.parts[0].mean == pytest.approx(gate.mean(), rel=1e-5, abs=1e-6)
        assert card.parts[0].sd == pytest.approx(gate.std(), rel=1e-4)
        assert card.parts[0].low == gate.min()
        assert card.parts[0].high == gate.max()


def test_best_feature_is_chosen_on_one_half_and_reported_on_the_other(folder):
    model, corpus = open_model(folder, "llama"), ragged(2, n=30)
    chosen = small(model)
    index = NeuronIndex.open(build(model, corpus, chosen))
    brute = Brute(model, corpus, chosen)
    features = TokenFeatures(index.tokens)
    rows = np.stack([brute.before, brute.id], axis=1)
    held = features.of(rows)[:, :, 1].astype(bool)
    for number, name in enumerate(features.names):
        if name.startswith("pos_"):
            first, end = {
                "pos_1": (1, 2), "pos_2": (2, 3), "pos_1_3": (1, 4), "pos_1_7": (1, 8), "pos_8_31": (8, 32),
                "pos_32_127": (32, 128), "pos_128_on": (128, 999),
            }[name]  # fmt: skip
            held[number] = (brute.place >= first) & (brute.place < end)
    first, second = brute.explained(held)
    best = index.columns["best"].values
    neurons = np.arange(model.info.n_neurons)
    np.testing.assert_allclose(np.nanmax(first, axis=0), first[best, neurons], rtol=1e-4)
    np.testing.assert_allclose(index.columns["vr"].values, second[best, neurons], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", [{"block_tokens": 32}, {"block_tokens": 512, "shelf_blocks": 1}])
def test_block_shape_changes_only_rounding(shape, folder):
    model, corpus = open_model(folder, "qwen2"), ragged(3)
    chosen = small(model, **shape)
    index = NeuronIndex.open(build(model, corpus, chosen))
    brute = Brute(model, corpus, chosen, alone=True)
    assert index.n_tokens == len(brute.a)
    for name, wanted in brute.columns().items():
        if name in ("positive", "skew", "kurtosis"):
            continue  # a sign may turn on the last bit; higher moments magnify it
        np.testing.assert_allclose(index.columns[name].values, wanted, rtol=1e-5, atol=1e-5, err_msg=name)
    assert index.file.counts.sampled == brute.sampled.sum()


class Crash(Exception):  # noqa: N818 - it stands for a kill
    pass


@settings(
    max_examples=6,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    stops=st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=1, max_size=4),
    every=st.integers(1, 4),
)
def test_interrupted_anywhere_ends_equal(stops, every, folder, own_folders):
    """Cancelled or crashed after any number of blocks, with checkpoints anywhere: the same bits in the end."""
    model, corpus = _kept(folder)
    chosen = small(model)
    whole = own_folders / "cache" / "indexes" / "whole"
    if not whole.exists():
        build(model, corpus, chosen, folder=whole)
    target = own_folders / "cache" / "indexes" / f"t{random.random()}"
    for blocks, crash in stops:
        made = IndexBuild(model, corpus, chosen, 1 << 60, target)
        try:
            with made:
                for number, block in enumerate(made.blocks()):
                    if number == blocks:
                        raise Crash if crash else Cancelled
                    made.add(block)
                    if number % every == every - 1:
                        made.checkpoint()
        except (Crash, Cancelled):
            assert NeuronIndex.open(target).n_tokens <= made.tokens if (target / "index.json").exists() else crash
    build(model, corpus, chosen, folder=target)
    assert_same(state(target), state(whole))
    assert verify(target) == []


_models: dict[Path, tuple] = {}


def _kept(folder):
    """One model for all examples of a property; the weights part is written again for each test's folders."""
    if folder not in _models:
        _models[folder] = (open_model(folder, "llama"), ragged(4, n=24))
    model, corpus = _models[folder]
    if not (indexes_dir()).exists():
        for _ in build_weights(model):
            pass
    return model, corpus


def test_more_tokens_later_is_the_same_as_all_at_once(folder):
    model, corpus = open_model(folder, "gpt2"), ragged(5, n=24)
    chosen = small(model)
    grown = build(model, corpus, chosen, wanted=200)
    before = NeuronIndex.open(grown)
    assert before.complete
    assert 200 <= before.n_tokens < 400
    build(model, corpus, chosen, wanted=500, folder=grown)
    once = build(model, corpus, chosen, wanted=500, folder=indexes_dir() / "once")
    assert_same(state(grown), state(once))
    assert before.changed()
    assert NeuronIndex.open(grown).n_tokens >= 500


def test_two_shards_merge_to_the_whole(folder):
    model, corpus = open_model(folder, "llama"), ragged(6, n=30)
    chosen = small(model)
    parts = [
        build(model, Corpus(corpus.info, corpus.texts, (i, 2)), chosen, folder=indexes_dir() / f"part{i}")
        for i in (0, 1)
    ]
    merged = indexes_dir() / "merged"
    merge(parts[0], parts[1], merged, indexes_dir())
    index = NeuronIndex.open(merged)
    brute = Brute(model, corpus, chosen, alone=True)
    for name, wanted in brute.columns().items():
        np.testing.assert_allclose(index.columns[name].values, wanted, rtol=1e-4, atol=1e-5, err_msg=name)
    assert index.file.counts.sampled == brute.sampled.sum()
    for neuron in range(20):
        card = index.card(0, neuron)
        for examples, sign in ((card.high, 1), (card.low, -1)):
            wanted = brute.top(sign, chosen.top)[neuron]
            assert [e.document for e in examples] == [document for _, document, _ in wanted]
            np.testing.assert_allclose([e.value for e in examples], [value for value, _, _ in wanted], rtol=1e-4)
            assert all(np.isfinite(e.values).sum() > 1 for e in examples if len(e.tokens) > 3)
    assert verify(merged) == []
    with pytest.raises(UserError, match="counts? them twice|count them twice"):
        merge(parts[0], parts[0], indexes_dir() / "again", indexes_dir())
    with pytest.raises(UserError, match="merged from parts"):
        build(model, corpus, chosen, folder=merged)


def test_position_0_bos_and_padding_are_in_nothing(folder):
    """Activations there are replaced by huge ones: not a bit of the index may change."""
    for arch in ("llama", "gemma2"):
        model, corpus = open_model(folder, arch), ragged(7)
        chosen = small(model)
        clean = state(build(model, corpus, chosen))
        made = IndexBuild(model, corpus, chosen, 1 << 60, indexes_dir() / f"poisoned-{arch}")
        layer, keep = made._accumulators.layer, made._accumulators.keep_part

        def poison(activation, on):
            changed = activation.clone()
            changed[~on.counted] = 1e30
            return changed

        made._accumulators.layer = lambda at, x, on, log, f=layer: f(at, poison(x, on), on, log)
        made._accumulators.keep_part = lambda name, x, on, f=keep: f(name, poison(x, on), on)
        with made:
            for block in made.blocks():
                made.add(block)
        assert_same(clean, state(made.folder))


def test_no_special_token_is_ever_a_peak(folder):
    model, corpus = open_model(folder, "gemma2"), ragged(8)
    special = set(model.tokens.tokenizer.all_special_ids)
    assert any("<|im_start|>" in text for text in corpus.texts)
    assert all(special.isdisjoint(ids.tolist()) for _, ids in tokenise(model, corpus))
    found = state(build(model, corpus, small(model)))
    assert special.isdisjoint(np.unique(found["peak_tokens"]).tolist())


def test_nan_activations_name_the_layer_and_leave_the_last_checkpoint(folder, monkeypatch):
    model, corpus = open_model(folder, "llama"), ragged(9)
    monkeypatch.setattr(indexing, "FIRST_CHECKPOINT", 0.0)
    chosen = small(model)
    made = IndexBuild(model, corpus, chosen, 1 << 60)
    layer = made._accumulators.layer
    seen = []

    def broken(at, x, on, log):
        seen.append(at)
        if at == 1 and len(seen) > 6:
            x = x.clone()
            x[0, 1, 5] = torch.nan
        layer(at, x, on, log)

    made._accumulators.layer = broken
    with pytest.raises(UserError, match=r"L1\.N5 is not a number on document \d+ of the corpus.*last checkpoint"), made:
        for block in made.blocks():
            made.add(block)
    monkeypatch.undo()
    assert NeuronIndex.open(made.folder).n_tokens > 0


def test_too_little_disk_is_said_before_anything_is_written(folder, monkeypatch):
    import shutil

    model, corpus = open_model(folder, "llama"), ragged()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(UserError, match=r"needs about .* of disk and .* are free"):
        IndexBuild(model, corpus, small(model), 100)


def test_two_builds_at_once_are_refused(folder):
    model, corpus = open_model(folder, "llama"), ragged()
    with IndexBuild(model, corpus, small(model), 100), pytest.raises(UserError, match="is being built now"):
        build(model, corpus, small(model))


def test_a_corpus_of_single_tokens_is_refused(folder):
    model = open_model(folder, "llama")
    corpus = Corpus(CorpusInfo(name="x", spec="x", hash="0" * 64, documents=2), ["a", "b"])
    with pytest.raises(UserError, match="no token to count"):
        build(model, corpus, small(model))
