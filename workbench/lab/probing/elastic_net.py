"""Logistic regression with an elastic net, converged, for many problems at once; the intercept is not penalised.

Minimises Σ_i w_i · log(1 + exp(−y_i z_i)) / n + (ρ |a|₁ + ½ (1 − ρ) |a|²) / (C n): as scikit-learn's, which is C n
times that, with ρ its `l1_ratio`. Newton steps on the weights that are not 0 or want to leave it, cut off where one
would change its sign (projected scaled subgradients: Schmidt 2010, "Graphical model structure learning using
L1-regularization", section 2.3). Once the signs are right it is Newton's method.
"""

from __future__ import annotations

import torch

from workbench.lab.metrics import as_float64
from workbench.lab.probing.logistic import Logistic, damping, feature_rows, problem_blocks
from workbench.lab.probing.scaling import balanced_weights

TOLERANCE = 1e-7
"""largest derivative of what is minimised, in the direction that lowers it, at which a fit has converged"""
_STEPS = 500
_HALVINGS = 25
_COARSE_STEPS = 20
"""after which the Hessian is taken in float64: features that are nearly the same differ by less than float32 tells"""
_CUT = 4
"""halvings of a Newton step whose weights are cut off at 0"""
_ROUNDS = 8
"""of leaving out weights that would leave 0 to the wrong side"""
_ENOUGH = 1e-4
"""part of the decrease that the slope promises, which a step must reach (Armijo)"""


def fit_elastic_net(
    x: torch.Tensor, label: torch.Tensor, C: float, l1_ratio: float, start: Logistic | None = None
) -> Logistic:
    """Of scaled features x [problem, example, k]; `label` bool [example]; begins at `start`, of the same features.

    Weights that are 0 are exactly 0. float64; on the CPU where the device has none.
    Raises ArithmeticError where a problem does not converge.
    """
    rows = as_float64(feature_rows(x))
    problems, parameters, n = rows.shape
    label = label.to(rows.device)
    weights = balanced_weights(label) / n
    net = _Net(as_float64(label), weights, C, l1_ratio, parameters)
    beta = torch.zeros(problems, parameters, dtype=torch.float64, device=rows.device)
    if start is not None:
        beta[:, 0], beta[:, 1:] = start.intercept, start.weight
    for block in problem_blocks(rows):
        beta[block] = net.solve(rows[block], beta[block])
    return Logistic(beta[:, 1:], beta[:, 0])


class _Net:
    """What is minimised over weights [problem, 1 + k], the intercept first."""

    def __init__(self, y: torch.Tensor, weights: torch.Tensor, C: float, l1_ratio: float, parameters: int) -> None:
        self._y, self._weights = y, weights
        penalised = torch.ones(parameters, dtype=y.dtype, device=y.device)
        penalised[0] = 0
        self._l1 = penalised * l1_ratio / (C * len(y))
        self._l2 = penalised * (1 - l1_ratio) / (C * len(y))

    def solve(self, rows: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
        """Converged weights, from `beta`; feature rows [problem, 1 + k, example]."""
        left = torch.inf
        for step in range(_STEPS):
            z = torch.bmm(beta[:, None], rows)[:, 0]
            p = torch.sigmoid(z)
            gradient = torch.bmm((self._weights * (p - self._y))[:, None], rows.mT)[:, 0] + self._l2 * beta
            slope = self._slope(beta, gradient)
            left = float(slope.abs().max())
            if left <= TOLERANCE:
                return beta
            curvature = self._weights * p * (1 - p)
            exact = step >= _COARSE_STEPS
            beta = self._search(rows, beta, z, slope, *self._directions(rows, beta, slope, curvature, exact))
        raise ArithmeticError(f"an elastic net has not converged: a derivative of {left:.2g} is left")

    def _slope(self, beta: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """The derivative; of a weight that is 0 the smaller one of both sides, 0 where neither goes down."""
        leaving = gradient.sign() * (gradient.abs() - self._l1).clamp(min=0)
        return torch.where(beta != 0, gradient + self._l1 * beta.sign(), leaving)

    def _directions(
        self, rows: torch.Tensor, beta: torch.Tensor, slope: torch.Tensor, curvature: torch.Tensor, exact: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Newton's, and the one of the Hessian's diagonal alone, which always goes down."""
        free = (beta != 0) | (slope != 0)
        free[:, 0] = True
        # A Hessian in float32 gives directions as good, at half the cost, unless features are nearly the same.
        rows = rows if exact else rows.float()
        full = torch.bmm(rows * curvature.to(rows.dtype)[:, None], rows.mT).double()
        diagonal = full.diagonal(dim1=-2, dim2=-1)
        diagonal.mul_(1 + (1e-13 if exact else 1e-6)).add_(self._l2 + (1e-15 if exact else 1e-9))
        by_diagonal = -slope / diagonal
        for _ in range(_ROUNDS):
            hessian = torch.where(free[:, :, None] & free[:, None, :], full, 0.0)
            hessian.diagonal(dim1=-2, dim2=-1).add_((~free).double())
            factor, failed = torch.linalg.cholesky_ex(hessian)
            newton = torch.where(free, -torch.cholesky_solve(slope[..., None], factor)[..., 0], 0.0)
            # A weight leaves 0 only to the side that goes down.
            wrong = free & (beta == 0) & (newton * slope >= 0)
            wrong[:, 0] = False
            newton = torch.where(wrong, 0.0, newton)
            if not exact or not bool(wrong.any()):
                break
            free = free & ~wrong
        usable = (failed == 0) & ((newton * slope).sum(dim=-1) < 0)
        return torch.where(usable[:, None], newton, by_diagonal), by_diagonal

    def _search(
        self,
        rows: torch.Tensor,
        beta: torch.Tensor,
        z: torch.Tensor,
        slope: torch.Tensor,
        newton: torch.Tensor,
        by_diagonal: torch.Tensor,
    ) -> torch.Tensor:
        """The next weights: along each direction, shorter and shorter, until what is minimised is low enough.

        First Newton's, weights cut off at 0; then no further than to where the first of them gets there, since of
        features that are nearly the same the others make up for it; then the diagonal's.
        """
        now = self._value(beta, z)
        side = torch.where(beta != 0, beta.sign(), -slope.sign())
        side[:, 0] = 0
        reached = beta
        searching = torch.ones(len(beta), dtype=torch.bool, device=beta.device)
        for direction, halvings, to_first in ((newton, _CUT, False), (newton, _HALVINGS, True),
                                              (by_diagonal, _HALVINGS, False)):  # fmt: skip
            moved = torch.bmm(direction[:, None], rows)[:, 0].abs().amax(dim=-1, keepdim=True)
            length = damping(moved)
            crossing = torch.where(direction * side < 0, -beta / direction, torch.inf)
            if to_first:
                length = torch.minimum(length, crossing.amin(dim=-1, keepdim=True))
            for _ in range(halvings):
                candidate = beta + length * direction
                candidate = torch.where((candidate * side < 0) | (crossing <= length), 0.0, candidate)
                value = self._value(candidate, torch.bmm(candidate[:, None], rows)[:, 0])
                promised = (slope * (candidate - beta)).sum(dim=-1)
                low = value <= now + _ENOUGH * promised + 1e-15
                reached = torch.where((searching & low)[:, None], candidate, reached)
                searching = searching & ~low
                if not bool(searching.any()):
                    return reached
                length = length / 2
        return reached

    def _value(self, beta: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """What is minimised, [problem]."""
        loss = (self._weights * torch.nn.functional.softplus(torch.where(self._y > 0, -z, z))).sum(dim=-1)
        return loss + (self._l1 * beta.abs()).sum(dim=-1) + (self._l2 * beta * beta).sum(dim=-1) / 2
