"""The default model itself, from the package; converted into the user's own cache if it is not there yet."""

from pathlib import Path

import pytest

from tests.conftest import USER_CACHE
from tests.lab.labs import new_report
from workbench.edits import parse_edits
from workbench.execute import execute
from workbench.lab.finding.checkpoint import read_checkpoint
from workbench.lab.finding.source import CONVERTED_NAME, ModelSource, resolve

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


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_small_effect_is_larger_than_its_controls_in_float32_and_no_more_than_rounding_in_bfloat16(
    folder: Path, dtype: str
) -> None:
    """KL 3.1e-4 of one neuron, on weights whose float32 numbers differ from bfloat16's by one rounding."""
    from workbench.lab.model import load_lab

    lab = load_lab(ModelSource(name=folder.name, ref=str(folder), path=folder, origin="folder"), "cpu", dtype)
    reports = {}
    for edit in ("L5.N700=0", "L24.N1005=0", "L28.resid_mid=0"):
        reports[edit] = new_report()
        prompt = {"prompt": "The capital of France is"}
        execute(lab, "predict", prompt, parse_edits([edit], lab.info), 0, reports[edit])
    small, large, everything = (report.scalars for report in reports.values())
    assert large["kl_percentile"] > 0.98
    assert large["kl"] == pytest.approx(0.28, abs=0.03)
    assert everything["kl"] == pytest.approx(9.32, abs=0.1)
    assert everything["answer_probability_edited"] == pytest.approx(1 / 49152, rel=0.02)
    assert everything["kl_percentile"] == 0.5, "no rank among rounding ties"
    if dtype == "float32":
        assert small["kl"] == pytest.approx(3.1e-4, rel=0.05)
        assert small["kl_percentile"] > 0.98
        assert small["kl_rounding"] < 1e-10
    else:
        assert 1e-4 < small["kl"] < small["kl_rounding"]
        assert small["kl_percentile"] == 0.5
        assert "no more than rounding in bfloat16" in reports["L5.N700=0"].headline
