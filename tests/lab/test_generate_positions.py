"""Generation of mixed batches, beyond sliding windows, with positions of many kinds, is Hugging Face's own."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import transformers

from tests.lab.labs import new_report, source_of
from tests.tiny import randomise, tiny_tokenizer
from workbench.lab.continuation import Continuation, Row
from workbench.lab.generate import continue_all, generate
from workbench.lab.model import load_lab
from workbench.lab.prompts import Prompt

IDS = {"vocab_size": 512, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
SHAPE = {
    **IDS,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
MODERNBERT = {key: value for key, value in SHAPE.items() if key != "num_key_value_heads"}
ALTERNATING = ["sliding_attention", "full_attention"] * 2
CONFIGS = {
    "mistral, window 8": lambda: transformers.MistralConfig(**SHAPE, sliding_window=8),
    "gemma2, window 8": lambda: transformers.Gemma2Config(
        **SHAPE, head_dim=8, query_pre_attn_scalar=8, sliding_window=8
    ),
    "gemma3, window 8": lambda: transformers.Gemma3TextConfig(
        **SHAPE, head_dim=8, query_pre_attn_scalar=8, sliding_window=8, layer_types=ALTERNATING
    ),
    "modernbert decoder, window 8": lambda: transformers.ModernBertDecoderConfig(
        **MODERNBERT, local_attention=8, cls_token_id=1, sep_token_id=2
    ),
    "gpt_neo, window 8": lambda: transformers.GPTNeoConfig(
        **IDS,
        hidden_size=32,
        num_layers=4,
        num_heads=4,
        attention_types=[[["global", "local"], 2]],
        window_size=8,
        max_position_embeddings=64,
    ),
    "bloom, alibi": lambda: transformers.BloomConfig(**IDS, hidden_size=32, n_layer=4, n_head=4),
    "mpt, alibi": lambda: transformers.MptConfig(
        **IDS, d_model=32, n_layers=4, n_heads=4, expansion_ratio=2, max_seq_len=64
    ),
    "falcon, alibi": lambda: transformers.FalconConfig(
        **IDS, hidden_size=32, num_hidden_layers=4, num_attention_heads=4, alibi=True, new_decoder_architecture=False
    ),
    "gpt2, learned": lambda: transformers.GPT2Config(**IDS, n_positions=64, n_embd=32, n_layer=4, n_head=4),
    "opt, learned": lambda: transformers.OPTConfig(
        **IDS,
        hidden_size=32,
        ffn_dim=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=64,
        word_embed_proj_dim=32,
    ),
    "gptj": lambda: transformers.GPTJConfig(**IDS, n_positions=64, n_embd=32, n_layer=4, n_head=4, rotary_dim=4),
    "smollm3": lambda: transformers.SmolLM3Config(**SHAPE, no_rope_layers=[1, 0, 1, 0]),
    "cohere2, window 8": lambda: transformers.Cohere2Config(**SHAPE, sliding_window=8, layer_types=ALTERNATING),
    "xglm": lambda: transformers.XGLMConfig(
        **IDS, d_model=32, ffn_dim=64, num_layers=4, attention_heads=4, max_position_embeddings=64
    ),
}
LENGTHS = [3, 7, 8, 9, 20, 20, 33]
TOKENS = 14


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_row_is_hugging_faces_own(kind, tmp_path):
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS[kind](), dtype=torch.float32)
    randomise(model, 0)
    model.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    lab = load_lab(source_of(tmp_path), "cpu", "float32")
    own = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    expected, prompts = [], []
    for number, length in enumerate(LENGTHS):
        ids = np.random.default_rng(number).integers(10, 500, length)
        prompts.append(Prompt("", ids, [""] * length, None, False))
        row = torch.from_numpy(ids)[None]
        made = own.generate(row, attention_mask=torch.ones_like(row), max_new_tokens=TOKENS, do_sample=False)
        expected.append(made[0, length:].tolist())
    for prompt, tokens in zip(prompts, expected, strict=True):
        assert [one.id for one in itertools.islice(generate(lab, prompt), TOKENS)] == tokens
        assert [one.id for one in itertools.islice(generate(lab, prompt, use_cache=False), TOKENS)] == tokens
    continuations = [Continuation() for _ in prompts]
    rows = [Row(prompt, lab.plan(()), number) for number, prompt in enumerate(prompts)]
    list(continue_all(lab.job(report=new_report()), rows, continuations, TOKENS, size=len(rows)))
    for continuation, tokens in zip(continuations, expected, strict=True):
        assert continuation.ids == tokens
    assert lab.model.caches, lab.remarks
