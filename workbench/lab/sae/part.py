"""Features as the part of a site that an edit changes: encoded, changed, and put back in either of two ways.

With the SAE's error: x + Σ Δf · W_dec[f], so that what the SAE can't reconstruct stays as it was. Without it: the site
becomes the SAE's reconstruction with the features changed. A transcoder's features are encoded from what it reads and
changed where it writes. All in float32; the sum is rounded once to the activation's own type.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from workbench.lab.metrics import at_least_float32
from workbench.lab.sae.placing import PlacedSae
from workbench.lab.sending import sent
from workbench.units import Site

ROWS = 1024
"""encoded at once where only some features are kept"""


@dataclass(frozen=True, eq=False)
class Features:
    """Some features of one SAE, [..., n]."""

    placed: PlacedSae
    indices: tuple[int, ...]
    reconstructed: bool = False
    """the site becomes the reconstruction"""
    inputs: torch.Tensor | None = None
    """what a transcoder reads where the change is made, [row, position, d_in]"""
    position_axis: ClassVar[int] = 1

    @property
    def encoded_at(self) -> Site:
        return self.placed.site

    @property
    def reads(self) -> Site | None:
        """Another site that a change needs from the same pass: of a transcoder what it encodes."""
        return self.placed.site if self.placed.site != self.placed.site_out else None

    def reading(self, inputs: torch.Tensor) -> Features:
        return replace(self, inputs=inputs)

    def take(self, values: torch.Tensor, n_heads: int) -> torch.Tensor:
        """Activations [..., n] of values at `encoded_at`."""
        index = self._index(values)
        return torch.cat([self.placed.sae.encode(rows).index_select(-1, index) for rows in values.split(ROWS)])

    def change(self, activation: torch.Tensor, write: Callable[[torch.Tensor], None], n_heads: int) -> None:
        sae, index = self.placed.sae, self._index(activation)
        x = at_least_float32(activation if self.inputs is None else self.inputs)
        features = sae.encode(x)
        before = features.index_select(-1, index)
        after = before.clone()
        write(after)
        if self.reconstructed:
            changed = sae.decode(features.index_copy(-1, index, after), x)
        else:
            added = (after - before) @ sae.W_dec.index_select(0, index) * sae.output_scale(x)
            changed = at_least_float32(activation) + added.view(activation.shape)
        activation.copy_(changed.view(activation.shape))

    def _index(self, values: torch.Tensor) -> torch.Tensor:
        return sent(self.indices, values.device)
