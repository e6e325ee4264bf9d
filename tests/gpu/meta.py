"""Models of real shapes whose tensors hold no numbers: the workbench's own code runs on them, and bytes are counted.

What asks a tensor for a number gets a zero or a yes, and hears that all is equal: checks pass, and nothing stops.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch

from tests.gpu.device import Counting
from workbench.lab import memory

aten = torch.ops.aten
NUMBER = {aten._local_scalar_dense, aten.item, aten.is_nonzero}
SAME = {aten.equal, aten.allclose}
FREE = 64 << 30
"""bytes, as far as the workbench is told: what batches are made for"""


class Meta(Counting):
    """A context in which operations on meta tensors answer what only numbers could; counts as `Counting` does."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensor = args[0] if args else None
        if isinstance(tensor, torch.Tensor) and tensor.is_meta:
            packet = func.overloadpacket
            if packet in NUMBER:
                return (
                    tensor.dtype == torch.bool
                    or packet is aten.is_nonzero
                    or torch.zeros((), dtype=tensor.dtype).item()
                )
            if packet in SAME:
                return True
            if packet is aten._to_copy and kwargs.get("device") == torch.device("cpu"):
                return torch.ones(tensor.shape, dtype=kwargs.get("dtype") or tensor.dtype)
        with self:
            decomposed = func.decompose(*args, **kwargs)  # in inference mode operations of several come whole
        return super().__torch_dispatch__(func, types, args, kwargs) if decomposed is NotImplemented else decomposed


@contextmanager
def numbers_made_up() -> Iterator[None]:
    """For the length of the block: meta weights pass for real ones, and FREE bytes are free."""
    import torch.fx.experimental._config as experimental
    from transformer_lens.utilities import quantization

    with (
        mock.patch.object(experimental, "meta_nonzero_assume_all_nonzero", True),
        mock.patch.object(quantization, "unreadable_weight_reason", return_value=None),
        mock.patch.object(memory, "free_memory", return_value=FREE),
    ):
        yield
