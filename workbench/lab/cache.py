"""Activations for a notebook: arrays by the names of their sites, and the tokens they belong to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from workbench.errors import UserError


@dataclass(frozen=True)
class Cache(Mapping[str, np.ndarray]):
    """`cache["L5.resid_post"]` is float32 [prompt, position, d_model]; padding is nan.

    Other sites: mlp_* [prompt, position, d_mlp], z [prompt, position, head, d_head],
    pattern [prompt, head, position, position].
    """

    arrays: dict[str, np.ndarray]
    ids: np.ndarray
    """int64 [prompt, position], padded with -1"""
    tokens: list[list[str]]
    """[prompt][position], without padding"""

    @property
    def mask(self) -> np.ndarray:
        """bool [prompt, position], False where padding is."""
        return self.ids >= 0

    def __getitem__(self, site: str) -> np.ndarray:
        if site not in self.arrays:
            raise UserError(f"{site!r} is not in this cache: it holds {', '.join(self.arrays)}")
        return self.arrays[site]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    def __contains__(self, site: object) -> bool:
        return site in self.arrays
