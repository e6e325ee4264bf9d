"""Activations for a notebook: arrays by the names of their sites, and the tokens they belong to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.errors import UserError
from workbench.lab.editing import AnyEdit
from workbench.lab.model import Lab
from workbench.units import Site, parse_units


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


def cache(
    lab: Lab,
    prompts: Sequence[str] | str,
    sites: Sequence[str] | str,
    edits: Sequence[AnyEdit] = (),
    chat: bool = False,
) -> Cache:
    """Activations at sites (`L5.resid_post`, `L*.mlp_post`) under `edits`. Raises UserError."""
    texts = [prompts] if isinstance(prompts, str) else list(prompts)
    if not texts:
        raise UserError("there is no prompt: give at least one")
    named = ", ".join([sites] if isinstance(sites, str) else sites)
    captured: list[Site] = []
    for unit in parse_units(named, lab.info):
        if not isinstance(unit, Site):
            raise UserError(f"{unit} is no site: a cache holds sites, for example L5.resid_post or L5.mlp_post")
        captured.append(unit)
    rows = [lab.prompt(text, chat) for text in texts]
    passed = lab.forward(rows, edits, captured, logits=None)
    ids = np.full((len(rows), max(map(len, rows))), -1, dtype=np.int64)
    for row, prompt in zip(ids, rows, strict=True):
        row[: len(prompt)] = prompt.ids
    arrays = {}
    for site in captured:
        array = passed.site(site)
        for row, prompt in zip(array, rows, strict=True):
            if site.name == "pattern":
                row[:, len(prompt) :] = np.nan
                row[:, :, len(prompt) :] = np.nan
            else:
                row[len(prompt) :] = np.nan
        arrays[str(site)] = array
    return Cache(arrays, ids, [prompt.tokens for prompt in rows])
