"""A model as a Hugging Face folder, tensor by tensor: what is in memory twice is one file's worth, on the CPU."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from workbench.errors import UserError
from workbench.lab.finding.checkpoint import TOKENIZER_FILES
from workbench.lab.loaded import Model
from workbench.report import Report
from workbench.text import size

SHARD = 2_000_000_000
"""bytes of a file of weights"""
ROOM = 50_000_000
"""bytes for what is not weights"""


def check_room(folder: Path, n_bytes: int) -> None:
    """Raises UserError where the disk that `folder` will lie on has not that much room."""
    parent = next(path for path in folder.parents if path.exists())
    free = shutil.disk_usage(parent).free
    if free < n_bytes + ROOM:
        raise UserError(
            f"the copy takes {size(n_bytes)} and {parent} has {size(free)} left: make room, or go elsewhere"
        )


def write_weights(
    folder: Path,
    tensors: Mapping[str, torch.Tensor],
    change: Callable[[str, torch.Tensor], torch.Tensor],
    report: Report,
) -> None:
    """All tensors as `change` makes them, in files of SHARD bytes. Raises UserError where they can't be written."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    shards: list[list[str]] = [[]]
    filled = 0
    for name, tensor in tensors.items():
        if shards[-1] and filled + tensor.nbytes > SHARD:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += tensor.nbytes
    files = [
        "model.safetensors" if len(shards) == 1 else f"model-{at:05}-of-{len(shards):05}.safetensors"
        for at in range(1, len(shards) + 1)
    ]
    last_of = {names[-1]: (file, names) for file, names in zip(files, shards, strict=True)}
    waiting: dict[str, torch.Tensor] = {}
    for name in report.track(list(tensors), "tensors", stage="writing the weights"):
        waiting[name] = change(name, tensors[name]).detach().to("cpu", copy=True).contiguous()
        if name in last_of:
            file = folder / last_of[name][0]
            try:
                save_file(waiting, file, metadata={"format": "pt"})
            except SafetensorError as error:
                raise UserError(f"{file.name} can't be written: {error}") from None
            waiting.clear()
    if len(shards) > 1:
        total = sum(tensor.nbytes for tensor in tensors.values())
        weight_map = {name: file for file, names in zip(files, shards, strict=True) for name in names}
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1))


def write_config(folder: Path, model: Model, untied: bool) -> None:
    """config.json of the model as it is open, generation_config.json, and the tokenizer's own files."""
    config = copy.deepcopy(model.hf.config)
    config.architectures = [model.info.architecture]
    config.dtype = model.hf.dtype
    if untied:
        config.tie_word_embeddings = False
    config.save_pretrained(folder)
    model.hf.generation_config.save_pretrained(folder)
    for name in TOKENIZER_FILES:
        file = model.identity.source.path / name
        if file.is_file():
            shutil.copyfile(file, folder / name)
