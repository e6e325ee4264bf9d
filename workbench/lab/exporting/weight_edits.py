"""Which edits can be written as weights: neurons and heads at zero or scaled, directions projected out everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

from workbench.edits import ParsedEdit, Positions, Scale, SetTo
from workbench.errors import UserError
from workbench.lab.model import Lab
from workbench.units import Direction, Head, Neuron, Site, Unit

EXPRESSIBLE = (
    "neurons and heads set to 0 or scaled (L12.N345=0, L5.H3*=2) and directions projected out everywhere "
    "(@refusal=0), all at every position"
)
ORTHOGONAL = 1e-4
"""cosine above which two directions are not projected out by one change of weights"""


@dataclass(frozen=True)
class WeightEdits:
    """What happens to the weights that write into the stream."""

    directions: Mapping[str, torch.Tensor]
    """projected out of all of them, by name: of length 1, orthogonal to each other, float32 [d_model]"""
    factors: Mapping[Site, Mapping[int, float]]
    """with what heads of `z` and neurons of `mlp_post` are multiplied, by their index"""

    @property
    def matrix(self) -> torch.Tensor:
        """The directions as rows, float32 [direction, d_model]; not of edits without any."""
        return torch.stack(list(self.directions.values()))


def weight_edits(lab: Lab, stack: Iterable[ParsedEdit]) -> WeightEdits:
    """A stack as changes of weights. Raises UserError for one that is none, naming what can't be one."""
    stack = list(stack)
    if not stack:
        raise UserError("there is nothing to export: give --direction @NAME, or edits")
    impossible = [str(edit) for edit in stack if not _is_expressible(edit)]
    if impossible:
        raise UserError(f"{'; '.join(impossible)} can't be written as weights: what can is {EXPRESSIBLE}")
    directions: dict[str, torch.Tensor] = {}
    factors: dict[Site, dict[int, float]] = {}
    for edit in stack:
        for unit in edit.units:
            if isinstance(unit, Direction):
                vector = torch.from_numpy(lab.weights.direction(unit.name)).double()
                directions[unit.name] = (vector / vector.norm()).float()
                continue
            assert isinstance(unit, Head | Neuron)
            of_site = factors.setdefault(_site(unit), {})
            of_site[unit.index] = of_site.get(unit.index, 1.0) * edit.edit.amount
    _check_orthogonal(directions)
    return WeightEdits(directions, factors)


def _is_expressible(edit: ParsedEdit) -> bool:
    if edit.at != Positions() or not all(isinstance(unit, Direction | Head | Neuron) for unit in edit.units):
        return False
    return isinstance(edit.edit, Scale) or (isinstance(edit.edit, SetTo) and edit.edit.value == 0)


def _site(unit: Unit) -> Site:
    assert isinstance(unit, Head | Neuron)
    return Site(unit.layer, "z" if isinstance(unit, Head) else "mlp_post")


def _check_orthogonal(directions: Mapping[str, torch.Tensor]) -> None:
    """Hooks that project out two directions in turn, again and again, are no one change of weights."""
    names = list(directions)
    for at, name in enumerate(names):
        for other in names[:at]:
            cosine = float(directions[name] @ directions[other])
            if abs(cosine) > ORTHOGONAL:
                raise UserError(
                    f"@{other} and @{name} have cosine {cosine:.2g}: two directions are written as weights only where "
                    f"they are orthogonal; make one orthogonal to the other first, or export one"
                )
