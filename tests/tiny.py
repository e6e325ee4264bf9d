"""Tiny checkpoints on disk: the five architectures, three layers each, made in under a second.

They are what a user would open (config, tokenizer, safetensors), with random weights large enough that
logits are not flat, and norms and biases that are neither ones nor zeros, so that a test sees whether they are used.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

ARCHITECTURES = ("llama", "gpt2", "gpt_neox", "gemma2", "qwen2")
OTHER_NORMS = ("olmo", "olmo2", "olmo3", "exaone4")
"""OLMo's norms have no weight; the others have norms after attention and MLP, and none before"""

TEXT = """
The capital of France is Paris. The capital of Germany is Berlin. The capital of Italy is Rome.
The capital of Spain is Madrid. The capital of Japan is Tokyo. The city of London is in England.
When Mary and John went to the store, John gave a drink to Mary. When John and Mary went home, Mary gave it to John.
The quick brown fox jumps over the lazy dog. She said that he was happy, but he was not happy at all.
I cannot help with that. I am sorry. Sure, here is a list: one, two, three, four, five.
def hello(name):
    return "hello " + name
The river is wide and the water is cold. In the morning the sun is red; in the evening the moon is white.
system user assistant You are a helpful assistant. What is the capital of France? Numbers: 0 1 2 3 4 5 6 7 8 9.
"""

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
VOCABULARY = 512
"""the embedding's rows; the tokenizer has fewer tokens, as real ones do"""

SHAPE = {"d_model": 32, "n_heads": 4, "n_kv_heads": 2, "d_mlp": 64, "n_layers": 3, "n_ctx": 256}


@cache
def _trained() -> str:
    """A byte-level BPE tokenizer as JSON. Each word of TEXT is one token; any other text is bytes and pieces."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 8,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=SPECIAL,
        show_progress=False,
    )
    # Every word often, and " the" most often, so that whole words become tokens.
    tokenizer.train_from_iterator(
        [TEXT] * 20 + [" Paris Berlin Rome Madrid Tokyo London France the The"] * 100, trainer
    )
    return str(tokenizer.to_str())


def tiny_tokenizer(adds_bos: bool = False) -> Any:
    """A fast tokenizer with a chat template; with `adds_bos` its own call begins every text with `<|im_start|>`."""
    from tokenizers import Tokenizer, processors
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer.from_str(_trained())
    if adds_bos:
        bos = SPECIAL[1]
        inner.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, inner.token_to_id(bos))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token=SPECIAL[1],
        eos_token=SPECIAL[2],
        pad_token=SPECIAL[2],
        chat_template=CHAT_TEMPLATE,
        model_max_length=SHAPE["n_ctx"],
        clean_up_tokenization_spaces=False,
    )


def tiny_config(arch: str, **config: Any) -> Any:
    """The Hugging Face config of a tiny `arch`; `config` overrides its fields by their Hugging Face names."""
    import transformers

    grouped = {
        "vocab_size": VOCABULARY,
        "hidden_size": SHAPE["d_model"],
        "intermediate_size": SHAPE["d_mlp"],
        "num_hidden_layers": SHAPE["n_layers"],
        "num_attention_heads": SHAPE["n_heads"],
        "num_key_value_heads": SHAPE["n_kv_heads"],
        "max_position_embeddings": SHAPE["n_ctx"],
        "tie_word_embeddings": True,
    }
    neox = {name: value for name, value in grouped.items() if name != "num_key_value_heads"}
    head = SHAPE["d_model"] // SHAPE["n_heads"]
    kind, fields = {
        "llama": (transformers.LlamaConfig, grouped),
        "qwen2": (transformers.Qwen2Config, grouped),
        "gemma": (transformers.GemmaConfig, {**grouped, "head_dim": head}),
        "gemma2": (
            transformers.Gemma2Config,
            {**grouped, "head_dim": head, "query_pre_attn_scalar": head, "sliding_window": 64},
        ),
        "olmo": (transformers.OlmoConfig, grouped),
        "olmo2": (transformers.Olmo2Config, grouped),
        "olmo3": (transformers.Olmo3Config, {**grouped, "sliding_window": 64}),
        "exaone4": (transformers.Exaone4Config, {**grouped, "sliding_window": 64, "sliding_window_pattern": 2}),
        "granite": (
            transformers.GraniteConfig,
            {
                **grouped,
                "residual_multiplier": 0.4,
                "embedding_multiplier": 5.0,
                "attention_multiplier": 0.1,
                "logits_scaling": 3.0,
            },
        ),
        "gpt_neox": (transformers.GPTNeoXConfig, {**neox, "tie_word_embeddings": False, "use_parallel_residual": True}),
        "gpt2": (
            transformers.GPT2Config,
            {
                "vocab_size": VOCABULARY,
                "n_positions": SHAPE["n_ctx"],
                "n_embd": SHAPE["d_model"],
                "n_layer": SHAPE["n_layers"],
                "n_head": SHAPE["n_heads"],
                "n_inner": SHAPE["d_mlp"],
            },
        ),
    }[arch]
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    return kind(**{**fields, **ids, **config})


def randomise(model: Any, seed: int) -> None:
    """New weights in place: matrices std .2, embeddings .5, biases .3; norms around 1 (Gemma: 0) with std .3."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    gemma = model.config.model_type.startswith("gemma")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("bias"):
                parameter.copy_(0.3 * noise)
            elif parameter.ndim == 1:
                # Gemma's norms multiply by 1 + weight.
                parameter.copy_(0.3 * noise + (0.0 if gemma else 1.0))
            elif "embed" in name or name.startswith(("transformer.w", "lm_head")):
                parameter.copy_(0.5 * noise)
            else:
                parameter.copy_(0.2 * noise)


def tiny_model(arch: str, folder: Path | str, seed: int = 0, **config: Any) -> Path:
    """Write a tiny float32 checkpoint of `arch` (see `tiny_config`) into `folder`; returns the folder.

    d_model 32, 4 heads (2 kv heads where the architecture groups them), d_mlp 64, 3 layers, 512 embedding rows.
    Only Gemma's tokenizer adds a BOS on its own call. The same arguments write the same weights.
    """
    import torch
    import transformers

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.AutoModelForCausalLM.from_config(tiny_config(arch, **config), dtype=torch.float32)
    randomise(model, seed)
    model.generation_config.do_sample = False
    model.save_pretrained(folder)
    tiny_tokenizer(adds_bos=arch.startswith("gemma")).save_pretrained(folder)
    return folder


def edit_config(folder: Path, **fields: Any) -> None:
    """Change fields of a checkpoint's config.json; None removes one."""
    file = folder / "config.json"
    config = json.loads(file.read_text())
    for name, value in fields.items():
        if value is None:
            config.pop(name, None)
        else:
            config[name] = value
    file.write_text(json.dumps(config))
