"""Logistic regression with an L2 penalty, converged, for many problems at once; the intercept is not penalised.

Minimises Σ_i w_i · log(1 + exp(−y_i z_i)) / n + |a|² / (2 C n), z = x·a + b, y = ±1: as scikit-learn's, which is C n
times that. Newton's method: a step that moves a logit by t > 1 is damped by log(1 + t) / t, which always lowers the
loss, since curvature changes by at most a factor e^t on the way (Sun & Tran-Dinh 2019, "Generalized self-concordant
functions", ν = 2). It goes for steps of conjugate gradients too, whose product with the gradient is minus their
curvature. Where the tolerance asks for more than float32's sums can tell, float64 finishes. The penalty keeps weights
of separable classes finite.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from workbench.lab.metrics import as_float64
from workbench.lab.probing.scaling import balanced_weights

TOLERANCE = 1e-7
"""largest derivative of the mean loss by a weight of a scaled feature, at which a fit has converged; or a thousandth of
the penalty, since a weight errs by the derivative over the penalty at most"""
CPU_BLOCK = 1 << 22
"""bytes of problems that are solved together on a CPU: about what its caches hold"""
GPU_BLOCK = 1 << 30
_COARSE = 5e-8
"""derivative down to which float32's sums tell the minimum"""
_NEAR = 1e-5
"""where float32 has come near enough for float64 to finish"""
_STEPS = 200
_SOLVED_DIRECTLY = 64
"""weights up to which a Newton step is solved by factorising a Hessian of its own"""
_ENOUGH = 0.1
"""part of the decrease that the slope promises, for which a step is gone whole"""
_FAST = 0.1
"""while a step leaves this part of the gradient or less, the factor is used again"""
_MANY = 3
"""products of conjugate gradients after which the Hessian is factorised anew"""
_HELD = 0.95
"""part of the curvature whose examples make the factor for conjugate gradients"""
_FEW = 0.6
"""part of the examples up to which gathering those pays"""
_INEXACT = 0.2
"""part of the gradient that conjugate gradients leave unsolved"""


@dataclass(frozen=True)
class Logistic:
    """Fitted weights of scaled features; positive logits mean the label."""

    weight: torch.Tensor
    """float64 [problem, k]"""
    intercept: torch.Tensor
    """float64 [problem]"""

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """float64 [problem, example] of scaled features [problem, example, k]."""
        wide = as_float64(x)
        return torch.baddbmm(self.intercept[:, None, None], wide, self.weight[..., None])[..., 0]


def fit_logistic(
    x: torch.Tensor,
    label: torch.Tensor,
    C: float = 1.0,
    start: Logistic | None = None,
    balanced: bool = True,
    tolerance: float | None = None,
) -> Logistic:
    """Of scaled features x [problem, example, k]; `label` bool [example], or [problem, example].

    `start` is a fit of the first of these features to begin at. On the CPU where the device has no float64.
    Raises ArithmeticError where a problem does not converge.
    """
    return fit_rows(feature_rows(x), label, x.shape[-1], C, start, balanced, tolerance)


def feature_rows(x: torch.Tensor) -> torch.Tensor:
    """[problem, 1 + k, example] of x [problem, example, k]: ones for the intercept, then a row a feature."""
    x = x if x.dtype == torch.float32 else as_float64(x)
    problems, n, k = x.shape
    rows = torch.empty(problems, 1 + k, n, dtype=x.dtype, device=as_float64(x[:0]).device)
    rows[:, 0] = 1
    rows[:, 1:] = x.mT
    return rows


def fit_rows(
    rows: torch.Tensor,
    label: torch.Tensor,
    k: int,
    C: float = 1.0,
    start: Logistic | None = None,
    balanced: bool = True,
    tolerance: float | None = None,
) -> Logistic:
    """`fit_logistic` on the first k features of `feature_rows`, which are made once for every k."""
    problems, _, n = rows.shape
    rows = rows[:, : k + 1]
    label = label.to(rows.device)
    weights = (balanced_weights(label) if balanced else torch.ones_like(label, dtype=torch.float64)) / n
    weights, label = weights.expand(problems, n), label.expand(problems, n)
    beta = torch.zeros(problems, k + 1, dtype=torch.float64, device=rows.device)
    if start is not None:
        beta[:, 0], beta[:, 1 : 1 + start.weight.shape[1]] = start.intercept, start.weight
    penalty = 1 / (C * n)
    tolerance = tolerance or min(TOLERANCE, penalty / 1000)
    for block in problem_blocks(rows):
        problem = _Problem(rows[block], label[block], weights[block], penalty)
        beta[block] = problem.solve(beta[block], tolerance)
    return Logistic(beta[:, 1:], beta[:, 0])


def problem_blocks(x: torch.Tensor) -> Iterator[slice]:
    """Slices of the first axis that hold as many bytes as are fast to go through again and again."""
    limit = CPU_BLOCK if x.device.type == "cpu" else GPU_BLOCK
    size = max(1, limit // max(1, x[0].numel() * x.element_size()))
    return (slice(at, at + size) for at in range(0, len(x), size))


def damping(moved: torch.Tensor) -> torch.Tensor:
    """What part of a Newton step to go that moves logits by `moved` at most."""
    return torch.where(moved <= 1, 1.0, torch.log1p(moved) / moved)


class _Problem:
    """Problems that are solved together, in one dtype after the other."""

    def __init__(self, rows: torch.Tensor, label: torch.Tensor, weights: torch.Tensor, penalty: float) -> None:
        """Feature rows [problem, 1 + k, example], labels and weights [problem, example], 1 / (C n)."""
        self._wide, self._label, self._weights, self._penalty = rows, label, weights, penalty
        self._factor: torch.Tensor | None = None

    def solve(self, beta: torch.Tensor, tolerance: float) -> torch.Tensor:
        """Weights, the intercept first, float64 [problem, 1 + k]; begins at `beta`."""
        narrow, left = self._descend(beta.float(), tolerance if tolerance >= _COARSE else _NEAR)
        beta = narrow.double()
        if left > tolerance:
            beta, left = self._descend(beta, tolerance)
        if left > tolerance:
            raise ArithmeticError(f"a logistic regression has not converged: a derivative of {left:.2g} is left")
        return beta

    def _descend(self, beta: torch.Tensor, tolerance: float) -> tuple[torch.Tensor, float]:
        """In the dtype of `beta`, as far as float32 goes; the largest derivative that is left beside the weights."""
        self._rows, self._w = self._wide.to(beta.dtype), self._weights.to(beta.dtype)
        y = self._label.to(beta.dtype)
        self._ridge = torch.full_like(beta[0], self._penalty)
        self._ridge[0] = 0
        direct = beta.shape[1] <= _SOLVED_DIRECTLY
        largest = previous = torch.inf
        products = 0
        for _ in range(_STEPS):
            z = self._logits(beta)
            p = torch.sigmoid(z)
            gradient = self._sums(self._w * (p - y)) + self._ridge * beta
            largest = float(gradient.abs().max())
            stalled = beta.dtype == torch.float32 and previous / 2 < largest < _NEAR
            if largest <= tolerance or stalled:
                break
            curvature = self._w * p * (1 - p)
            slow = largest > _FAST * previous if direct else products > _MANY
            if self._factor is None or slow:
                self._factor = self._factorise(curvature)
            previous = largest
            if direct:
                step = -torch.cholesky_solve(gradient[..., None], self._factor.to(beta.dtype))[..., 0]
                moved = self._logits(step)
            else:
                step, moved, products = self._conjugate_gradients(gradient, curvature)
            beta = beta + self._length(beta, z, step, moved, gradient) * step
        return beta, largest

    def _length(
        self, beta: torch.Tensor, z: torch.Tensor, step: torch.Tensor, moved: torch.Tensor, gradient: torch.Tensor
    ) -> torch.Tensor:
        """How much of a step to go, [problem, 1]: all where that lowers the loss enough, else what surely lowers it."""
        length = damping(moved.abs().amax(dim=-1, keepdim=True))
        if bool((length == 1).all()):
            return length
        promised = (gradient * step).sum(dim=-1)
        enough = self._loss(beta + step, z + moved) <= self._loss(beta, z) + _ENOUGH * promised
        return torch.where(enough[:, None], 1.0, length)

    def _loss(self, beta: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """[problem]."""
        losses = torch.nn.functional.softplus(torch.where(self._label, -z, z))
        return (self._w * losses).sum(dim=-1) + (self._ridge * beta * beta).sum(dim=-1) / 2

    def _logits(self, beta: torch.Tensor) -> torch.Tensor:
        return torch.bmm(beta[:, None], self._rows)[:, 0]

    def _sums(self, values: torch.Tensor) -> torch.Tensor:
        """Σ over examples of value · feature, [problem, 1 + k]."""
        return torch.bmm(values[:, None], self._rows.mT)[:, 0]  # the vector on the left: a batch is 5 times faster so

    def _factorise(self, curvature: torch.Tensor) -> torch.Tensor:
        """Cholesky factor [problem, 1 + k, 1 + k] of the Hessian."""
        rows, curvature, dropped = self._curved(curvature)
        for dtype in (torch.float32, torch.float64):
            rows = rows.to(dtype)
            hessian = torch.bmm(rows * curvature[:, None].to(dtype), rows.mT)
            # Where all are far on their side, the curvature along the intercept all but vanishes.
            diagonal = hessian.diagonal(dim1=-2, dim2=-1)
            diagonal.mul_(1 + 1e-6).add_(self._ridge.to(dtype) + dropped.to(dtype) + 1e-12)
            factor, failed = torch.linalg.cholesky_ex(hessian)
            if not bool(failed.any()):
                return factor
        raise ArithmeticError("a logistic regression's Hessian is not positive definite")

    def _curved(self, curvature: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The examples that hold nearly all curvature [problem, example], where they are few: their feature rows and
        curvature, and the curvature of the others, [problem, 1]. What fits well has hardly any. A factor of these is
        good enough for conjugate gradients.
        """
        nothing = torch.zeros_like(curvature[:, :1])
        if self._rows.shape[1] <= _SOLVED_DIRECTLY:
            return self._rows, curvature, nothing
        total = curvature.sum(dim=-1, keepdim=True)
        held, order = curvature.sort(dim=-1, descending=True)
        share = held.cumsum(dim=-1)
        kept = int((share < _HELD * total).sum(dim=-1).max()) + 1
        if kept > _FEW * curvature.shape[1]:
            return self._rows, curvature, nothing
        order = order[:, :kept]
        rows = self._rows.gather(2, order[:, None].expand(-1, self._rows.shape[1], -1))
        return rows, held[:, :kept], total - share[:, kept - 1 : kept]

    def _conjugate_gradients(
        self, gradient: torch.Tensor, curvature: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, int]:
        """A Newton step, inexact, how it moves the logits, and the products that took; with a factor from elsewhere."""
        assert self._factor is not None
        factor = self._factor.to(gradient.dtype)
        step, moved = torch.zeros_like(gradient), torch.zeros_like(curvature)
        residual = -gradient
        enough = _INEXACT * gradient.abs().amax(dim=-1)
        direction, product = torch.zeros_like(gradient), torch.ones_like(gradient[:, :1])
        for products in range(1, gradient.shape[1] + 1):
            solved = torch.cholesky_solve(residual[..., None], factor)[..., 0]
            last, product = product, (residual * solved).sum(dim=-1, keepdim=True)
            direction = solved + product / last.clamp(min=1e-300 if last.dtype == torch.float64 else 1e-37) * direction
            along = self._logits(direction)
            image = self._sums(curvature * along) + self._ridge * direction
            length = product / (direction * image).sum(dim=-1, keepdim=True).clamp(min=1e-37)
            step = step + length * direction
            moved = moved + length * along
            residual = residual - length * image
            if bool((residual.abs().amax(dim=-1) <= enough).all()):
                return step, moved, products
        return step, moved, gradient.shape[1]
