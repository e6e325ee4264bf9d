"""Kinds of units in the model: how each is read, written back and compared. One file each, named as its declaration in
`workbench/units/kinds/`."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from workbench.lab.kinds.kind import LabKind, Matched, Place, Pool, Reading, Weights
from workbench.units import Unit, kind_of


def lab_kind(unit: Unit) -> LabKind[Any]:
    """What the lab knows of the unit's kind."""
    return _named(kind_of(unit).name)


@cache
def _named(name: str) -> LabKind[Any]:
    kind: LabKind[Any] = importlib.import_module(f"{__name__}.{name}").LAB_KIND
    return kind


__all__ = ["LabKind", "Matched", "Place", "Pool", "Reading", "Weights", "lab_kind"]
