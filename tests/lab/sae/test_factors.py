"""Factors of features: those that numpy's least squares finds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.lab.labs import new_report
from workbench.artifacts.sae import SaeConfig
from workbench.lab.sae import make_sae
from workbench.lab.sae.factors import Fitting
from workbench.lab.sae.sae import SAE

WIDTH, FEATURES, TOKENS = 16, 12, 200


def random_sae(normalisation: str) -> SAE:
    random = torch.Generator().manual_seed(2)
    config = SaeConfig(
        kind="topk", k=4, d_in=WIDTH, d_sae=FEATURES, d_out=WIDTH, subtracts_b_dec=True,
        hook="blocks.1.hook_resid_post", normalisation=normalisation,
    )  # fmt: skip
    rows = torch.randn(FEATURES, WIDTH, generator=random)
    return make_sae(
        config,
        {
            "W_enc": rows.T.contiguous(),
            "W_dec": rows + 0.3 * torch.randn(rows.shape, generator=random),
            "b_enc": torch.zeros(FEATURES),
            "b_dec": torch.randn(WIDTH, generator=random),
        },
    )


@pytest.mark.parametrize("normalisation", ["none", "layer_norm", "constant_norm_rescale"])
def test_factors_are_the_least_squares_solution(normalisation: str) -> None:
    sae = random_sae(normalisation)
    x = 3 * torch.randn(TOKENS, WIDTH, generator=torch.Generator().manual_seed(3)) + 1
    activations = sae.encode(x)
    fitting = Fitting(sae)
    for part in (slice(0, 70), slice(70, TOKENS)):
        fitting.add(activations[part], x[part], x[part])
    factors = fitting.solve(new_report())
    base = sae.decode(torch.zeros_like(activations), x)
    columns = []
    for feature in range(FEATURES):
        alone = torch.zeros_like(activations)
        alone[:, feature] = activations[:, feature]
        columns.append((sae.decode(alone, x) - base).double().flatten().numpy())
    A, missing = np.stack(columns, axis=1), (x - base).double().flatten().numpy()
    expected = np.linalg.lstsq(A, missing, rcond=None)[0]
    np.testing.assert_allclose(factors.each.numpy(), expected, rtol=1e-3, atol=1e-3)
    total = A.sum(1)
    assert float(factors.one) == pytest.approx(total @ missing / (total @ total), rel=1e-4)
    assert factors.tokens == TOKENS


def test_features_that_never_fire_keep_factor_1() -> None:
    sae = random_sae("none")
    x = torch.randn(TOKENS, WIDTH, generator=torch.Generator().manual_seed(3))
    activations = sae.encode(x)
    activations[:, 5] = 0
    fitting = Fitting(sae)
    fitting.add(activations, x, x)
    factors = fitting.solve(new_report())
    assert float(factors.each[5]) == 1
    assert not factors.fired[5]
    assert float((factors.each - 1).abs().max()) > 0.01
