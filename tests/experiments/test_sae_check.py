"""sae-check: every figure against plain hooks on the Hugging Face model and NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.lab.labs import new_report, plain, tiny_lab
from tests.lab.sae.made import SILENT, STREAM, keep, made_sae
from tests.tiny import TEXT
from workbench.artifacts.sae import find_sae
from workbench.errors import UserError
from workbench.execute import execute
from workbench.lab.prompts import Prompt
from workbench.lab.sae.placing import place
from workbench.lab.sae.quality import Quality, measure
from workbench.report import Report
from workbench.units import Site

TEXTS = [line for line in TEXT.strip().splitlines() if line]


def own_texts(arch: str) -> list[Prompt]:
    """What the model itself goes on with, by plain passes: a random model predicts nothing else, and zero costs it."""
    lab, model = tiny_lab(arch), plain(arch)
    prompts = []
    for at, text in enumerate(TEXTS):
        ids = torch.from_numpy(lab.prompt(text).ids[:3])[None]
        for _ in range(5 + at):
            ids = torch.cat([ids, model.logits(ids)[:, -1:].argmax(-1)], dim=1)
        prompts.append(Prompt("", ids[0].numpy(), [""] * ids.shape[1], None, False))
    return prompts


def reference(arch: str, site: Site, sae: Any, ids: list[np.ndarray]) -> dict[str, float]:
    """One document after another, with hooks that leave position 0 alone."""
    model = plain(arch)
    rows = [torch.from_numpy(each)[None] for each in ids]
    kept = [model.read(row, site.layer, site.name)[0] for row in rows]
    x = torch.cat([each[1:] for each in kept]).double().numpy()
    mean = torch.from_numpy(x.mean(0)).float()
    W = {name: tensor.double().numpy() for name, tensor in sae.tensors.items()}
    activations = np.maximum((x - W["b_dec"]) @ W["W_enc"] + W["b_enc"], 0)
    s = activations @ W["W_dec"] + W["b_dec"]
    losses: dict[str, float] = {}
    kl = 0.0
    for arm in ("clean", "sae", "mean", "zero"):
        total, n, at = 0.0, 0, 0
        for row, values in zip(rows, kept, strict=True):
            put = {"clean": values, "zero": torch.zeros_like(values), "mean": mean.expand_as(values)}.get(arm)
            if put is None:
                put = torch.cat([values[:1], torch.from_numpy(s[at : at + len(values) - 1]).float()])
            at += len(values) - 1

            def hook(activation: torch.Tensor, put: torch.Tensor = put) -> torch.Tensor:
                return torch.cat([activation[:, :1], put[None, 1:]], dim=1)

            logp = model.logits(row, [(site.layer, site.name, hook)])[0].double().log_softmax(-1)
            targets = row[0, 2:]
            total -= float(logp[1:-1].gather(-1, targets[:, None]).sum())
            n += len(targets)
            if arm == "sae":
                clean = model.logits(row)[0].double().log_softmax(-1)
                kl += float((clean.exp() * (clean - logp))[1:].sum())
        losses[arm] = total / n
    return {
        **{f"loss_{arm}": loss for arm, loss in losses.items()},
        "recovered_zero": (losses["zero"] - losses["sae"]) / (losses["zero"] - losses["clean"]),
        "recovered_mean": (losses["mean"] - losses["sae"]) / (losses["mean"] - losses["clean"]),
        "explained_variance": 1 - ((x - s) ** 2).sum() / ((x - x.mean(0)) ** 2).sum(),
        "l0": (activations > 0).sum() / len(x),
        "dead": ((activations > 0).sum(0) == 0).mean(),
        "dense": ((activations > 0).mean(0) > 0.1).mean(),
        "norm_ratio": (np.linalg.norm(s, axis=1) / np.linalg.norm(x, axis=1)).mean(),
        "kl": kl / len(x),
        "tokens": len(x),
    }


@pytest.mark.parametrize(
    ("arch", "site"), [("llama", STREAM), ("gpt2", Site(0, "mlp_out")), ("gemma2", Site(2, "resid_pre"))]
)
def test_every_figure_equals_plain_hooks(arch: str, site: Site) -> None:
    lab = tiny_lab(arch)
    sae = made_sae(lab, site)
    prompts = own_texts(arch)
    quality = measure(lab.model, place(lab.model, sae), prompts, new_report())
    expected = reference(arch, site, sae, [prompt.ids for prompt in prompts])
    found = {
        **{f"loss_{arm}": quality.loss(arm).value for arm in ("clean", "sae", "mean", "zero")},
        "recovered_zero": quality.recovered("zero").value,
        "recovered_mean": quality.recovered("mean").value,
        "explained_variance": quality.explained.value,
        "l0": quality.l0,
        "dead": quality.dead,
        "dense": quality.dense,
        "norm_ratio": quality.norm_ratio,
        "kl": quality.kl.value,
        "tokens": quality.n,
    }
    assert found == {name: pytest.approx(value, rel=1e-4, abs=1e-5) for name, value in expected.items()}
    assert expected["dead"] >= SILENT / (SILENT + 48)


def test_flattened_heads_go_back_to_their_places() -> None:
    """An SAE that loses nothing changes nothing."""
    lab = tiny_lab("llama")
    prompts = [lab.prompt(text) for text in TEXTS[:3]]
    quality = measure(lab.model, place(lab.model, made_sae(lab, Site(1, "z"), n=32)), prompts, new_report())
    assert quality.kl.value < 1e-7
    assert quality.explained.value > 1 - 1e-6
    assert quality.loss("zero").value != pytest.approx(quality.loss("clean").value, abs=1e-4)


def ran(arch: str = "llama", **params: Any) -> Report:
    report = new_report()
    execute(tiny_lab(arch), "sae-check", {"tokens": 256, "context": 32, **params}, [], 0, report)
    return report


def test_what_a_small_sample_misses_is_not_called_dead() -> None:
    """Of features that fire at random, those that a sample has seen once tell how many it has missed (Chao 1984)."""
    rng = np.random.default_rng(0)
    rates = np.concatenate([np.full(1000, 0.002), np.zeros(40)])
    for tokens, silent in ((300, 0.5), (20_000, 0.03)):
        quality = Quality(1, rng.binomial(tokens, rates))
        assert quality.dead > silent
        assert quality.beyond_sampling < 0.1
    assert Quality(1, rng.binomial(300, np.repeat([0.02, 0.0], [1000, 400]))).beyond_sampling > 0.25


def test_the_step_names_sample_hash_and_what_is_wrong(own_folders: object) -> None:
    lab = tiny_lab("llama")
    name = keep(made_sae(lab))
    report = ran()
    assert report.artifacts[0].name == name
    assert report.artifacts[0].content.spec["hash"] == find_sae(name).hash
    assert "undertrained" in report.headline and "documents of stdlib" in report.headline
    assert set(report.views) == {"quality", "losses", "firing", "sae"}
    keep(made_sae(lab, hook="blocks.9.hook_resid_post"), "other")
    with pytest.raises(UserError, match="which SAE"):
        ran()
    with pytest.raises(UserError, match="for layer 9"):
        ran(sae="other")
    with pytest.raises(UserError, match="there is no SAE 'third'"):
        ran(sae="third")


def test_errors_cluster_by_document() -> None:
    """The ratio's error: by the document, as rule 0 has it for ratios of sums."""
    lab = tiny_lab("llama")
    prompts = own_texts("llama")
    quality = measure(lab.model, place(lab.model, made_sae(lab)), prompts, new_report())
    kept = quality.losses["zero"] - quality.losses["sae"]
    lost = quality.losses["zero"] - quality.losses["clean"]
    ratio = kept.sum() / lost.sum()
    d = len(prompts)
    expected = np.sqrt(d / (d - 1) * ((kept - ratio * lost) ** 2).sum()) / lost.sum()
    assert quality.recovered("zero").se == pytest.approx(expected)
    assert expected > 0


def test_where_zero_costs_nothing_there_is_no_ratio() -> None:
    quality = Quality(1, np.zeros(3, np.int64))
    quality.predicted[:] = 4
    assert np.isnan(quality.recovered("zero").value)
