"""The device that is checked: its memory as it is used, and a limit to it.

A GPU counts its memory itself. On the CPU, where the same checks run in tests, every tensor that an operation makes is
counted here while it lives, and an allocation beyond the limit raises what CUDA raises.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Device(Protocol):
    name: str
    """as torch takes it"""

    def describe(self) -> str:
        """The device's own name."""

    def synchronise(self) -> None:
        """Wait until all is done."""

    def peak(self, work: Callable[[], Any]) -> tuple[Any, int]:
        """What `work` gives, and how many bytes it took at most beyond what was there."""

    def limited(self, extra: int) -> Any:
        """A context in which no more than `extra` bytes can be taken beyond what is there."""


class Cuda:
    def __init__(self, name: str) -> None:
        self.name = f"cuda:{torch.device(name).index or 0}"
        torch.cuda.set_device(self.name)

    def describe(self) -> str:
        free, total = torch.cuda.mem_get_info(self.name)
        return f"{torch.cuda.get_device_name(self.name)}, {total / 2**30:.0f} GiB, {free / 2**30:.0f} GiB free"

    def synchronise(self) -> None:
        torch.cuda.synchronize(self.name)

    def peak(self, work: Callable[[], Any]) -> tuple[Any, int]:
        _release()
        before = torch.cuda.memory_allocated(self.name)
        torch.cuda.reset_peak_memory_stats(self.name)
        result = work()
        self.synchronise()
        return result, torch.cuda.max_memory_allocated(self.name) - before

    @contextmanager
    def limited(self, extra: int) -> Iterator[None]:
        _release()
        total = torch.cuda.get_device_properties(self.name).total_memory
        # Of what is allocated, as `peak` counts: what is reserved beyond it would be room as well.
        allowed = torch.cuda.memory_allocated(self.name) + extra
        torch.cuda.set_per_process_memory_fraction(min(1.0, allowed / total), self.name)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, self.name)


class Cpu:
    name = "cpu"

    def describe(self) -> str:
        return "CPU"

    def synchronise(self) -> None:
        return

    def peak(self, work: Callable[[], Any]) -> tuple[Any, int]:
        _release()
        with Counting() as counting:
            result = work()
        return result, counting.peak

    def limited(self, extra: int) -> Any:
        _release()
        return Counting(extra)


def _release() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class Counting(TorchDispatchMode):
    """Counts the bytes of tensors that operations make, while they live."""

    def __init__(self, limit: int | None = None) -> None:
        super().__init__()
        self.limit = limit
        self.live = self.peak = 0
        self._counted: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {id_of(tensor) for tensor in tree_leaves((args, kwargs)) if isinstance(tensor, torch.Tensor)}
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and id_of(tensor) not in given:
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._counted:
            return
        # An error inside a backward pass would end the process.
        if self.limit is not None and self.live + size > self.limit and torch._C._current_graph_task_id() == -1:
            raise torch.OutOfMemoryError(f"out of memory: {size} bytes more than the limit of {self.limit}")
        self._counted.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self._counted.discard(key)
        self.live -= size


def id_of(tensor: torch.Tensor) -> int:
    """One number for all views of the same memory."""
    return int(tensor.untyped_storage()._cdata)
