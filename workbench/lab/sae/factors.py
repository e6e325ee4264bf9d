"""One factor for each feature: least squares of x on the active decoder rows, the encoder frozen (METHODS, "SAE
errors").

What decoding makes of activations is affine in them: s = b + σ·Σ_f a_f d_f, σ and b a token's own where the SAE
normalises. Minimised over c is Σ‖x − b − σ Σ_f c_f a_f d_f‖² over all tokens, by conjugate gradients from c = 1 over
the active features alone; features that never fire keep factor 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from workbench.lab.sae.sae import SAE
from workbench.report import Report
from workbench.text import count

STEPS = 200
"""of conjugate gradients at most"""
ENOUGH = 1e-5
"""of the first gradient's norm: then the factors are found"""
AT_ONCE = 1 << 24
"""numbers of decoder rows that are gathered at a time"""


@dataclass(frozen=True)
class Factors:
    each: torch.Tensor
    """float32 [d_sae]"""
    one: torch.Tensor
    """the best factor for all of them, float32 []"""
    tokens: int
    """that they were fitted on"""
    fired: torch.Tensor
    """features that fired there, bool [d_sae]"""


class Fitting:
    """Collects the active features of tokens, then solves."""

    def __init__(self, sae: SAE) -> None:
        self._sae = sae
        self.tokens = 0
        self._token: list[torch.Tensor] = []
        self._feature: list[torch.Tensor] = []
        self._weight: list[torch.Tensor] = []
        self._missing: list[torch.Tensor] = []

    def add(self, activations: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> None:
        """Activations [token, d_sae] of what was encoded, x [token, width], and what they should give back, y."""
        with torch.inference_mode():
            base = self._sae.decode(torch.zeros_like(activations), x).flatten(1)
            written = activations @ self._sae.W_dec
            gain = (self._sae.decode(activations, x).flatten(1) - base).norm(dim=-1) / written.norm(dim=-1)
            gain = torch.where(gain.isfinite(), gain, 0)
            token, feature = activations.nonzero(as_tuple=True)
            self._token.append(token + self.tokens)
            self._feature.append(feature)
            self._weight.append(activations[token, feature] * gain[token])
            self._missing.append(y - base)
        self.tokens += len(x)

    def solve(self, report: Report) -> Factors:
        """Raises Cancelled."""
        with torch.inference_mode():
            token, feature, weight = map(torch.cat, (self._token, self._feature, self._weight))
            missing = torch.cat(self._missing)
            normal = _Normal(self._sae.W_dec, token, feature, weight, len(missing))
            ones = torch.ones(self._sae.config.d_sae, device=missing.device)
            written = normal.written(ones)
            squares = float(written.square().sum())
            one = (written * missing).sum() / squares if squares > 0 else ones[0]
            each = _conjugate_gradients(normal, missing - written, ones, report)
        fired = torch.zeros(len(ones), dtype=torch.bool, device=feature.device)
        fired[feature] = True
        return Factors(each, one, len(missing), fired)


class _Normal:
    """The least-squares problem's matrix [token · width, d_sae], never made."""

    def __init__(
        self, W_dec: torch.Tensor, token: torch.Tensor, feature: torch.Tensor, weight: torch.Tensor, n: int
    ) -> None:
        self._W_dec, self._token, self._feature, self._weight, self._n = W_dec, token, feature, weight, n
        self._parts = max(1, AT_ONCE // W_dec.shape[1])
        squares = W_dec.square().sum(-1)
        diagonal = torch.zeros_like(squares).index_add_(0, feature, weight.square() * squares[feature])
        self.scale = torch.where(diagonal > 0, 1 / diagonal, 0)
        """one over the normal matrix' diagonal, [d_sae]; 0 of features that never fire"""

    def written(self, factors: torch.Tensor) -> torch.Tensor:
        """Σ_f c_f a_f d_f of every token, [token, width]."""
        total = torch.zeros(self._n, self._W_dec.shape[1], device=factors.device)
        for token, feature, weight in self._split():
            rows = self._W_dec[feature] * (weight * factors[feature]).unsqueeze(-1)
            total.index_add_(0, token, rows)
        return total

    def gradient(self, residual: torch.Tensor) -> torch.Tensor:
        """Σ_t a_f d_f · r_t of every feature, [d_sae]."""
        total = torch.zeros(len(self._W_dec), device=residual.device)
        for token, feature, weight in self._split():
            total.index_add_(0, feature, weight * (self._W_dec[feature] * residual[token]).sum(-1))
        return total

    def _split(self) -> zip[tuple[torch.Tensor, ...]]:
        return zip(*(each.split(self._parts) for each in (self._token, self._feature, self._weight)), strict=True)


def _conjugate_gradients(normal: _Normal, residual: torch.Tensor, start: torch.Tensor, report: Report) -> torch.Tensor:
    """Of least squares (CGLS), each feature scaled by its own size."""
    factors = start.clone()
    gradient = normal.gradient(residual)
    scaled = normal.scale * gradient
    direction = scaled.clone()
    size = first = float(gradient @ scaled)
    stage = f"a factor for each feature, over {count(len(residual))} tokens"
    for _ in report.track(range(STEPS), "steps", stage=stage):
        if not size > ENOUGH**2 * first or not first > 0:
            break
        change = normal.written(direction)
        step = size / float(change.square().sum())
        factors += step * direction
        residual = residual - step * change
        gradient = normal.gradient(residual)
        scaled = normal.scale * gradient
        size, before = float(gradient @ scaled), size
        direction = scaled + size / before * direction
    return factors
