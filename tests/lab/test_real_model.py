"""The default model itself, from the package; converted into the user's own cache if it is not there yet."""

from pathlib import Path

import pytest

from tests.conftest import USER_CACHE
from workbench.lab.finding.checkpoint import read_checkpoint
from workbench.lab.finding.source import CONVERTED_NAME, resolve

pytestmark = pytest.mark.slow

REAL_TOKENS = {
    "The capital of France is": ["The", "Ġcapital", "Ġof", "ĠFrance", "Ġis"],
    "In 2023": ["In", "Ġ", "2", "0", "2", "3"],
    "    2": ["ĠĠĠĠ", "2"],
    "<|im_start|>user\nhi<|im_end|>": ["<|im_start|>", "user", "Ċ", "hi", "<|im_end|>"],
}


@pytest.fixture(scope="module")
def folder() -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_CACHE", str(USER_CACHE))
        found = resolve("default")
    if found.origin == "hub":
        pytest.skip("the hub's cache has the default model: the package is not used")
    assert found.name == CONVERTED_NAME
    return found.path


def test_its_shape(folder: Path) -> None:
    found = read_checkpoint(folder)
    assert found.n_parameters == 134_515_008
    assert (found.dtype, found.architecture) == ("float32", "LlamaForCausalLM")
    assert found.config["tie_word_embeddings"] is True


def test_it_knows_paris(folder: Path) -> None:
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    ids = tokenizer("The capital of France is", return_tensors="pt").input_ids
    with torch.inference_mode():
        best = model(ids).logits[0, -1].softmax(-1).max(-1)
    assert tokenizer.decode([int(best.indices)]) == " Paris"
    assert float(best.values) == pytest.approx(0.7725, abs=0.001)


def test_its_tokenizer(folder: Path) -> None:
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for text, tokens in REAL_TOKENS.items():
        assert tokenizer.convert_ids_to_tokens(tokenizer(text).input_ids) == tokens
    assert (tokenizer.bos_token, tokenizer.eos_token, len(tokenizer)) == ("<|im_start|>", "<|im_end|>", 49152)
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True
    )
    assert chat.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert chat.endswith("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n")
