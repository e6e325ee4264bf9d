"""What files of directions hold: a vector, and in safetensors words about it. No pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from workbench.errors import NPY_ERRORS, UserError
from workbench.files import write_whole

_NUMPY_TYPES = ("F64", "F32", "F16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL", "C64")
"""of safetensors, that NumPy has too"""


def read_vector(file: Path) -> np.ndarray:
    """float32 [d_model] of a .npy or .safetensors file. Raises UserError for a file that holds no direction."""
    from safetensors import SafetensorError, safe_open

    try:
        if file.suffix == ".npy":
            arrays = [np.load(file, allow_pickle=False)]
        else:
            with safe_open(file, framework="numpy") as opened:
                for name in opened.keys():  # noqa: SIM118 - it is no dict
                    if (dtype := opened.get_slice(name).get_dtype()) not in _NUMPY_TYPES:
                        raise UserError(f"{file} holds numbers of type {dtype}: save it as float32 (F32) first")
                arrays = [opened.get_tensor(name) for name in opened.keys()]  # noqa: SIM118
        if len(arrays) != 1:
            raise UserError(f"{file} holds {len(arrays)} arrays: a direction's file holds one")
        if arrays[0].dtype.kind not in "fiu":
            raise UserError(f"{file} holds {arrays[0].dtype.name}: a direction is one vector of real numbers")
        vector = np.asarray(arrays[0], dtype=np.float32).squeeze()
    except (MemoryError, OverflowError):
        raise UserError(f"{file} says that it holds more numbers than fit into memory: it is no direction") from None
    except (*NPY_ERRORS, AttributeError, SafetensorError) as error:
        problem = str(error) or "it is empty"
        raise UserError(f"{file} can't be read as a direction, one vector in .npy or .safetensors: {problem}") from None
    check_vector(vector, file)
    return vector


def check_vector(vector: np.ndarray, file: Path) -> None:
    """Raises UserError for what is no direction."""
    if vector.ndim != 1:
        raise UserError(f"{file} has shape {vector.shape}: a direction is one vector of numbers")
    if not np.isfinite(vector).all() or not vector.any():
        raise UserError(f"{file} holds no direction: its numbers are all zero, or not all finite")


def read_metadata(file: Path) -> dict[str, str]:
    """What a safetensors file says of its vector; nothing for others. `read_vector` comes first."""
    if file.suffix != ".safetensors":
        return {}
    from safetensors import safe_open

    with safe_open(file, framework="numpy") as opened:
        return dict(opened.metadata() or {})


def write_vector(file: Path, vector: np.ndarray, metadata: Mapping[str, str]) -> None:
    """A safetensors file, whole or not at all. Raises UserError where it can't be written."""
    from safetensors.numpy import save

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, save({"direction": np.asarray(vector, np.float32)}, metadata=dict(metadata)), private=True)
    except OSError as error:
        raise UserError(f"{file} can't be written: {error.strerror}") from None
