"""sweep with an SAE: estimates against autograd through the Hugging Face model, exact effects against plain hooks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.lab.labs import PROMPT, new_report, plain, tiny_lab
from tests.lab.sae.made import STREAM, keep
from tests.lab.sae.test_features import decode, encode, random_sae
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


def test_a_sweep_without_an_sae_has_no_features() -> None:
    assert "features" not in swept().views


@pytest.mark.parametrize(
    ("read", "written"), [("resid_mid", "resid_mid"), ("resid_pre", "mlp_out"), ("mlp_in", "mlp_out")]
)
def test_features_of_resid_mid_and_of_transcoders(read: str, written: str) -> None:
    """A transcoder's feature changes what it writes; resid_mid is changed where attention adds to the stream."""
    hooks = {"mlp_in": "blocks.1.ln2.hook_normalized", "mlp_out": "blocks.1.hook_mlp_out"}
    names = {"hook": hooks.get(read, f"blocks.1.hook_{read}")}
    if read != written:
        names |= {"hook_out": hooks[written], "d_out": 32}
    sae = random_sae(Site(1, "resid_pre"), subtracts_b_dec=False, **names)
    keep(sae, "made")
    lab = tiny_lab("llama")
    answer = lab.answer_token(" Paris").id
    ids = torch.from_numpy(lab.prompt(PROMPT).ids)[None]
    model, kept = plain("llama"), []
    at = (1, "attn_out" if written == "resid_mid" else "mlp_out")
    block = model.layers[1]

    def leaf(x: torch.Tensor) -> torch.Tensor:
        kept.append(x.detach().requires_grad_())
        return kept[-1]

    with model.hooked([(*at, leaf)]):
        model.model(input_ids=ids, use_cache=False).logits[0, -1].log_softmax(-1)[answer].backward()
    gradient = kept[0].grad[0]
    x = model.read(ids, 1, "resid_pre")
    if read != "resid_pre":
        x = x + model.read(ids, 1, "attn_out")
    if read == "mlp_in":
        with torch.no_grad():
            x = block.post_attention_layernorm(x)
    if read == "mlp_in":  # SAELens' hook stands before the norm's weight
        x = x / block.post_attention_layernorm.weight.detach()
    f = encode(sae, x[0])
    estimate = -(f * (gradient @ sae.tensors["W_dec"].T))[1:].sum(0)

    def effect(index: int) -> float:
        taken = f[:, index, None] * sae.tensors["W_dec"][index]
        taken[0] = 0
        changes = [(*at, lambda written: written - taken)]
        values = [model.logits(ids, each)[0, -1].double().log_softmax(-1)[answer] for each in (changes, [])]
        return float(values[0] - values[1])

    rows = {row[0]: row for row in swept(sae="made", exact=True).views["features"].rows}
    for index in range(sae.config.d_sae):
        row = rows[f"L1.F{index}/made"]
        assert row[1] == pytest.approx(float(estimate[index]), rel=1e-3, abs=1e-6)
        assert row[2] == pytest.approx(effect(index), rel=1e-3, abs=2e-6)
    assert np.abs([row[2] for row in rows.values()]).max() > 1e-4


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


def test_why_picks_what_plain_hooks_pick_among_neurons_and_features() -> None:
    """The first unit: of the 24 lowest gradients of the Hugging Face model, that which lowers the log-odds most."""
    sae = random_sae()
    sae.tensors["W_dec"] *= 15
    keep(sae, "made")
    lab = tiny_lab("llama")
    report = new_report()
    params = {"prompt": PROMPT, "answer": " Paris", "size": 3, "controls": 4, "unrelated": 1, "n": 60, "sae": "made"}
    execute(lab, "why", params, [], 0, report)
    answer, model = lab.answer_token(" Paris").id, plain("llama")
    ids = torch.from_numpy(lab.prompt(PROMPT).ids)[None]

    def log_odds(logits: torch.Tensor) -> torch.Tensor:
        others = torch.cat([logits[:answer], logits[answer + 1 :]])
        return logits[answer] - others.logsumexp(0)

    estimates, changes = {}, {}
    sites = [(layer, "mlp_post") for layer in range(lab.info.n_layers)] + [(STREAM.layer, STREAM.name)]
    for layer, site in sites:
        kept: list[torch.Tensor] = []

        def leaf(x: torch.Tensor, kept: list[torch.Tensor] = kept) -> torch.Tensor:
            kept.append(x.detach().requires_grad_())
            return kept[-1]

        with model.hooked([(layer, site, leaf)]):
            log_odds(model.model(input_ids=ids, use_cache=False).logits[0, -1]).backward()
        x, gradient = kept[0].detach()[0], kept[0].grad[0]
        f = encode(sae, x) if site == STREAM.name else x
        slope = gradient @ sae.tensors["W_dec"].T if site == STREAM.name else gradient
        for index, estimate in enumerate((-(f * slope))[1:].sum(0).tolist()):
            unit = f"L{layer}.F{index}/made" if site == STREAM.name else f"L{layer}.N{index}"
            estimates[unit], changes[unit] = estimate, (layer, site, off(sae, site, index))

    def effect(unit: str) -> float:
        values = [log_odds(model.logits(ids, each)[0, -1].double()) for each in ([changes[unit]], [])]
        return float(values[0] - values[1])

    exact = {unit: effect(unit) for unit in sorted(estimates, key=estimates.__getitem__)[:24]}
    rows = report.views["picked"].rows
    first = min(exact, key=exact.__getitem__)
    assert rows[0][1] == first or report.views["picked"].note.count(rows[0][1])  # a pair may have been taken
    assert rows[0][2] == pytest.approx(effect(rows[0][1]), rel=1e-3, abs=1e-5)
    units = [row[1] for row in rows]
    assert any(".F" in unit for unit in units), units
    assert report.views["picked"].columns[1].name in ("unit", "feature")
    (controls,) = [row for row in report.views["verdict"].rows if row[0].startswith("matched random sets of 3")]
    assert controls[1] == "n 4"


def off(sae: Any, site: str, index: int) -> Any:
    """A hook that sets a neuron or feature to 0 behind position 0; the SAE's error stays."""

    def hook(x: torch.Tensor) -> torch.Tensor:
        new = x.clone()
        if site == STREAM.name:
            f = encode(sae, x)
            new = x - f[..., index, None] * sae.tensors["W_dec"][index]
        else:
            new[..., index] = 0
        return torch.cat([x[:, :1], new[:, 1:]], dim=1)

    return hook
