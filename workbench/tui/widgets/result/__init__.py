"""A step's result: headline first, then views, how it was made, and what could follow."""

from workbench.tui.widgets.result.pane import ResultPane

__all__ = ["ResultPane"]
