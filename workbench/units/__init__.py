"""Units: what can be pointed at, and the grammar that names them.

L12.N345        a neuron: layer 12, index 345 of the MLP post-activation
L5.H3           a query head
L5.resid_post   a site of the stream or of a block (SITES)
@refusal        a named direction
L5.resid_post@refusal   the component of a site along a direction
L3.N10-20       a range, both ends included; L3-5.H0, L*.resid_post and L5.H* likewise
L3.N1, L4.N2    a list: commas or spaces
basket:months   a named set of pins, `basket` alone the pins without a name; where a session is at hand
"""

from __future__ import annotations

from workbench.units.grammar import check_unit, complete, format_units, parse_unit, parse_units
from workbench.units.kind import Kind, Operation, Refusal
from workbench.units.kinds import kind_of
from workbench.units.kinds.component import Component
from workbench.units.kinds.direction import Direction
from workbench.units.kinds.head import Head
from workbench.units.kinds.neuron import Neuron
from workbench.units.kinds.site import Site
from workbench.units.sets import check_set_name, expand_sets, names_sets
from workbench.units.sites import SITES, STREAM
from workbench.units.unit import MAX_UNITS, Indexed, Unit

__all__ = [
    "MAX_UNITS",
    "SITES",
    "STREAM",
    "Component",
    "Direction",
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
    "expand_sets",
    "format_units",
    "kind_of",
    "names_sets",
    "parse_unit",
    "parse_units",
]
