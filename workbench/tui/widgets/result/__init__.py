"""A step's result: headline first, the main view, the others folded below, then how it was made and what could follow."""

from workbench.tui.widgets.result.pane import ResultPane

__all__ = ["ResultPane"]
