"""feature: the card's numbers against hooks on the Hugging Face model and NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.lab.labs import new_report, plain, tiny_lab
from tests.lab.sae.made import SILENT, STREAM, keep, made_sae
from tests.lab.sae.test_features import encode, random_sae
from workbench.errors import UserError
from workbench.execute import execute
from workbench.experiments._corpus import corpus_prompts
from workbench.report import Report
from workbench.units import Site

CORPUS = {"corpus": "stdlib", "tokens": 256, "context": 32}


def ran(unit: str, **params: Any) -> Report:
    report = new_report()
    execute(tiny_lab("llama"), "feature", {"unit": unit, **CORPUS, **params}, [], 0, report)
    return report


def test_the_card_equals_numpy() -> None:
    sae = random_sae()
    keep(sae, "made")
    lab = tiny_lab("llama")
    rows = [prompt.ids for prompt in corpus_prompts(lab.job(), "stdlib", 256, 32, new_report())]
    streams = [plain("llama").read(torch.from_numpy(ids)[None], 1, "resid_post")[0] for ids in rows]
    f = np.concatenate([encode(sae, x)[1:].numpy() for x in streams])
    fires = (f > 0).mean(0)
    index = int(np.argsort(fires)[len(fires) // 2])
    report = ran(f"L1.F{index}")
    assert report.scalars["frequency"] == pytest.approx(fires[index])
    assert report.scalars["largest_activation"] == pytest.approx(f[:, index].max(), rel=1e-4)
    smaller, equal = (fires < fires[index]).sum(), (fires == fires[index]).sum()
    assert report.scalars["frequency_percentile"] == pytest.approx(100 * (smaller + equal / 2) / len(fires))
    peaks = sorted((float(encode(sae, x)[1:, index].max()) for x in streams), reverse=True)
    examples = report.views["examples"]
    shown = [row[0] for row in examples.rows]
    np.testing.assert_allclose(shown, [peak for peak in peaks if peak > 0][: len(shown)], rtol=1e-4)

    W = sae.W_dec.numpy().astype(np.float64)
    unit = W / np.linalg.norm(W, axis=1, keepdims=True)
    cosines = unit @ unit[index]
    cosines[index] = -2
    order = np.argsort(-cosines)
    features = report.views["features"]
    assert [row[0] for row in features.rows] == [f"L1.F{other}/made" for other in order[: len(features.rows)]]
    np.testing.assert_allclose([row[1] for row in features.rows], cosines[order[:10]], atol=1e-5)

    hf = plain("llama").model
    unembedding = (hf.lm_head.weight * hf.model.norm.weight).detach().double().numpy()
    logits = (unembedding - unembedding.mean(0)) @ unit[index]
    assert report.scalars["largest_logit"] == pytest.approx(logits.max(), rel=1e-4)
    assert report.scalars["lowest_logit"] == pytest.approx(logits.min(), rel=1e-4)
    numbers = {item.name: item.value for item in report.views["numbers"].items}
    assert numbers["b_enc"] == pytest.approx(float(sae.tensors["b_enc"][index]))
    assert numbers["‖W_dec‖"] == pytest.approx(np.linalg.norm(W[index]), rel=1e-5)
    encoder = sae.W_enc.numpy()[:, index].astype(np.float64)
    assert numbers["cosine of encoder and decoder"] == pytest.approx(
        encoder @ W[index] / np.linalg.norm(encoder) / np.linalg.norm(W[index]), abs=1e-5
    )
    w_out = np.stack([layer.mlp.down_proj.weight.detach().numpy().T for layer in hf.model.layers])
    along = w_out @ unit[index] / np.linalg.norm(w_out, axis=2)
    best = np.unravel_index(np.abs(along).argmax(), along.shape)
    writes = next(row for row in report.views["neurons"].rows if row[0] == "writes")
    assert writes[1] == f"L{best[0]}.N{best[1]}"
    assert writes[2] == pytest.approx(along[best], rel=1e-4)
    assert [step.experiment for step in report.next_steps] == ["effect", "effect", "project"]
    assert report.next_steps[0].edits == [f"L1.F{index}/made=0"]


def test_a_dead_feature_says_so() -> None:
    sae = made_sae(tiny_lab("llama"))
    keep(sae, "made")
    report = ran(f"L1.F{sae.config.d_sae - 1}")
    assert "never fires" in report.headline
    assert f"{SILENT} of the SAE's" in report.headline or "never fire there" in report.headline
    assert report.views["examples"].rows == []
    assert "best" not in report.views


def test_features_of_attention_have_no_place_in_the_stream() -> None:
    keep(made_sae(tiny_lab("llama"), Site(0, "z")), "heads")
    report = ran("L0.F1")
    assert any("vectors of L0.z, not of the stream" in note for note in report.notes)
    assert "numbers" in report.views


def test_what_is_no_feature_is_refused() -> None:
    keep(random_sae(STREAM), "made")
    for unit, sentence in [("", "no feature named"), ("L1.N3", "L1.N3 is no feature"), ("L1.F40", "no feature 40")]:
        with pytest.raises(UserError, match=sentence):
            ran(unit)
