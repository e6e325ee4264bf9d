"""Files are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from workbench.files import cache_bytes, write_whole


def test_a_file_that_cannot_be_finished_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a"
    write_whole(file, b"before")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(file, b"after")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"before"]


def test_a_cache_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    cache_bytes(tmp_path / "new" / "a", b"x")
    assert (tmp_path / "new" / "a").read_bytes() == b"x"
    (tmp_path / "file").write_bytes(b"")
    cache_bytes(tmp_path / "file" / "a", b"x")
