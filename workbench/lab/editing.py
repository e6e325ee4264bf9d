"""Edits compiled for a model: changes by site, in the stack's order. `compiling.py` makes plans of edits,
`applying.py` carries them out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from workbench.edits import Edit, Function, ParsedEdit
from workbench.lab.changes import CallPython, Change, EditContext
from workbench.units import Site, Unit


@dataclass(frozen=True)
class PythonEdit:
    """A Function edit with the function itself: `call(activation, context) -> activation`, same shape.

    The activation is a copy: [batch, position, n] for n named neurons of a layer, [batch, position, n, d_head] for
    heads, the site's own axes for a site. A tensor or an array may come back.
    """

    edit: Function
    call: Callable[[Any, EditContext], Any]


AnyEdit = Edit | PythonEdit | ParsedEdit
"""an edit as it comes in, or as it was read already"""


@dataclass(frozen=True)
class Plan:
    """A compiled stack: changes by site, in the stack's order."""

    changes: Mapping[Site, tuple[Change, ...]]
    skip_first: bool = False
    """leave position 0 as it is"""
    units: frozenset[Unit] = field(default_factory=frozenset)
    """what is edited, Python functions apart"""

    @property
    def has_functions(self) -> bool:
        return any(isinstance(change, CallPython) for stack in self.changes.values() for change in stack)

    def at_layer(self, layer: int) -> Plan:
        """What it does in one block."""
        return replace(self, changes={site: stack for site, stack in self.changes.items() if site.layer == layer})


CLEAN = Plan({})


@dataclass(frozen=True)
class Replacement:
    """What one control puts in the places of an edit's own units and directions; empty, the edit itself."""

    units: Mapping[Unit, Unit] = field(default_factory=dict)
    directions: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """by name, float32 [d_model]"""


UNREPLACED = Replacement()
