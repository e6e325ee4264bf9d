"""Weights that the checkpoint does not give are refused by name; what it has besides is a remark."""

import re

import pytest
import torch

from tests.lab.changed import opened, with_weights
from tests.lab.labs import EVERY, tiny_lab
from tests.tiny import tiny_model
from workbench.errors import UserError

DOWN = "model.layers.2.mlp.down_proj.weight"
UNTIED = {"tie_word_embeddings": False}


def without(*names):
    return lambda weights: {name: tensor for name, tensor in weights.items() if name not in names}


def renamed(change):
    return lambda weights: {change(name): tensor for name, tensor in weights.items()}


def also(**tensors):
    return lambda weights: weights | {name.replace("__", "."): tensor for name, tensor in tensors.items()}


def quantised(weights):
    return {
        name.replace(".weight", ".qweight") if "mlp" in name else name: tensor.int() if "mlp" in name else tensor
        for name, tensor in weights.items()
    }


def inside(name):
    """A wrapper around the inner model alone."""
    return name.replace("model.", "model._orig_mod.", 1)


@pytest.mark.parametrize("arch", EVERY)
def test_whole_checkpoints_have_no_remark(arch):
    assert tiny_lab(arch).remarks == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (without(DOWN), f"1 tensor has no weights in the checkpoint and would be random ({DOWN}): download, copy"),
        (without("lm_head.weight"), "1 tensor has no weights in the checkpoint and would be random (lm_head.weight)"),
        (without("model.norm.weight"), "would be random (model.norm.weight)"),
        (
            renamed(lambda name: name.replace("down_proj", "w2")),
            "3 tensors have no weights in the checkpoint and would be random (model.layers.0.mlp.down_proj.weight, "
            "model.layers.1.mlp.down_proj.weight, model.layers.2.mlp.down_proj.weight): download, copy or save it "
            "again; it has others that the model does not use (model.layers.0.mlp.w2.weight, "
            "model.layers.1.mlp.w2.weight, model.layers.2.mlp.w2.weight): were they renamed?",
        ),
        (
            lambda weights: {"model.embed_tokens.weight": weights["model.embed_tokens.weight"]},
            "(lm_head.weight, model.layers.0.input_layernorm.weight, model.layers.0.mlp.down_proj.weight and 26 more)",
        ),
        (
            renamed(lambda name: f"_orig_mod.{name}"),
            "because torch.compile has put '_orig_mod.' into their names there (_orig_mod.lm_head.weight): save the "
            "model again without the wrapper, or take '_orig_mod.' out of the names in the safetensors files",
        ),
        (renamed(inside), "because torch.compile has put '_orig_mod.' into their names"),
        (renamed(lambda name: f"module.{name}"), "because torch's parallel training has put 'module.' into"),
        (renamed(lambda name: f"base_model.model.{name}"), "has put 'base_model.model.' into their names"),
        (quantised, "are quantised (its tensors are called model.layers.0.mlp.down_proj.qweight, "),
        (also(model__layers__0__mlp__up_proj__SCB=torch.ones(64)), "are quantised (its tensors are called"),
        (
            lambda weights: weights | {DOWN: weights[DOWN][:, :40]},
            f"1 tensor has the wrong shape for its config.json ({DOWN} is 32×40 and has to be 32×64)",
        ),
    ],
)
def test_what_is_missing_or_of_another_shape_is_named(tmp_path, change, sentence):
    with pytest.raises(UserError, match=re.escape(sentence)):
        opened(with_weights(tmp_path / "it", change, **UNTIED))


def test_a_config_that_asks_for_more_layers(tmp_path):
    from tests.tiny import edit_config

    edit_config(tiny_model("llama", tmp_path / "it"), num_hidden_layers=12)
    with pytest.raises(UserError, match=r"81 tensors have no weights .* \(model.layers.3.input_layernorm.weight, "):
        opened(tmp_path / "it")


def test_a_tensor_lost_from_one_shard(tmp_path):
    import transformers
    from safetensors.torch import load_file, save_file

    folder = tiny_model("llama", tmp_path / "it")
    whole = transformers.AutoModelForCausalLM.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    whole.save_pretrained(folder, max_shard_size="40KB")
    shard = sorted(folder.glob("model-*.safetensors"))[-1]
    kept = load_file(shard)
    gone = sorted(kept)[0]
    del kept[gone]
    save_file(kept, shard, metadata={"format": "pt"})
    with pytest.raises(UserError, match=rf"1 tensor has no weights .* would be random \({re.escape(gone)}\)"):
        opened(folder)


@pytest.mark.parametrize(
    ("change", "remark"),
    [
        (also(v_head__weight=torch.ones(1, 32)), "1 tensor that this model does not use: v_head.weight"),
        (
            also(**{f"model__layers__{n}__eh_proj__weight": torch.ones(2) for n in (3, 4, 5, 10)}),
            "4 tensors that this model does not use: model.layers.3.eh_proj.weight, model.layers.4.eh_proj.weight, "
            "model.layers.5.eh_proj.weight and 1 more",
        ),
    ],
)
def test_what_the_model_does_not_use_is_a_remark(tmp_path, change, remark):
    assert opened(with_weights(tmp_path / "it", change)).remarks == [f"the checkpoint has {remark}"]


@pytest.mark.parametrize(
    ("arch", "change", "config"),
    [
        ("llama", lambda weights: weights, UNTIED),
        ("llama", lambda weights: weights | {"lm_head.weight": weights["model.embed_tokens.weight"].clone()}, {}),
        (
            "llama",  # the tied matrix under its other name
            lambda weights: {
                "lm_head.weight" if name == "model.embed_tokens.weight" else name: tensor
                for name, tensor in weights.items()
            },
            {},
        ),
        ("llama", also(model__layers__0__self_attn__rotary_emb__inv_freq=torch.ones(4)), {}),
        # As the hub has GPT-2: no prefix, and the masks of another time.
        (
            "gpt2",
            lambda weights: (
                {name.removeprefix("transformer."): tensor for name, tensor in weights.items()}
                | {f"h.{layer}.attn.bias": torch.ones(1, 1, 256, 256) for layer in range(3)}
                | {f"h.{layer}.attn.masked_bias": torch.tensor(-1e4) for layer in range(3)}
            ),
            {},
        ),
        # As the hub has Pythia.
        (
            "gpt_neox",
            lambda weights: (
                weights
                | {
                    f"gpt_neox.layers.{n}.attention.bias": torch.ones(1, 1, 256, 256, dtype=torch.bool)
                    for n in range(3)
                }
                | {f"gpt_neox.layers.{n}.attention.masked_bias": torch.tensor(-1e4) for n in range(3)}
                | {f"gpt_neox.layers.{n}.attention.rotary_emb.inv_freq": torch.ones(4) for n in range(3)}
            ),
            {},
        ),
    ],
)
def test_what_is_tied_or_computed_is_neither(tmp_path, arch, change, config):
    assert opened(with_weights(tmp_path / "it", change, arch, **config)).remarks == []


def test_buffers_that_are_missing_are_a_remark(tmp_path):
    """Constants that the model's code makes and that some checkpoints keep (xIELU's in Apertus)."""
    import transformers
    from safetensors.torch import load_file, save_file

    from tests.lab.changed import of_config
    from tests.tiny import tiny_config

    fields = {key: getattr(tiny_config("llama"), key) for key in ("vocab_size", "hidden_size", "intermediate_size")}
    config = transformers.ApertusConfig(
        **fields, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256
    )
    folder = of_config(tmp_path / "it", config)
    assert opened(folder).remarks == []
    file = folder / "model.safetensors"
    kept = {name: tensor for name, tensor in load_file(file).items() if not name.endswith(".act_fn.eps")}
    save_file(kept, file, metadata={"format": "pt"})
    (remark,) = opened(folder).remarks
    assert remark.startswith("the checkpoint lacks 2 buffers, left as the model makes them: model.layers.0.mlp.act_")
