"""What kinds that are numbered within a layer share."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.lab.kinds.kind import Place
from workbench.lab.parts import Entries
from workbench.units import Indexed, Site


def places_by_layer(units: Sequence[Indexed], site: str, part: type[Entries]) -> list[Place]:
    """The units of each layer together, at that layer's `site`."""
    indices: dict[int, list[int]] = {}
    for unit in units:
        indices.setdefault(unit.layer, []).append(unit.index)
    return [Place(Site(layer, site), part(tuple(chosen))) for layer, chosen in indices.items()]
