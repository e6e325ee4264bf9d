"""Files of directions that hold none are a sentence."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from workbench.artifacts.direction import (
    direction_file,
    directions_dir,
    keep_direction,
    read_direction,
    read_direction_file,
)
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


def header_alone(shape: tuple[int, ...]) -> bytes:
    header = str({"descr": "<f4", "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def safetensors(dtype: str, shape: list[int], size: int) -> bytes:
    header = json.dumps({"a": {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + b"\x38" * min(size, 64)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.npy", b"", "can't be read"),
        ("a.npy", header_alone((10**13,)), "more numbers than fit into memory"),
        ("a.npy", header_alone((10**30,)), "more numbers than fit into memory"),
        ("a.npy", header_alone((0,)), "all zero"),
        ("a.safetensors", b"", "can't be read"),
        ("a.safetensors", b"\0\0\1\0\0\0\0\0" + b"[" * 65536, "can't be read"),
        ("a.safetensors", safetensors("BF16", [4], 8), r"type BF16: save it as float32 \(F32\) first"),
        ("a.safetensors", safetensors("F8_E4M3", [4], 4), "type F8_E4M3"),
        ("a.safetensors", safetensors("F32", [10**12], 4 * 10**12), "can't be read"),
    ],
)
def test_a_file_that_holds_no_direction_is_a_sentence(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=says):
        read_direction_file("a", tmp_path / name)
