"""Files of directions that hold none are a sentence."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from workbench.artifacts.direction import direction_file, directions_dir, keep_direction, read_direction
from workbench.errors import UserError


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, np.ones(4), np.ones(4))
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.npy", b""),
        ("cut.npy", npy(np.ones(4))[:-3]),
        ("header.npy", npy(np.ones(4))[:20]),
        ("text.npy", b"0.1 0.2"),
        ("archive.npy", npz()),
        ("records.npy", npy(np.zeros(4, dtype=[("a", "f4"), ("b", "i4")]))),
        ("complex.npy", npy(np.ones(4) + 1j)),
        ("words.npy", npy(np.array(["a", "b", "c", "d"]))),
        ("objects.npy", npy(np.ones(4))[:10] + b"{'descr': '|O'"),
        ("empty.safetensors", b""),
        ("cut.safetensors", save({"v": np.ones(4, np.float32)})[:-3]),
        ("two.safetensors", save({"v": np.ones(4, np.float32), "w": np.ones(4, np.float32)})),
    ],
)
def test_a_file_that_holds_none_is_a_sentence(tmp_path: Path, name: str, content: bytes) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(UserError, match=f"{file}"):
        keep_direction("good", file)
    directions_dir().mkdir(parents=True)
    (directions_dir() / name).write_bytes(content)
    with pytest.raises(UserError, match=name):
        read_direction(file.stem)


def test_a_direction_is_read_as_stored(tmp_path: Path) -> None:
    file = tmp_path / "x.npy"
    np.save(file, np.arange(1, 5))
    assert keep_direction("x", file, 4) == direction_file("x")
    np.testing.assert_array_equal(read_direction("x").numbers, np.array([1, 2, 3, 4], np.float32))
    with pytest.raises(UserError, match="4 numbers: .* have 5"):
        keep_direction("y", file, 5)
