"""How much each neuron usually writes: rms(activation) · ‖w_out‖ on a fixed text of ours.

Measured once for a model and kept beside the converted models; position 0 of every window is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np
import torch

from workbench import paths
from workbench.datasets.standard_library import standard_library
from workbench.lab.forward import run_forward
from workbench.lab.loaded import Model
from workbench.lab.metrics import sum_float64
from workbench.lab.norms import written
from workbench.lab.prompts import Prompt
from workbench.units import Site

WINDOW = 256
"""tokens"""
BINS = 10


def neuron_strength(model: Model) -> np.ndarray:
    """rms(a) · ‖w_out‖, float32 [layer, neuron]; measured on first use, then read from the cache folder."""
    if model.strength is None:
        file = _file(model)
        model.strength = _read(file, model) if file else None
        if model.strength is None:
            model.strength = _measure(model)
            if file:
                _write(file, model.strength)
    return model.strength


def deciles(strength: np.ndarray) -> np.ndarray:
    """Bin 0 to 9 of each neuron by its rank within the layer, int64 [layer, neuron], bins of equal size."""
    order = np.argsort(np.argsort(strength, axis=1, kind="stable"), axis=1, kind="stable")
    return np.asarray(order * BINS // strength.shape[1])


def sample_prompts(model: Model) -> list[Prompt]:
    """The text in windows of equal length, each beginning as the tokenizer's own call does."""
    return _windows(model, _sample_ids(model))


def sample_windows(model: Model, tokens: int) -> tuple[list[Prompt], str]:
    """Windows with at least `tokens` tokens behind their position 0, and which text they are of.

    Where the fixed text is too short for that, prose of the standard library follows it.
    """
    ids, name = _sample_ids(model), "the workbench's own sample text"
    windows = _windows(model, ids)
    if _behind_first(windows) >= tokens:
        return windows, name
    for text in standard_library():
        if _behind_first(windows) >= tokens:
            break
        ids += model.tokens.tokenizer(text, add_special_tokens=False)["input_ids"]
        windows = _windows(model, ids)
    model.tokens.check_embedded(ids)
    return windows[: -(-tokens // (len(windows[0]) - 1))], f"{name} and the Python standard library's documentation"


def _behind_first(windows: Sequence[Prompt]) -> int:
    return sum(len(window) - 1 for window in windows)


def _sample_ids(model: Model) -> list[int]:
    text = resources.files("workbench.lab").joinpath("sample.txt").read_text(encoding="utf-8")
    ids = list(model.tokens.tokenizer(text, add_special_tokens=False)["input_ids"])
    model.tokens.check_embedded(ids)
    return ids


def _windows(model: Model, ids: list[int]) -> list[Prompt]:
    front = list(model.tokens.prompt("a").ids[:-1]) if model.info.bos_token else []
    room = min(WINDOW, model.info.n_ctx) - len(front)
    windows = [front + ids[start : start + room] for start in range(0, len(ids) - room + 1, room)] or [front + ids]
    return [Prompt("", np.asarray(window, dtype=np.int64), [], model.info.bos_token, False) for window in windows]


def _measure(model: Model) -> np.ndarray:
    info = model.info
    sites = [Site(layer, "mlp_post") for layer in range(info.n_layers)]
    total = torch.zeros(info.n_layers, info.d_mlp, dtype=torch.float64)
    n = 0
    for prompt in sample_prompts(model):
        forward = run_forward(model, [prompt], capture=sites, keep=None)
        for layer, site in enumerate(sites):
            total[layer] += sum_float64(forward.captured[site][0, 1:].float().square(), 0).cpu()
        n += len(prompt) - 1
    rms = (total / n).sqrt().float()
    norms = torch.stack([written(model, layer).norm(dim=-1).cpu() for layer in range(info.n_layers)])
    return np.asarray((rms * norms).numpy())


def _file(model: Model) -> Path | None:
    if not model.info.fingerprint:
        return None
    name = paths.short_hash(model.info.fingerprint, model.info.dtype)
    return paths.cache_dir() / "strength" / f"{name}.npy"


def _read(file: Path, model: Model) -> np.ndarray | None:
    try:
        strength = np.load(file, allow_pickle=False)
    except (OSError, EOFError, ValueError):
        return None
    shape = (model.info.n_layers, model.info.d_mlp)
    return (
        strength
        if isinstance(strength, np.ndarray) and strength.shape == shape and strength.dtype == np.float32
        else None
    )


def _write(file: Path, strength: np.ndarray) -> None:
    """Kept if it can be: a full disk only costs the next measurement."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".making.npy")
        np.save(unfinished, strength)
        unfinished.replace(file)
    except OSError:
        return
