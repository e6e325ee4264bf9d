"""A device that needs no hardware: its tensors lie in ordinary memory, and behave as if they lay elsewhere.

A PrivateUse1 backend in Python. Tensors of two devices don't mix; float64 can be refused, as Apple's GPUs do; the
bytes that are held are counted, and run out at a limit. There are two of them, `pretend:0` and `pretend:1`.

    with rules(no_float64=True) as seen:
        …
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._device import _device_constructors
from torch.utils._pytree import tree_flatten, tree_map

NAME = "pretend"
COUNT = 2
aten = torch.ops.aten


@dataclass
class Rules:
    """What the devices allow, and what they saw."""

    no_float64: bool = False
    limit: int | None = None
    """bytes a device"""
    held: Counter[torch.device] = field(default_factory=Counter)
    """bytes of the tensors that there are"""
    peak: Counter[torch.device] = field(default_factory=Counter)
    refused: int = 0
    """allocations beyond the limit"""
    operations: int = 0


RULES = Rules()
CROSSING = {aten._to_copy.default, aten.copy_.default}
"""take tensors of two devices"""
INDEXED_BY_HOST = {
    aten.index.Tensor,
    aten.index_put_.default,
    aten.index_put.default,
    aten._index_put_impl_.default,
}
"""take indices that lie on the CPU"""


@contextmanager
def rules(no_float64: bool = False, limit: int | None = None) -> Iterator[Rules]:
    """For the length of the block; `limit` in bytes a device beyond what is held when it begins."""
    RULES.no_float64 = no_float64
    RULES.limit = None if limit is None else limit + max(RULES.held.values(), default=0)
    RULES.peak, RULES.refused, RULES.operations = Counter(RULES.held), 0, 0
    try:
        yield RULES
    finally:
        RULES.no_float64, RULES.limit = False, None


class Pretend(torch.Tensor):
    """A tensor on a pretend device; `inner` is where its numbers are."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor, device: torch.device) -> Pretend:
        if RULES.no_float64 and inner.dtype == torch.float64:
            raise TypeError("this device has no float64")
        tensor: Pretend = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=device,
            requires_grad=False,
        )
        tensor.inner = inner
        _count(inner, device)
        return tensor

    def __repr__(self, **_: Any) -> str:
        return f"Pretend({self.inner!r}, {self.device})"

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _dispatch(func, args, kwargs or {})

    def data_ptr(self) -> int:
        return self.inner.data_ptr()

    def __deepcopy__(self, memo: dict[int, Any]) -> Pretend:
        copied: Any = self.detach().clone().requires_grad_(self.requires_grad)
        copied._is_param = getattr(self, "_is_param", False)
        memo[id(self)] = copied
        return copied

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __getitem__(self, key: Any) -> Any:
        return torch.Tensor.__getitem__(self, _listed(key))

    def __setitem__(self, key: Any, value: Any) -> None:
        torch.Tensor.__setitem__(self, _listed(key), value)


def _listed(key: Any) -> Any:
    """torch itself moves an index that is a list to the tensor's device."""
    parts = key if isinstance(key, tuple) else (key,)
    parts = tuple(_TENSOR(part) if isinstance(part, list) else part for part in parts)
    return parts if isinstance(key, tuple) else parts[0]


# --- memory ----------------------------------------------------------------------------------------------

_storages: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
"""that are counted, by address"""


def _count(inner: torch.Tensor, device: torch.device) -> None:
    storage = inner.untyped_storage()
    if _storages.get(storage._cdata) is storage:
        return
    n_bytes = storage.nbytes()
    full = RULES.limit is not None and RULES.held[device] + n_bytes > RULES.limit
    # Not in a backward pass: torch ends the process at an error there.
    if full and torch._C._current_graph_task_id() == -1:
        RULES.refused += 1
        raise torch.OutOfMemoryError(f"out of memory: {n_bytes} bytes on {device}, which has {RULES.limit}")
    _storages[storage._cdata] = storage
    RULES.held[device] += n_bytes
    RULES.peak[device] = max(RULES.peak[device], RULES.held[device])
    weakref.finalize(storage, _freed, device, n_bytes)


def _freed(device: torch.device, n_bytes: int) -> None:
    RULES.held[device] -= n_bytes


# --- operations ------------------------------------------------------------------------------------------


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_flatten(tree)[0] if isinstance(leaf, torch.Tensor)]


def _dispatch(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    decomposed = func.decompose(*args, **kwargs)  # in inference mode operations of several come whole
    if decomposed is not NotImplemented:
        return decomposed
    RULES.operations += 1
    own = [tensor for tensor in _tensors((args, kwargs)) if isinstance(tensor, Pretend)]
    target = torch.device(kwargs["device"]) if kwargs.get("device") is not None else None
    if func not in CROSSING:
        _refuse_mixing(func, args, kwargs, own)
    home = own[0].device if own else None
    if target is not None:
        home = _indexed(target) if target.type == NAME else None
        kwargs = {**kwargs, "device": torch.device("cpu") if target.type == NAME else target}
    if "pin_memory" in kwargs:
        kwargs = {**kwargs, "pin_memory": False}
    inner_args, inner_kwargs = tree_map(lambda leaf: leaf.inner if isinstance(leaf, Pretend) else leaf, (args, kwargs))
    if func is aten.copy_.default:
        inner_args[0].copy_(inner_args[1])
        return args[0]
    result = func(*inner_args, **inner_kwargs)
    if func is aten._local_scalar_dense.default:
        return result
    moved = func is aten._to_copy.default and own and own[0].device != home
    if moved and any(result is tensor for tensor in _tensors(inner_args)):
        result = result.clone()
    wrapped = {id(tensor.inner): tensor for tensor in own}

    def wrap(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor) or isinstance(leaf, Pretend):
            return leaf
        if id(leaf) in wrapped and not moved:
            return wrapped[id(leaf)]
        if home is None:
            return leaf
        if own and func.is_view and not own[0].is_inference():
            with torch.inference_mode(False):  # a view of a normal tensor is a normal one
                return Pretend(leaf, home)
        return Pretend(leaf, home)

    return tree_map(wrap, result)


def _refuse_mixing(func: Any, args: Any, kwargs: dict[str, Any], own: list[Pretend]) -> None:
    allowed = {id(tensor) for tensor in _tensors(args[1])} if func in INDEXED_BY_HOST else set()
    elsewhere = [
        tensor
        for tensor in _tensors((args, kwargs))
        if not isinstance(tensor, Pretend) and tensor.ndim and id(tensor) not in allowed
    ]
    devices = {str(tensor.device) for tensor in [*own, *elsewhere]}
    if own and len(devices) > 1:
        raise RuntimeError(f"Expected all tensors to be on the same device, but found {sorted(devices)} in {func}")


def _indexed(device: torch.device) -> torch.device:
    return device if device.index is not None else torch.device(NAME, 0)


# --- registration ----------------------------------------------------------------------------------------


class _Guard(torch._C._acc.DeviceGuard):
    def type_(self) -> Any:
        return torch._C._autograd.DeviceType.PrivateUse1


class _Module:
    """What torch asks of a backend."""

    def is_initialized(self) -> bool:
        return True

    def is_available(self) -> bool:
        return True

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return COUNT

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        return


_device_constructors()  # torch's list of them is kept with the originals
_TENSOR, _AS_TENSOR = torch.tensor, torch.as_tensor
_library: Any = None


def _tensor(data: Any, *, dtype: Any = None, device: Any = None, **kwargs: Any) -> torch.Tensor:
    if device is not None and torch.device(device).type == NAME:
        return _TENSOR(data, dtype=dtype).to(device)
    return _TENSOR(data, dtype=dtype, device=device, **kwargs)


def _as_tensor(data: Any, dtype: Any = None, device: Any = None) -> torch.Tensor:
    if device is not None and torch.device(device).type == NAME:
        made = data if isinstance(data, torch.Tensor) else _AS_TENSOR(data, dtype=dtype)
        return made.to(device=device, dtype=dtype)
    return _AS_TENSOR(data, dtype=dtype, device=device)


def set_up() -> bool:
    """Registers the device with this process's torch; False where torch has no such interface."""
    global _library
    if _library is not None:
        return True
    try:
        from torch.utils.backend_registration import _setup_privateuseone_for_python_backend
    except ImportError:
        return False
    torch.autograd.set_multithreading_enabled(False)
    _setup_privateuseone_for_python_backend(NAME, _Module(), None, _Guard())
    _library = torch.library.Library("_", "IMPL")
    _library.fallback(lambda func, *args, **kwargs: _dispatch(func, args, kwargs), "PrivateUse1")
    torch.tensor, torch.as_tensor = _tensor, _as_tensor  # type: ignore[assignment]
    return True
