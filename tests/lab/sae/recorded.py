"""What SAELens saved and answered (`tests/oracle/saelens.py`), as folders to read."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent / "recorded"
SCALE = 0.37


@cache
def configs() -> dict[str, Any]:
    return json.loads((HERE / "configs.json").read_text())


@cache
def _arrays() -> dict[str, np.ndarray]:
    with np.load(HERE / "answers.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


def tensors(case: str) -> dict[str, torch.Tensor]:
    """A case's weights by SAELens' names, and `=x`, `=activations`, `=out`."""
    return {
        name.partition("|")[2]: torch.from_numpy(np.array(array))
        for name, array in _arrays().items()
        if name.startswith(f"{case}|")
    }


def weights(case: str) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in tensors(case).items() if not name.startswith("=")}


def save(folder: Path, case: str = "standard-none", config: Any = None, **changed: Any) -> Path:
    """A case as a folder; `config` in place of its configuration, `changed` in place of weights (None: left out)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cfg.json").write_text(json.dumps(configs()[case] if config is None else config))
    kept = {name: tensor for name, tensor in {**weights(case), **changed}.items() if tensor is not None}
    save_file({name: tensor.contiguous() for name, tensor in kept.items()}, folder / "sae_weights.safetensors")
    return folder
