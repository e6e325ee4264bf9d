"""Sessions, directions and data files that we make are their owner's alone; what is there keeps its mode."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from workbench.artifacts import Artifact, data_set, direction
from workbench.artifacts._folder import write_folder
from workbench.datasets.labelled.reading import read_labelled
from workbench.files import write_whole
from workbench.session.reader import SessionReader
from workbench.session.writable_file import SessionMoved
from workbench.session.writer import SessionWriter


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    before = os.umask(0o002)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_session_and_its_journals(own_folders: Path) -> None:
    path = own_folders / "new.db"
    with SessionWriter(path) as writer:
        writer.add_step("predict", {})
        assert {mode(file) for file in own_folders.glob("new.db*")} == {0o600}
    path.chmod(0o664)
    with SessionWriter(path) as writer:
        writer.note("x")
        path.unlink()
        writer.finish(1, "done")
    assert mode(own_folders / "new-recovered.db") == 0o600


def test_a_session_that_is_there_keeps_its_mode(session: Path) -> None:
    session.chmod(0o664)
    with SessionWriter(session) as writer:
        writer.note("x")
    assert mode(session) == 0o664


@pytest.mark.parametrize("suffix", [".npy", ".safetensors"])
def test_directions(own_folders: Path, tmp_path: Path, suffix: str) -> None:
    made = direction.Direction(name="a", vector=np.ones(4, "<f4").tobytes())
    file = tmp_path / f"a{suffix}"
    if suffix == ".npy":
        np.save(file, made.numbers)
    else:
        direction.write_direction(made, file)
        assert mode(file) == 0o600
    file.chmod(0o644)
    assert mode(direction.keep_direction("a", file)) == 0o600


def test_data_sets_and_folders(own_folders: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("prompt,target\none,1\ntwo,0\n")
    assert mode(data_set.keep_set(read_labelled(tmp_path / "a.csv"), "a")) == 0o600
    for root, expected in ((own_folders / "data" / "saes", 0o600), (own_folders / "cache" / "stores", 0o664)):
        made = write_folder(root, Artifact(kind="sae", name="a", hash=""), lambda folder: write(folder / "x"))
        assert mode(Path(made.path) / "x") == expected


def write(file: Path) -> None:
    file.write_text("x")


def test_a_file_that_is_replaced_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "a"
    write_whole(file, b"1", private=True)
    assert mode(file) == 0o600
    file.chmod(0o640)
    write_whole(file, b"2", private=True)
    assert (mode(file), file.read_bytes()) == (0o640, b"2")
    write_whole(tmp_path / "b", b"1")
    assert mode(tmp_path / "b") == 0o664


@pytest.mark.parametrize("target", ["itself", "another"])
def test_a_session_swapped_by_a_link_in_mid_step_is_noticed(session: Path, target: str) -> None:
    """Also where the link leads to the very same file: its journal would have another name for whoever opens it so."""
    writer = SessionWriter(session)
    step = writer.add_step("predict", {})
    moved = session.with_name("b.db")
    if target == "itself":
        session.rename(moved)
    else:
        SessionWriter(moved).close()
        session.unlink()
    session.symlink_to(moved)
    writer.publish(step, headline="kept")
    writer.finish(step, "done")
    assert writer.recovered == session.with_name("a-recovered.db")
    with pytest.raises(SessionMoved, match=r"a-recovered\.db"):
        writer.note("x")
    writer.close()
    with SessionReader(session.with_name("a-recovered.db")) as reader:
        assert (reader.row(step).status, reader.row(step).headline) == ("done", "kept")
