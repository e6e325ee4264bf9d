"""Random models of real shapes, made on the device, each twice: as the workbench has it, and bare.

Both share their weights. The bare one has no module of TransformerLens in it; plain hooks on it are what everything is
compared with.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.gpu.device import Device
from tests.lab.plain import Change, Plain
from tests.tiny import tiny_tokenizer
from workbench.edits import parse_edits
from workbench.lab.finding.fingerprint import fingerprint
from workbench.lab.finding.source import ModelSource
from workbench.lab.loading import wrap
from workbench.lab.model import Lab
from workbench.lab.prompts import Prompt

SEED = 0
SHAPES: dict[str, dict[str, Any]] = {
    "1B": {  # Llama 3.2 1B
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "vocab_size": 128256,
        "max_position_embeddings": 131072,
        "tie_word_embeddings": True,
    },
    "8B": {  # Llama 3.1 8B
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 128256,
        "max_position_embeddings": 131072,
        "tie_word_embeddings": False,
    },
}
SHAPES["8B, 4 layers"] = {**SHAPES["8B"], "num_hidden_layers": 4}
SMALL: dict[str, dict[str, Any]] = {
    name: {
        "hidden_size": 64,
        "intermediate_size": 160,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "vocab_size": 1024,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": tied,
    }
    for name, layers, tied in (("1B", 3, True), ("8B", 4, False), ("8B, 4 layers", 2, False))
}
TOLERANCE = {torch.float32: 2e-3, torch.bfloat16: 0.2}
"""largest difference of two logits that rounding explains, in standard deviations of the logits"""


@dataclass
class Subject:
    """A model to check."""

    label: str
    """shape and dtype: `8B bfloat16`"""
    lab: Lab
    plain: Plain
    prompt: Prompt
    logits_before: torch.Tensor
    """of the bare model, before it was wrapped, [1, position, vocabulary]"""

    @property
    def ids(self) -> torch.Tensor:
        """The prompt's, int64 [1, position], on the device."""
        return torch.from_numpy(self.prompt.ids)[None].to(self.lab.info.device)

    @property
    def tolerance(self) -> float:
        return TOLERANCE[self.plain.model.dtype]

    def edits(self, *texts: str) -> list[Any]:
        return parse_edits(texts, self.lab.info)


class Subjects:
    """Made when they are first needed. Those of one shape have the same weights, rounded to bfloat16."""

    def __init__(self, device: Device, small: bool, folder: Path) -> None:
        self.device, self.small = device, small
        self.shapes = SMALL if small else SHAPES
        self._folder = folder
        self.get = cache(self._make)

    def _make(self, shape: str, dtype: str) -> Subject:
        if dtype == "float32":
            hf = copy.deepcopy(self.get(shape, "bfloat16").plain.model).float()
        else:
            hf = random_llama(self.shapes[shape], getattr(torch, dtype), self.device.name)
        # The same parameters in a second model: wrapping changes modules, not numbers.
        plain = Plain(copy.deepcopy(hf, {id(parameter): parameter for parameter in hf.parameters()}))
        prompt = random_prompt(self.shapes[shape]["vocab_size"], 24 if self.small else 64)
        before = plain.logits(torch.from_numpy(prompt.ids)[None].to(self.device.name))
        source = named_source(self._folder / f"{shape}-{dtype}", self.shapes[shape], dtype)
        lab = Lab(wrap(hf, tokenizer(self.shapes[shape]["vocab_size"]), source), seed=SEED)
        return Subject(f"{shape} {dtype}", lab, plain, prompt, before)


def random_llama(shape: dict[str, Any], dtype: torch.dtype, device: str) -> Any:
    """A Llama of a shape with Hugging Face's own random weights, by SEED."""
    import transformers

    rotation = {"rope_type": "default", "rope_theta": 500000.0}
    config = transformers.LlamaConfig(
        **shape, rope_parameters=rotation, bos_token_id=1, eos_token_id=2, pad_token_id=2, initializer_range=0.02
    )
    with torch.device(device):
        torch.manual_seed(SEED)
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="eager")
    model.generation_config.do_sample = False
    return model.eval()


def tokenizer(size: int) -> Any:
    """The tests' tokenizer with further tokens, so that every row of the embedding has one."""
    from tokenizers import Tokenizer

    small = tiny_tokenizer()
    parts = json.loads(small.backend_tokenizer.to_str())
    vocabulary = parts["model"]["vocab"]
    vocabulary.update({f"token{index}": index for index in range(len(small), size)})
    small._tokenizer = Tokenizer.from_str(json.dumps(parts))
    small.model_max_length = 1 << 20
    return small


def named_source(folder: Path, shape: dict[str, Any], dtype: str) -> ModelSource:
    """A folder that stands for weights which are nowhere on disk: it is hashed, and never read."""
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_text(json.dumps({"seed": SEED, "dtype": dtype, **shape}))
    source = ModelSource(name=folder.name, ref=str(folder), path=folder, origin="folder")
    fingerprint(source)
    return source


def random_prompt(vocabulary: int, length: int, seed: int = SEED) -> Prompt:
    """Random tokens, none of them special."""
    ids = np.random.default_rng(seed).integers(8, vocabulary, length)
    return Prompt("", ids, [""] * length, None, False)


# --- plain hooks -----------------------------------------------------------------------------------------


def set_neuron(index: int, value: float) -> Any:
    def change(activation: torch.Tensor) -> torch.Tensor:
        activation = activation.clone()
        activation[..., index] = value
        return activation

    return change


def set_head(index: int, d_head: int, value: float) -> Any:
    def change(z: torch.Tensor) -> torch.Tensor:
        z = z.clone()
        z[..., index * d_head : (index + 1) * d_head] = value
        return z

    return change


def without(vector: torch.Tensor) -> Any:
    """The stream less its component along a vector: computed in float32, rounded once."""
    unit = vector.float() / vector.float().norm()

    def change(stream: torch.Tensor) -> torch.Tensor:
        wide = stream.float()
        return (wide - (wide @ unit)[..., None] * unit).to(stream.dtype)

    return change


def zero_middle(layer: int, first: int, end: int) -> list[Change]:
    """The stream between attention and the MLP exactly 0 at positions `first` to `end` - 1: attention adds what the
    block's input lacks of that."""
    inputs: list[torch.Tensor] = []

    def keep(stream: torch.Tensor) -> torch.Tensor:
        inputs.append(stream)
        return stream

    def add(attention: torch.Tensor) -> torch.Tensor:
        attention = attention.clone()
        attention[:, first:end] = -inputs.pop()[:, first:end]
        return attention

    return [(layer, "resid_pre", keep), (layer, "attn_out", add)]


def difference(ours: torch.Tensor, reference: torch.Tensor) -> float:
    """The largest difference of two logits, in standard deviations of the reference."""
    expected = reference.double()
    return float((ours.double() - expected).abs().max() / expected.std())
