"""Tiny checkpoints that are not as they should be, or not of the five architectures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file

from tests.architectures.configs import ARCHITECTURES
from tests.lab.labs import source_of
from tests.tiny import tiny_model, tiny_tokenizer
from workbench.lab.model import Lab, load_lab

Weights = dict[str, torch.Tensor]


def opened(folder: Path, dtype: str = "float32") -> Lab:
    return load_lab(source_of(folder), device="cpu", dtype=dtype)


def with_weights(folder: Path, change: Callable[[Weights], Weights], arch: str = "llama", **config: Any) -> Path:
    """A tiny model whose tensors went through `change`."""
    tiny_model(arch, folder, **config)
    file = folder / "model.safetensors"
    save_file({k: v.contiguous() for k, v in change(load_file(file)).items()}, file, metadata={"format": "pt"})
    return folder


def shared_keys_and_values() -> Any:
    """The config of a Gemma 4 whose later two layers take their keys and values from earlier ones."""
    return transformers.Gemma4TextConfig(**ARCHITECTURES["gemma4_text_inputs"].config)


def of_config(folder: Path, config: Any) -> Path:
    """Random weights of any architecture, with the tiny tokenizer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder
