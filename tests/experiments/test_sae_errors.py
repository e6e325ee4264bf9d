"""sae-errors: a planted model whose ratios are known, every mean against plain hooks, views, cancel, bad input."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from tests.lab.labs import new_report, plain, source_of, tiny_lab
from tests.lab.sae.made import STREAM, keep, made_sae
from tests.tiny import tiny_model
from workbench.artifacts.sae import SaeConfig
from workbench.drawing.view import draw
from workbench.errors import Cancelled, UserError
from workbench.execute import execute
from workbench.experiments import _sae_errors_views as views
from workbench.experiments import experiment
from workbench.experiments._sae_errors_arms import BASELINES
from workbench.lab.model import Lab, load_lab
from workbench.lab.sae import make_sae
from workbench.lab.sae.errors import Studied, measure_errors, studied
from workbench.lab.sae.one_position import following, tails
from workbench.lab.sae.placing import place
from workbench.lab.sae.record import Record
from workbench.lab.sae.sae import SAE
from workbench.report import Report
from workbench.units import Site


def study(
    lab: Lab, sae: SAE, windows: int = 12, length: int = 24, fit_tokens: int = 0, ids: np.ndarray | None = None
) -> Studied:
    if ids is None:
        ids = np.random.default_rng(0).integers(5, 200, (windows, length))
    counted = slice(1, ids.shape[1])
    documents = np.arange(len(ids)) // 2
    name, placed = "made", place(lab.model, sae)
    each = studied(name, placed, ids, documents, counted=counted, fit_tokens=fit_tokens, seed=0)
    measure_errors(lab.model, [each], 0, new_report())
    return each


# --- a planted model ----------------------------------------------------------------------------------


@cache
def planted_lab() -> Lab:
    """The last stream's direction e₀ moves the logits a thousandfold (in variance) more than any other.

    The final norm's weight is what tells: 1 on e₀, √.001 elsewhere. A large constant on e₁, which no logit reads,
    holds the norm still, and W_U's columns are orthogonal, so KLs are quadratic in the error.
    """
    import transformers

    root = Path(tempfile.mkdtemp(prefix="wb-planted-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    folder = tiny_model("llama", root / "llama", tie_word_embeddings=False)
    hf = transformers.AutoModelForCausalLM.from_pretrained(folder)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for block in hf.model.layers:
            block.mlp.down_proj.weight.zero_()
            block.self_attn.o_proj.weight.zero_()
        embedding = hf.model.embed_tokens.weight
        embedding.copy_(torch.randn(embedding.shape, generator=random))
        embedding[:, 1] = 1e3
        gain = torch.full((32,), 0.001**0.5)
        gain[0], gain[1] = 1, 0
        hf.model.norm.weight.copy_(gain)
        vocabulary, width = hf.lm_head.weight.shape
        columns = torch.linalg.qr(torch.randn(vocabulary, width + 1, generator=random))[0]
        ones = torch.ones(vocabulary, 1)
        columns = columns - ones @ (ones.T @ columns) / vocabulary
        columns = torch.linalg.qr(columns)[0][:, :width]
        hf.lm_head.weight.copy_(columns * vocabulary**0.5 * 10)
    hf.save_pretrained(folder)
    return load_lab(source_of(folder), device="cpu", dtype="float32")


def wrong_along(direction: torch.Tensor, size: float) -> SAE:
    """Gives back x + size · direction: features ± of every axis, and a b_dec that is off."""
    width = len(direction)
    rows = torch.cat([torch.eye(width), -torch.eye(width)])
    config = SaeConfig(
        kind="standard", d_in=width, d_sae=2 * width, d_out=width, subtracts_b_dec=False,
        hook="blocks.2.hook_resid_post",
    )  # fmt: skip
    tensors = {"W_enc": rows.T.contiguous(), "b_enc": torch.zeros(2 * width), "W_dec": rows.clone()}
    return make_sae(config, {**tensors, "b_dec": size * direction})


def test_ratios_of_a_planted_model_equal_their_closed_forms() -> None:
    """KL ∝ Σ w_i e_i², w = 1 on e₀, 0 on e₁, .001 elsewhere; d = 32."""
    lab = planted_lab()
    u = torch.eye(32)[0]
    across = torch.nn.functional.normalize(torch.eye(32)[2] + torch.eye(32)[3], dim=0)
    weights = torch.full((32,), 0.001)
    weights[0], weights[1] = 1, 0
    chance = float(weights.sum()) / 32  # E[Σ w g²/‖g‖²], isotropic
    for direction, expected in ((u, 1 / chance), (across, 0.001 / chance)):
        each = study(lab, wrong_along(direction, 0.2), windows=64, length=32)
        ratio = each.record.ratio("eps")
        assert abs(ratio.value - expected) < 4 * ratio.se + 0.01 * expected
        assert (ratio.value > 10) if direction is u else (ratio.value < 0.1)
        # ε-Σ: E[Σ w g²/‖g‖²], g ~ N(0, Σ) of the sample, by Monte Carlo.
        assert each.sample is not None
        g = torch.randn(200_000, 32, generator=torch.Generator().manual_seed(5)) @ each.sample.factor.T
        mean = float(((g.square() * weights).sum(1) / g.square().sum(1)).mean())
        true = float((direction.square() * weights).sum())
        matched = each.record.ratio("eps-sigma")
        assert abs(matched.value - true / mean) < 4 * matched.se + 0.01 * true / mean


def test_an_isotropic_error_is_no_worse_than_chance() -> None:
    """Each token's own feature, beside those that give back x, writes along one axis: all axes alike."""
    lab = planted_lab()
    exact = wrong_along(torch.zeros(32), 0)
    tokens = lab.model.hf.get_input_embeddings().weight.detach().clone()
    tokens[:, 1] = 0
    lengths = tokens.norm(dim=1)
    tensors = {
        "W_enc": torch.cat([exact.tensors["W_enc"], (tokens / lengths[:, None]).T], dim=1),
        "b_enc": torch.cat([exact.tensors["b_enc"], -0.8 * lengths]),
        "W_dec": torch.cat([exact.tensors["W_dec"], torch.eye(32).repeat(len(tokens) // 32, 1) / lengths[:, None]]),
        "b_dec": torch.zeros(32),
    }
    config = msgspec.structs.replace(exact.config, d_sae=len(tensors["b_enc"]))
    ids = torch.arange(64 * 32).view(64, 32) % 512
    order = torch.Generator().manual_seed(0)
    shuffled = ids[:, torch.randperm(32, generator=order)][torch.randperm(64, generator=order)]
    each = study(lab, make_sae(config, tensors), ids=shuffled.numpy())
    for name in ("eps", "eps-other"):
        ratio = each.record.ratio(name)
        assert abs(ratio.value - 1) < 3 * ratio.se < 0.6


# --- against plain hooks ------------------------------------------------------------------------------


@pytest.mark.parametrize("arch", ["llama", "gpt2", "gemma2"])
def test_every_mean_equals_plain_hooks(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.lab.sae import errors

    lab, model, put = tiny_lab(arch), plain(arch), {}
    original = errors.substitutions

    def remembered(drawings: Any) -> Any:
        for name, values in original(drawings):
            put.setdefault(name, []).append(values.clone())
            yield name, values

    monkeypatch.setattr(errors, "substitutions", remembered)
    each = study(lab, made_sae(lab, n=12), windows=4, length=16)
    ids = torch.from_numpy(each.record.ids)
    clean = model.logits(ids).double().log_softmax(-1)
    for name, parts in put.items():
        values = torch.cat(parts)

        def hook(activation: torch.Tensor, values: torch.Tensor = values) -> torch.Tensor:
            return torch.cat([activation[:, :1], values[:, 1:]], dim=1)

        logp = model.logits(ids, [(STREAM.layer, STREAM.name, hook)]).double().log_softmax(-1)
        kl = (clean.exp() * (clean - logp)).sum(-1)[:, 1:]
        loss = -logp[:, 1:-1].gather(-1, ids[:, 2:, None])
        assert each.record.mean_kl(name).value == pytest.approx(float(kl.mean()), rel=1e-4, abs=1e-7)
        assert float(np.nanmean(each.record.loss[name])) == pytest.approx(float(loss.mean()), rel=1e-4)
        assert np.isnan(each.record.kl[name][:, 0]).all()
    x = model.read(ids, STREAM.layer, STREAM.name)
    torch.testing.assert_close(torch.cat(put["mean"])[0, 1], x[:, 1:].flatten(0, 1).mean(0), rtol=1e-4, atol=1e-4)


def test_windows_in_other_batches_give_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.lab.sae import errors

    lab = tiny_lab("llama")
    whole = study(lab, made_sae(lab, n=12))
    monkeypatch.setattr(errors, "rows_at_once", lambda *_: 1)
    single = study(lab, made_sae(lab, n=12))
    for name in ("sae", "eps", "eps-sigma", "eps-pair", "eps-other", "theta"):
        np.testing.assert_allclose(single.record.kl[name], whole.record.kl[name], rtol=1e-3, atol=1e-5)


def test_errors_cluster_by_document() -> None:
    record = Record(np.zeros((6, 4), np.int64), np.array([0, 0, 1, 1, 2, 2]), ("sae", "eps"), 1, 3)
    random = np.random.default_rng(0)
    record.kl["sae"][:, 1:] = random.random((6, 3))
    record.kl["eps"][:, 1:] = random.random((6, 3))
    record.done[:] = True
    above, below = (np.nansum(record.kl[name].astype(float), 1).reshape(3, 2).sum(1) for name in ("sae", "eps"))
    r = above.sum() / below.sum()
    ratio = record.ratio("eps")
    assert ratio.value == pytest.approx(r)
    assert ratio.se == pytest.approx(np.sqrt(3 / 2 * ((above - r * below) ** 2).sum()) / below.sum())
    assert record.n == 18


def test_tokens_are_counted_with_errors_by_document() -> None:
    ids = np.array([[9, 1, 1, 2], [9, 1, 2, 2], [9, 2, 1, 3]])
    record = Record(ids, np.array([0, 1, 2]), ("sae",), 1, 3)
    record.done[:] = True
    values = np.array([[np.nan, 1.0, 2, 3], [np.nan, 4, 5, 6], [np.nan, 7, 8, 9]])
    tokens, n, means, errors = record.by_token(values)
    assert tokens.tolist() == [1, 2, 3]
    assert n.tolist() == [4, 4, 1]
    assert means.tolist() == [3.75, 5.25, 9]
    off = np.array([3 - 2 * 3.75, 4 - 3.75, 8 - 3.75])
    assert errors[0] == pytest.approx(np.sqrt(3 / 2 * (off**2).sum()) / 4)
    assert np.isnan(errors[2])


def test_one_position_alone_leaves_the_ones_before() -> None:
    lab = tiny_lab("llama")
    each = study(lab, made_sae(lab, n=12), windows=6, length=32)
    behind = following(lab.model, each, 10, 4, 0, new_report())
    assert behind.kl["sae"].shape == (4, 17)
    model, ids = plain("llama"), torch.from_numpy(each.record.ids[:4])
    W = each.placed.sae.tensors

    def hook(activation: torch.Tensor) -> torch.Tensor:
        edited = activation.clone()
        a = ((activation[:, 10] - W["b_dec"]) @ W["W_enc"] + W["b_enc"]).relu()
        edited[:, 10] = a @ W["W_dec"] + W["b_dec"]
        return edited

    clean = model.logits(ids).double().log_softmax(-1)
    logp = model.logits(ids, [(STREAM.layer, STREAM.name, hook)]).double().log_softmax(-1)
    kl = (clean.exp() * (clean - logp)).sum(-1)
    np.testing.assert_allclose(behind.kl["sae"], kl[:, 10:27].numpy(), rtol=1e-3, atol=1e-6)
    found = tails(lab.model, each, 10, 4, 30, 0, new_report(), lambda _: None)
    np.testing.assert_allclose([tail.sae for tail in found], kl[:, 10].numpy(), rtol=1e-3, atol=1e-6)
    assert all(len(draws) == 30 and draws.std() > 0 for draws in found[0].draws.values())
    top = clean[0, 10].topk(25)
    assert set(found[0].top) == set(top.indices.tolist())
    np.testing.assert_allclose(found[0].log_probs["clean"], top.values.numpy(), atol=1e-4)
    np.testing.assert_allclose(found[0].log_probs["sae"], logp[0, 10, found[0].top].numpy(), atol=1e-4)


def test_factors_are_judged_on_documents_they_were_not_fitted_on() -> None:
    lab = tiny_lab("llama")
    sae = made_sae(lab, n=12)
    sae.tensors["W_dec"][0] *= 0.5  # a feature that is too short
    shrunk = make_sae(sae.config, sae.tensors)
    each = study(lab, shrunk, fit_tokens=10_000)
    assert each.factors is not None
    assert float(each.factors.each[0]) == pytest.approx(2, rel=1e-3)
    assert len(each.fitted_on) == 3
    judged = set(each.record.documents[each.judged])
    assert not judged & set(each.fitted_on)
    of = {name: each.record.windows()[~np.isnan(each.record.kl[name][:, 1])] for name in ("feature-factors", "sae")}
    assert of["feature-factors"].tolist() == each.judged.tolist()
    assert len(of["sae"]) == 12


# --- the experiment -----------------------------------------------------------------------------------


def ran(between: Any = None, **params: Any) -> Report:
    report = new_report(between)
    asked = {"tokens": 300, "context": 32, "draws": 20, "draw_tokens": 2, **params}
    execute(tiny_lab("llama"), "sae-errors", asked, [], 0, report)
    return report


VIEWS = [
    "substitutions", "quality", "distribution", "positions", "tokens", "scatter", "single", "factors", "following",
    "draws", "top", "tails",
]  # fmt: skip


def test_a_run_says_the_ratio_against_each_beside_the_sae_s_quality(own_folders: object) -> None:
    name = keep(made_sae(tiny_lab("llama"), n=12))
    report = ran()
    for words in ("times ε-random", "times ε-Σ", "times ε-pair", "of the variance", "cross-entropy", "% dead"):
        assert words in report.headline
    assert report.headline.startswith(name)
    assert list(report.views) == VIEWS
    assert report.artifacts[0].name == name
    table = report.views["substitutions"]
    assert table.row_keys[:6] == ["sae", "eps", "theta", "eps-sigma", "eps-pair", "eps-other"]
    assert [value is not None for value in table.cells("ratio")] == [False] + [True] * 5 + [False] * 5
    assert table.cells("same") == ["same"] * 6 + ["other"] * 5
    sae_kl = report.scalars["kl_sae"]
    assert sae_kl is not None
    assert report.scalars["ratio_eps_sigma"] == pytest.approx(sae_kl / report.scalars["kl_eps_sigma"], rel=1e-6)
    assert "documents of stdlib" in report.headline
    for width in (80, 120):
        for view in report.views.values():
            assert draw(view, width)


def test_a_run_again_gives_the_same_numbers(own_folders: object) -> None:
    keep(made_sae(tiny_lab("llama"), n=12))
    assert ran(draw_tokens=0).scalars == ran(draw_tokens=0).scalars


def test_with_none_named_every_sae_that_fits_is_studied_by_layer(own_folders: object) -> None:
    lab = tiny_lab("llama")
    keep(made_sae(lab, n=12), "late")
    keep(made_sae(lab, Site(0, "mlp_out"), n=12), "early")
    keep(made_sae(lab, hook="blocks.9.hook_resid_post"), "other")
    report = ran()
    assert list(report.views) == ["layers", "saes", "kl", "loss"]
    assert report.views["saes"].cells("sae") == ["early", "late"]
    assert any(note.startswith("left out: other: ") and "layer 9" in note for note in report.notes)
    alone = ran(sae="late", draw_tokens=0)
    assert report.scalars["late_kl_sae"] == pytest.approx(alone.scalars["kl_sae"], rel=1e-5)
    assert report.scalars["late_ratio_eps"] == pytest.approx(alone.scalars["ratio_eps"], rel=1e-4)


def test_the_published_settings_edit_and_count_position_0(own_folders: object, tmp_path: Path) -> None:
    keep(made_sae(tiny_lab("llama"), n=12))
    text = tmp_path / "text.txt"
    text.write_text("The capital of France is Paris. " * 200)
    definition = experiment("sae-errors")
    from workbench.experiments.sae_errors import effective

    params = effective(definition.params(settings="published"))
    assert (params.tokens, params.context, params.draws, params.draw_tokens) == (203_200, 128, 500, 60)
    assert params.corpus == "Skylion007/openwebtext"
    report = ran(settings="published", corpus=str(text), tokens=155)
    assert report.scalars["tokens"] == 155  # 5 windows of 31 counted positions
    assert report.views["positions"].x.tolist() == list(range(31))


def test_a_cancelled_run_keeps_what_is_measured(own_folders: object, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.experiments import sae_errors
    from workbench.lab.sae import errors

    monkeypatch.setattr(sae_errors, "REFRESH", 0)
    monkeypatch.setattr(errors, "rows_at_once", lambda *_: 1)
    keep(made_sae(tiny_lab("llama"), n=12))
    report = new_report(lambda: cancel())

    def cancel() -> None:
        if "substitutions" in report.views:
            raise Cancelled

    with pytest.raises(Cancelled):
        execute(tiny_lab("llama"), "sae-errors", {"tokens": 310, "context": 32}, [], 0, report)
    assert "so far" in report.headline
    assert "substitutions" in report.views
    assert 0 < (report.scalars["tokens"] or 0) < 310
    assert tiny_lab("llama").hooks_installed() == 0


def test_bad_input_is_a_sentence(own_folders: object, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no SAE is registered yet"):
        ran()
    keep(made_sae(tiny_lab("llama"), hook="blocks.9.hook_resid_post"), "other")
    with pytest.raises(UserError, match="for layer 9"):
        ran()
    keep(made_sae(tiny_lab("llama"), n=12), "good")
    with pytest.raises(UserError, match="there is no SAE 'third'"):
        ran(sae="third")
    short = tmp_path / "short.txt"
    short.write_text("The capital of France is Paris.")
    with pytest.raises(UserError, match="no document of 64 tokens"):
        ran(sae="good", corpus=str(short), context=64)


def test_the_cost_counts_the_blocks_behind_the_sae(own_folders: object) -> None:
    lab = tiny_lab("llama")
    definition = experiment("sae-errors")
    keep(made_sae(lab, n=12))
    late = definition.cost(definition.params(), lab.info)
    keep(made_sae(lab, Site(0, "resid_pre"), n=12), "early")
    early = definition.cost(definition.params(sae="early"), lab.info)
    assert early.passes > late.passes


def test_a_kl_within_rounding_has_no_ratio_and_is_named() -> None:
    """Of an SAE that gives back x but for a millionth: its KL and its baselines' are what rounding makes."""
    record = Record(np.zeros((4, 8), np.int64), np.arange(4), ("sae", *BASELINES), 1, 7)
    record.done[:] = True
    for name, kl in (("sae", 1e-6), ("eps", 2e-6), ("eps-sigma", 5e-10), ("theta", 1e-6)):
        record.kl[name][:, 1:] = kl
    record.rounding = 1e-9
    assert record.ratio("eps").value == pytest.approx(0.5)
    assert np.isnan(record.ratio("eps-sigma").value)
    assert views.times(record, "eps").endswith("times ε-random")
    assert views.times(record, "eps-sigma") == "no ratio to ε-Σ (a KL within rounding, 1.0e-9)"
    record.rounding = 1e-6
    assert np.isnan(record.ratio("eps").value), "the SAE's own is within rounding, too"
    assert "without a ratio: SAE, θ-random, ε-Σ" in views.floor_note(record)


def test_what_rounding_makes_is_measured_beside_the_substitutions() -> None:
    lab = tiny_lab("llama")
    each = study(lab, made_sae(lab))
    assert 0 < each.record.rounding < 1e-9
    assert each.record.mean_kl("sae").value > 1e3 * each.record.rounding
