"""A checkpoint folder, read without loading it: what is in it, and why it can't be opened. No torch here.

A usable folder has config.json, a tokenizer, and model.safetensors (or shards and their index).
Nothing in it is ever executed: no pickle, no remote code.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import msgspec

from workbench.errors import UserError

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
"""one of these has to be there"""
TOKENIZER_FILES = (
    *TOKENIZERS,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
)
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_MAX_HEADER = 100_000_000
"""bytes, the limit of the safetensors format itself"""
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_WIDTHS = ("hidden_size", "n_embd", "d_model")
_SIZES = (*_LAYERS, *_WIDTHS, "intermediate_size", "ffn_dim", "vocab_size", "num_attention_heads", "n_head")
"""what a config calls the number of layers, the stream's width, and what else decides how much is built"""
_LANGUAGE_MODELS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder's config and safetensors headers say."""

    folder: Path
    config: dict[str, Any]
    weights: list[Path]
    """the safetensors files, in order"""
    n_parameters: int
    """floating-point numbers in them; tied matrices are stored once"""
    dtype: str
    """the one most of them have: float32, bfloat16, float16, float64"""
    size: int
    """bytes of the weight files"""

    @property
    def architecture(self) -> str:
        """The Hugging Face class, for example `LlamaForCausalLM`; empty where the config names none."""
        named = self.config.get("architectures")
        return str(named[0]) if isinstance(named, list) and named else ""


def read_checkpoint(folder: Path) -> Checkpoint:
    """Check a folder and read its headers (milliseconds, whatever its size).

    Raises UserError: no such folder, no config, pickle only, no weights, missing or truncated shards,
    quantised weights, no tokenizer.
    """
    config = read_config(folder)
    files = weight_files(folder)
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise UserError(f"{folder} has no tokenizer: tokenizer.json belongs beside the weights")
    counts: dict[str, int] = {}
    for file in files:
        for dtype, numbers in read_header(file).items():
            counts[dtype] = counts.get(dtype, 0) + numbers
    floats = {dtype: n for dtype, n in counts.items() if dtype in _DTYPES}
    if not floats:
        raise UserError(f"the weights in {folder} have no ordinary floating-point numbers: they may be quantised")
    n_parameters = sum(floats.values())
    _check_sizes(folder, config, n_parameters)
    return Checkpoint(
        folder=folder,
        config=config,
        weights=files,
        n_parameters=n_parameters,
        dtype=_DTYPES[max(floats, key=lambda dtype: floats[dtype])],
        size=sum(file.stat().st_size for file in files),
    )


def read_config(folder: Path) -> dict[str, Any]:
    """config.json as a dict. Raises UserError where there is none, or one that no model can be made from."""
    if not folder.is_dir():
        reason = "is a file, not a folder" if folder.exists() else "does not exist"
        raise UserError(
            f"{folder} {reason}: --model takes a folder with config.json, a tokenizer and model.safetensors"
        )
    file = folder / "config.json"
    if not file.is_file():
        if (folder / "adapter_config.json").is_file():
            raise UserError(
                f"{folder} holds an adapter, not a whole model: merge it into its base model, save that, and open it"
            )
        if any(folder.glob("*.gguf")):
            raise UserError(f"{folder} holds GGUF files only: open the model's safetensors version instead")
        raise UserError(f"{folder} has no config.json: it is not a Hugging Face model folder")
    config = _read_json(file)
    check_config(config, str(folder))
    return config


def check_config(config: dict[str, Any], origin: str) -> None:
    """Raises UserError where the config says that this is no model for the workbench."""
    quantised = config.get("quantization_config")
    if quantised:
        method = quantised.get("quant_method", "quantised") if isinstance(quantised, dict) else "quantised"
        raise UserError(
            f"the weights of {origin} are quantised ({method}): open the original in float32, bfloat16 or float16"
        )
    architectures = config.get("architectures")
    if (
        isinstance(architectures, list)
        and architectures
        and not any(str(name).endswith(_LANGUAGE_MODELS) for name in architectures)
    ):
        raise UserError(
            f"{origin} is a {architectures[0]}: the workbench opens models that continue text (…ForCausalLM)"
        )


def _check_sizes(folder: Path, config: dict[str, Any], n_parameters: int) -> None:
    """Raises UserError where the config speaks of more than the weights can hold: building that would never end."""
    text = config.get("text_config")
    for sizes in (config, text if isinstance(text, dict) else {}):
        known = {name: value for name in _SIZES if isinstance(value := sizes.get(name), int)}
        # A layer has at least one vector as wide as the stream; of anything else there is at least one number each.
        width = max((known[name] for name in _WIDTHS if name in known), default=1)
        least = {name: value * width if name in _LAYERS else value for name, value in known.items()}
        for name, value in sorted(known.items(), key=lambda size: -size[1]):
            if least[name] > n_parameters:
                raise UserError(
                    f"{folder / 'config.json'} says {name} {value:,}, and the weights have {n_parameters:,} numbers in "
                    f"all: the two are not of one model, download or copy it again"
                )


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that make up the model. Raises UserError where there are none, or some are missing."""
    single = folder / SINGLE
    if single.is_file():
        return [single]
    index = folder / INDEX
    if index.is_file():
        weight_map = _read_json(index).get("weight_map")
        if (
            not isinstance(weight_map, dict)
            or not weight_map
            or not all(isinstance(name, str) for name in weight_map.values())
        ):
            raise UserError(f"{index} names no weight files: download or copy the model again")
        names = sorted(set(weight_map.values()))
        foreign = [name for name in names if Path(name).name != name or not name.endswith(".safetensors")]
        if foreign:
            raise UserError(f"{index} names {foreign[0]!r}: only safetensors files of the same folder are read")
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise UserError(
                f"{folder} lacks {len(missing)} of {len(names)} weight files, among them {missing[0]}: "
                f"download or copy the rest"
            )
        return [folder / name for name in names]
    raise UserError(_why_no_weights(folder))


def _why_no_weights(folder: Path) -> str:
    unindexed = sorted(folder.glob("*.safetensors"))
    if unindexed:
        return (
            f"{folder} has {unindexed[0].name}, but neither {SINGLE} nor {INDEX}: rename it, if it is the whole model"
        )
    pickles = sorted(file for pattern in _PICKLES for file in folder.glob(pattern))
    if pickles:
        return (
            f"{folder} has its weights as pickle only ({pickles[0].name}), which can run code when it is opened: "
            f"the workbench reads safetensors. Where you trust the file, convert it once: load it with transformers' "
            f"AutoModelForCausalLM.from_pretrained and save it with save_pretrained into a new folder"
        )
    if any(folder.glob("*.gguf")):
        return f"{folder} has its weights as GGUF only: open the model's safetensors version instead"
    return f"{folder} has no weights: {SINGLE} is missing"


class _TensorHeader(msgspec.Struct):
    """One entry of a safetensors header."""

    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def read_header(file: Path) -> dict[str, int]:
    """How many numbers of each dtype ("F32", "BF16" …) a safetensors file holds; the weights are not read.

    Raises UserError where the file is truncated or is none.
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if size < 8 or length > min(size - 8, _MAX_HEADER):
                raise UserError(_cut_short(file))
            header = json.loads(stream.read(length))
        counts: dict[str, int] = {}
        end = 0
        for name, entry in header.items():
            if name != "__metadata__":
                tensor = msgspec.convert(entry, _TensorHeader)
                counts[tensor.dtype] = counts.get(tensor.dtype, 0) + math.prod(tensor.shape)
                end = max(end, tensor.data_offsets[1])
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError, AttributeError, msgspec.ValidationError):
        raise UserError(f"{file} is not a safetensors file, or is damaged: download or copy it again") from None
    if size != 8 + length + end:
        raise UserError(_cut_short(file, size, 8 + length + end))
    return counts


def _cut_short(file: Path, size: int = 0, expected: int = 0) -> str:
    if size > expected:
        return f"{file} is damaged: it is longer than its header says; download or copy it again"
    sizes = f" ({size:,} of {expected:,} bytes)" if expected else ""
    return f"{file} is cut short or damaged{sizes}: download or copy it again"


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise UserError(f"{file} is not valid JSON: download or copy it again") from None
    if not isinstance(content, dict):
        raise UserError(f"{file} is not a JSON object: download or copy it again")
    return content


def check_architecture(config: dict[str, Any], origin: str) -> None:
    """Raises UserError where the model's code is not part of transformers. Imports transformers (seconds).

    A config's `auto_map` points at Python files beside the weights: they are never run, so what counts is
    whether transformers itself has the model.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    kind = config.get("model_type")
    if kind is not None and not isinstance(kind, str):
        raise UserError(f"{origin}/config.json has 'model_type': {kind!r}, which is no name: download or copy it again")
    if kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return
    if config.get("auto_map"):
        raise UserError(
            f"{origin} brings its own Python code ({kind or 'no model_type'}), which the workbench never runs, "
            f"and transformers does not have this architecture built in: open a model whose architecture it has"
        )
    if kind in CONFIG_MAPPING_NAMES:
        raise UserError(f"{origin} is a {kind} model: transformers cannot make it continue text")
    raise UserError(
        f"transformers here does not know the architecture {kind!r} of {origin}: "
        f"a newer transformers may, else open another model"
    )
