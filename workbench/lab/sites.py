"""Names of sites to the bridge's hook points, and what stands there.

`attn_out` and `mlp_out` are what is added to the stream: after the post-norm where there is one (Gemma 2), times the
model's own factor where it has one (Granite). Their hook points are the modules' outputs; `gains` are the factors
between these and the stream, measured when a model is loaded (`contributions.py`).
"""

from __future__ import annotations

from typing import Any

import torch

from workbench.errors import UserError
from workbench.units import ADDED_AS, HOOKS, SITES, Site

MLP_IN = "mlp_in"
"""what an MLP reads, after the norm before it: transcoders encode it, and edits have no business there"""
_POINTS = HOOKS | {MLP_IN: "mlp.hook_in"}
_UNSCALED = {"attn_out": "attn.hook_out", "mlp_out": "mlp.hook_out"}
AXES = {
    "z": "[batch, position, head, d_head]",
    "pattern": "[batch, head, position, position]",
    "mlp_pre": "[batch, position, d_mlp]",
    "mlp_pre_linear": "[batch, position, d_mlp]",
    "mlp_post": "[batch, position, d_mlp]",
}
"""Axes of a site's array; the others are [batch, position, d_model]."""


def position_axis(site: Site) -> int:
    """The axis of positions in a site's array; of attention patterns that of the queries."""
    return 2 if site.name == "pattern" else 1


class SiteMap:
    """Hook points of every block of a bridge, by layer and site."""

    def __init__(self, bridge: Any) -> None:
        self._points: dict[Site, Any] = {}
        self.gains: dict[Site, float] = {}
        """of `attn_out` and `mlp_out`, where it is not 1: what their hook points are multiplied with on the way to the
        stream; of `z` and `mlp_post`, where it is another one: the same of their products with W_O and W_out"""
        self.unreached: set[Site] = set()
        """what an edit puts there is not what the stream gets, as a check at load saw"""
        for layer, block in enumerate(bridge.blocks):
            # TransformerLens' hook of a scaled contribution rounds every position when one is edited.
            scaled = hasattr(block, "residual_contribution_scale")
            for name, path in (_POINTS | _UNSCALED if scaled else _POINTS).items():
                point: Any = block
                for part in path.split("."):
                    point = getattr(point, part, None)
                    if point is None:
                        break
                if point is not None:
                    self._points[Site(layer, name)] = point
        self.home: torch.device | None = None
        """where hooks see activations, of a model that is spread over several devices (`spread.py`)"""
        self.block_inputs = [Site(layer, "resid_pre") for layer in range(len(bridge.blocks))]

    def gain(self, site: Site) -> float:
        """What `attn_out` or `mlp_out`'s hook point is multiplied with on its way to the stream: 1 for most models."""
        return self.gains.get(site, 1.0) if site.name in ADDED_AS.values() else 1.0

    def weight_gain(self, site: Site) -> float:
        """The same of what W_O makes of `z`, or W_out of `mlp_post` (before a norm that follows)."""
        return self.gains.get(site, self.gain(Site(site.layer, ADDED_AS[site.name])))

    def edit_problem(self, site: Site) -> str:
        """Why an edit of a site would not be what it says, as a sentence; empty where it is."""
        if site not in self.unreached:
            return ""
        return (
            f"an edit of {site} can't be made in this model: what it puts there is not what the stream gets. "
            f"Take L{site.layer}.resid_pre or L{site.layer}.resid_post"
        )

    def __contains__(self, site: Site) -> bool:
        return site in self._points

    def points(self) -> dict[Site, Any]:
        """Every hook point of the sites that can be named, by site."""
        return {site: point for site, point in self._points.items() if site.name in SITES}

    def hooks_installed(self) -> int:
        """How many hooks are on the points of this map: none, outside a forward pass."""
        return sum(len(point.fwd_hooks) + len(point.bwd_hooks) for point in self._points.values())

    def point(self, site: Site) -> Any:
        """The hook point of a site. Raises UserError where the model has none."""
        point = self._points.get(site)
        if point is None:
            description = SITES.get(site.name, "no site of ours")
            raise UserError(f"this model has no {site} ({description})")
        return point
