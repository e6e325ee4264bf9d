"""Rotary embeddings that depend on how long a pass is, and which passes they rotate alike.

With `longrope` a pass of one token more than the original context rotates every position by other angles, with
`dynamic` every pass beyond it, and a module may remember the longest pass. Transformers takes a batch's length from its
longest row. So prompts that are rotated differently never share a pass, and what a module remembers is forgotten before
each. Nothing here knows a kind by its name: a rotary module is asked what it does at this length and at that.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

SHORTEST = 2
"""tokens: a pass of one has no position whose rotation says anything"""


@dataclass(frozen=True)
class RotaryCall:
    """How the model calls a module that makes rotations of positions, in a pass of one row of `SHORTEST` tokens."""

    module: torch.nn.Module
    arguments: inspect.BoundArguments

    def again(self, length: int) -> tuple[torch.Tensor, ...]:
        """What it gives for positions 1 and `length` − 1, as in a pass of `length` tokens, in float32."""
        recorded = self.arguments.arguments
        positions = recorded["position_ids"]
        asked = {
            name: value.float() if isinstance(value, torch.Tensor) and value.is_floating_point() else value
            for name, value in recorded.items()
        }
        asked["position_ids"] = torch.tensor([1, length - 1], device=positions.device).expand(positions.shape)
        call = inspect.BoundArguments(self.arguments.signature, asked)
        with torch.no_grad():
            output = self.module(*call.args, **call.kwargs)
        return output if isinstance(output, tuple) else (output,)  # cosines and sines, or complex numbers

    def rotation(self, length: int) -> int:
        """A hash of what position 1 is rotated by in a pass of `length` tokens."""
        tensors = self.again(length)
        return hash(tuple(number for tensor in tensors for number in tensor.select(-2, 0).flatten().tolist()))


@contextmanager
def rotary_calls(hf: torch.nn.Module) -> Iterator[list[RotaryCall]]:
    """The calls of rotary modules, which are those without weights that are given positions, while the context is open.

    A module that serves several kinds of layers is called for each.
    """
    calls: list[RotaryCall] = []
    handles = []
    for module in hf.modules():
        signature = inspect.signature(module.forward)
        if "position_ids" in signature.parameters and next(module.parameters(), None) is None:
            handles.append(module.register_forward_pre_hook(_recorder(signature, calls), with_kwargs=True))
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _recorder(signature: inspect.Signature, calls: list[RotaryCall]) -> Any:
    def hook(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        arguments = signature.bind(*args, **kwargs)
        if isinstance(arguments.arguments.get("position_ids"), torch.Tensor):
            calls.append(RotaryCall(module, arguments))

    return hook


class Rotations:
    """The rotations of a model that depend on the length of a pass; for most models there are none."""

    def __init__(self, calls: Sequence[RotaryCall] = (), longest: int = SHORTEST) -> None:
        """`longest` is how many tokens a pass can have."""
        dependent = []
        for call in calls:
            # The short pass goes first and last: whatever ran before, and this question, are forgotten.
            short, long, _ = (call.rotation(length) for length in (SHORTEST, max(longest, SHORTEST), SHORTEST))
            if short != long:
                dependent.append(call)
        self._calls = tuple(dependent)
        self._known: dict[int, tuple[int, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    def forget(self) -> None:
        """Before a pass: a short one goes through the rotary modules, so that a longer one leaves no trace."""
        for call in self._calls:
            call.again(SHORTEST)

    def _rotation(self, length: int) -> tuple[int, ...]:
        """Equal for two lengths whose passes are rotated alike."""
        length = max(length, SHORTEST)
        if length not in self._known:
            self.forget()
            self._known[length] = tuple(call.rotation(length) for call in self._calls)
            self.forget()
        return self._known[length]

    def switches(self, first: int, last: int) -> list[int]:
        """Lengths from `first` to before `last`, ascending: a pass of one token more is rotated differently.

        Taken for granted: two lengths that are rotated alike have no other between them.
        """
        if first >= last or self._rotation(first) == self._rotation(last):
            return []
        if last == first + 1:
            return [first]
        middle = (first + last) // 2
        return [*self.switches(first, middle), *self.switches(middle, last)]

    def alike(self, lengths: Sequence[int], growth: int = 0) -> list[list[int]]:
        """Indices of `lengths` in groups that are rotated alike, also while all grow by up to `growth` tokens."""
        if not self or len(lengths) == 1:
            return [list(range(len(lengths)))]
        groups: dict[tuple[Any, ...], list[int]] = {}
        for index, length in enumerate(lengths):
            grown = tuple(switch - length for switch in self.switches(length, length + growth))
            groups.setdefault((self._rotation(length), grown), []).append(index)
        return list(groups.values())
