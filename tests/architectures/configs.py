"""Small configs of architectures, and the names of the modules that stand at our sites.

One line is one way a model is built: families that differ only in their weights stand once, variants that a config
switches on (parallel blocks, sliding windows, ALiBi, post-norms) stand beside each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SHAPE = {
    "vocab_size": 512,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
}
SLIDING = 8
"""a window shorter than the longest prompt"""


@dataclass(frozen=True)
class Architecture:
    """A config, and where the plain hooks go: paths below the model, below a block."""

    kind: str
    """of the transformers config class, without `Config`"""
    config: dict[str, Any]
    blocks: str = "model.layers"
    final_norm: str = "model.norm"
    z: str = "self_attn.o_proj"
    mlp_post: str = "mlp.down_proj"
    attn_out: str = "self_attn"
    """whose output is what attention adds to the stream"""
    mlp_out: str = "mlp"
    middle: bool = True
    """the stream between attention and the MLP is the block's input and what attention adds"""
    activation: str | None = ""
    """between the MLP's matrices, where the config does not name it; None where transformers has no such function"""
    added_times: str = ""
    """a field of the config that both are multiplied with"""


def _with(*leave: str, **fields: Any) -> dict[str, Any]:
    return {name: value for name, value in {**SHAPE, **fields}.items() if name not in leave}


def _llama(kind: str, *leave: str, **fields: Any) -> Architecture:
    return Architecture(kind, _with(*leave, **fields))


_IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
_GPT2 = {"vocab_size": 512, "n_embd": 32, "n_layer": 4, "n_head": 4, "n_inner": 64, "n_positions": 256, **_IDS}
_GPT2_NAMES = {"blocks": "transformer.h", "final_norm": "transformer.ln_f", "attn_out": "attn"}
_GPTJ = {**_GPT2, "rotary_dim": 4}
_GPTJ_NAMES = {**_GPT2_NAMES, "z": "attn.out_proj", "mlp_post": "mlp.fc_out"}
_FALCON = {
    **_with("intermediate_size", "num_key_value_heads", "max_position_embeddings"),
    "ffn_hidden_size": 64,
    "alibi": False,
}
_FALCON_NAMES = {
    "blocks": "transformer.h",
    "final_norm": "transformer.ln_f",
    "z": "self_attention.dense",
    "mlp_post": "mlp.dense_4h_to_h",
    "attn_out": "self_attention",
}
_BLOOM = {"vocab_size": 512, "hidden_size": 32, "n_layer": 4, "n_head": 4, **_IDS}
_BLOOM_NAMES = {
    **_FALCON_NAMES,
    "activation": "gelu_new",
    "attn_out": "self_attention.dense",
    "mlp_out": "mlp.dense_4h_to_h",
}
_NEOX_NAMES = {
    "blocks": "gpt_neox.layers",
    "final_norm": "gpt_neox.final_layer_norm",
    "z": "attention.dense",
    "mlp_post": "mlp.dense_4h_to_h",
    "attn_out": "attention",
}
_OPT = _with("intermediate_size", "num_key_value_heads", ffn_dim=64, word_embed_proj_dim=32)
_OPT_NAMES = {
    "blocks": "model.decoder.layers",
    "final_norm": "model.decoder.final_layer_norm",
    "z": "self_attn.out_proj",
    "mlp_post": "fc2",
    "mlp_out": "fc2",
}
_XGLM_NAMES = {**_OPT_NAMES, "blocks": "model.layers", "final_norm": "model.layer_norm"}
_MPT = {
    "vocab_size": 512, "d_model": 32, "n_layers": 4, "n_heads": 4, "expansion_ratio": 2, "max_seq_len": 256, **_IDS,
}  # fmt: skip
_MPT_NAMES = {
    "blocks": "transformer.blocks",
    "final_norm": "transformer.norm_f",
    "z": "attn.out_proj",
    "mlp_post": "ffn.down_proj",
    "attn_out": "attn",
    "mlp_out": "ffn.down_proj",
    "activation": "gelu",
}
_PHI_NAMES = {"final_norm": "model.final_layernorm", "z": "self_attn.dense", "mlp_post": "mlp.fc2"}
_NEO = {
    "vocab_size": 512, "hidden_size": 32, "num_layers": 4, "num_heads": 4, "max_position_embeddings": 256,
    "attention_types": [[["global", "local"], 2]], "window_size": SLIDING, **_IDS,
}  # fmt: skip
_NEO_NAMES = {**_GPT2_NAMES, "z": "attn.attention.out_proj", "mlp_post": "mlp.c_proj"}
_AFTER = {"attn_out": "post_attention_layernorm", "mlp_out": "post_feedforward_layernorm"}
"""norms between what attention or the MLP makes and the stream"""
_HYBRID = ["sliding_attention", "full_attention"] * 2
_HEAD = {"head_dim": 8}
_GEMMA = {**_HEAD, "query_pre_attn_scalar": 8, "sliding_window": SLIDING, "layer_types": _HYBRID}
_EXPERTS = {"moe_intermediate_size": 16, "num_experts_per_tok": 2}
_ROUTED = {**_EXPERTS, "n_routed_experts": 4, "n_shared_experts": 1, "n_group": 1, "topk_group": 1}
_LATENT = {
    "num_key_value_heads": 4, "q_lora_rank": None, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 8,
    "v_head_dim": 8,
}  # fmt: skip
_ONE_KV = ("num_key_value_heads",)
_LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
_LONGROPE = {
    "rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0, 1.1, 1.2, 1.3],
    "long_factor": [2.0, 3.0, 5.0, 9.0], "original_max_position_embeddings": 16,
}  # fmt: skip

ARCHITECTURES: dict[str, Architecture] = {
    # Llama and what is built like it.
    "llama": _llama("Llama"),
    "llama_scaled_rope": _llama("Llama", rope_parameters=_LLAMA3),
    "llama_biased": _llama("Llama", attention_bias=True, mlp_bias=True, tie_word_embeddings=True),
    "mistral": _llama("Mistral", sliding_window=None),
    "mistral_sliding": _llama("Mistral", sliding_window=SLIDING),
    "ministral3": _llama("Ministral3", **_HEAD),
    "qwen2": _llama("Qwen2", tie_word_embeddings=True),
    "qwen2_sliding": _llama("Qwen2", use_sliding_window=True, sliding_window=SLIDING, layer_types=_HYBRID[::-1]),
    "qwen3": _llama("Qwen3", head_dim=16),
    "smollm3": _llama("SmolLM3", no_rope_layers=[1, 1, 1, 0]),
    "seed_oss": _llama("SeedOss", **_HEAD),
    "ernie4_5": _llama("Ernie4_5", **_HEAD, use_bias=True),
    "hunyuan_dense": _llama("HunYuanDenseV1", **_HEAD),
    "arcee": _llama("Arcee", **_HEAD),
    "apertus": Architecture("Apertus", _with(), activation=None),  # its function has weights
    "bitnet": Architecture("BitNet", _with(), activation=None),  # a norm stands behind the product
    "jais2": _llama("Jais2", **_HEAD),
    "nemotron": _llama("Nemotron", **_HEAD, partial_rotary_factor=0.5),
    "nanochat": Architecture("NanoChat", _with(), mlp_post="mlp.fc2"),
    "granite": Architecture(
        "Granite",
        _with(logits_scaling=3.0, residual_multiplier=0.4, embedding_multiplier=5.0, attention_multiplier=0.1),
        added_times="residual_multiplier",
    ),
    "phi3": _llama("Phi3"),
    "phi3_partial": _llama("Phi3", partial_rotary_factor=0.5, sliding_window=SLIDING, tie_word_embeddings=True),
    "phi3_longrope": _llama("Phi3", original_max_position_embeddings=16, rope_parameters=_LONGROPE),
    "glm": _llama("Glm", **_HEAD),
    "starcoder2": Architecture("Starcoder2", _with(), mlp_post="mlp.c_proj"),
    "stablelm": _llama("StableLm", partial_rotary_factor=0.5, qk_layernorm=True),
    "stablelm_parallel": _llama("StableLm", use_parallel_residual=True, use_qkv_bias=True),
    "olmo": _llama("Olmo", clip_qkv=2.0),
    # A norm after attention and the MLP.
    "glm4": Architecture("Glm4", _with(**_HEAD), attn_out="post_self_attn_layernorm", mlp_out="post_mlp_layernorm"),
    "olmo2": Architecture("Olmo2", _with(), **_AFTER),
    "olmo3": Architecture("Olmo3", _with(sliding_window=SLIDING, layer_types=_HYBRID), **_AFTER),
    "exaone4": Architecture("Exaone4", _with(sliding_window=SLIDING, layer_types=_HYBRID), **_AFTER),
    "gemma": _llama("Gemma", **_HEAD),
    "gemma2": Architecture("Gemma2", _with(**_GEMMA), **_AFTER),
    "gemma3_text": Architecture("Gemma3Text", _with(**_GEMMA, final_logit_softcapping=5.0), **_AFTER),
    "vaultgemma": _llama("VaultGemma", **_GEMMA),
    "afmoe_dense": Architecture(
        "Afmoe",
        _with(**_HEAD, num_dense_layers=4, sliding_window=SLIDING, layer_types=_HYBRID),
        attn_out="post_attention_layernorm",
        mlp_out="post_mlp_layernorm",
    ),
    # Attention and MLP side by side.
    "cohere": _llama("Cohere", logit_scale=0.5, use_qk_norm=True),
    "cohere2": _llama("Cohere2", logit_scale=0.5, sliding_window=SLIDING, layer_types=_HYBRID),
    "phi": Architecture("Phi", _with(*_ONE_KV, partial_rotary_factor=0.5), **_PHI_NAMES),
    "gpt_neox": Architecture("GPTNeoX", _with(*_ONE_KV), **_NEOX_NAMES),
    "phi_qk_norm": Architecture("Phi", _with(qk_layernorm=True), **_PHI_NAMES),
    "gpt_neox_sequential": Architecture("GPTNeoX", _with(*_ONE_KV, use_parallel_residual=False), **_NEOX_NAMES),
    "gptj": Architecture("GPTJ", _GPTJ, **_GPTJ_NAMES),
    "codegen": Architecture("CodeGen", _GPTJ, **_GPTJ_NAMES),
    "falcon": Architecture("Falcon", {**_FALCON, "multi_query": True, "parallel_attn": True}, **_FALCON_NAMES),
    "falcon_new": Architecture(
        "Falcon", {**_FALCON, "new_decoder_architecture": True, "num_kv_heads": 2}, **_FALCON_NAMES
    ),
    "falcon_alibi": Architecture(
        "Falcon",
        {**_FALCON, "alibi": True, "parallel_attn": False, "multi_query": False, "bias": True},
        **_FALCON_NAMES,
    ),
    # The others: learned positions, ALiBi, fused queries, local attention.
    "gpt2": Architecture("GPT2", _GPT2, **_GPT2_NAMES, z="attn.c_proj", mlp_post="mlp.c_proj"),
    "gpt2_scaled": Architecture(
        "GPT2",
        {**_GPT2, "scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True, "n_inner": None},
        **_GPT2_NAMES, z="attn.c_proj", mlp_post="mlp.c_proj",
    ),
    "gpt_bigcode": Architecture("GPTBigCode", _GPT2, **_GPT2_NAMES, z="attn.c_proj", mlp_post="mlp.c_proj"),
    "gpt_bigcode_mha": Architecture(
        "GPTBigCode", {**_GPT2, "multi_query": False}, **_GPT2_NAMES, z="attn.c_proj", mlp_post="mlp.c_proj"
    ),
    "gpt_neo": Architecture("GPTNeo", _NEO, **_NEO_NAMES),
    "opt": Architecture("OPT", _OPT, **_OPT_NAMES),
    "opt_unbiased": Architecture(
        "OPT", {**_OPT, "enable_bias": False, "layer_norm_elementwise_affine": False}, **_OPT_NAMES
    ),
    "xglm": Architecture(
        "XGLM",
        {
            "vocab_size": 512, "d_model": 32, "ffn_dim": 64, "num_layers": 4, "attention_heads": 4,
            "max_position_embeddings": 256, **_IDS,
        },
        **_XGLM_NAMES,
    ),
    "bloom": Architecture("Bloom", _BLOOM, **_BLOOM_NAMES),
    "bloom_post": Architecture(
        "Bloom", {**_BLOOM, "apply_residual_connection_post_layernorm": True}, **_BLOOM_NAMES, middle=False
    ),
    "mpt": Architecture("Mpt", _MPT, **_MPT_NAMES),
    "mpt_clipped": Architecture(
        "Mpt", {**_MPT, "no_bias": True, "attn_config": {"clip_qkv": 1.0, "softmax_scale": 0.3}}, **_MPT_NAMES
    ),
    "modernbert_decoder": Architecture(
        "ModernBertDecoder",
        _with(*_ONE_KV, local_attention=SLIDING),
        final_norm="model.final_norm",
        z="attn.Wo",
        mlp_post="mlp.Wo",
        attn_out="attn",
    ),
    "llama4_dense": Architecture(
        "Llama4Text",
        _with(**_HEAD, moe_layers=[], intermediate_size_mlp=64, attention_chunk_size=SLIDING),
        mlp_post="feed_forward.down_proj",
        mlp_out="feed_forward",
    ),
    "gemma4_text": Architecture(
        "Gemma4Text",
        _with(**_HEAD, sliding_window=SLIDING, layer_types=_HYBRID, hidden_size_per_layer_input=0, global_head_dim=8),
        **_AFTER,
    ),
    "gemma4_text_inputs": Architecture(
        "Gemma4Text",
        _with(
            **_HEAD, sliding_window=SLIDING, layer_types=_HYBRID, hidden_size_per_layer_input=8, global_head_dim=8,
            vocab_size_per_layer_input=512, num_kv_shared_layers=2,
        ),
        **_AFTER,
    ),
    "gemma4_text_heads": Architecture(
        "Gemma4Text",
        _with(**_HEAD, sliding_window=SLIDING, layer_types=_HYBRID, hidden_size_per_layer_input=0, global_head_dim=16),
        **_AFTER,
    ),
    "granite_hybrid_dense": Architecture(
        "GraniteMoeHybrid",
        _with(num_local_experts=0, shared_intermediate_size=64, layer_types=["attention"] * 4, residual_multiplier=0.4,
              mamba_n_heads=8, mamba_d_head=8),
        mlp_post="shared_mlp.output_linear", mlp_out="shared_mlp", added_times="residual_multiplier",
    ),
    "hrm_text": _llama("HrmText"),
    "laguna": _llama("Laguna", **_HEAD, mlp_only_layers=[0, 1, 2, 3]),
    # What has no heads and neurons of ours in every layer.
    "opt350": Architecture("OPT", {**_OPT, "word_embed_proj_dim": 16, "do_layer_norm_before": False}, **_OPT_NAMES),
    "opt_post_norm": Architecture("OPT", {**_OPT, "do_layer_norm_before": False}, **_OPT_NAMES),
    "gpt1": Architecture("OpenAIGPT", {name: value for name, value in _GPT2.items() if name != "n_inner"}),
    "bert": Architecture(
        "Bert",
        _with(*_ONE_KV, is_decoder=True),
        blocks="bert.encoder.layer",
        final_norm="cls.predictions.transform.LayerNorm",
        z="attention.output.dense",
        mlp_post="output.dense",
        attn_out="attention.output.dense",
        mlp_out="output.dense",
    ),
    "olmoe": _llama("Olmoe", num_experts=4, num_experts_per_tok=2),
    "mixtral": _llama("Mixtral", num_local_experts=4),
    "qwen2_moe": _llama("Qwen2Moe", **_EXPERTS, num_experts=4, mlp_only_layers=[0]),
    "qwen3_moe": _llama("Qwen3Moe", **_EXPERTS, **_HEAD, num_experts=4),
    "granite_moe": _llama("GraniteMoe", num_local_experts=4),
    "glm4_moe": _llama("Glm4Moe", **_ROUTED, **_HEAD, first_k_dense_replace=1),
    "gpt_oss": _llama("GptOss", **_HEAD, num_local_experts=4),
    "deepseek_v2_dense": _llama("DeepseekV2", **_ROUTED, **_LATENT, first_k_dense_replace=4),
    "deepseek_v3_dense": _llama("DeepseekV3", **_ROUTED, **_LATENT, first_k_dense_replace=4),
    "youtu": _llama("Youtu", **_LATENT),
    "mamba": Architecture("Mamba", {"vocab_size": 512, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}),
    "rwkv": Architecture("Rwkv", {"vocab_size": 512, "hidden_size": 32, "num_hidden_layers": 2, **_IDS}),
    "bamba": _llama("Bamba", mamba_n_heads=8, mamba_d_head=8, mamba_d_state=8, attn_layer_indices=[1, 3]),
    "lfm2": _llama("Lfm2", layer_types=["full_attention", "conv"] * 2),
    "qwen3_next": _llama("Qwen3Next", **_EXPERTS, **_HEAD, num_experts=4),
    "qwen3_5": _llama("Qwen3_5Text", **_HEAD),
    "falcon_h1": Architecture(
        "FalconH1",
        _with(**_HEAD, mamba_d_ssm=32, mamba_n_heads=4, mamba_d_head=8, mamba_d_state=8),
        final_norm="model.final_layernorm",
        mlp_post="feed_forward.down_proj",
        mlp_out="feed_forward",
        middle=False,
    ),
    "recurrent_gemma": _llama("RecurrentGemma", lru_width=32),
    "jamba": _llama("Jamba", num_experts=1, use_mamba_kernels=False),
    "flex_olmo": _llama("FlexOlmo", num_experts=4, num_experts_per_tok=2),
    "ernie4_5_moe": _llama("Ernie4_5_Moe", **_HEAD, moe_num_experts=4, moe_intermediate_size=16),
    # What TransformerLens does not know.
    "biogpt": _llama("BioGpt", *_ONE_KV),
    "roberta": _llama("Roberta", *_ONE_KV, is_decoder=True),
    "persimmon": _llama("Persimmon", *_ONE_KV),
    "helium": _llama("Helium", **_HEAD),
    "diffllama": _llama("DiffLlama"),
    "doge": _llama("Doge"),
    "cwm": _llama("Cwm", **_HEAD),
    "ministral": _llama("Ministral", **_HEAD),
    "minimax": _llama("MiniMax", **_HEAD, num_local_experts=4, layer_types=["full_attention"] * 4),
    "dots1": _llama("Dots1", **_ROUTED, first_k_dense_replace=4),
    "bart": Architecture("Bart", {"vocab_size": 512, "d_model": 32, "decoder_layers": 2, "decoder_ffn_dim": 64,
                                  "decoder_attention_heads": 4, "is_decoder": True, **_IDS}),
}  # fmt: skip
"""By the names that `python -m tests.architectures NAME …` takes."""
