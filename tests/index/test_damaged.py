"""An index that is damaged, foreign or made to hurt is a sentence, and hides no other."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.index.synthetic import make
from workbench import paths
from workbench.errors import UserError
from workbench.index.reader import NeuronIndex
from workbench.index.store import best_index, find_folder, indexes_dir, list_indexes, remove, verify

BAD_HEADS = {
    "deep": b"[" * 200_000,
    "deep-within": b'{"format": 2, "kind": ' + b"[" * 200_000,
    "no-utf8": b'{"format": 2, "kind": "\xff"}',
    "number": b"5",
    "empty": b"",
    "list": b'{"format": []}',
}


@pytest.fixture
def folder(own_folders: Path) -> Path:
    return make(paths.cache_dir() / "indexes", n_layers=2, d_mlp=8)


def change(folder: Path, edit: Callable[[dict], None]) -> None:
    head = json.loads((folder / "index.json").read_text())
    edit(head)
    (folder / "index.json").write_text(json.dumps(head))


def test_one_bad_index_hides_no_other(folder: Path) -> None:
    for name, head in BAD_HEADS.items():
        (indexes_dir() / name).mkdir()
        (indexes_dir() / name / "index.json").write_bytes(head)
    (indexes_dir() / "loop").symlink_to("loop")
    (indexes_dir() / "folder" / "index.json").mkdir(parents=True)
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    listed = {info.name: info.problem for info in list_indexes()}
    assert {name for name, problem in listed.items() if problem} == set(BAD_HEADS)
    assert best_index() == folder
    assert find_folder(folder.name) == folder
    for name in BAD_HEADS:
        assert len(verify(indexes_dir() / name)) == 1
        with pytest.raises(UserError, match="damaged"):
            NeuronIndex.open(indexes_dir() / name)
        remove(indexes_dir() / name)
    assert len(list_indexes()) == 2


def test_more_neurons_than_there_are_arrays_of(folder: Path) -> None:
    for part in indexes_dir().iterdir():
        change(part, lambda head: head["model"].update(n_layers=10**9))
    with pytest.raises(UserError, match=r"none of its arrays is of the 8,000,000,000 neurons.*build it again"):
        NeuronIndex.open(folder)


def test_an_array_that_index_json_leaves_out(folder: Path) -> None:
    (weights,) = (part for part in indexes_dir().iterdir() if part.name.startswith("weights"))
    change(weights, lambda head: head["shapes"].pop("promoted_tokens"))
    with pytest.raises(UserError, match=r"names no array 'promoted_tokens'; remove it"):
        NeuronIndex.open(folder)


@pytest.mark.parametrize("place", ["/dev/zero", "../../other"])
def test_files_outside_its_folder_are_not_read(folder: Path, place: str) -> None:
    change(folder, lambda head: head["hashes"].update({place: "0" * 64}))
    assert "outside its folder" in verify(folder)[0]


def test_an_array_that_says_it_is_huge_or_is_a_pipe(folder: Path) -> None:
    (array,) = folder.glob("state-*/mean.npy")
    header = str({"descr": "<f4", "fortran_order": False, "shape": (10**13,)}).encode()
    array.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(UserError, match="cut short or not an array"):
        NeuronIndex.open(folder)
    array.unlink()
    os.mkfifo(array)
    with pytest.raises(UserError, match="is missing"):
        NeuronIndex.open(folder)
