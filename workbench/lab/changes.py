"""What edits do to a part of a site's activation, one class an operation. `applying.py` says at which columns.

What is added stays float32 until it is added: the sum is rounded once, to the activation's own type.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from workbench.edits import Positions
from workbench.errors import Cancelled, UserError
from workbench.lab.metrics import at_least_float32
from workbench.lab.parts import Part
from workbench.units import Site


class Stretch(NamedTuple):
    """Neighbouring columns of some rows of a batch."""

    rows: slice
    column: int
    n: int
    position: int
    """of the first column, counted from the rows' first token"""


class Rows(NamedTuple):
    """How prompts lie in the rows that are edited."""

    first_columns: tuple[int, ...]
    """the column of position 0, negative behind a cached prefix"""
    start: int
    """position of the first column where nothing is padded; above 0 when a cached prefix is continued"""
    padded: bool


@dataclass(frozen=True)
class Change(ABC):
    """One edit at one site."""

    site: Site
    part: Part
    at: Positions

    @abstractmethod
    def write(self, numbers: torch.Tensor, stretch: Stretch) -> None:
        """Changes the units' own numbers at a stretch, [row, position, …], in place."""

    def span(self, length: int) -> tuple[int, int | None]:
        """Positions of a prompt of `length` tokens: the first, and the one after the last (None: no end)."""
        return self.at.span(length)

    def bound(self, activation: torch.Tensor, rows: Rows, n_heads: int) -> Change:
        """This change once it has seen all of an activation [row, …] that it is about to act on."""
        return self


@dataclass(frozen=True)
class Fill(Change):
    """Every number becomes `value`."""

    value: float

    def write(self, numbers: torch.Tensor, stretch: Stretch) -> None:
        numbers.fill_(self.value)


@dataclass(frozen=True)
class Multiply(Change):
    factor: float

    def write(self, numbers: torch.Tensor, stretch: Stretch) -> None:
        numbers.mul_(self.factor)


@dataclass(frozen=True)
class AddNumber(Change):
    amount: float

    def write(self, numbers: torch.Tensor, stretch: Stretch) -> None:
        numbers.add_(self.amount)


@dataclass(frozen=True, eq=False)
class AddVector(Change):
    """The same is added at every position."""

    values: torch.Tensor
    """[…]"""

    def write(self, numbers: torch.Tensor, stretch: Stretch) -> None:
        numbers.add_(self.values)


@dataclass(frozen=True, eq=False)
class AddVectorByRow(Change):
    """A vector of its own is added to each row, at every position; of a plan that is for all rows of a pass."""

    values: torch.Tensor
    """[row, d_model]"""

    def write(self, numbers: torch.Tensor, stretch: Stretch) -> None:
        numbers.add_(self.values[stretch.rows].unsqueeze(1))


@dataclass(frozen=True, eq=False)
class ProjectOutByRow(Change):
    """A direction of its own is projected out of each row, at every position; of a plan that is for all rows.

    In 16-bit types in float32, rounded once.
    """

    units: torch.Tensor
    """of length 1, or 0 where nothing is projected out, [row, d_model]"""

    def write(self, numbers: torch.Tensor, stretch: Stretch) -> None:
        exact = at_least_float32(numbers)
        units = self.units[stretch.rows].to(exact.dtype).unsqueeze(-1)
        numbers.copy_(torch.baddbmm(exact, exact @ units, units.transpose(1, 2), alpha=-1))


@dataclass(frozen=True, eq=False)
class AddByPosition(Change):
    values: torch.Tensor
    """[position, …]"""

    def write(self, numbers: torch.Tensor, stretch: Stretch) -> None:
        numbers.add_(_at(self.values, stretch))


@dataclass(frozen=True)
class NeighbouringFloat(Change):
    """Every number becomes the next float up or down, as rounding might have made it; zeros stay."""

    seed: int

    def write(self, numbers: torch.Tensor, stretch: Stretch) -> None:
        as_integers = {2: torch.int16, 4: torch.int32, 8: torch.int64}[numbers.element_size()]
        random = torch.Generator().manual_seed(self.seed)
        shape = (stretch.position + stretch.n, *numbers.shape[2:])
        step = 2 * torch.randint(0, 2, shape, generator=random, dtype=as_integers)[stretch.position :] - 1
        numbers.view(as_integers).add_(step.to(numbers.device) * (numbers != 0))


@dataclass(frozen=True, eq=False)
class Replace(Change):
    """The same is put at every position."""

    values: torch.Tensor
    """[…]"""

    def write(self, numbers: torch.Tensor, stretch: Stretch) -> None:
        numbers.copy_(self.values.expand_as(numbers))


@dataclass(frozen=True, eq=False)
class ReplaceByPosition(Change):
    values: torch.Tensor
    """[position, …]"""

    def write(self, numbers: torch.Tensor, stretch: Stretch) -> None:
        numbers.copy_(_at(self.values, stretch).expand_as(numbers))


@dataclass(frozen=True, eq=False)
class ReplaceByRow(Change):
    """Each row by numbers of its own, position by position; of a plan that is for all rows of a pass."""

    values: torch.Tensor
    """[row, position, …]"""
    first: int = 0
    """the position of the first of them"""

    def write(self, numbers: torch.Tensor, stretch: Stretch) -> None:
        column = stretch.position - self.first
        numbers.copy_(self.values[stretch.rows, column : column + stretch.n])


@dataclass(frozen=True, eq=False)
class ReplaceFromPrompt(ReplaceByPosition):
    """By what another prompt has at the same positions: both have to have them."""

    edit: str
    """as text, for its error"""

    def span(self, length: int) -> tuple[int, int | None]:
        """The prompt's part of the positions. Raises UserError where the other prompt lacks some of it."""
        first, end = self.at.span(length)
        end = length if end is None else min(end, length)
        have = len(self.values)
        if self.at.kind == "range" and self.at.last is not None:
            if end > have:
                raise UserError(f"{self.edit}: the other prompt has {have} tokens, positions 0 to {have - 1}")
        elif have != length:
            raise UserError(
                f"{self.edit}: the other prompt has {have} tokens and this one {length}: take prompts of equal "
                f"length, or patch at [last] or at a range that both have"
            )
        return first, end


@dataclass(frozen=True)
class EditContext:
    """Passed to a Python function: the place where it edits."""

    layer: int
    site: str
    start: int
    """position of the activation's first column; above 0 when a cached prefix is continued"""


@dataclass(frozen=True)
class CallPython(Change):
    """By what a Python function makes of all positions at once; it never sees padding."""

    call: Callable[[Any, EditContext], Any]

    def bound(self, activation: torch.Tensor, rows: Rows, n_heads: int) -> Change:
        values = self.part.take(activation, n_heads).clone()
        if not rows.padded:
            return _Computed(self.site, self.part, self.at, self._result_of(values, rows.start))
        axis = self.part.position_axis
        for row, zero in enumerate(rows.first_columns):
            column = max(zero, 0)
            row_values = values[row : row + 1].narrow(axis, column, values.shape[axis] - column)
            if axis == 2:
                row_values = row_values[
                    ..., zero + rows.start :
                ]  # attention's keys begin where the row does, cached or not
            row_values.copy_(self._result_of(row_values.clone(), max(-zero, 0)))
        return _Computed(self.site, self.part, self.at, values)

    def write(self, numbers: torch.Tensor, stretch: Stretch) -> None:
        raise AssertionError("a Python function is bound before it writes")

    def _result_of(self, activation: torch.Tensor, start: int) -> torch.Tensor:
        """The function's result as a tensor of the activation's shape. Raises UserError where it is none."""
        function_name = f"the Python function at {self.site}"
        shape = tuple(activation.shape)
        try:
            result = self.call(activation, EditContext(self.site.layer, self.site.name, start))
        except (UserError, Cancelled):
            raise
        except Exception as error:
            raise UserError(f"{function_name} failed: {type(error).__name__}: {error}") from error
        if isinstance(result, np.ndarray):
            result = torch.from_numpy(np.ascontiguousarray(result))
        if not isinstance(result, torch.Tensor) or tuple(result.shape) != shape:
            got = f"shape {tuple(result.shape)}" if isinstance(result, torch.Tensor) else type(result).__name__
            raise UserError(f"{function_name} has to give back an array of shape {shape}: it gave {got}")
        return result.to(device=activation.device, dtype=activation.dtype)


@dataclass(frozen=True, eq=False)
class _Computed(Change):
    values: torch.Tensor
    """[row, column, …], or with positions on the part's own axis"""

    def write(self, numbers: torch.Tensor, stretch: Stretch) -> None:
        computed = self.values[stretch.rows].narrow(self.part.position_axis, stretch.column, stretch.n)
        numbers.copy_(computed.expand_as(numbers))


def _at(values: torch.Tensor, stretch: Stretch) -> torch.Tensor:
    return values[stretch.position : stretch.position + stretch.n]


def same_fill(changes: Sequence[Change]) -> bool:
    """Whether all fill the same kind of part with one value at the same positions, in units of their own."""
    first = changes[0]
    return isinstance(first, Fill) and all(
        isinstance(change, Fill)
        and type(change.part) is type(first.part)
        and change.value == first.value
        and change.at == first.at
        for change in changes
    )
