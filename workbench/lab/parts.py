"""The part of a site's activation that units are: how their numbers are taken out of it and written back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch

from workbench.lab.metrics import at_least_float32
from workbench.lab.sending import sent


class Part(Protocol):
    """`n_heads` is the model's: heads may come as [batch, position, head · d_head]."""

    @property
    def position_axis(self) -> int:
        """The axis of the activation that positions are on."""

    def take(self, values: torch.Tensor, n_heads: int) -> torch.Tensor:
        """The units' own numbers of a site's values [..., width]."""

    def change(self, activation: torch.Tensor, write: Callable[[torch.Tensor], None], n_heads: int) -> None:
        """Writes back what `write` makes, in place, of the units' own numbers [row, position, …] of `activation`."""


@dataclass(frozen=True)
class Whole:
    """All of a site."""

    position_axis: int = 1

    def take(self, values: torch.Tensor, n_heads: int) -> torch.Tensor:
        return values

    def change(self, activation: torch.Tensor, write: Callable[[torch.Tensor], None], n_heads: int) -> None:
        write(activation)


@dataclass(frozen=True)
class Entries:
    """Some entries of the last axis: neurons of mlp_post. [..., n]"""

    indices: tuple[int, ...]
    position_axis: ClassVar[int] = 1
    axis: ClassVar[int] = -1

    def view(self, values: torch.Tensor, n_heads: int) -> torch.Tensor:
        """The values with an axis of entries; it shares their memory."""
        return values

    def take(self, values: torch.Tensor, n_heads: int) -> torch.Tensor:
        return self.view(values, n_heads).index_select(self.axis, self._index(values))

    def change(self, activation: torch.Tensor, write: Callable[[torch.Tensor], None], n_heads: int) -> None:
        view = self.view(activation, n_heads)
        if len(self.indices) == 1:
            write(view.narrow(self.axis, self.indices[0], 1))
            return
        index = self._index(activation)
        numbers = view.index_select(self.axis, index)
        write(numbers)
        view.index_copy_(self.axis, index, numbers)

    def _index(self, values: torch.Tensor) -> torch.Tensor:
        return sent(self.indices, values.device)


@dataclass(frozen=True)
class Heads(Entries):
    """Some heads of z. [..., n, d_head]"""

    axis: ClassVar[int] = -2

    def view(self, values: torch.Tensor, n_heads: int) -> torch.Tensor:
        return values if values.ndim == 4 else values.unflatten(-1, (n_heads, -1))


@dataclass(frozen=True, eq=False)
class Along:
    """The component along a direction, one number a position, float32 [...].

    In 16-bit types the product and what is added are float32, and the stream is rounded once.
    """

    unit: torch.Tensor
    """of length 1, [d_model]"""
    position_axis: ClassVar[int] = 1

    def take(self, values: torch.Tensor, n_heads: int) -> torch.Tensor:
        exact = at_least_float32(values)
        return exact @ self.unit.to(exact.dtype)

    def change(self, activation: torch.Tensor, write: Callable[[torch.Tensor], None], n_heads: int) -> None:
        exact = at_least_float32(activation)
        unit = self.unit.to(exact.dtype)
        before = exact @ unit
        after = before.clone()
        write(after)
        change = after.sub_(before).unsqueeze(-1) * unit
        if exact is activation:
            activation.add_(change)
        else:
            activation.copy_(change.add_(exact))
