"""The room that stores take: a disk that fills up, the limit, which store makes way."""

from __future__ import annotations

import os

import msgspec
import numpy as np
import pytest

from tests.lab.labs import new_report, tiny_lab
from tests.lab.probing.made_examples import made_examples
from tests.lab.probing.test_store import ALL, small_batches, taken
from workbench import files
from workbench.artifacts import _least_used, list_artifacts
from workbench.artifacts._folder import remove_folder
from workbench.artifacts.activations import Store, stores_dir
from workbench.errors import UserError
from workbench.lab.model import Lab
from workbench.lab.probing import maps
from workbench.paths import config_file


def test_a_disk_too_small_is_said_before_anything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = tiny_lab("llama")
    monkeypatch.setattr(files.shutil, "disk_usage", lambda path: files.shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(UserError, match=r"take 30 KiB of disk and 1\.0 KiB are free"):
        taken(lab, made_examples(lab))
    assert not stores_dir().exists()


def test_a_disk_that_fills_up_keeps_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    small_batches(monkeypatch)
    lab = tiny_lab("llama")
    examples = made_examples(lab)
    pwrite, written = os.pwrite, []

    def full(descriptor, data, offset):
        written.append(1)
        if len(written) > 60:
            raise OSError(28, "No space left on device")
        return pwrite(descriptor, data, offset)

    monkeypatch.setattr(maps.os, "pwrite", full)
    with pytest.raises(UserError, match="the disk is full at .*: make room and run the same command again"):
        taken(lab, examples)
    monkeypatch.setattr(maps.os, "pwrite", lambda descriptor, data, offset: pwrite(descriptor, data[:100], offset))
    report = new_report()
    resumed = taken(lab, examples, report=report)
    assert any("goes on after" in note for note in report.notes)
    whole = taken(lab, msgspec.structs.replace(examples, content_hash="in one go"))
    assert all(np.array_equal(resumed.layer(layer), whole.layer(layer)) for layer in ALL)


def limit(stores: float, lab: Lab) -> None:
    """One store of 40 examples, and room for so many in all."""
    size = _least_used.size_on_disk(taken(lab, made_examples(lab)).folder)
    config_file().write_text(f"store_gigabytes = {stores * size / 2**30:.12f}\n")


def aged(kept: Store, seconds: float) -> Store:
    head = kept.folder / "artifact.json"
    os.utime(head, (head.stat().st_mtime - seconds,) * 2)
    return kept


def test_the_store_that_was_used_longest_ago_makes_room_and_that_is_said() -> None:
    lab = tiny_lab("llama")
    limit(3.5, lab)
    names = {}
    for number, age in ((1, 300), (2, 500)):
        kept = aged(taken(lab, made_examples(lab, content_hash=f"set {number}")), age)
        names[number] = kept.head.name
        kept.close()
    taken(lab, made_examples(lab, content_hash="set 2")).close()  # used again
    report = new_report()
    names[3] = taken(lab, made_examples(lab, content_hash="set 3"), report=report).head.name
    assert report.notes[0].startswith(f"removed the activation store {names[1]} (")
    assert len(list_artifacts()) == 3
    assert {names[2], names[3]} <= {artifact.name for artifact in list_artifacts()}


def test_a_store_in_use_is_not_removed() -> None:
    lab = tiny_lab("llama")
    limit(1.5, lab)
    with taken(lab, made_examples(lab)) as kept:
        with pytest.raises(UserError, match="stores that are in use now"):
            taken(lab, made_examples(lab, content_hash="other"))
        (artifact,) = list_artifacts()
        with pytest.raises(UserError, match="is in use now: wait for the step that reads it"):
            remove_folder(artifact)
        assert np.isfinite(kept.layer(0)).all()
    other = taken(lab, made_examples(lab, content_hash="other"))
    assert [artifact.path for artifact in list_artifacts()] == [str(other.folder)]


def test_a_store_that_was_forgotten_can_be_removed() -> None:
    lab = tiny_lab("llama")
    kept = taken(lab, made_examples(lab))
    (artifact,) = list_artifacts()
    del kept
    remove_folder(artifact)
    assert list_artifacts() == []


def test_activations_beyond_the_limit_are_refused_and_nothing_goes() -> None:
    lab = tiny_lab("llama")
    limit(0.5, lab)
    with pytest.raises(UserError, match=r"take 30 KiB, and stores may take .* in all: .* set store_gigabytes"):
        taken(lab, made_examples(lab, content_hash="other"))
    assert len(list_artifacts()) == 1
