"""A folder of an artifact is there whole or not at all; a kind is one file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from workbench import artifacts
from workbench.artifacts import Artifact, find_artifact, kinds, list_artifacts
from workbench.artifacts._folder import HEAD, list_folders, remove_folder, write_folder
from workbench.errors import UserError
from workbench.files import FolderLock


def lens(name: str = "nouns") -> Artifact:
    return Artifact(kind="lens", name=name, hash="", model="tiny", fingerprint="f" * 64, session="a.db", step=3)


def write(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "weights.npy").write_bytes(b"12345678")


def test_a_folder_is_listed_with_where_it_came_from_and_removed(tmp_path: Path) -> None:
    made = write_folder(tmp_path, lens(), write)
    (listed,) = list_folders(tmp_path, "lens")
    assert (listed.hash, listed.name, listed.session, listed.step) == (made.hash, "nouns", "a.db", 3)
    assert len(made.hash) == 64
    assert listed.bytes > 0
    assert (Path(listed.path) / "deep" / "weights.npy").read_bytes() == b"12345678"
    remove_folder(listed)
    assert list_folders(tmp_path, "lens") == []
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="no artifact"):
        remove_folder(listed)


def test_the_hash_is_of_the_content(tmp_path: Path) -> None:
    first, again = (write_folder(tmp_path, lens(name), write) for name in ("a", "b"))
    other = write_folder(tmp_path, lens("c"), lambda folder: (folder / "deep").write_bytes(b"12345678") and None)
    assert first.hash == again.hash != other.hash


def test_what_fails_or_was_killed_leaves_nothing_that_is_listed(tmp_path: Path) -> None:
    def fails(folder: Path) -> None:
        write(folder)
        raise UserError("no more")

    with pytest.raises(UserError, match="no more"):
        write_folder(tmp_path, lens(), fails)
    assert list(tmp_path.iterdir()) == []
    killed = tmp_path / ".nouns.building"
    write((killed.mkdir(), killed)[1])
    (killed / "rest").write_bytes(b"half")
    assert list_folders(tmp_path, "lens") == []
    made = write_folder(tmp_path, lens(), write)
    assert not (Path(made.path) / "rest").exists()


def test_a_name_is_taken_once_and_built_by_one(tmp_path: Path) -> None:
    write_folder(tmp_path, lens(), write)
    with pytest.raises(UserError, match="already"):
        write_folder(tmp_path, lens(), write)
    building = tmp_path / ".verbs.building"
    building.mkdir()
    with FolderLock(building), pytest.raises(UserError, match="being built"):
        write_folder(tmp_path, lens("verbs"), write)


def test_a_broken_head_is_a_problem_not_a_traceback(tmp_path: Path) -> None:
    made = write_folder(tmp_path, lens(), write)
    (Path(made.path) / HEAD).write_bytes(b"{")
    (listed,) = list_folders(tmp_path, "lens")
    assert "cannot be read" in listed.problem


SOURCE = """
from workbench import paths
from workbench.artifacts._artifact import Kind
from workbench.artifacts._folder import list_folders, remove_folder

KIND = Kind(
    name="lens",
    listed=lambda: list_folders(paths.data_dir() / "lenses", "lens"),
    remove=remove_folder,
    facts=lambda artifact, content: [],
)
"""


def test_a_kind_is_one_file(tmp_path: Path, own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lens.py").write_text(SOURCE)
    monkeypatch.setattr(artifacts, "__path__", [*artifacts.__path__, str(tmp_path)])
    kinds.cache_clear()
    try:
        assert list(kinds()) == [
            "SAE",
            "activation store",
            "data set",
            "direction",
            "index",
            "lens",
            "model",
            "probe",
            "prompt set",
        ]
        write_folder(own_folders / "data" / "lenses", lens(), write)
        assert [each.name for each in list_artifacts()] == ["nouns"]
        kinds()["lens"].remove(find_artifact(list_artifacts(), "nouns"))
        assert list_artifacts() == []
        with pytest.raises(UserError, match="no artifact 'nouns'"):
            find_artifact(list_artifacts(), "nouns")
    finally:
        kinds.cache_clear()
        sys.modules.pop("workbench.artifacts.lens", None)
