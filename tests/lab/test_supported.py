"""Models whose layers or ends have no units of ours are refused at load, with the layer; the others open as before."""

import re

import pytest
import torch
import transformers

from tests.lab.changed import of_config, opened, with_weights
from tests.lab.labs import PROMPT, tiny_lab
from tests.tiny import edit_config, tiny_model
from workbench.datasets.corpora import open_corpus
from workbench.errors import UserError
from workbench.lab.indexing.build import tokenise
from workbench.lab.strength import sample_prompts

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
EXPERTS = {"moe_intermediate_size": 16, "num_experts_per_tok": 2}
ROUTED = {**EXPERTS, "n_routed_experts": 4, "n_shared_experts": 1, "n_group": 1, "topk_group": 1}
LATENT = {"kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 8, "v_head_dim": 8}
OPT = {
    **{key: value for key, value in SHAPE.items() if key not in ("intermediate_size", "num_key_value_heads")},
    "ffn_dim": 64,
    "word_embed_proj_dim": 32,
}
NEO = {
    **{key: SHAPE[key] for key in ("vocab_size", "hidden_size", "max_position_embeddings")},
    "num_layers": 2,
    "num_heads": 4,
    "attention_types": [[["global", "local"], 1]],
}
MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8}
CUSTOM = {"head_dim": 8}


def config_of(kind, **fields):
    return getattr(transformers, f"{kind}Config")(**fields)


@pytest.mark.parametrize(
    ("kind", "fields", "layer"),
    [
        ("Olmoe", {**SHAPE, "num_experts": 4, "num_experts_per_tok": 2}, 0),
        ("Mixtral", {**SHAPE, "num_local_experts": 4}, 0),
        ("GraniteMoe", {**SHAPE, "num_local_experts": 4}, 0),
        ("Qwen2Moe", {**SHAPE, **EXPERTS, "num_experts": 4, "mlp_only_layers": [0]}, 1),
        ("Qwen3Moe", {**SHAPE, **EXPERTS, **CUSTOM, "num_experts": 4, "mlp_only_layers": [0, 1]}, 2),
        ("Glm4Moe", {**SHAPE, **ROUTED, **CUSTOM, "first_k_dense_replace": 1}, 1),
    ],
)
def test_mixtures_of_experts_are_a_sentence_wherever_they_begin(tmp_path, kind, fields, layer):
    folder = of_config(tmp_path / "it", config_of(kind, **fields))
    sentence = f"layer {layer} of it ({kind}ForCausalLM) is a mixture of experts, whose neurons are no units here: open"
    with pytest.raises(UserError, match=re.escape(sentence)):
        opened(folder)


@pytest.mark.parametrize(
    ("kind", "fields", "sentence"),
    [
        (
            "Lfm2",
            {**SHAPE, "layer_types": ["full_attention", "conv", "full_attention", "conv"]},
            "layer 1 of it (Lfm2ForCausalLM) has no plain attention heads",
        ),
        (
            "Bamba",
            {**SHAPE, **MAMBA, "attn_layer_indices": [1, 3]},
            "layer 0 of it (BambaForCausalLM) has no plain attention heads",
        ),
        ("Mamba", {"vocab_size": 512, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}, "layer 0 of it"),
        (
            "DeepseekV2",
            {**SHAPE, **ROUTED, **LATENT, "num_key_value_heads": 4, "q_lora_rank": None, "first_k_dense_replace": 1},
            "layer 0 of it (DeepseekV2ForCausalLM) has attention whose W_O is not 4 heads of",
        ),
        ("HrmText", SHAPE, "it (HrmTextForCausalLM) is not one stack of layers: open"),
        ("OPT", {**OPT, "do_layer_norm_before": False}, "it (OPTForCausalLM) has no final norm before its unembedding"),
        ("OPT", {**OPT, "_remove_final_layer_norm": True}, "it (OPTForCausalLM) has no final norm"),
        (
            "OPT",
            {**OPT, "word_embed_proj_dim": 16, "do_layer_norm_before": False},
            "the unembedding of it (OPTForCausalLM) reads 16 numbers and its stream has 32: a projection stands",
        ),
        ("OPT", {**OPT, "word_embed_proj_dim": 16}, "the unembedding of it (OPTForCausalLM) reads 16 numbers"),
        (
            "OpenAIGPT",
            {"vocab_size": 512, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256},
            "it (OpenAIGPTLMHeadModel) has no final norm",
        ),
        (
            "BioGpt",
            {key: value for key, value in SHAPE.items() if key != "num_key_value_heads"},
            "TransformerLens here does not know it's architecture, BioGptForCausalLM: a newer one may",
        ),
    ],
)
def test_other_builds_without_our_units_are_a_sentence(tmp_path, kind, fields, sentence):
    folder = of_config(tmp_path / "it", config_of(kind, **fields))
    with pytest.raises(UserError, match=re.escape(sentence)):
        opened(folder)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("OPT", OPT),
        ("Phi3", SHAPE),
        ("Mistral", SHAPE),
        ("Granite", SHAPE),
        ("Gemma3Text", {**SHAPE, **CUSTOM, "query_pre_attn_scalar": 8, "sliding_window": 16}),
        ("Cohere", {**SHAPE, "logit_scale": 0.5}),
        ("GPTNeo", NEO),
        ("Phi", SHAPE | {"num_key_value_heads": 4}),
        ("Starcoder2", SHAPE),
    ],
)
def test_dense_models_open_without_a_remark_and_are_hugging_faces(tmp_path, kind, fields):
    folder = of_config(tmp_path / "it", config_of(kind, **fields))
    lab = opened(folder)
    assert lab.remarks == []
    prompt = lab.prompt(PROMPT)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    with torch.no_grad():
        wanted = model(input_ids=torch.from_numpy(prompt.ids)[None]).logits
    assert torch.allclose(lab.forward(prompt).logits, wanted, atol=1e-5)


def test_a_model_without_layers(tmp_path):
    edit_config(tiny_model("llama", tmp_path / "it"), num_hidden_layers=0)
    with pytest.raises(UserError, match=r"it \(LlamaForCausalLM\) has no layers: its config.json may be wrong"):
        opened(tmp_path / "it")


def test_a_bridge_that_stops_in_its_first_pass_is_a_sentence(tmp_path):
    """A field that is not GPT-2's, and that TransformerLens believes."""
    edit_config(tiny_model("gpt2", tmp_path / "it"), num_key_value_heads=2)
    with pytest.raises(UserError, match=r"TransformerLens can't run it \(GPT2LMHeadModel\): shape "):
        opened(tmp_path / "it")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"hidden_act": "nonsense"}, "it can't be loaded: its files name 'nonsense', which transformers does not know"),
        ({"num_attention_heads": 5}, "The hidden size (32) is not a multiple of the number of attention heads (5)"),
        ({"num_hidden_layers": "4"}, "Field 'num_hidden_layers' expected int, got str"),
    ],
)
def test_configs_that_no_model_can_be_made_from(tmp_path, fields, sentence):
    edit_config(tiny_model("llama", tmp_path / "it"), **fields)
    with pytest.raises(UserError, match=re.escape(sentence)):
        opened(tmp_path / "it")


@pytest.mark.parametrize("key", ["dtype", "torch_dtype"])
@pytest.mark.parametrize("named", ["auto", "nonsense", "bf17", "torch.float16", "", ["float32"], "ones"])
def test_a_dtype_that_torch_does_not_have(tmp_path, key, named):
    folder = tiny_model("llama", tmp_path / "it")
    edit_config(folder, dtype=None)
    edit_config(folder, **{key: named})
    sentence = f"{folder / 'config.json'} has {key!r}: {named!r}, which is no dtype of torch: write 'float32' there"
    with pytest.raises(UserError, match=re.escape(sentence)):
        opened(folder)


@pytest.mark.parametrize("named", ["float32", "bfloat16", "float16", "half", None])
def test_a_dtype_that_torch_has_is_of_no_account(tmp_path, named):
    folder = tiny_model("llama", tmp_path / "it")
    edit_config(folder, dtype=named)
    lab = opened(folder)
    assert lab.info.dtype == "float32"
    assert torch.equal(lab.forward(lab.prompt(PROMPT)).logits, tiny_lab("llama").forward(lab.prompt(PROMPT)).logits)


def test_tokens_beyond_the_embedding_are_named(tmp_path):
    """The last row is lost, as where a tokenizer got a token that the model was never given."""
    whole = tiny_lab("llama")
    rows = len(whole.model.tokens.tokenizer) - 1
    word = whole.token(rows)

    def fewer(weights):
        return weights | {"model.embed_tokens.weight": weights["model.embed_tokens.weight"][:rows]}

    folder = with_weights(tmp_path / "it", fewer)
    edit_config(folder, vocab_size=rows)
    lab = opened(folder)
    assert lab.forward(lab.prompt(PROMPT)).last is not None
    sentence = (
        f"the text has the token {word!r} (number {rows}), and it knows {rows} tokens, fewer than its tokenizer: leave "
        f"it out, or open the model with the tokenizer that belongs to it"
    )
    corpus = tmp_path / "corpus.txt"
    corpus.write_text(f"The capital{word}")
    for ask in (
        lambda: lab.prompt(f"The capital{word}"),
        lambda: lab.answer_token(word),
        lambda: list(tokenise(lab.model, open_corpus(str(corpus)))),
    ):
        with pytest.raises(UserError, match=re.escape(sentence)):
            ask()
    assert rows in whole.prompt(f"The capital{word}").ids
    lab.model.tokens._n_embedded = 300  # fewer than the workbench's own sample text needs
    with pytest.raises(UserError, match="knows 300 tokens"):
        sample_prompts(lab.model)
