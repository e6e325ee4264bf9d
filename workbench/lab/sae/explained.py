"""Explained variance over many tokens together (METHODS, "SAE quality": a mean per token was a known defect)."""

from __future__ import annotations

import torch

from workbench.lab.metrics import as_float64


class Explained:
    """1 − Σ‖x − s‖² / Σ‖x − x̄‖², x̄ the mean of all tokens that were added; sums in float64."""

    def __init__(self) -> None:
        self.n = 0
        self._sum: torch.Tensor | None = None
        self._squares = self._errors = 0.0

    def add(self, x: torch.Tensor, s: torch.Tensor) -> None:
        """Tokens and what the SAE makes of them, [token, width] each."""
        wide, error = as_float64(x), as_float64(x - s)
        total = wide.sum(0)
        self._sum = total if self._sum is None else self._sum + total
        self.n += len(x)
        self._squares += float(wide.square().sum())
        self._errors += float(error.square().sum())

    @property
    def mean(self) -> torch.Tensor:
        """Of the tokens, float64 [width]."""
        assert self._sum is not None, "no token was added"
        return self._sum / self.n

    @property
    def value(self) -> float:
        """nan where all tokens are the same."""
        if self._sum is None:
            return float("nan")
        spread = self._squares - self.n * float(self.mean.square().sum())
        return 1 - self._errors / spread if spread > 0 else float("nan")


def explained_variance(x: torch.Tensor, s: torch.Tensor) -> float:
    """The same of one batch, [token, width] each."""
    explained = Explained()
    explained.add(x, s)
    return explained.value
