"""Random directions beside an edit come from the covariance of what is edited."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.lab.labs import new_report, plain, tiny_lab, with_directions
from workbench.artifacts.direction import directions_dir
from workbench.edits import parse_edits
from workbench.errors import UserError
from workbench.lab import strength
from workbench.lab.controls import controls
from workbench.lab.directions.covariance import covariance_draws
from workbench.lab.model import Lab
from workbench.lab.strength import sample_windows
from workbench.units import Site


def fresh(arch: str = "llama") -> Lab:
    """The shared lab's model, without what it has drawn."""
    return Lab(replace(tiny_lab(arch).model, random_draws={}))


def plain_covariance(arch: str, layer: int, site: str) -> tuple[np.ndarray, int]:
    """Of a site over the windows, by hooks on the Hugging Face model, position 0 left out, and n."""
    windows, _ = sample_windows(tiny_lab(arch).model, 128)
    states = [plain(arch).read(torch.from_numpy(window.ids)[None], layer, site)[0, 1:] for window in windows]
    return np.cov(torch.cat(states).double().numpy().T), sum(len(state) for state in states)


@pytest.mark.parametrize(("arch", "site"), [("llama", "resid_post"), ("gemma2", "attn_out"), ("gpt2", "mlp_out")])
def test_draws_have_the_covariance_of_the_edited_site(arch: str, site: str) -> None:
    lab = fresh(arch)
    draws = covariance_draws(lab.model, [Site(1, site)], 4000, 0)
    expected, n = plain_covariance(arch, 1, site)
    assert f"at L1.{site}, over {n:,} tokens" in draws.remark
    vectors = draws.vectors.double().numpy()
    found = vectors.T @ vectors / len(vectors) * np.trace(expected)
    # 4,000 draws know a covariance to about √(2/4000) of its size.
    assert np.linalg.norm(found - expected) < 0.1 * np.linalg.norm(expected)
    other, _ = plain_covariance(arch, 1, "resid_pre")
    assert np.linalg.norm(found / np.trace(expected) - other / np.trace(other)) > 0.2 * np.linalg.norm(
        other
    ) / np.trace(other)


def test_several_sites_count_alike() -> None:
    sites = [Site(0, "resid_pre"), Site(2, "resid_post")]
    draws = covariance_draws(fresh().model, sites, 4000, 0)
    covariances = [plain_covariance("llama", site.layer, site.name)[0] for site in sites]
    expected = sum(covariance / np.trace(covariance) for covariance in covariances)
    vectors = draws.vectors.double().numpy()
    assert np.linalg.norm(vectors.T @ vectors / 4000 - expected) < 0.1 * np.linalg.norm(expected)
    assert "the 2 edited sites, each with the same weight" in draws.remark


def test_draws_do_not_depend_on_the_batches_and_follow_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.lab.directions import covariance

    site = [Site(1, "resid_post")]
    first = covariance_draws(fresh().model, site, 5, 1).vectors
    monkeypatch.setattr(covariance, "rows_at_once", lambda model, length, work: 3)
    torch.testing.assert_close(covariance_draws(fresh().model, site, 5, 1).vectors, first, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(covariance_draws(fresh().model, site, 5, 2).vectors, first, atol=1e-2)


def test_the_text_is_read_once_for_a_kind_of_site_and_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.lab.directions import covariance

    passes: list[int] = []
    run = covariance.run_forward
    monkeypatch.setattr(covariance, "run_forward", lambda *args, **more: passes.append(1) or run(*args, **more))
    model = fresh().model
    first = covariance_draws(model, [Site(1, "resid_post")], 5, 1).vectors
    n = len(passes)
    torch.testing.assert_close(covariance_draws(model, [Site(1, "resid_post")], 9, 1).vectors[:5], first)
    other_layer = covariance_draws(model, [Site(2, "resid_post")], 5, 1).vectors
    assert 0 < len(passes) == n
    alone = covariance_draws(fresh().model, [Site(2, "resid_post"), Site(2, "resid_post")], 5, 1).vectors
    torch.testing.assert_close(alone, other_layer)
    passes.clear()
    covariance_draws(model, [Site(1, "resid_pre")], 5, 1)
    assert len(passes) == n
    more = covariance_draws(model, [Site(1, "resid_post")], 200, 1).vectors
    assert len(passes) == 2 * n
    torch.testing.assert_close(more[:5], first, rtol=1e-3, atol=1e-4)


def test_there_is_a_limit_to_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.lab.directions import covariance

    monkeypatch.setattr(covariance, "KEPT", 2 * 64 * 32 * 4)
    model = fresh().model
    for layer in range(3):
        covariance_draws(model, [Site(layer, "resid_post")], 5, 1)
    assert list(model.random_draws) == [(Site(1, "resid_post"), 1), (Site(2, "resid_post"), 1)]


def test_a_text_that_is_too_short_is_followed_by_the_standard_library(monkeypatch: pytest.MonkeyPatch) -> None:
    model = fresh().model
    assert sample_windows(model, 128)[1] == "the workbench's own sample text"
    monkeypatch.setattr(strength, "standard_library", lambda: ["The river is wide and the water is cold. "] * 3000)
    own = sum(len(window) - 1 for window in sample_windows(model, 128)[0])
    for tokens in (own + 1, own + 3000):
        windows, text = sample_windows(model, tokens)
        assert tokens <= sum(len(window) - 1 for window in windows) < tokens + strength.WINDOW
        assert "standard library" in text


def test_controls_say_which_sites_they_are_of() -> None:
    directions_dir().mkdir(parents=True)
    for name, seed in (("a", 0), ("b", 1)):
        np.save(directions_dir() / f"{name}.npy", np.random.default_rng(seed).standard_normal(32).astype(np.float32))
    report = new_report()
    lab = with_directions(fresh(), "a", "b")
    lab.report = report
    drawn = controls(lab, parse_edits(["L1.resid_post+=3*@a"]), 4)
    assert drawn.kind == "random directions of the covariance at L1.resid_post"
    assert any("at L1.resid_post, over" in note for note in report.notes)
    both = controls(lab, parse_edits(["L1.resid_post+=3*@a; L1.resid_post-=@b"]), 4)
    first, second = (
        torch.stack([plan.changes[Site(1, "resid_post")][at].values for plan in both.plans]) for at in (0, 1)
    )
    assert torch.cosine_similarity(first, second, dim=1).abs().max() < 0.999, "two directions have the same draws"
    everywhere = controls(lab, parse_edits(["@a=0"]), 4)
    assert everywhere.kind == "random directions of the covariance of the edited sites"
    assert any("the 9 edited sites" in note for note in report.notes)


def test_a_site_that_does_not_vary_gives_no_controls_and_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.lab.directions import covariance

    monkeypatch.setattr(covariance._Moments, "draws", torch.zeros(64, 32))
    with pytest.raises(UserError, match="L1.resid_post does not vary"):
        covariance_draws(fresh().model, [Site(1, "resid_post")], 3, 0)
    directions_dir().mkdir(parents=True)
    np.save(directions_dir() / "a.npy", np.ones(32, np.float32))
    drawn = controls(with_directions(fresh(), "a"), parse_edits(["L1.resid_post+=3*@a"]), 4)
    assert (drawn.plans, "no covariance" in drawn.problem) == ((), True)
