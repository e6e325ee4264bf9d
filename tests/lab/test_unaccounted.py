"""What the parts of a direct attribution lack: rounding, edits of the stream, what no part adds."""

from __future__ import annotations

from functools import cache

import pytest
import transformers

from tests.lab.labs import PROMPT, new_report, source_of, tiny_folder, tiny_lab
from tests.lab.test_contributions import ANSWER, FOIL, in_memory, made
from workbench.edits import parse_edits
from workbench.errors import UserError
from workbench.execute import execute
from workbench.lab.metric import Metric
from workbench.lab.model import load_lab
from workbench.lab.study import study as new_study
from workbench.result_keys import Direct


@pytest.fixture
def lab():
    return tiny_lab("granite")


def direct_bars(lab, *edits):
    report = new_report()
    execute(lab, "dla", {"prompt": PROMPT}, parse_edits(list(edits), lab.info), 0, report)
    bars = report.views[Direct.VIEW]
    return dict(zip(bars.keys, zip(bars.labels, bars.series[0].y, strict=True), strict=True)), report


@cache
def half_lab(arch):
    return load_lab(source_of(tiny_folder(arch)), device="cpu", dtype="bfloat16")


@pytest.mark.parametrize("arch", ["granite", "llama", "gemma2", "gpt_neox"])
def test_nothing_is_left_where_nothing_is_rounded_much(arch):
    bars, _ = direct_bars(tiny_lab(arch))
    assert list(bars) == [Direct.EMBEDDING, Direct.HEADS, Direct.MLPS, Direct.BIASES]


@pytest.mark.parametrize("arch", ["granite", "llama", "gemma2", "gpt_neox"])
def test_what_half_precision_leaves_is_called_rounding(arch):
    lab = half_lab(arch)
    study = new_study(lab, lab.prompt(PROMPT))
    for answer in range(20):
        parts = study.direct(Metric("difference", answer, answer + 20))
        assert abs(parts.remainder) <= parts.rounding
        assert not parts.stream_edited
    bars, report = direct_bars(lab)
    assert Direct.UNACCOUNTED not in bars
    assert Direct.EDITS not in bars
    if Direct.ROUNDING in bars:
        label, value = bars[Direct.ROUNDING]
        assert label == "rounding"
        assert f"rounding {value:+.2g}" in report.headline
        assert report.scalars[Direct.ROUNDING] == pytest.approx(value)


def test_half_precision_says_its_rounding():
    shown = [direct_bars(half_lab(arch))[0] for arch in ("llama", "gemma2", "gpt_neox", "qwen2")]
    assert any(Direct.ROUNDING in bars for bars in shown)


def test_what_edits_of_the_stream_add_is_called_that(lab):
    bars, report = direct_bars(lab, "L1.resid_post*=2")
    assert bars[Direct.EDITS][0] == "edits of the stream"
    assert "edits of the stream" in report.headline
    assert Direct.EDITS not in direct_bars(lab, "L1.N3=5")[0]


def test_what_no_part_adds_is_not_accounted_for_and_remarked_at_load():
    """Bloom with the stream taken after the norms: what a block adds is not attention and MLP alone."""
    config = transformers.BloomConfig(
        vocab_size=512, hidden_size=32, n_layer=3, n_head=4, apply_residual_connection_post_layernorm=True
    )
    lab = in_memory(made(config))
    assert any("resid_pre + attn_out + mlp_out is not resid_post" in remark for remark in lab.remarks)
    assert any("what an edit puts in the place of resid_mid is not what the stream gets" in r for r in lab.remarks)
    bars, report = direct_bars(lab)
    assert bars[Direct.UNACCOUNTED][0] == "not accounted for"
    assert "not accounted for" in report.headline
    prompt = lab.prompt(PROMPT)
    for edit in ("L1.attn_out*=2", "L0.resid_mid[2]=0"):
        with pytest.raises(UserError, match="can't be made in this model.*Take L[01].resid_pre"):
            lab.forward(prompt, parse_edits([edit], lab.info))
    lab.forward(prompt, parse_edits(["L1.resid_pre*=2"], lab.info))
    effect = new_report()
    execute(lab, "effect", {"prompt": PROMPT, "controls": 3, "generate": 0}, parse_edits(["L1.H2=0"]), 0, effect)
    assert any(
        note.startswith("random directions, same norm: none, since an edit of L1.attn_out") for note in effect.notes
    )
    patched = new_report()
    execute(lab, "patch", {"prompt": PROMPT, "corrupted": "The capital of Spain is"}, [], 0, patched)
    assert "attn_out" not in patched.views
    assert {"resid_pre", "mlp_out", "heads"} <= set(patched.views)


def test_what_stands_between_the_stream_and_the_logits_is_not_accounted_for():
    config = transformers.ModernBertDecoderConfig(
        vocab_size=512, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4, pad_token_id=2
    )
    lab = in_memory(made(config))
    study = new_study(lab, lab.prompt(PROMPT))
    parts = study.direct(Metric("difference", ANSWER, FOIL))
    logits = lab.forward(lab.prompt(PROMPT), logits="last").last[0]
    assert parts.whole == pytest.approx(float(logits[ANSWER] - logits[FOIL]), abs=1e-5)
    assert Direct.UNACCOUNTED in direct_bars(lab)[0]


def test_a_model_that_is_not_one_stack_of_layers_is_a_sentence():
    config = transformers.HrmTextConfig(
        vocab_size=512, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, head_dim=8
    )
    with pytest.raises(UserError, match=r"made \(HrmTextForCausalLM\) is not one stack of layers"):
        in_memory(made(config))
