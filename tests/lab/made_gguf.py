"""A tiny model as llama.cpp would store it, and the package that carries it: what the default model is made from."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.tiny import CHAT_TEMPLATE, SPECIAL, tiny_model, tiny_tokenizer

NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def make_gguf(file: Path, work: Path) -> Any:
    """Write a tiny Llama as Q4_1 to `file`; returns the Hugging Face model it was made from, unquantised."""
    import gguf
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_model("llama", work, num_key_value_heads=2))
    config = model.config
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    _add_tokenizer(writer, config.vocab_size)
    for name, tensor in model.state_dict().items():
        array = tensor.float().numpy()
        if name == "lm_head.weight":
            continue
        if name in ("model.embed_tokens.weight", "model.norm.weight"):
            stored = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}[name]
        else:
            _, _, layer, rest = name.split(".", 3)
            kind = NAMES[rest.removesuffix(".weight")]
            stored = f"blk.{layer}.{kind}.weight"
            heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}.get(kind)
            if heads:  # as llama.cpp's converter writes them
                half = array.reshape(heads, 2, array.shape[0] // heads // 2, array.shape[1])
                array = half.swapaxes(1, 2).reshape(array.shape)
        if array.ndim == 2:
            kind_of = gguf.GGMLQuantizationType.Q4_1
            packed = gguf.quants.quantize(np.ascontiguousarray(array), kind_of)
            writer.add_tensor(stored, packed, raw_dtype=kind_of)
        else:
            writer.add_tensor(stored, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def _add_tokenizer(writer: Any, rows: int) -> None:
    import json

    inner = json.loads(tiny_tokenizer().backend_tokenizer.to_str())
    vocabulary = sorted(inner["model"]["vocab"], key=inner["model"]["vocab"].__getitem__)
    tokens = vocabulary + [f"<unused{index}>" for index in range(rows - len(vocabulary))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in SPECIAL else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in inner["model"]["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def make_wheel(file: Path, member: str, gguf: Path) -> None:
    """A wheel that pip accepts, with `gguf` as `member`."""
    name, version = file.name.split("-")[:2]
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(file, "w") as archive:
        archive.write(gguf, member)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
