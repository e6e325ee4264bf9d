"""Named directions, and those that a neuron's own weights are.

`@refusal` is one vector of d_model numbers in a file of the user's data folder (no pickle); `@L12.N345.out` is what
that neuron writes, `.in` and `.gate` what it reads, as the weights are stored.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from workbench import paths
from workbench.errors import UserError
from workbench.model_info import ModelInfo
from workbench.units import Neuron, parse_unit

_WEIGHT = re.compile(r"(L\d+\.N\d+)\.(in|out|gate)")


def directions_dir() -> Path:
    """Where NAME.npy and NAME.safetensors are looked for."""
    return paths.data_dir() / "directions"


def keep_direction(name: str, file: Path, d_model: int | None = None) -> Path:
    """Copies a direction's file to where `@name` is looked for; gives its place there.

    Raises UserError for a file that holds no direction, and for a name that stands for another one already.
    """
    if not re.fullmatch(r"[A-Za-z_](?:[\w.-]*\w)?", name) or _WEIGHT.fullmatch(name):
        raise UserError(f"{name!r} is no name for a direction: letters, digits, _ . - after a letter, as in @refusal")
    vector = _read(file)
    if vector.ndim != 1 or not np.isfinite(vector).all() or not vector.any():
        raise UserError(f"{file} holds no direction: one vector of finite numbers is wanted, not all of them zero")
    if d_model is not None and len(vector) != d_model:
        raise UserError(f"{file} has {len(vector)} numbers: this model's directions have {d_model}")
    folder = directions_dir()
    for there in (folder / f"{name}.safetensors", folder / f"{name}.npy"):
        if there.is_file():
            if np.array_equal(_read(there), vector):
                return there
            raise UserError(f"@{name} is another direction already ({there}): choose another name, or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{name}{file.suffix if file.suffix == '.safetensors' else '.npy'}"
    if kept.suffix == ".npy":
        np.save(kept, vector)
    else:
        shutil.copyfile(file, kept)  # with what it says of its prompts
    return kept


def direction(name: str, bridge: Any, info: ModelInfo) -> np.ndarray:
    """The direction `@name`, float32 [d_model], as stored. Raises UserError where there is none that fits."""
    match = _WEIGHT.fullmatch(name)
    return _weight(match, bridge, info) if match else load_direction(name, info.d_model)


def _weight(match: re.Match[str], bridge: Any, info: ModelInfo) -> np.ndarray:
    unit = parse_unit(match[1], info)
    assert isinstance(unit, Neuron)
    mlp, part = bridge.blocks[unit.layer].mlp, match[2]
    if part == "gate" and not info.gated_mlp:
        raise UserError(f"{info.name} has no gates: its neurons have @{unit}.in and @{unit}.out")
    row = mlp.W_out[unit.index] if part == "out" else getattr(mlp, f"W_{part}")[:, unit.index]
    return np.asarray(row.detach().float().cpu().numpy())


def direction_file(name: str) -> Path | None:
    """The file of a named direction; None where there is none, and for a unit's own weights."""
    folder = directions_dir()
    files = (folder / f"{name}.safetensors", folder / f"{name}.npy")
    return next((file for file in files if file.is_file()), None)


def load_direction(name: str, d_model: int) -> np.ndarray:
    """A direction from its file, float32 [d_model], as stored. Raises UserError where there is none that fits."""
    file = direction_file(name)
    if file is not None:
        vector = _read(file)
        if vector.shape != (d_model,):
            raise UserError(f"{file} has shape {vector.shape}: this model's directions have {d_model} numbers")
        if not np.isfinite(vector).all() or not vector.any():
            raise UserError(f"{file} holds no direction: its numbers are all zero, or not all finite")
        return vector
    folder = directions_dir()
    there = sorted(file.stem for file in folder.glob("*") if file.suffix in (".npy", ".safetensors"))
    known = f"there are {', '.join('@' + one for one in there)}" if there else "there is none yet"
    raise UserError(f"there is no direction @{name} in {folder}: {known}")


def _read(file: Path) -> np.ndarray:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = [np.load(file, allow_pickle=False)] if file.suffix == ".npy" else list(load_file(file).values())
        if len(arrays) != 1:
            raise UserError(f"{file} holds {len(arrays)} arrays: a direction's file holds one")
        if arrays[0].dtype.kind not in "fiu":
            raise UserError(f"{file} holds {arrays[0].dtype.name}: a direction is one vector of real numbers")
        return np.asarray(arrays[0], dtype=np.float32).squeeze()
    except (OSError, EOFError, ValueError, TypeError, AttributeError, SafetensorError) as error:
        problem = str(error) or "it is empty"
        raise UserError(f"{file} can't be read as a direction, one vector in .npy or .safetensors: {problem}") from None
