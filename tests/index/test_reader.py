"""Opening an index: what it says, what it refuses, and how it is checked."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from tests.index.synthetic import make
from workbench import paths
from workbench.errors import UserError
from workbench.index import bins, store
from workbench.index.reader import NeuronIndex


@pytest.fixture
def folder(own_folders: Path) -> Path:
    return make(paths.cache_dir() / "indexes", n_layers=3, d_mlp=50)


def test_a_card_has_everything(folder: Path) -> None:
    index = NeuronIndex.open(folder)
    card = index.card(2, 7)
    assert card.unit == "L2.N7"
    assert len(card.high) == len(card.low) == 4
    assert [one.value for one in card.high] == sorted((one.value for one in card.high), reverse=True)
    assert [one.value for one in card.low] == sorted(one.value for one in card.low)
    for one in card.high + card.low:
        assert len(one.tokens) == len(one.values)
        assert one.values[one.peak] == pytest.approx(one.value, rel=1e-3)
    assert len(card.promoted) == len(card.suppressed) == 10
    assert sum(case.fraction for case in card.signs) == pytest.approx(1)
    assert sum(card.tail_share) == pytest.approx(1)
    assert len(card.edges) == len(card.histogram) + 1
    assert 0 <= card.percentiles["kurtosis"] <= 100


def test_percentiles_are_within_the_layer(folder: Path) -> None:
    index = NeuronIndex.open(folder)
    values = np.array(index.columns["mean"].values[50:100])
    found = [index.percentile("mean", 50 + neuron) for neuron in range(50)]
    assert np.argsort(found).tolist() == np.argsort(values).tolist()
    assert max(found) == 99
    assert min(found) == 1


def test_fires_and_promotes_by_brute_force(folder: Path) -> None:
    index = NeuronIndex.open(folder)
    token = 7
    fires, promotes = index.fires([token, 9]), index.promotes(token)
    peaks = np.array(index._data.arrays["peak_tokens"])
    for neuron in range(0, index.info.n_neurons, 9):
        layer, number = divmod(neuron, 50)
        shares = [np.isin(peaks[tail, neuron], [token, 9]).mean() for tail in (0, 1)]
        assert fires[neuron] == pytest.approx(max(shares))
        known = dict(index.promoted(neuron))
        if token in known:
            assert promotes[neuron] == pytest.approx(known[token])
        else:
            assert math.isnan(promotes[neuron])
        card = index.card(layer, number)
        wanted = sum(one.tokens[one.peak] == index.token(token) for one in card.high)
        assert wanted == (peaks[0, neuron] == token).sum()


def test_weights_alone_can_be_browsed(own_folders: Path) -> None:
    home = make(paths.cache_dir() / "indexes", n_layers=2, d_mlp=20, data=False)
    index = NeuronIndex.open(home)
    assert not index.has_data
    assert "kurtosis" not in index.columns
    card = index.card(1, 3)
    assert card.high == []
    assert card.promoted
    assert math.isnan(card.mean)
    assert np.isnan(index.fires([1])).all()
    with pytest.raises(UserError, match=r"no L2\.N0"):
        index.card(2, 0)


def test_what_is_no_index_is_refused_with_what_to_do(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no index"):
        NeuronIndex.open(tmp_path)
    head = folder / "index.json"
    whole = json.loads(head.read_text())
    head.write_text(json.dumps({**whole, "format": 99}))
    with pytest.raises(UserError, match="newer version"):
        NeuronIndex.open(folder)
    head.write_text("{]")
    with pytest.raises(UserError, match=r"damaged or not ours.*index rm"):
        NeuronIndex.open(folder)
    head.write_text(json.dumps({**whole, "shapes": {"mean": "x"}}))
    with pytest.raises(UserError, match="is damaged"):
        NeuronIndex.open(folder)


@pytest.mark.parametrize("damage", ["missing", "cut", "shape", "garbage"])
def test_a_damaged_array_is_refused(folder: Path, damage: str) -> None:
    state = folder / json.loads((folder / "index.json").read_text())["state"]
    path = state / "kurtosis.npy"
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "shape":
        np.save(path, np.zeros(3, np.float32))
    else:
        path.write_bytes(b"nothing")
    with pytest.raises(UserError, match="index rm"):
        NeuronIndex.open(folder)
    assert any("kurtosis" in problem for problem in store.verify(folder))


def test_objects_are_never_unpickled(folder: Path) -> None:
    state = folder / json.loads((folder / "index.json").read_text())["state"]
    np.save(state / "mean.npy", np.array([{"a": 1}] * 150, dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="damaged"):
        NeuronIndex.open(folder)


def test_without_its_weights_part_it_says_so(folder: Path) -> None:
    home = next(folder.parent.glob("weights-*"))
    store.remove(home)
    with pytest.raises(UserError, match="needs weights-.* beside it"):
        NeuronIndex.open(folder)


def test_listing_finding_and_removing(folder: Path) -> None:
    (folder.parent / "broken").mkdir()
    (folder.parent / "broken" / "index.json").write_text("?")
    found = store.list_indexes()
    assert {info.kind for info in found} == {"data", "weights", ""}
    assert next(info for info in found if not info.kind).problem
    assert store.find_folder(folder.name[:12]) == folder
    assert store.best_index() == folder
    with pytest.raises(UserError, match="there are"):
        store.find_folder("nothing")
    with pytest.raises(UserError, match="is no index"):
        store.remove(folder.parent)
    store.remove(folder)
    assert not folder.exists()
    assert store.best_index().name.startswith("weights-")


def test_an_example_whose_window_was_replaced_shows_no_values_of_another(folder: Path) -> None:
    """A reader at an old revision meets a window that a later checkpoint has put there."""
    windows = np.load(folder / "windows.npy", mmap_mode="r+")
    windows[0, 3] = 17.0
    windows.flush()
    for example in NeuronIndex.open(folder).card(0, 3).high:
        assert example.values[example.peak] == pytest.approx(example.value)
        assert np.isnan(np.delete(example.values, example.peak)).all()


def test_bins_are_symmetric_and_the_table_is_their_definition() -> None:
    rng = np.random.default_rng(0)
    values = (rng.standard_normal(200_000) * np.exp(rng.uniform(-12, 9, 200_000))).astype(np.float32)
    values = np.concatenate([values, bins.magnitude_edges(), -bins.magnitude_edges(), [0.0, -0.0, 1e30, -1e30]])
    values = values.astype(np.float32)
    fast = bins.table()[(values.view(np.uint32) >> 15) & 0x1FFFF]
    np.testing.assert_array_equal(fast, bins.bin_of(values))
    np.testing.assert_array_equal(bins.bin_of(-values), 255 - bins.bin_of(values))
    edges = bins.edges()
    assert (np.diff(edges) > 0).all()
    inside = (np.abs(values) < 1024) & (values != 0)
    at = bins.bin_of(values[inside]).astype(int)
    assert (edges[at] <= values[inside]).all()
    assert (values[inside] <= edges[at + 1]).all()
