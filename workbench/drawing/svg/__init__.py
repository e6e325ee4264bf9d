"""Every view as an SVG for a paper: vector shapes, text that stays text, the same bytes each time."""

from workbench.drawing.svg.export import export_svg

__all__ = ["export_svg"]
