"""The kinds of units, one file each. `kinds()` finds them by their `KIND`: adding one is adding a file."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from workbench.units.kind import Kind
from workbench.units.unit import Unit


@cache
def _by_type() -> dict[type[Unit], Kind]:
    modules = (importlib.import_module(f"{__name__}.{file.name}") for file in pkgutil.iter_modules(__path__))
    declared: list[Kind] = sorted((module.KIND for module in modules), key=lambda kind: kind.order)
    return {kind.unit: kind for kind in declared}


def kinds() -> list[Kind]:
    """All kinds, in the order of sentences."""
    return list(_by_type().values())


def kind_of(unit: Unit) -> Kind:
    """What the unit's kind declares."""
    return _by_type()[type(unit)]
