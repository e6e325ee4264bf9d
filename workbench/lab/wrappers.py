"""The bridge's wrappers, passed over where nobody looks.

TransformerLens wraps every module inside a block to have its hook points. A wrapper without hooks computes what the
wrapped module does, but its Python costs more than a small pass does on a GPU. For the length of a pass, those without
a hook make room for the modules themselves; and so do those that are hooked at their output alone, whose hooks then see
the modules' output. Blocks keep theirs: every pass begins, ends and is cancelled at blocks.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import nn


class _Wrapped(NamedTuple):
    """A wrapper in its place: an entry of a Hugging Face module's own submodules."""

    submodules: dict[str, nn.Module | None]
    name: str
    wrapper: nn.Module
    module: nn.Module


class Wrappers:
    """Those inside the blocks of a bridge; none where there is no bridge."""

    def __init__(self, bridge: Any = None) -> None:
        self._wrapped: list[_Wrapped] = []
        self._around: dict[int, set[int]] = defaultdict(set)
        """hook point → the wrappers that it is in; of a block's own points, all of the block's"""
        for block in bridge.blocks if bridge is not None else ():
            self._add(block)
            _take_every_argument(block)

    def _add(self, block: nn.Module) -> None:
        from transformer_lens.hook_points import HookPoint
        from transformer_lens.model_bridge.generalized_components.base import GeneralizedComponent

        first = len(self._wrapped)
        for parent in block.modules():
            if isinstance(parent, GeneralizedComponent):
                continue  # calls its own parts, through their wrappers
            for name, wrapper in parent._modules.items():
                module = wrapper._modules.get("_original_component") if wrapper is not None else None
                if not isinstance(wrapper, GeneralizedComponent) or module is None:
                    continue
                for point in wrapper.modules():
                    if isinstance(point, HookPoint):
                        self._around[id(point)].add(len(self._wrapped))
                self._wrapped.append(_Wrapped(parent._modules, name, wrapper, module))
        # The block's input and output are its own; what else it hooks, it may hook from within its parts.
        for name, point in block.named_modules():
            if isinstance(point, HookPoint) and name not in ("hook_in", "hook_out") and id(point) not in self._around:
                self._around[id(point)] = set(range(first, len(self._wrapped)))

    @contextmanager
    def passed_over(self, hooked_points: Iterable[Any]) -> Iterator[None]:
        """For one pass with hooks on these points and no others."""
        kept: set[int] = set()
        outputs: set[int] = set()
        for point in hooked_points:
            around = self._around.get(id(point), set())
            is_output = len(around) == 1 and self._wrapped[min(around)].wrapper._modules.get("hook_out") is point
            (outputs if is_output else kept).update(around)
        replaced = [wrapped for index, wrapped in enumerate(self._wrapped) if index not in kept]
        handles = []
        try:
            for wrapped in replaced:
                wrapped.submodules[wrapped.name] = wrapped.module
            for index in outputs - kept:
                wrapped = self._wrapped[index]
                handles.append(wrapped.module.register_forward_hook(_output_hook(wrapped.wrapper.hook_out)))
            yield
        finally:
            for handle in handles:
                handle.remove()
            for wrapped in replaced:
                wrapped.submodules[wrapped.name] = wrapped.wrapper


def _output_hook(point: Any) -> Callable[..., Any]:
    """What a wrapper does with its module's output: its hook point sees it, or the first of what a tuple has."""

    def hook(module: nn.Module, args: Any, output: Any) -> Any:
        return (point(output[0]), *output[1:]) if isinstance(output, tuple) else point(output)

    return hook


def _take_every_argument(block: Any) -> None:
    """A block's wrapper reads its module's signature in every pass, to leave arguments out: not where all are taken."""
    parameters = inspect.signature(block._modules["_original_component"].forward).parameters.values()
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        block.__dict__["_filter_kwargs_for_forward"] = lambda kwargs, n_positional=0: kwargs
