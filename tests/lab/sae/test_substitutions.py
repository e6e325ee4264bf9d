"""Each substitution by its defining property, the sample behind them, and their means by Monte Carlo."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.errors import UserError
from workbench.experiments._sae_errors_arms import ARMS, BASELINES
from workbench.lab.sae import sample as sampling
from workbench.lab.sae.errors import SCALED
from workbench.lab.sae.sample import Sample, Sampling
from workbench.lab.sae.substitutions import SAME_DISTANCE, SUBSTITUTIONS, Drawing, generator, substitutions
from workbench.units import Site

CPU = torch.device("cpu")
SITE = Site(1, "resid_post")
WIDTH, TOKENS = 24, 300


def drawn(seed: int = 0, tokens: int = TOKENS) -> tuple[Drawing, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    mixing = torch.randn(WIDTH, WIDTH, generator=random)
    x = torch.randn(tokens, WIDTH, generator=random) @ mixing + 5
    s = 0.8 * x + torch.randn(tokens, WIDTH, generator=random)
    made = Sampling(SITE, WIDTH, np.arange(tokens), 0, CPU, 1)
    for part in range(0, tokens, 64):
        numbers = torch.arange(part, min(part + 64, tokens))
        made.add(x[numbers], s[numbers], numbers)
    return Drawing(x, s, torch.arange(tokens), made.sample(), generator(0, SITE, 3)), x, s


def test_every_substitution_has_its_defining_property() -> None:
    drawing, x, s = drawn()
    put = {name: values[0] for name, values in substitutions([drawing])}
    assert tuple(put) == SUBSTITUTIONS
    x, s, put = x.double(), s.double(), {name: values.double() for name, values in put.items()}
    norm, sae_norm, distance = x.norm(dim=1), s.norm(dim=1), (s - x).norm(dim=1)

    def cosine(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a * b).sum(1) / a.norm(dim=1) / b.norm(dim=1)

    def equal(found: torch.Tensor, expected: torch.Tensor) -> None:
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)

    for name in SAME_DISTANCE:
        equal((put[name] - x).norm(dim=1), distance)
    for name, length in {"theta": sae_norm, "theta-true": norm, "norm-corrected": norm, "sae-norm": sae_norm}.items():
        equal(put[name].norm(dim=1), length)
    for name in ("theta", "theta-true", "norm-corrected"):
        equal(cosine(put[name], x), cosine(s, x))
    equal(cosine(put["norm-corrected"], s), torch.ones(TOKENS, dtype=torch.float64))
    equal(cosine(put["sae-norm"], x), torch.ones(TOKENS, dtype=torch.float64))
    equal(put["mean"], x.mean(0).expand_as(x))
    assert not put["zero"].any()
    others = x - s  # along another token's error, sign kept
    aligned = torch.nn.functional.cosine_similarity((put["eps-other"] - x)[:, None], -others[None], dim=-1)
    assert (aligned.max(1).values > 1 - 1e-5).all()
    assert (aligned.argmax(1) != torch.arange(TOKENS)).all()


def test_pairs_are_two_others_and_never_the_token_itself() -> None:
    drawing, x, _ = drawn(tokens=6)
    difference = torch.nn.functional.normalize(x[:, None] - x[None], dim=-1)
    for _ in range(50):
        moved = torch.nn.functional.normalize(drawing.pair() - x, dim=-1)
        alike = torch.einsum("td,abd->tab", moved, difference) > 1 - 1e-4
        pairs = alike.nonzero()
        assert len(pairs) == 6
        assert all(a != b and t not in (a, b) for t, a, b in pairs.tolist())
    seen = torch.stack([drawing._two_others()[1][0] for _ in range(400)]).bincount(minlength=6)
    assert seen[0] == 0
    assert (seen[1:] > 40).all()


def test_equal_activations_have_no_direction_between_them() -> None:
    x = torch.ones(8, WIDTH)
    x[0, 0] = 2
    s = x + 1
    made = Sampling(SITE, WIDTH, np.arange(8), 0, CPU, 1)
    made.add(x, s, torch.arange(8))
    drawing = Drawing(x, s, torch.arange(8), made.sample(), generator(0, SITE, 0))
    torch.testing.assert_close((drawing.pair() - x).norm(dim=1), (s - x).norm(dim=1))


def test_covariance_matched_errors_have_the_covariance() -> None:
    drawing, x, _ = drawn(tokens=200)
    many = Drawing(
        x[:1].expand(100_000, -1), x[:1].expand(100_000, -1) + 1, torch.zeros(100_000, dtype=torch.int64),
        drawing.sample, generator(1, SITE, 0),
    )  # fmt: skip
    g = many._normal() @ drawing.sample.factor.T
    covariance = np.cov(g.double().numpy().T)
    expected = np.cov(x.double().numpy().T)
    assert np.abs(covariance - expected).max() < 0.03 * np.abs(expected).max()


def test_draws_are_the_same_in_any_batch_and_others_for_another_seed_or_site() -> None:
    def first(seed: int = 0, site: Site = SITE, window: int = 3) -> float:
        return float(torch.randn(1, generator=generator(seed, site, window)))

    assert first() == first()
    assert (
        len({first(), first(seed=1), first(window=4), first(site=Site(2, "resid_post")), first(site=Site(1, "z"))}) == 5
    )


def test_the_sample_keeps_as_many_tokens_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "KEPT", 8 * WIDTH * 40)
    drawing, x, s = drawn()
    sample: Sample = drawing.sample
    assert len(sample.x) == 40
    assert sample.tokens == TOKENS
    torch.testing.assert_close(sample.x, x[sample.numbers])
    torch.testing.assert_close(sample.error, (s - x)[sample.numbers])
    torch.testing.assert_close(sample.mean, x.mean(0), rtol=1e-5, atol=1e-5)
    places = sample.places(torch.arange(TOKENS))
    assert (places < 40).sum() == 40
    torch.testing.assert_close(sample.numbers[places[places < 40]], torch.arange(TOKENS)[places < 40])


def test_a_site_that_does_not_vary_has_no_covariance() -> None:
    made = Sampling(SITE, 4, np.arange(8), 0, CPU, 1)
    made.add(torch.ones(8, 4), torch.zeros(8, 4), torch.arange(8))
    with pytest.raises(UserError, match=r"L1\.resid_post does not vary"):
        made.sample()


def test_the_names_that_people_read_are_those_there_are() -> None:
    assert set(ARMS) == {*SUBSTITUTIONS, *SCALED}
    assert ("sae", *BASELINES) == tuple(name for name in ARMS if name in SAME_DISTANCE)
