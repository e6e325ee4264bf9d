"""Activation stores as lists, limits and the command line see them: folders, without a model."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.cli.conftest import invoke  # noqa: F401 - a fixture
from tests.session.conftest import INFO
from workbench.artifacts import Artifact, find_artifact, kinds, list_artifacts
from workbench.artifacts.activations import (
    HEAD,
    NAME,
    STORE,
    StoreHead,
    layer_file,
    lost_set,
    open_store,
    site_width,
    store_bytes,
    stores_dir,
    write_store,
)
from workbench.datasets.labelled.examples import Examples
from workbench.errors import UserError
from workbench.paths import config_file

EXAMPLES = Examples(
    windows=((1, 2, 3),),
    window=np.array([0, 0]),
    first=np.array([1, 2]),
    last=np.array([1, 2]),
    label=np.array([0.0, 1.0]),
    document=np.array([0, 0]),
    split=np.array([0, 0], np.int8),
    pooling="token",
    classes=("no", "yes"),
    numeric=False,
    content_hash="c" * 64,
)


def head(**changes: object) -> StoreHead:
    first = StoreHead(
        model="tiny",
        fingerprint="f" * 64,
        dtype="float32",
        site="mlp_post",
        layers=(0, 3),
        pooling="token",
        content_hash="c" * 64,
        data_set="months",
        set_hash="a" * 64,
        examples=2,
        width=1000,
    )
    return msgspec.structs.replace(first, **changes)


def fill(folder: Path) -> None:
    for layer in (0, 3):
        np.save(layer_file(folder, layer), np.full((2, 1000), layer, np.float32))


def kept(used: float = 0.0, **changes: object) -> Path:
    """A store that was used last so many seconds ago."""
    made = head(**changes)
    write_store(made, fill)
    folder = stores_dir() / made.name
    os.utime(folder / HEAD, ((folder / HEAD).stat().st_mtime - used,) * 2)
    return folder


def test_the_key_is_of_what_the_numbers_depend_on_and_of_nothing_else() -> None:
    changes: list[dict[str, object]] = [
        {"fingerprint": "e" * 64},
        {"dtype": "bfloat16"},
        {"edits": ("L1.N2=0",)},
        {"edit_values": "b"},
        {"site": "z"},
        {"layers": (0, 1)},
        {"pooling": "max"},
        {"content_hash": "d" * 64},
    ]
    assert len({head().key, *(head(**change).key for change in changes)}) == 1 + len(changes)
    assert head(data_set="other", set_hash="", model="renamed").key == head().key


def test_sizes_are_known_before() -> None:
    assert site_width(INFO, "mlp_post") == INFO.d_mlp
    assert site_width(INFO, "mlp_out") == INFO.d_model
    assert site_width(INFO, "z") == INFO.n_heads * INFO.d_head
    assert store_bytes(site_width(INFO, "mlp_post"), 3, 100) == 100 * INFO.d_mlp * 3 * 4
    assert head().bytes == 2 * 1000 * 2 * 4


def test_a_store_is_listed_with_what_it_is_of(invoke) -> None:  # noqa: F811
    kept(used=5 * 86400)
    (listed,) = list_artifacts()
    assert (listed.kind, listed.model, listed.hash) == (NAME, "tiny", head().key)
    assert listed.bytes >= head().bytes
    shown = json.loads(invoke("artifacts", "show", listed.name, "--json").stdout)["facts"]
    assert shown["what"] == "mlp_post of 2 layers, 2 examples"
    assert (shown["data set"], shown["last used"], shown["positions"]) == ("months", "5 days ago", "one token each")
    text = invoke("artifacts", "list", "--kind", NAME, "--json").stdout
    assert [row["name"] for row in json.loads(text)] == [listed.name]
    removed = invoke("artifacts", "rm", listed.name)
    assert removed.stdout.startswith(f"removed the activation store {listed.name}")
    assert list_artifacts() == []


def test_a_list_says_which_store_belongs_to_no_set_that_is_known(invoke, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setenv("COLUMNS", "250")
    kept()
    (store,) = list_artifacts()
    data_set = Artifact(kind="data set", name="months", hash="a" * 64)
    assert not lost_set(store, [store, data_set])
    assert lost_set(store, [store, msgspec.structs.replace(data_set, hash="b" * 64)])
    other = kept(set_hash="", content_hash="e" * 64)
    text = invoke("artifacts", "list").stdout
    assert "months, mlp_post of 2 layers" in text
    assert f"the data sets of these are not here any more, or have changed: {store.name}\n" in text
    assert "not here any more" not in invoke("artifacts", "list", "--kind", "direction").stdout
    (other / STORE).write_text("{")
    assert "store.json of" in invoke("artifacts", "list").stdout


def test_using_a_store_makes_it_the_one_used_last_and_a_damaged_map_is_said() -> None:
    folder = kept(used=1000)
    before = (folder / HEAD).stat().st_mtime
    with open_store(head(), EXAMPLES) as store:
        assert (store.layer(3) == 3).all()
        np.save(layer_file(folder, 0), np.zeros((1, 1), np.float32))
        with pytest.raises(UserError, match="is damaged: remove it"):
            store.layer(0)
    assert (folder / HEAD).stat().st_mtime > before + 900
    assert open_store(head(site="z"), EXAMPLES) is None
    (folder / STORE).write_text("{")
    with pytest.raises(UserError, match=r"store\.json of .* cannot be read"):
        kinds()[NAME].facts(find_artifact(list_artifacts(), folder.name), None)


def test_pruning_takes_killed_builds_and_what_is_beyond_the_limit(invoke) -> None:  # noqa: F811
    old, new = kept(used=1000), kept(used=10, content_hash="e" * 64)
    assert invoke("artifacts", "prune").stdout.startswith("nothing to free")
    with pytest.raises(UserError, match="no more"):
        write_store(head(site="z"), lambda folder: (fill(folder), stop()))
    assert len(list(stores_dir().iterdir())) == 3
    config_file().write_text(f"store_gigabytes = {1.5 * head().bytes / 2**30:.12f}\n")
    with open_store(head(), EXAMPLES):
        assert invoke("artifacts", "prune").stdout.startswith("freed ")
        # The older one is in use, so that the other had to go.
        assert list(stores_dir().iterdir()) == [old]
    assert not new.exists()


def stop() -> None:
    raise UserError("no more")
