"""Training an SAE: gradients against torch's own, planted dictionaries, dead features revived, the same bits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.functional import normalize

from workbench.lab.sae.codes import batch_top_k, top_k
from workbench.lab.sae.training import MOVED, Scaling, Settings, Training

D = 24


def settings(**changed: Any) -> Settings:
    usual = {"kind": "topk", "width": 48, "k": 4, "steps": 100, "batch": 64, "rate": 0.003, "warm_up": 0.05,
             "decay": 0.2, "auxiliary": 1 / 32, "dead_after": 0.05, "seed": 0}  # fmt: skip
    return Settings(**{**usual, **changed})


def training(x: torch.Tensor, **changed: Any) -> Training:
    mean = x.mean(0)
    factor = x.shape[1] ** 0.5 / float(x.norm(dim=-1).mean())
    scaling = Scaling(factor=factor, variance=float((x - mean).square().sum(-1).mean()))
    return Training(settings(**changed), scaling, mean, torch.device("cpu"))


def planted(tokens: int, features: int, active: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Sparse sums of known unit directions, and these: x [token, D], [feature, D]."""
    random = torch.Generator().manual_seed(seed)
    rows = normalize(torch.randn(features, D, generator=random), dim=-1)
    which = torch.rand(tokens, features, generator=random).argsort(1)[:, :active]
    sizes = torch.rand(tokens, active, generator=random) + 0.5
    sums = torch.zeros(tokens, features).scatter_(1, which, sizes) @ rows
    return sums + 3 * torch.randn(D, generator=random), rows


def reference_loss(made: Training, x: torch.Tensor, weights: dict[str, torch.Tensor]) -> torch.Tensor:
    """As the papers write it, dense: reconstruction, and dead features on what it leaves."""
    s = made.settings
    scaled = x * made.scaling.factor
    before = (scaled - weights["b_dec"]) @ weights["W_enc"].T + weights["b_enc"]
    if s.kind == "topk":
        kept = before >= before.topk(s.k, dim=-1).values[:, -1:]
    else:
        kept = before >= before.flatten().topk(s.k * len(x)).values[-1]
    out = torch.where(kept, before, 0).relu() @ weights["W_dec"] + weights["b_dec"]
    left = (scaled - out).detach()
    loss = (scaled - out).square().sum(-1).mean()
    dead = made.dead
    if len(dead):
        most = x.shape[1] // 2
        would = before[:, dead].relu()
        if len(dead) > most:
            would = torch.where(would >= would.topk(most, dim=-1).values[:, -1:], would, 0)
        auxiliary = (would @ weights["W_dec"][dead] - left).square().sum(-1).mean()
        loss = loss + s.auxiliary * min(len(dead) / most, 1) * auxiliary
    return loss / (made.scaling.variance * made.scaling.factor**2)


@pytest.mark.parametrize("kind", ["topk", "batchtopk"])
@pytest.mark.parametrize("n_dead", [0, 5, 20])
def test_gradients_are_torchs_own(kind: str, n_dead: int) -> None:
    x, _ = planted(64, 40, 4)
    made = training(x, kind=kind)
    random = torch.Generator().manual_seed(1)
    made.b_enc.copy_(0.1 * torch.randn(48, generator=random))
    made.W_enc.add_(0.1 * torch.randn(48, D, generator=random))
    made.silent[:n_dead] = 10**6
    weights = {name: getattr(made, name).clone().requires_grad_() for name in MOVED}
    loss = reference_loss(made, x, weights)
    expected = dict(zip(MOVED, torch.autograd.grad(loss, list(weights.values())), strict=True))
    result = made.loss_and_gradients(x)
    for name in MOVED:
        gradient = getattr(made, name).grad
        assert torch.allclose(gradient, expected[name], rtol=1e-4, atol=1e-6), name
    assert result.dead == n_dead
    assert result.active <= 4 * 64


def test_batch_top_k_leaves_tokens_without_any() -> None:
    before = torch.tensor([[5.0, 4.0, 3.0], [-1.0, -2.0, 0.1], [0.5, -3.0, -1.0]])
    codes = batch_top_k(before, 1)
    rows = torch.eye(3)
    assert torch.equal(codes.decode(rows), torch.tensor([[5.0, 4.0, 3.0], [0, 0, 0], [0, 0, 0]]))
    by_feature = codes.by_feature()
    assert torch.equal(by_feature.sums(codes.values, torch.ones(3, 2)), torch.tensor([[5.0] * 2, [4.0] * 2, [3.0] * 2]))
    for likely in (3.5, 4.5):  # enough and too few above it
        again = batch_top_k(before, 1, likely)
        assert torch.equal(again.decode(rows), codes.decode(rows))
    assert top_k(before, 2).decode(rows).tolist() == [[5, 4, 0], [0, 0, pytest.approx(0.1)], [0.5, 0, 0]]


@pytest.mark.parametrize("kind", ["topk", "batchtopk"])
def test_a_planted_dictionary_is_found(kind: str) -> None:
    x, rows = planted(16_000, 40, 3)
    made = training(x, kind=kind, k=3, steps=1000, batch=128, rate=0.003)
    random = torch.Generator().manual_seed(2)
    for _ in range(1000):
        made.train(x[torch.randint(len(x), (128,), generator=random)])
    assert torch.allclose(made.W_dec.norm(dim=-1), torch.ones(48), atol=1e-5)
    cosines = (rows @ made.weights()["W_dec"].T).amax(1)
    assert float(cosines.mean()) > 0.9


def test_the_auxiliary_loss_revives_dead_features() -> None:
    x, _ = planted(4_000, 40, 3)

    def dead_at_end(auxiliary: float) -> int:
        made = training(x, k=3, steps=600, batch=64, auxiliary=auxiliary)
        made.b_enc[:24] = -0.5  # they never win at the beginning
        for step in range(600):
            made.train(x[(step * 64) % 3_900 :][:64])
        return len(made.dead)

    assert dead_at_end(0.0) >= 16
    assert dead_at_end(1 / 32) <= 48 - 40  # the data has 40 directions


@pytest.mark.parametrize("kind", ["topk", "batchtopk"])
def test_a_training_goes_on_to_the_same_bits(kind: str) -> None:
    x, _ = planted(640, 40, 3)
    whole = training(x, kind=kind)
    first = training(x, kind=kind)
    for step in range(10):
        batch = x[step * 64 : step * 64 + 64]
        whole.train(batch)
        if step < 6:
            first.train(batch)
    second = training(x, kind=kind)
    second.restore(first.state())
    for step in range(6, 10):
        second.train(x[step * 64 : step * 64 + 64])
    assert all(torch.equal(tensor, second.state()[name]) for name, tensor in whole.state().items())


def test_the_rate_goes_up_and_down() -> None:
    made = training(planted(64, 40, 3)[0], rate=1.0, steps=100, warm_up=0.1, decay=0.2)
    rates = []
    for step in range(100):
        made.step = step
        rates.append(made.rate)
    assert rates[0] == pytest.approx(0.1) and rates[9] == 1 and rates[79] == 1
    assert rates[-1] == pytest.approx(0.05)
    assert rates == sorted(rates[:50]) + sorted(rates[50:], reverse=True)


def test_decoder_gradients_turn_rows_and_are_clipped() -> None:
    x, _ = planted(64, 40, 3)
    made = training(x)
    made.loss_and_gradients(x)
    for name in MOVED:
        getattr(made, name).grad.mul_(1000)
    made._turn_to_sphere()
    made._clip()
    assert made.W_dec.grad is not None
    along = (made.W_dec.grad * made.W_dec).sum(-1)
    assert float(along.abs().max()) < 1e-6 < float(made.W_dec.grad.norm(dim=-1).max())
    norm = torch.stack([getattr(made, name).grad.norm() for name in MOVED]).norm()
    assert float(norm) == pytest.approx(1, rel=1e-5)
