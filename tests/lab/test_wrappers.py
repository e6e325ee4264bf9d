"""Passes go without the bridge's wrappers where nothing is hooked: the same bits, and the model as it was."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from transformer_lens.model_bridge.generalized_components.base import GeneralizedComponent

from tests.lab.labs import EVERY, PROMPT, source_of, tiny_folder, tiny_lab
from workbench.edits import parse_edits
from workbench.lab.applying import PassLayout
from workbench.lab.model import load_lab
from workbench.lab.passes import run_pass
from workbench.lab.wrappers import Wrappers

EDITS = (
    "",
    "L1.N5=3",
    "L1.H1=0",
    "L1.resid_mid[1-2]=0",
    "L1.attn_out*=2",
    "L1.mlp_out*=2",
    "L*.attn_out=0; L1.N5=3",
    "@L0.N3.out=0",
    "L2.resid_pre+=2*@L0.N3.out",
    "L1.N2=mean",
)


def logits(lab, text: str, with_wrappers: bool, use_cache: bool) -> torch.Tensor:
    """[row, position, vocabulary]; of the last position alone where it comes behind a cache."""
    model, kept = lab.model, lab.model.wrappers
    ids = torch.from_numpy(lab.prompt(PROMPT).ids)[None]
    plans = [lab.plan(parse_edits([text] if text else [], lab.info))]
    model.wrappers = Wrappers() if with_wrappers else kept
    try:
        if not use_cache:
            return run_pass(model, ids, plans).logits
        length = ids.shape[1] - 1
        past = run_pass(model, ids[:, :length], plans, use_cache=True).past
        layout = PassLayout((length,), model.info.n_heads, length)
        return run_pass(model, ids, plans, layout, use_cache=True, past=past).logits
    finally:
        model.wrappers = kept


@pytest.mark.parametrize("arch", EVERY)
def test_the_same_bits_without_them(arch):
    lab = tiny_lab(arch)
    # GPT-NeoX' attention takes its joint weights apart in its wrapper: on some CPUs other last bits, and all are kept.
    assert arch == "gpt_neox" or lab.model.wrappers._wrapped
    for text in EDITS:
        if "resid_mid" in text and lab.info.parallel_blocks:
            continue
        for use_cache in (False, True):
            assert torch.equal(logits(lab, text, True, use_cache), logits(lab, text, False, use_cache)), text


def calls_of_wrappers(lab, text: str) -> Counter[str]:
    """How often the forward of each kind of wrapper runs in a pass."""
    calls: Counter[str] = Counter()
    handles = [
        module.register_forward_pre_hook(lambda module, args: calls.update([type(module).__name__]))
        for block in lab.model.bridge.blocks
        for module in block.modules()
        if isinstance(module, GeneralizedComponent)
    ]
    try:
        logits(lab, text, False, False)
    finally:
        for handle in handles:
            handle.remove()
    return calls


def test_only_blocks_and_what_is_edited_go_through_theirs():
    lab = tiny_lab("llama")
    assert calls_of_wrappers(lab, "") == {"BlockBridge": 3}
    assert calls_of_wrappers(lab, "L1.N5=3") == {"BlockBridge": 3, "GatedMLPBridge": 1, "LinearBridge": 1}
    assert calls_of_wrappers(lab, "@L0.N3.out=0") == {"BlockBridge": 3}


def test_the_model_is_as_it_was_also_after_an_error():
    lab = tiny_lab("llama")
    before = {name: id(module) for name, module in lab.model.hf.named_modules()}
    logits(lab, "L1.N5=3", False, False)
    with pytest.raises(RuntimeError, match="stop"), lab.model.wrappers.passed_over([]):
        raise RuntimeError("stop")
    assert {name: id(module) for name, module in lab.model.hf.named_modules()} == before


def test_wrappers_that_change_numbers_are_kept(monkeypatch):
    """A model is asked: one whose wrapper does more than its module keeps going through it."""
    from transformer_lens.model_bridge.generalized_components.gated_mlp import GatedMLPBridge

    forward = GatedMLPBridge.forward
    monkeypatch.setattr(GatedMLPBridge, "forward", lambda self, *args, **kwargs: 2 * forward(self, *args, **kwargs))
    model = load_lab(source_of(tiny_folder("llama")), device="cpu", dtype="float32").model
    assert not model.wrappers._wrapped
