"""Made labelled activations."""

from __future__ import annotations

import numpy as np
import torch


def planted(n: int = 600, units: int = 40, seed: int = 0, strength: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Activations float32 [example, unit] with means, scales and tails of all kinds, labels bool [example].

    Units 0 to 4 carry the label, less and less.
    """
    random = np.random.default_rng(seed)
    label = random.random(n) < 0.25
    x = random.normal(size=(n, units)) + 0.4 * random.normal(size=(n, 1))
    for unit in range(5):
        x[:, unit] += label * strength * (2 - unit / 3)
    x[:, 1::3] = np.maximum(x[:, 1::3], 0) ** 2
    x = x * np.exp(random.normal(size=units)) + 3 * random.normal(size=units)
    return torch.from_numpy(x.astype(np.float32)), torch.from_numpy(label)


def standardised(x: torch.Tensor) -> np.ndarray:
    """float64 [example, unit], written apart from the product."""
    wide = x.double().numpy()
    return np.asarray((wide - wide.mean(axis=0)) / wide.std(axis=0))


def balanced_loss(z: np.ndarray, label: np.ndarray, weight: np.ndarray, C: float) -> float:
    """scikit-learn's objective over C n."""
    n = len(label)
    share = np.where(label, n / 2 / label.sum(), n / 2 / (~label).sum())
    return float((share * np.logaddexp(0, np.where(label, -z, z))).mean() + (weight**2).sum() / (2 * C * n))
