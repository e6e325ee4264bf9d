"""Units: what can be pointed at, and the grammar that names them.

`kinds/` declares each kind in a file of its own: how it is written (`L12.N345`, `@refusal`), completed and edited.
"""

from __future__ import annotations

from workbench.units.grammar import (
    check_unit,
    complete,
    direction_name,
    format_units,
    parse_unit,
    parse_units,
    written_forms,
)
from workbench.units.kind import Kind, Operation, Refusal
from workbench.units.kinds import kind_of
from workbench.units.kinds.component import Component
from workbench.units.kinds.direction import Direction
from workbench.units.kinds.feature import Feature
from workbench.units.kinds.head import Head
from workbench.units.kinds.neuron import Neuron
from workbench.units.kinds.site import Site
from workbench.units.sets import check_set_name, expand_sets, names_sets
from workbench.units.sites import ADDED_AS, HOOKS, SITES, STREAM
from workbench.units.unit import MAX_UNITS, Indexed, Unit

__all__ = [
    "ADDED_AS",
    "HOOKS",
    "MAX_UNITS",
    "SITES",
    "STREAM",
    "Component",
    "Direction",
    "Feature",
    "Head",
    "Indexed",
    "Kind",
    "Neuron",
    "Operation",
    "Refusal",
    "Site",
    "Unit",
    "check_set_name",
    "check_unit",
    "complete",
    "direction_name",
    "expand_sets",
    "format_units",
    "kind_of",
    "names_sets",
    "parse_unit",
    "parse_units",
    "written_forms",
]
