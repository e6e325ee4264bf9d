"""sweep with an SAE: estimates against autograd through the Hugging Face model, exact effects against plain hooks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.lab.labs import PROMPT, new_report, plain, tiny_lab
from tests.lab.sae.made import STREAM, keep
from tests.lab.sae.test_features import decode, encode, random_sae
from workbench.errors import UserError
from workbench.execute import execute
from workbench.lab.controls import off_controls
from workbench.units import Feature, Site


def swept(**params: Any) -> Any:
    report = new_report()
    execute(
        tiny_lab("llama"), "sweep", {"prompt": PROMPT, "answer": " Paris", "n": 0, "others": 8, **params}, [], 0, report
    )
    return report


@pytest.mark.parametrize("normalisation", ["none", "layer_norm"])
def test_estimates_and_exact_effects_of_features(normalisation: str) -> None:
    sae = random_sae(normalisation=normalisation)
    keep(sae, "made")
    lab = tiny_lab("llama")
    answer = lab.answer_token(" Paris").id
    ids = torch.from_numpy(lab.prompt(PROMPT).ids)[None]
    model, kept = plain("llama"), []

    def leaf(x: torch.Tensor) -> torch.Tensor:
        kept.append(x.detach().requires_grad_())
        return kept[-1]

    with model.hooked([(STREAM.layer, STREAM.name, leaf)]):
        model.model(input_ids=ids, use_cache=False).logits[0, -1].log_softmax(-1)[answer].backward()
    x, gradient = kept[0].detach()[0], kept[0].grad[0]
    f = encode(sae, x)
    unit = decode(sae, torch.eye(sae.config.d_sae)[None].expand(len(x), -1, -1), x[:, None]) - decode(
        sae, torch.zeros(len(x), 1, sae.config.d_sae), x[:, None]
    )
    estimate = -(f * (unit @ gradient[:, :, None])[..., 0])[1:].sum(0)

    def effect(index: int) -> float:
        def hook(x: torch.Tensor) -> torch.Tensor:
            f = encode(sae, x)
            without = f.clone()
            without[..., index] = 0
            new = x + decode(sae, without, x) - decode(sae, f, x)
            return torch.cat([x[:, :1], new[:, 1:]], dim=1)

        values = [
            model.logits(ids, changes)[0, -1].double().log_softmax(-1)[answer]
            for changes in ([(STREAM.layer, STREAM.name, hook)], [])
        ]
        return float(values[0] - values[1])

    rows = {row[0]: row for row in swept(sae="made", exact=True).views["features"].rows}
    assert set(rows) == {f"L1.F{index}/made" for index in range(sae.config.d_sae)}
    for index in range(sae.config.d_sae):
        row = rows[f"L1.F{index}/made"]
        assert row[1] == pytest.approx(float(estimate[index]), rel=1e-3, abs=1e-6)
        assert row[2] == pytest.approx(effect(index), rel=1e-3, abs=2e-6)
    assert np.abs([row[2] for row in rows.values()]).max() > 1e-4


def test_a_sweep_without_an_sae_has_no_features_and_a_shared_stream_is_refused() -> None:
    assert "features" not in swept().views
    keep(random_sae(Site(1, "resid_pre"), hook_out="blocks.1.hook_resid_mid", subtracts_b_dec=False), "mid")
    with pytest.raises(UserError, match="writes L1.resid_mid"):
        swept(sae="mid")


def test_features_are_switched_off_in_controls() -> None:
    keep(random_sae(), "made")
    drawn = off_controls([Feature(1, 3, "made")], tiny_lab("llama").model, 1, 4, 0)
    assert drawn.kind == "matched random features"
    assert len(drawn.plans) == 4


def test_why_shows_an_saes_features_beside_neurons() -> None:
    keep(random_sae(), "made")
    report = new_report()
    params = {"prompt": PROMPT, "size": 1, "controls": 4, "unrelated": 1, "n": 8, "sae": "made"}
    execute(tiny_lab("llama"), "why", params, [], 0, report)
    table = report.views["features"]
    assert len(table.rows) == 8  # measured exactly
    assert all(row[0].endswith("/made") for row in table.rows)
    assert report.scalars["features"] == 40
