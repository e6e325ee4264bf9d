"""The one way through the model: from any block on, for architectures whose blocks and heads differ."""

import ast
import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

import workbench
from tests.lab.labs import PROMPT, new_report, source_of, tiny_lab
from tests.tiny import randomise, tiny_tokenizer
from workbench.batch_memory import TOKENS
from workbench.edits import parse_edits
from workbench.lab import study as studies
from workbench.lab.batches import batches, rows_at_once
from workbench.lab.metric import Metric
from workbench.lab.model import load_lab
from workbench.lab.passes import run_pass
from workbench.lab.study import study
from workbench.lab.trace import run_from, trace_prompt

IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}


def made(folder, kind):
    """A tiny model whose attention takes a bias for each row (Bloom), or whose head has layers of its own."""
    import transformers

    if kind == "bloom":
        config = transformers.BloomConfig(vocab_size=512, hidden_size=32, n_layer=3, n_head=4, **IDS)
    else:
        config = transformers.ModernBertDecoderConfig(
            vocab_size=512,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=256,
            cls_token_id=1,
            sep_token_id=2,
            **IDS,
        )
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    randomise(model, 0)
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return load_lab(source_of(folder), "cpu", "float32")


@pytest.mark.parametrize("kind", ["bloom", "modernbert-decoder"])
def test_many_rows_from_a_layer_on_equal_whole_passes(kind, tmp_path):
    lab = made(tmp_path, kind)
    prompt = lab.prompt(PROMPT)
    texts = ["L0.N5[1-]=0", "L1.N7[1-]=0", "L2.H1[1-]=0", "L2.N3*=4"]
    edited = {}
    for results in study(lab, prompt).run([lab.plan(parse_edits([text], lab.info)) for text in texts]):
        edited.update(zip(results.indices, results.logits, strict=True))
    for at, text in enumerate(texts):
        whole = lab.forward(prompt, parse_edits([text], lab.info), logits="last").last[0]
        assert torch.allclose(edited[at], whole, atol=1e-4), text


def test_a_pass_that_fails_leaves_the_model_as_it_was():
    lab = tiny_lab("llama")
    prompt = lab.prompt(PROMPT)
    before = lab.forward(prompt).logits
    trace = trace_prompt(lab.model, prompt, lab.plan(()))

    def fails(activation, hook=None):
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        run_from(lab.model, trace, 2, watch={lab.model.sites.block_inputs[2]: fails})
    assert lab.hooks_installed() == 0
    ids = torch.from_numpy(prompt.ids)[None]
    assert torch.equal(run_pass(lab.model, ids).logits, before)


def test_nothing_runs_the_model_beside_the_passes():
    """No file of the lab calls the Hugging Face model or a block of the bridge."""
    calls = []
    for file in sorted((Path(workbench.__file__).parent / "lab").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called.split(".")[-1] in ("hf", "base_model", "run_with_cache", "run_with_hooks") or (
                    "blocks[" in called and called.endswith("]")
                ):
                    calls.append(file.name)
    assert set(calls) == {"passes.py"}


@pytest.mark.parametrize("fits", [1, 3])
def test_gradients_go_in_halves_too(fits, monkeypatch):
    lab = tiny_lab("llama").job(report=new_report())
    traced = study(lab, lab.prompt(PROMPT))
    asked = [Metric("log-prob", token) for token in range(40, 47)]
    together = traced.attribute(asked)
    attribute = studies.attribute

    def limited(model, trace, rows, sae):
        if len(rows) > fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return attribute(model, trace, rows, sae)

    monkeypatch.setattr(studies, "attribute", limited)
    halved = traced.attribute(asked)
    assert halved.neurons.shape == together.neurons.shape
    np.testing.assert_allclose(halved.neurons, together.neurons, atol=1e-5)
    np.testing.assert_allclose(halved.stream, together.stream, atol=1e-4)
    assert any("memory ran out" in note for note in lab.report.notes)


def test_what_was_held_is_let_go_before_the_halves():
    lab = tiny_lab("llama")
    lab.forward(lab.prompt(PROMPT))
    assert len(lab.model.clean)
    held = []
    for batch in batches([1, 2], 2, model=lab.model):
        with batch:
            if held:
                gc.collect()
                assert held[0]() is None, "the failed batch's tensors are gone"
                assert not len(lab.model.clean)
                continue
            tensor = torch.zeros(8)
            held.append(weakref.ref(tensor))
            del tensor
            raise torch.OutOfMemoryError("CUDA out of memory")


def test_rows_follow_time_and_memory(monkeypatch):
    from workbench.lab import memory as module

    model = tiny_lab("llama").model
    assert rows_at_once(model, 8, "forward") == TOKENS["forward"][0] // 8
    assert rows_at_once(model, 100_000, "forward") == 1
    monkeypatch.setattr(module, "free_memory", lambda device: 200 << 10)
    few = rows_at_once(model, 8, "last")
    assert 1 <= few < TOKENS["last"][0] // 8
    assert few & (few - 1) == 0, "a power of two where memory is the limit"
    monkeypatch.setattr(module, "free_memory", lambda device: 0)
    assert rows_at_once(model, 8, "last") == 1
