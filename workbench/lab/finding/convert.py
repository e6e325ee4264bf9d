"""The default model's GGUF file as a Hugging Face folder: dequantised to float32, once.

Written for that one file, whose checksum is known, so what it assumes is true: Llama architecture, byte-level BPE
with digits split one by one. The weights equal those that transformers reads from the GGUF (a test compares them).
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import UserError
from workbench.lab.progress import Meter, StageListener

ROOM = 560_000_000
"""bytes that the converted folder takes"""

_BLOCK_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def convert(gguf: Path, folder: Path, notes: dict[str, str], progress: StageListener) -> None:
    """Write config, tokenizer and float32 safetensors of `gguf` as `folder`, which appears whole or not at all.

    `notes` are kept in the folder's workbench.json. The caller holds the lock. Raises UserError on a full disk.
    """
    room = shutil.disk_usage(folder.parent).free
    if room < ROOM:
        raise UserError(
            f"the converted model needs {ROOM // 1_000_000} MB in {folder.parent}, where {room // 1_000_000} MB are "
            f"free: make room, or set WORKBENCH_CACHE to a folder on another disk"
        )
    unfinished = folder.with_name(f".making-{folder.name}-{os.getpid()}")
    unfinished.mkdir()
    try:
        _write(gguf, unfinished, notes, progress)
        os.rename(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed conversion to `folder` has left. The caller holds the lock."""
    for leftover in folder.parent.glob(f".making-{folder.name}-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _write(gguf: Path, folder: Path, notes: dict[str, str], progress: StageListener) -> None:
    from gguf import GGUFReader
    from safetensors.numpy import save_file

    reader = GGUFReader(gguf)
    meta = {name: field.contents() for name, field in reader.fields.items() if name != "tokenizer.ggml.scores"}
    weights = _weights(reader, meta, progress)
    progress("converting", "writing the model", None, None)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = _config(meta)
    _write_json(folder / "config.json", config)
    special = ("bos_token_id", "eos_token_id", "pad_token_id")
    _write_json(folder / "generation_config.json", {name: config[name] for name in special})
    _write_tokenizer(meta, folder)
    _write_json(folder / "workbench.json", notes)
    for file in folder.iterdir():
        file.chmod(0o644)
        with file.open("rb") as stream:
            os.fsync(stream.fileno())


def _weights(reader: Any, meta: dict[str, Any], progress: StageListener) -> dict[str, np.ndarray]:
    """Hugging Face names → float32 arrays `[out, in]`. The unembedding is tied, so it is not among them."""
    from gguf.quants import dequantize

    heads = {"attn_q": meta["llama.attention.head_count"], "attn_k": meta["llama.attention.head_count_kv"]}
    meter = Meter(progress, "converting", "converting the model, once", sum(int(t.n_elements) for t in reader.tensors))
    arrays, done = {}, 0
    for tensor in reader.tensors:
        array = dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
        name, kind = _hugging_face_name(tensor.name)
        if kind in heads:
            array = _halves(array, heads[kind])
        arrays[name] = np.ascontiguousarray(array)
        done += int(tensor.n_elements)
        meter.at(done)
    return arrays


def _hugging_face_name(name: str) -> tuple[str, str]:
    """`blk.3.attn_q.weight` → (`model.layers.3.self_attn.q_proj.weight`, `attn_q`)."""
    outside = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
    if name in outside:
        return outside[name], ""
    _, layer, kind, _ = name.split(".")
    return f"model.layers.{layer}.{_BLOCK_NAMES[kind]}.weight", kind


def _halves(weight: np.ndarray, n_heads: int) -> np.ndarray:
    """Rotary dimensions of `weight [n_heads * d_head, d_model]`: GGUF has them in pairs, Hugging Face in halves."""
    pairs = weight.reshape(n_heads, weight.shape[0] // n_heads // 2, 2, weight.shape[1])
    return pairs.swapaxes(1, 2).reshape(weight.shape)


def _config(meta: dict[str, Any]) -> dict[str, Any]:
    d_model, n_heads = meta["llama.embedding_length"], meta["llama.attention.head_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float32",
        "vocab_size": meta["llama.vocab_size"],
        "hidden_size": d_model,
        "intermediate_size": meta["llama.feed_forward_length"],
        "num_hidden_layers": meta["llama.block_count"],
        "num_attention_heads": n_heads,
        "num_key_value_heads": meta["llama.attention.head_count_kv"],
        "head_dim": d_model // n_heads,
        "hidden_act": "silu",
        "max_position_embeddings": meta["llama.context_length"],
        "rms_norm_eps": round(meta["llama.attention.layer_norm_rms_epsilon"], 10),
        "rope_parameters": {"rope_type": "default", "rope_theta": meta["llama.rope.freq_base"]},
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": meta["tokenizer.ggml.bos_token_id"],
        "eos_token_id": meta["tokenizer.ggml.eos_token_id"],
        "pad_token_id": meta["tokenizer.ggml.padding_token_id"],
    }


def _write_tokenizer(meta: dict[str, Any], folder: Path) -> None:
    """tokenizer.json and its settings. Plain text gets no BOS, as `tokenizer.ggml.add_bos_token` says."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens: list[str] = meta["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in meta["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: at for at, token in enumerate(tokens)}, merges))
    # What `tokenizer.ggml.pre = smollm` stands for; transformers' reader leaves the digits out, and then
    # "  2" has other tokens than in training.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = 3  # gguf.TokenType.CONTROL
    kinds = meta["tokenizer.ggml.token_type"]
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == control]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer.save(str(folder / "tokenizer.json"))

    def token(role: str) -> str:
        at: int = meta[f"tokenizer.ggml.{role}_token_id"]
        return tokens[at]

    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": token("bos"),
        "eos_token": token("eos"),
        "unk_token": token("unknown"),
        "pad_token": token("padding"),
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": meta["llama.context_length"],
        "chat_template": meta["tokenizer.chat_template"],
    }
    _write_json(folder / "tokenizer_config.json", settings)


def _write_json(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
