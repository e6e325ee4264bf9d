"""What rounding alone does to a prompt's numbers: the floor under every effect (METHODS, "Rounding").

An edit of any size, one that does nothing to speak of too, makes all later sums round otherwise. So the clean prompt
runs with the stream at the edit's first layer moved to neighbouring floats, up or down at random: what comes out
differs by rounding alone, and an effect of that size is none. Another shape of the batch would do on a GPU. On a
CPU rows do not depend on it in bfloat16 (KL 0), while ablations that have a KL under 1e-5 in float32 have about .001
there, as these draws have; in float32 both give about 1e-12 to 1e-11 (SmolLM2-135M). It is measured on the prompt that
is asked about: from prompt to prompt it differs by a factor of ten.
"""

from __future__ import annotations

from workbench.edits import Positions
from workbench.lab.changes import NeighbouringFloat
from workbench.lab.editing import Plan
from workbench.lab.parts import Whole
from workbench.lab.trace import first_layer
from workbench.units import Site

DRAWS = 8
"""of one prompt; the floor is their largest"""
DRAWS_OF_SETS = 2
"""of a set of prompts, where each draw is a mean over all of them"""


def rounding_plans(plan: Plan, n_layers: int, n: int, seed: int) -> list[Plan]:
    """`n` plans that change the stream's rounding, from the first layer that `plan` changes on."""
    site = Site(first_layer(plan, n_layers) if plan.changes else 0, "resid_pre")
    return [Plan({site: (NeighbouringFloat(site, Whole(), Positions(), seed + draw),)}) for draw in range(n)]
