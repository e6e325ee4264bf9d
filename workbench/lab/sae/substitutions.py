"""What is put in place of an activation x, s what an SAE makes of it (METHODS, "SAE errors"; Gurnee 2024, "SAE
reconstruction errors are pathological"; the covariance-matched rows after Lee & Heimersheim 2024, arXiv 2410.12555).

Six of them lie at one distance ‖s − x‖ from x, and only those are compared with each other. g ~ N(0, I) is drawn on the
activations' device, by seed, site and window: other batches give the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from workbench.lab.sae.sample import Sample
from workbench.lab.sending import sent
from workbench.units import Site

SAME_DISTANCE = ("sae", "eps", "theta", "eps-sigma", "eps-pair", "eps-other")
OTHER = ("norm-corrected", "sae-norm", "theta-true", "zero", "mean")
SUBSTITUTIONS = (*SAME_DISTANCE, *OTHER)
REDRAWS = 16
"""of a pair of tokens with equal activations, which have no direction between them"""
_SEED = 0x5AE


@dataclass(frozen=True)
class Drawing:
    """One window's tokens at a site, and what is drawn for them."""

    x: torch.Tensor
    """float32 [position, width]"""
    s: torch.Tensor
    """float32 [position, width]"""
    numbers: torch.Tensor
    """of each token among all that are evaluated, as the sample counts them, int64 [position]"""
    sample: Sample
    random: torch.Generator
    """on x's device"""
    _isotropic: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_isotropic", self._normal())

    @property
    def distance(self) -> torch.Tensor:
        """‖s − x‖, [position, 1]."""
        return (self.s - self.x).norm(dim=-1, keepdim=True)

    def substitute(self, name: str) -> torch.Tensor:
        """What `name` puts in place of x, [position, width]."""
        return _RULES[name](self)

    def along(self, direction: torch.Tensor) -> torch.Tensor:
        """x moved by ‖s − x‖ along a direction [position, width]; where that is 0, along g."""
        length = direction.norm(dim=-1, keepdim=True)
        direction = torch.where(length > 0, direction, self._isotropic)
        return self.x + self.distance * direction / direction.norm(dim=-1, keepdim=True)

    def epsilon(self) -> torch.Tensor:
        return self.along(self._isotropic)

    def sigma(self) -> torch.Tensor:
        return self.along(self._normal() @ self.sample.factor.T)

    def rotated(self, length: torch.Tensor) -> torch.Tensor:
        """As far from x's direction as s is, in a random plane, of a length [position, 1]."""
        unit = self.x / _length(self.x)
        cosine = torch.nn.functional.cosine_similarity(self.s, self.x, dim=-1).unsqueeze(-1)
        across = self._isotropic - (self._isotropic * unit).sum(-1, keepdim=True) * unit
        # Twice: where g is nearly along x, once leaves rounding along it.
        across = across - (across * unit).sum(-1, keepdim=True) * unit
        across = across / _length(across)
        return (cosine * unit + (1 - cosine.square()).clamp(min=0).sqrt() * across) * length

    def pair(self) -> torch.Tensor:
        first, second = self._two_others()
        difference = self.sample.x[first] - self.sample.x[second]
        for _ in range(REDRAWS):
            equal = ~difference.any(-1)
            if not equal.any():
                break
            first, second = self._two_others()
            difference = torch.where(equal[:, None], self.sample.x[first] - self.sample.x[second], difference)
        return self.along(difference)

    def other(self) -> torch.Tensor:
        return self.along(self.sample.error[self._two_others()[0]])

    def _two_others(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Places in the sample of two other tokens each, uniform, unlike each other, int64 [position]."""
        own = self.sample.places(self.numbers)
        n_others = len(self.sample.x) - (own < len(self.sample.x)).long()
        first = self._below(n_others)
        first = first + (first >= own)
        low, high = torch.minimum(first, own), torch.maximum(first, own)
        second = self._below(n_others - 1)
        second = second + (second >= low)
        return first, second + (second >= high)

    def _below(self, limit: torch.Tensor) -> torch.Tensor:
        uniform = sent(torch.rand(len(limit), generator=self.random), self.x.device)
        return torch.minimum((uniform * limit).long(), limit - 1)

    def _normal(self) -> torch.Tensor:
        return sent(torch.randn(self.x.shape, generator=self.random), self.x.device)


_RULES: dict[str, Callable[[Drawing], torch.Tensor]] = {
    "sae": lambda drawing: drawing.s,
    "eps": Drawing.epsilon,
    "theta": lambda drawing: drawing.rotated(drawing.s.norm(dim=-1, keepdim=True)),
    "eps-sigma": Drawing.sigma,
    "eps-pair": Drawing.pair,
    "eps-other": Drawing.other,
    "norm-corrected": lambda drawing: drawing.s * drawing.x.norm(dim=-1, keepdim=True) / _length(drawing.s),
    "sae-norm": lambda drawing: drawing.x * drawing.s.norm(dim=-1, keepdim=True) / _length(drawing.x),
    "theta-true": lambda drawing: drawing.rotated(drawing.x.norm(dim=-1, keepdim=True)),
    "zero": lambda drawing: torch.zeros_like(drawing.x),
    "mean": lambda drawing: drawing.sample.mean.expand_as(drawing.x),
}


def substitutions(drawings: list[Drawing]) -> Iterator[tuple[str, torch.Tensor]]:
    """Every substitution in the order of `SUBSTITUTIONS`, of several windows [window, position, width]."""
    for name in SUBSTITUTIONS:
        yield name, torch.stack([drawing.substitute(name) for drawing in drawings])


def generator(seed: int, site: Site, window: int, purpose: int = 0) -> torch.Generator:
    """Of one window's draws, on the processor: the same whatever else is drawn, and on any device."""
    words = np.random.SeedSequence([_SEED, seed, site.layer, *site.name.encode(), window, purpose]).generate_state(2)
    return torch.Generator().manual_seed(int(words[0]) << 31 | int(words[1]) >> 1)


def _length(vectors: torch.Tensor) -> torch.Tensor:
    """Norms [..., 1] to divide by; of no vector at all 1."""
    length = vectors.norm(dim=-1, keepdim=True)
    return torch.where(length > 0, length, 1.0)
